"""A run of ancestry training: a folder with the model and all that inference needs of the reference individuals."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crocuta.ancestry.along import WindowCaller, fit_chain, tokens_per_site
from crocuta.ancestry.evidence import EvidenceReference
from crocuta.ancestry.methods.calibration import fit_power
from crocuta.ancestry.panels import Choice, TrainingData, load_training_data, naming, panel_fingerprint
from crocuta.ancestry.sites import save_sites
from crocuta.ancestry.window_training import (
    STAGES,
    AncestryRecipe,
    Teacher,
    classifier,
    evaluate,
    fit_evidence,
    train_stage,
    window_probabilities,
)
from crocuta.ancestry.windows import WindowSource
from crocuta.errors import InputError
from crocuta.files import follow_umask, remove, replacing, replacing_path, write_json
from crocuta.models.ancestry import (
    VOCABULARY,
    AncestryConfig,
    AncestryForSNPPrediction,
    AncestryForWindowClassification,
    AncestryPreTrainedModel,
)
from crocuta.nn.genomic_position import SitePosition
from crocuta.runs.claim import claim
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.progress import SILENT, Progress
from crocuta.runs.saved import read_json
from crocuta.variants.store import Cohort

EVIDENCE = ("none", "frequency", "copying")  # copying comes with frequency
TEST_WINDOWS = 2000
SITES, REFERENCE, INDIVIDUALS = (
    "sites.safetensors",
    "reference.safetensors",
    "people.json",
)  # as 0.1.0 called it
SMOOTHING, METRICS, HISTORY = "smoothing.json", "metrics.json", "history.json"
KIND, TASK = "ancestry train", "windows"


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
            id2label=dict(enumerate(data.populations)), panel=panel_fingerprint(data.panels),
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


def fit_reference(run: AncestryRun, data: TrainingData) -> EvidenceReference | None:
    """What the training individuals say of each site, as far as the run asks."""
    if run.evidence == "none":
        return None
    rates = {} if run.evidence == "copying" else {"rates": ()}
    return EvidenceReference.fit(data.panels, data.labels, data.split.train, run.view, **rates)


def train_windows(
    cohort: str | PathLike,
    output: str | PathLike,
    run: AncestryRun | None = None,
    recipe: AncestryRecipe | None = None,
    choice: Choice | None = None,
    *,
    device: str = AUTO,
    checkpoint_seconds: float = 60.0,
    resume: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Trains in two stages on a store, and evaluates on the test individuals; returns the metrics.

    The folder gets config.json, history.jsonl, pretrained/, model/, sites.safetensors, reference.safetensors,
    people.json, predictions.tsv, smoothing.json (for inference along chromosomes), metrics.json and manifest.json.

    Args:
        choice: of individuals, labels and sites.
        resume: go on with an interrupted run.

    Raises:
        InputError: the output may not be taken; a window is longer than any chromosome; training diverges.
    """
    run, recipe, choice = run or AncestryRun(), recipe or AncestryRecipe(), choice or Choice()
    settings = {"task": TASK, "run": asdict(run), "recipe": asdict(recipe), "choice": asdict(choice)}
    with claim(output, KIND, settings, {"cohort": cohort}, resume=resume) as work:
        if not work.finished:
            choose_device(device)
            with Cohort(cohort) as store:
                data = load_training_data(store, choice, recipe.seed, progress)
            learn_windows(
                data, run, recipe, work.folder, device=device, checkpoint_seconds=checkpoint_seconds, keep=work.keep,
                progress=progress,
            )  # fmt: skip
            work.finish([recipe.seed])
        return read_json(work.folder / METRICS)


def learn_windows(
    data: TrainingData,
    run: AncestryRun,
    recipe: AncestryRecipe,
    folder: Path,
    *,
    device: str = AUTO,
    checkpoint_seconds: float = 60.0,
    keep: Callable[[], object] = lambda: None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """What `train_windows` does with a cohort that is read: fills a folder, from where an earlier call stopped."""
    config, teacher = prepare_lessons(data, run, recipe, device)
    options = {
        "device": device, "checkpoint_seconds": checkpoint_seconds, "keep": keep, "progress": progress,
    }  # fmt: skip
    metrics: dict[str, Any] = {}
    pretrained, history = None, []
    if run.pretrain:
        pretrained, history = first_stage(config, teacher, data, folder, options)
        loss, perplexity = evaluate(pretrained, teacher.valid["pretrain"])
        metrics["next_snp"] = {"valid_loss": loss, "valid_perplexity": perplexity}
    torch.manual_seed(recipe.seed + 1)
    model = classifier(config, pretrained).to(choose_device(device))  # pyright: ignore[reportArgumentType]
    fit_evidence(model, teacher)
    history += train_named(model, teacher, data, "classify", folder, options)
    with replacing(folder / "history.jsonl") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in history)
    with progress.stage("evaluating"):
        metrics |= evaluated(model, teacher, data, recipe, folder)
        write_folder(folder, model, teacher.reference, data)
        metrics["along_chromosomes"] = write_smoothing(folder, model, teacher, data, recipe)
    follow_umask(folder)
    write_json(folder / METRICS, metrics)
    for stage in STAGES:  # their checkpoints
        remove(folder / stage)
    return metrics


