"""Ancestry models on a simulated cohort: accuracy, encodings of positions, what FPE costs, Hyena against Transformer.

    crocuta ancestry simulate -o chr22sim --length 50.8e6 --name 22 --seed 2
    crocuta ancestry build chr22sim/cohort.vcf.gz --samples chr22sim/samples.tsv --map chr22sim/map.tsv -o chr22.h5
    OMP_NUM_THREADS=1 python benchmarks/ancestry.py accuracy chr22.h5 --view carried
    OMP_NUM_THREADS=1 python benchmarks/ancestry.py accuracy chr22.h5 --view haplotype
    OMP_NUM_THREADS=1 python benchmarks/ancestry.py ablation chr22.h5        # without pretraining, positions, evidence
    OMP_NUM_THREADS=1 python benchmarks/ancestry.py perplexity chr22.h5      # each encoding of positions
    OMP_NUM_THREADS=1 python benchmarks/ancestry.py twins chr22.h5           # Hyena and Transformer, 1,024 and 4,096
    OMP_NUM_THREADS=1 python benchmarks/ancestry.py fpe
    OMP_NUM_THREADS=1 python benchmarks/ancestry.py throughput
    OMP_NUM_THREADS=1 python benchmarks/ancestry.py context chr22.h5 --view carried    # windows by alpha of FPE
    python benchmarks/ancestry.py page                                       # docs/ancestry_models.md

Rows that are measured already are kept: interrupted, it goes on. `--steps` shortens or lengthens each training;
`--only TEXT` takes the rows whose name contains it.
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import ancestry_costs
import ancestry_page
import numpy as np
import torch
from window_rivals import RegressionModel

from crocuta.ancestry.panels import Choice, TrainingData, load_training_data
from crocuta.ancestry.window_run import AncestryRun, fit_reference, model_config, name_sites
from crocuta.ancestry.window_training import (
    AncestryRecipe,
    LabelledWindows,
    Teacher,
    classifier,
    evaluate,
    fit_evidence,
    train_stage,
    window_probabilities,
)
from crocuta.ancestry.windows import WindowSource
from crocuta.files import write_json
from crocuta.models.ancestry import AncestryForSNPPrediction
from crocuta.quiet import prepare
from crocuta.variants.store import Cohort

RESULT = Path(__file__).parent / "results" / "ancestry.json"
LENGTHS = (128, 512, 1024, 2048, 4096)
TESTED = {128: 4000, 512: 3000, 1024: 2000, 2048: 1500, 4096: 1000}  # windows
ALPHAS = (10, 100, 1000, 100_000)
POSITIONS = ("none", "sinusoidal", "rotary", "fourier", "learned", "fpe", "grid", "centimorgan", "site")
Row = tuple[str, Callable[[], dict[str, Any]]]


def load(cohort: Path, view: str, split: int = 0) -> TrainingData:
    maf = 0.0 if view == "carried" else 0.01
    with Cohort(cohort) as store:
        mixed = [name for name in ("ADMIXED", "AMR") if name in store.samples.group]
        return load_training_data(store, Choice(leave_out=tuple(mixed), maf=maf), split)


def trained(data: TrainingData, run: AncestryRun, recipe: AncestryRecipe) -> dict[str, Any]:
    """Both stages, judged on windows of the test individuals: what was learned, beside its evidence alone."""
    reference = fit_reference(run, data)
    source = WindowSource(data.panels, data.labels, run.view)
    teacher = Teacher(source, data.split.train, data.split.valid, recipe, reference)
    config = model_config(run, recipe, data, reference.channels if reference else 0)
    generator = np.random.default_rng(99)
    test = teacher.label(source.draw(data.split.test, TESTED[recipe.window], recipe.window, generator))
    torch.manual_seed(recipe.seed)
    row: dict[str, Any] = {"steps": recipe.steps, "view": run.view, "window": recipe.window}
    span = (test.windows.position[:, -1] - test.windows.position[:, 0]).double().mean().item()
    row["span_kb"] = round(span / 1e3, 1)
    first, pretrained = time.process_time(), None
    if run.pretrain:
        pretrained = AncestryForSNPPrediction(config.pretraining())
        name_sites(pretrained, data)
        train_stage(pretrained, teacher, "pretrain", device="cpu")
        row["perplexity"] = evaluate(pretrained, LabelledWindows(test.windows, None))[1]
    middle = time.process_time()
    model = classifier(config, pretrained)
    name_sites(model, data)
    fit_evidence(model, teacher)
    row["regression_of_evidence"] = 100 * evaluate(model, test)[1]
    train_stage(model, teacher, "classify", device="cpu")
    row |= {"pretrain_cpu_seconds": middle - first, "train_cpu_seconds": time.process_time() - middle}
    found, labels = window_probabilities(model, test), test.windows.label
    row |= {
        "accuracy": 100 * (found.argmax(1) == labels).float().mean().item(),
        "ece": 100 * ece(found, labels),
    }
    row["parameters"] = model.num_parameters()
    if test.evidence is not None:
        sums = test.evidence.sum(1).unflatten(1, (-1, len(data.populations)))
        alone = (sums.argmax(2) == labels[:, None]).float().mean(0).tolist()
        row |= {"naive_bayes": 100 * alone[-1], "copying": [100 * value for value in alone[:-1]]}
    return row


def ece(found: torch.Tensor, labels: torch.Tensor, bins: int = 15) -> float:
    """Expected calibration error of the predicted population."""
    confidence, predicted = found.max(1)
    place = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins).index_add_(0, place, confidence - (predicted == labels).float())
    return gap.abs().sum().item() / len(labels)


def recipe_of(window: int, steps: int, **fields: Any) -> AncestryRecipe:
    return AncestryRecipe(window=window, steps=steps, pretrain_steps=steps, valid_windows=400, **fields)


def short_recipe(window: int, steps: int) -> AncestryRecipe:
    """Steps and validations of a quarter of the usual size."""
    return replace(recipe_of(window, steps), tokens_per_step=8192, valid_windows=100)


def regression_accuracy(data: TrainingData, window: int, count: int = 24) -> dict[str, Any]:
    """Logistic regression of the alleles of each of some windows, learned from all training haplotypes."""
    panel, train = data.panels[0], np.sort(np.r_[data.split.train, data.split.valid])
    first = np.random.default_rng(0).integers(0, len(panel.sites) - window, count)
    edges = np.stack([first, first + window], 1)
    test = panel.individuals(data.split.test).haplotypes
    labels = np.repeat(data.labels[data.split.test], 2)
    right = []
    for edge in edges:  # one by one: little memory
        local = panel.at(slice(*edge))
        model = RegressionModel.fit(local.individuals(train), data.labels[train], np.array([[0, window]]))
        predicted = model.log_probability(test[:, edge[0] : edge[1]])[:, 0].argmax(1)
        right.append(np.mean([(predicted == labels)[labels == k].mean() for k in np.unique(labels)]))
    return {"accuracy": 100 * float(np.mean(right)), "windows": count}


def accuracy_rows(data: TrainingData, view: str, steps: int, split: int) -> Iterator[Row]:
    """Each length of window; the first split has no number in its rows' names."""
    run, again = AncestryRun(view=view, pretrain=False), f" {split}" if split else ""
    for window in LENGTHS:
        recipe = recipe_of(window, steps)
        yield f"{view} {window} hyena{again}", lambda recipe=recipe: trained(data, run, recipe)
        if view == "haplotype":
            yield (
                f"{view} {window} regression{again}",
                lambda window=window: regression_accuracy(data, window),
            )


