"""A run of ancestry training: a folder with the model and all that inference needs of the reference people."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from crocuta.analysis.ancestry.calibration import fit_power
from crocuta.errors import InputError
from crocuta.files import replacing, write_json
from crocuta.models.ancestry import (
    VOCABULARY,
    AncestryConfig,
    AncestryForSNPPrediction,
    AncestryForWindowClassification,
    AncestryPreTrainedModel,
)
from crocuta.nn.genomic_position import SitePosition
from crocuta.runs.manifest import manifest
from crocuta.train.ancestry import (
    STAGES,
    AncestryMoment,
    AncestryRecipe,
    Optimizers,
    Teacher,
    classifier,
    fit_evidence,
    judge,
    probabilities,
    train_stage,
)
from crocuta.train.ancestry_along import WindowJudge, fit_chain, tokens_per_site
from crocuta.train.ancestry_evidence import Reference
from crocuta.train.ancestry_folder import METRICS, begin, kept_settings
from crocuta.train.ancestry_panels import TrainingData, fingerprint, naming
from crocuta.train.ancestry_sites import save_sites
from crocuta.train.ancestry_windows import WindowSource
from crocuta.train.checkpoint import load_checkpoint, read_state, save_checkpoint

EVIDENCE = ("none", "frequency", "copying")  # copying comes with frequency
TEST_WINDOWS = 2000
SITES, REFERENCE, PEOPLE = "sites.safetensors", "reference.safetensors", "people.json"
SMOOTHING = "smoothing.json"


@dataclass(frozen=True)
class AncestryRun:
    """What is trained besides the recipe: sizes of the network, its encoding of positions, its evidence."""

    view: str = "haplotype"
    evidence: str = "copying"
    pretrain: bool = True
    position: str = "centimorgan"
    alpha: int = 100
    backbone: str = "hyena"
    head: str = "linear"
    width: int = 64
    layers: int = 2
    dropout: float = 0.1

    def __post_init__(self):
        for name, value, known in (("evidence", self.evidence, EVIDENCE), ("view", self.view, VOCABULARY)):
            if value not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, found {value!r}")


def model_config(
    run: AncestryRun, recipe: AncestryRecipe, data: TrainingData, channels: int
) -> AncestryConfig:
    """The configuration of the classifier; `AncestryConfig` says what is wrong with bad names."""
    try:
        return AncestryConfig(
            view=run.view, position=run.position, alpha=run.alpha, backbone=run.backbone, head=run.head,
            d_model=run.width, n_layer=run.layers, dropout=run.dropout, max_sites=recipe.window,
            evidence_channels=channels, bidirectional=not run.pretrain,
            sites=sum(len(panel.sites) for panel in data.panels),
            chromosomes=[panel.sites.chromosome for panel in data.panels],
            chromosome_lengths=[int(panel.sites.position[-1]) + 1 for panel in data.panels],
            id2label=dict(enumerate(data.populations)), panel=fingerprint(data.panels),
        )  # fmt: skip
    except ValueError as error:
        raise InputError(str(error)) from error


def name_sites(model: AncestryPreTrainedModel, data: TrainingData) -> None:
    """Tells an encoding by site which sites there are."""
    for module in model.modules():
        if isinstance(module, SitePosition):
            position = np.concatenate([panel.sites.position for panel in data.panels])
            chromosome = np.repeat(np.arange(len(data.panels)), [len(panel.sites) for panel in data.panels])
            module.set_sites(torch.from_numpy(position.astype(np.int64)), torch.from_numpy(chromosome))


def fit_reference(run: AncestryRun, data: TrainingData) -> Reference | None:
    """What the training people say of each site, as far as the run asks."""
    if run.evidence == "none":
        return None
    rates = {} if run.evidence == "copying" else {"rates": ()}
    return Reference.fit(data.panels, data.labels, data.split.train, run.view, **rates)


def run_ancestry(
    data: TrainingData,
    run: AncestryRun,
    recipe: AncestryRecipe,
    output: Path,
    *,
    resume: bool = False,
    tell: Callable[[AncestryMoment], object] = lambda moment: None,
    sources: tuple[Path, ...] = (),
) -> dict[str, Any]:
    """Trains in two stages and judges on the test people; returns the metrics, which `metrics.json` holds.

    The folder gets config.json, history.jsonl, pretrained/, model/, sites.safetensors, reference.safetensors,
    people.json, predictions.tsv, smoothing.json (for inference along chromosomes), metrics.json and manifest.json.
    `resume` goes on with an interrupted run.

    Raises:
        InputError: the folder holds another run; a window is longer than any chromosome; training diverges.
    """
    settings = {"run": asdict(run), "recipe": kept_settings(recipe), "panel": fingerprint(data.panels)}
    if begin(output, settings, resume):
        return json.loads((output / METRICS).read_text())
    model_config(run, recipe, data, 0)  # bad names are refused before anything is computed
    with naming(data.source):
        source = WindowSource(data.panels, data.labels, run.view)
    reference = fit_reference(run, data)
    teacher = Teacher(source, data.split.train, data.split.valid, recipe, reference)
    config = model_config(run, recipe, data, reference.channels if reference else 0)
    stages = Stages(output, teacher, data, recipe, tell)
    metrics: dict[str, Any] = {}
    pretrained = None
    if run.pretrain:
        pretrained = stages.pretrained(config)
        loss, perplexity = judge(pretrained, teacher.valid["pretrain"])
        metrics["next_snp"] = {"valid_loss": loss, "valid_perplexity": perplexity}
    model = stages.classified(config, pretrained)
    metrics |= judged(model, teacher, data, recipe, output)
    write_folder(output, model, reference, data, sources, recipe.seed)
    metrics["along_chromosomes"] = write_smoothing(output, model, teacher, data, recipe)
    write_json(output / METRICS, metrics)
    for stage in STAGES:  # their checkpoints
        shutil.rmtree(output / stage, ignore_errors=True)
    return metrics


class Stages:
    """The two stages of a run, each resumed from its checkpoint or from its end."""

    def __init__(
        self,
        output: Path,
        teacher: Teacher,
        data: TrainingData,
        recipe: AncestryRecipe,
        tell: Callable[[AncestryMoment], object],
    ):
        self.output, self.teacher, self.data, self.recipe, self.tell = output, teacher, data, recipe, tell
        self.saved = monotonic()

    def pretrained(self, config: AncestryConfig) -> AncestryForSNPPrediction:
        """The model of the first stage."""
        folder = self.output / "pretrained"
        if (folder / "config.json").exists():
            return AncestryForSNPPrediction.from_pretrained(folder)
        torch.manual_seed(self.recipe.seed)
        model = self.train(AncestryForSNPPrediction(config.pretraining()), "pretrain")
        model.save_pretrained(folder)
        return model

    def classified(
        self, config: AncestryConfig, pretrained: AncestryForSNPPrediction | None
    ) -> AncestryForWindowClassification:
        """The model of the second stage."""
        torch.manual_seed(self.recipe.seed + 1)
        model = classifier(config, pretrained)
        fit_evidence(model, self.teacher)
        return self.train(model, "classify")

    def train(self, model: Any, stage: str) -> Any:
        name_sites(model, self.data)
        folder = self.output / stage
        state = read_state(folder) or {}
        start, moments, best = int(state.get("step", 0)), None, None
        if state:
            model.load_state_dict(load_file(state["folder"] / "model" / "model.safetensors"))
            holder = Optimizers(model, self.recipe)
            load_checkpoint(holder, state["folder"])  # type: ignore[arg-type]
            moments = holder.state_dict()
            best = (state["best"], load_file(folder / "best.safetensors"))

        def save(model: nn.Module, optimizers: Optimizers, step: int, best: tuple[float, dict]) -> None:
            if monotonic() - self.saved < self.recipe.checkpoint_seconds:
                return
            folder.mkdir(exist_ok=True)
            save_file(best[1], folder / "best.safetensors")
            save_checkpoint(folder, model, optimizers, {"step": step, "best": best[0]})  # type: ignore[arg-type]
            self.saved = monotonic()

        train_stage(model, self.teacher, stage, self.heard, save, start, moments, best)
        return model

    def heard(self, moment: AncestryMoment) -> None:
        if moment.score is not None:
            with open(self.output / "history.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(moment._asdict()) + "\n")
        self.tell(moment)


def judged(
    model: AncestryForWindowClassification,
    teacher: Teacher,
    data: TrainingData,
    recipe: AncestryRecipe,
    output: Path,
) -> dict[str, Any]:
    """Accuracy on windows of the test people, beside that of the evidence alone; writes predictions.tsv."""
    generator = np.random.default_rng((recipe.seed, 9))
    count = max(100, TEST_WINDOWS * 512 // max(recipe.window, 512))
    test = teacher.label(teacher.source.draw(data.split.test, count, recipe.window, generator))
    found, labels = probabilities(model, test), test.windows.label
    predicted = found.argmax(1)
    confusion = torch.zeros(len(data.populations), len(data.populations), dtype=torch.int64)
    confusion.index_put_((labels, predicted), torch.ones_like(labels), accumulate=True)
    scores: dict[str, Any] = {
        "accuracy": (predicted == labels).float().mean().item(),
        "loss": -found.gather(1, labels[:, None]).clamp(min=1e-12).log().mean().item(),
        "windows": count,
        "confusion": confusion.tolist(),
    }
    if test.evidence is not None:
        sums = test.evidence.sum(1).unflatten(1, (-1, len(data.populations)))
        scores["by_evidence_alone"] = (sums.argmax(2) == labels[:, None]).float().mean(0).tolist()
    write_predictions(output / "predictions.tsv", data, test.windows, found)
    loss, accuracy = judge(model, teacher.valid["classify"])
    return {
        "test": scores,
        "valid": {"loss": loss, "accuracy": accuracy},
        "populations": list(data.populations),
        "parameters": model.num_parameters(),
    }


def write_predictions(path: Path, data: TrainingData, windows: Any, found: torch.Tensor) -> None:
    """A line for each test window: whose, where, the truth, and the probability of each population."""
    names = data.panels[0].samples.name
    with replacing(path) as file:
        file.write(
            "\t".join(["sample", "chromosome", "start", "end", "population", *data.populations]) + "\n"
        )
        for i in range(len(windows)):
            chromosome = data.panels[int(windows.chromosome[i])].sites.chromosome
            where = [chromosome, str(int(windows.position[i, 0])), str(int(windows.position[i, -1]))]
            row = [str(names[int(windows.person[i])]), *where, data.populations[int(windows.label[i])]]
            file.write("\t".join(row + [f"{p:.5f}" for p in found[i].tolist()]) + "\n")


def write_folder(
    output: Path,
    model: AncestryForWindowClassification,
    reference: Reference | None,
    data: TrainingData,
    sources: tuple[Path, ...],
    seed: int,
) -> None:
    """The model, the reference that its evidence comes from, who was held out, and the manifest."""
    model.save_pretrained(output / "model")
    save_sites(output / SITES, [panel.sites for panel in data.panels], data.build)
    if reference is not None:
        reference.save(output / REFERENCE)
    names = data.panels[0].samples.name
    write_json(output / PEOPLE, {part: names[rows].tolist() for part, rows in data.split._asdict().items()})
    write_json(output / "manifest.json", manifest(sources, [seed]))


def write_smoothing(
    output: Path,
    model: AncestryForWindowClassification,
    teacher: Teacher,
    data: TrainingData,
    recipe: AncestryRecipe,
) -> dict[str, float]:
    """Chooses, on validation people, how windows along a chromosome are smoothed and calibrated; how well that does."""
    step = max(1, recipe.window // 2)
    density = tokens_per_site(data, model.config.view)
    chain, power, scores = fit_chain(
        WindowJudge(model, teacher.reference, recipe.window, step, density), data, recipe.seed
    )
    valid = teacher.valid["classify"]
    alone = fit_power(probabilities(model, valid).numpy(), valid.windows.label.numpy())
    content = {"chain": asdict(chain), "power": power, "window_power": alone, "density": density}
    write_json(output / SMOOTHING, content)
    return scores