def prepare_lessons(
    data: TrainingData, run: AncestryRun, recipe: AncestryRecipe, device: str
) -> tuple[AncestryConfig, Teacher]:
    """The classifier's configuration, and what both stages learn from; evidence is computed on the device.

    Raises:
        InputError: a name of the configuration is unknown; no phase; a window is longer than any chromosome.
    """
    model_config(run, recipe, data, 0)  # bad names are refused before anything is computed
    with naming(data.source):
        source = WindowSource(data.panels, data.labels, run.view)
    reference = fit_reference(run, data)
    if reference is not None:
        reference = reference.to(choose_device(device))
    teacher = Teacher(source, data.split.train, data.split.valid, recipe, reference)
    return model_config(run, recipe, data, reference.channels if reference else 0), teacher


def first_stage(
    config: AncestryConfig, teacher: Teacher, data: TrainingData, folder: Path, options: dict[str, Any]
) -> tuple[AncestryForSNPPrediction, list[dict[str, Any]]]:
    """The model of the first stage and its evaluations, trained now unless they lie in the folder."""
    place = folder / "pretrained"
    if not place.exists():
        torch.manual_seed(teacher.recipe.seed)
        model = AncestryForSNPPrediction(config.pretraining())
        history = train_named(model, teacher, data, "pretrain", folder, options)
        with replacing_path(place) as fresh:
            model.save_pretrained(fresh)
            write_json(fresh / HISTORY, {"evaluations": history})
        options["keep"]()
    model = AncestryForSNPPrediction.from_pretrained(place).to(choose_device(options["device"]))  # pyright: ignore
    return model, read_json(place / HISTORY)["evaluations"]


def train_named(
    model: AncestryPreTrainedModel, teacher: Teacher, data: TrainingData, stage: str, folder: Path,
    options: dict[str, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    """Trains a model in place; its evaluations."""
    name_sites(model, data)
    fitted = train_stage(model, teacher, stage, folder / stage, **options)
    return [{"stage": stage, **entry} for entry in fitted.history]


def evaluated(
    model: AncestryForWindowClassification,
    teacher: Teacher,
    data: TrainingData,
    recipe: AncestryRecipe,
    output: Path,
) -> dict[str, Any]:
    """Accuracy on windows of the test individuals, beside that of the evidence alone; writes predictions.tsv."""
    generator = np.random.default_rng((recipe.seed, 9))
    count = max(100, TEST_WINDOWS * 512 // max(recipe.window, 512))
    test = teacher.label(teacher.source.draw(data.split.test, count, recipe.window, generator))
    found, labels = window_probabilities(model, test), test.windows.label
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
        sums = test.evidence.cpu().sum(1).unflatten(1, (-1, len(data.populations)))
        scores["by_evidence_alone"] = (sums.argmax(2) == labels[:, None]).float().mean(0).tolist()
    write_window_predictions(output / "predictions.tsv", data, test.windows, found)
    loss, accuracy = evaluate(model, teacher.valid["classify"])
    return {
        "test": scores,
        "valid": {"loss": loss, "accuracy": accuracy},
        "populations": list(data.populations),
        "parameters": model.num_parameters(),
    }


def write_window_predictions(path: Path, data: TrainingData, windows: Any, found: torch.Tensor) -> None:
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
    reference: EvidenceReference | None,
    data: TrainingData,
) -> None:
    """The model, the reference that its evidence comes from, and who was held out."""
    model.save_pretrained(output / "model")
    save_sites(output / SITES, [panel.sites for panel in data.panels], data.build)
    if reference is not None:
        reference.save(output / REFERENCE)
    names = data.panels[0].samples.name
    write_json(
        output / INDIVIDUALS, {part: names[rows].tolist() for part, rows in data.split._asdict().items()}
    )


def write_smoothing(
    output: Path,
    model: AncestryForWindowClassification,
    teacher: Teacher,
    data: TrainingData,
    recipe: AncestryRecipe,
) -> dict[str, float]:
    """Chooses, on validation individuals, how windows are smoothed and calibrated; how well that does."""
    step = max(1, recipe.window // 2)
    density = tokens_per_site(data, model.config.view)
    chain, power, scores = fit_chain(
        WindowCaller(model, teacher.reference, recipe.window, step, density), data, recipe.seed
    )
    valid = teacher.valid["classify"]
    alone = fit_power(window_probabilities(model, valid).numpy(), valid.windows.label.numpy())
    content = {"chain": asdict(chain), "power": power, "window_power": alone, "density": density}
    write_json(output / SMOOTHING, content)
    return scores