def ablation_rows(data: TrainingData, view: str, steps: int) -> Iterator[Row]:
    """What each part of the recipe brings, windows of 512 SNPs."""
    recipe = recipe_of(512, steps)
    whole = AncestryRun(view=view, pretrain=False)
    variants = {
        "whole": whole,
        "with pretraining": replace(whole, pretrain=True),
        "Lorentz head": replace(whole, head="lorentz"),
        "Transformer": replace(whole, backbone="transformer", dropout=0.0),
        "frequencies only": replace(whole, evidence="frequency"),
        "no evidence, fpe": replace(whole, evidence="none", position="fpe"),
        "no evidence, fpe, pretraining": replace(whole, evidence="none", position="fpe", pretrain=True),
    }
    variants |= {f"no evidence, {name}": replace(whole, evidence="none", position=name) for name in POSITIONS}
    variants |= {f"whole, {name}": replace(whole, position=name) for name in POSITIONS}
    for name, run in variants.items():
        yield f"{view} {name}", lambda run=run: trained(data, run, recipe)


def context_rows(data: TrainingData, view: str, steps: int) -> Iterator[Row]:
    """The thesis's model, by SNPs of a window and alpha of FPE: both stages, no evidence."""
    for window, alpha in product((128, 512, 1024), ALPHAS):
        run = AncestryRun(view=view, evidence="none", position="fpe", alpha=alpha)
        recipe = short_recipe(window, steps)
        yield f"{view} {window} {alpha}", lambda run=run, recipe=recipe: trained(data, run, recipe)


def perplexity_rows(data: TrainingData, view: str, steps: int) -> Iterator[Row]:
    """Next-SNP perplexity on individuals not trained on, by encoding; beside it a table `bin -> nucleotide`."""
    recipe = recipe_of(512, steps)
    encodings = [(name, 100) for name in POSITIONS] + [("fpe", 10), ("fpe", 1000), ("fpe", 100_000)]
    for name, alpha in encodings:
        run = AncestryRun(view=view, evidence="none", position=name, alpha=alpha)
        yield f"{view} {name} {alpha}", lambda run=run: perplexity(data, run, recipe)
    for alpha in (1, 10, 100, 1000, 100_000):
        yield f"{view} table {alpha}", lambda alpha=alpha: {"perplexity": table_perplexity(data, view, alpha)}


def perplexity(data: TrainingData, run: AncestryRun, recipe: AncestryRecipe) -> dict[str, Any]:
    source = WindowSource(data.panels, data.labels, run.view)
    teacher = Teacher(source, data.split.train, data.split.valid, recipe, None)
    model = AncestryForSNPPrediction(model_config(run, recipe, data, 0).pretraining())
    name_sites(model, data)
    train_stage(model, teacher, "pretrain", device="cpu")
    test = teacher.label(source.draw(data.split.test, 1000, recipe.window, np.random.default_rng(99)))
    return {
        "perplexity": evaluate(model, test)[1],
        "parameters": model.num_parameters(),
        "steps": recipe.pretrain_steps,
    }


def table_perplexity(data: TrainingData, view: str, alpha: int, smoothing: float = 0.1) -> float:
    """Of nucleotides predicted by how often each was met in the same bin of `alpha` bp among training individuals."""
    source, nucleotides = WindowSource(data.panels, data.labels, view), 4 if view == "carried" else 2
    bins = int(data.panels[0].sites.position[-1]) // alpha + 1
    counts = np.zeros((bins, nucleotides))
    for person in data.split.train:
        for haplotype in range(1 if view == "carried" else 2):
            whole = source.window(int(person), haplotype, 0, 0, source.length(int(person), 0))
            ids, place = whole.input_ids[0].numpy(), whole.position[0].numpy() // alpha
            known = ids < nucleotides
            np.add.at(counts, (place[known], ids[known]), 1)
    test = source.draw(data.split.test, 1000, 512, np.random.default_rng(99))
    ids, place = test.input_ids[:, 1:].numpy(), test.position[:, 1:].numpy() // alpha
    found = counts[place] + smoothing
    likelihood = np.take_along_axis(
        found / found.sum(-1, keepdims=True), ids[..., None].clip(max=nucleotides - 1), -1
    )
    return float(np.exp(-np.log(likelihood[..., 0][ids < nucleotides]).mean()))


def twin_rows(cohort: Path, view: str, steps: int) -> Iterator[Row]:
    for window in (1024, 4096):
        for backbone in ("hyena", "transformer"):
            yield (
                f"{view} {window} {backbone}",
                lambda w=window, b=backbone: in_process(cohort, view, w, b, steps),
            )


def in_process(cohort: Path, view: str, window: int, backbone: str, steps: int) -> dict[str, Any]:
    """A training in a process of its own, for its peak of memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(twin, (cohort, view, window, backbone, steps))


def twin(cohort: Path, view: str, window: int, backbone: str, steps: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    prepare()
    data = load(cohort, view)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = AncestryRun(view=view, evidence="none", position="fpe", alpha=100, backbone=backbone, dropout=0.0)
    recipe = short_recipe(window, steps)
    row = trained(data, run, recipe)
    row["added_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    row["ms_per_step"] = 1e3 * (row["pretrain_cpu_seconds"] + row["train_cpu_seconds"]) / (2 * steps)
    return row


def measure(part: str, rows: Iterator[Row], only: str) -> None:
    """Rows one by one, kept as soon as they are there; another process may write to the file meanwhile."""
    for name, row in rows:
        if name in kept().get(part, {}) or only not in name:
            continue
        found = {key: round(value, 4) if isinstance(value, float) else value for key, value in row().items()}
        results = kept()
        results.setdefault(part, {})[name] = found
        write_json(RESULT, results)
        print(part, name, found, flush=True)


def kept() -> dict[str, Any]:
    return json.loads(RESULT.read_text()) if RESULT.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "part",
        choices=["accuracy", "ablation", "perplexity", "context", "twins", "fpe", "throughput", "page"],
    )
    parser.add_argument("cohort", type=Path, nargs="?", default=Path("chr22.h5"))
    parser.add_argument("--view", default="haplotype", choices=["haplotype", "carried"])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--only", default="")
    parser.add_argument("--split", type=int, default=0, help="of the individuals, for accuracy: 0, 1, 2, ...")
    arguments = parser.parse_args()
    prepare()
    torch.set_num_threads(1)
    if arguments.part == "page":
        ancestry_page.write(json.loads(RESULT.read_text()))
        return
    if arguments.part in ("fpe", "throughput"):
        rows = {"fpe": ancestry_costs.fpe_rows, "throughput": ancestry_costs.throughput_rows}[
            arguments.part
        ]()
    elif arguments.part == "twins":
        rows = twin_rows(arguments.cohort, arguments.view, arguments.steps)
    else:
        kinds = {
            "accuracy": partial(accuracy_rows, split=arguments.split),
            "ablation": ablation_rows,
            "perplexity": perplexity_rows,
            "context": context_rows,
        }
        data = load(arguments.cohort, arguments.view, arguments.split)
        rows = kinds[arguments.part](data, arguments.view, arguments.steps)
    measure(arguments.part, rows, arguments.only)


if __name__ == "__main__":
    main()
