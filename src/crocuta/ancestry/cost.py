"""What training and inference of ancestry would cost, from a small part of the work."""

import time
from os import PathLike
from pathlib import Path

import numpy as np
from torch import nn

from crocuta.ancestry import window_run as ancestry_run
from crocuta.ancestry.along import MOST_INDIVIDUALS, MOST_TOKENS
from crocuta.ancestry.infer import INDIVIDUALS, chromosome_caller, open_run
from crocuta.ancestry.local.examples import LEAST_INDIVIDUALS, Examples, LocalRecipe
from crocuta.ancestry.local.infer import LocalRun
from crocuta.ancestry.local.mosaics import make_mosaics
from crocuta.ancestry.local.reference import read_references, reference_file
from crocuta.ancestry.local.training import REFERENCE, choose_chain
from crocuta.ancestry.methods.copying import CopyingModel, make_blocks
from crocuta.ancestry.methods.smoothing import smooth_individuals
from crocuta.ancestry.panels import Choice, TrainingData, load_training_data
from crocuta.ancestry.window_infer import WindowRun
from crocuta.ancestry.window_run import AncestryRun, name_sites, prepare_lessons
from crocuta.ancestry.window_training import (
    STAGES,
    AncestryRecipe,
    Lesson,
    Optimizers,
    Teacher,
    classifier,
    course,
    window_probabilities,
)
from crocuta.models.ancestry import AncestryConfig, AncestryForSNPPrediction
from crocuta.runs.cost import Cost, PeakMemory, estimate_training
from crocuta.runs.device import AUTO, available_mb, choose_device, used_mb
from crocuta.runs.progress import SILENT, Progress
from crocuta.variants import Panel, Samples, Sites, VariantFile
from crocuta.variants.blocks import Policy
from crocuta.variants.shares import share_read
from crocuta.variants.store import Cohort

SAMPLE = 4  # individuals
WINDOWS = 16


def estimate_windows(
    cohort: str | PathLike,
    run: AncestryRun,
    recipe: AncestryRecipe,
    choice: Choice,
    *,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> Cost:
    """What `train_windows` would cost: reads the cohort, takes some steps, and evaluates some windows.

    Raises:
        InputError: as `train_windows`, of the cohort and of the settings.
    """
    start = time.perf_counter()
    with Cohort(cohort) as store:
        data = load_training_data(store, choice, recipe.seed, progress)
    config, teacher = prepare_lessons(data, run, recipe, device)
    read = time.perf_counter() - start
    costs = []
    for stage in STAGES if run.pretrain else STAGES[1:]:

        def make(stage: str = stage) -> tuple:
            model = _model(config, data, stage)
            return model, Optimizers.of(model, recipe).members, Lesson(teacher, stage)

        costs.append(
            estimate_training(
                make, course(recipe, stage, device), clipped=lambda model: Optimizers.of(model, recipe).dense
            )
        )
    seconds = read + sum(cost.seconds for cost in costs) + _evaluation(config, teacher, data, device)
    return costs[-1]._replace(seconds=seconds, memory_mb=max(cost.memory_mb for cost in costs))


def _model(config: AncestryConfig, data: TrainingData, stage: str) -> nn.Module:
    model = (
        AncestryForSNPPrediction(config.pretraining()) if stage == "pretrain" else classifier(config, None)
    )
    name_sites(model, data)
    return model


def _evaluation(config: AncestryConfig, teacher: Teacher, data: TrainingData, device: str) -> float:
    """Seconds of all windows that are read after the steps, and before them for the weights of evidence."""
    recipe, source = teacher.recipe, teacher.source
    model = classifier(config, None).to(choose_device(device))  # pyright: ignore[reportArgumentType]
    windows = source.draw(data.split.valid, WINDOWS, recipe.window, np.random.default_rng(0))
    start = time.perf_counter()
    window_probabilities(model, teacher.label(windows), WINDOWS)
    each = (time.perf_counter() - start) / WINDOWS
    tokens = sum(
        2 * len(panel.sites) * 2 * 2 * MOST_INDIVIDUALS for panel in data.panels
    )  # windows overlap by half
    count = min(tokens, MOST_TOKENS) / recipe.window + ancestry_run.TEST_WINDOWS
    return each * (count + (recipe.evidence_windows if teacher.reference is not None else 0))


def estimate_local(
    cohort: str | PathLike,
    recipe: LocalRecipe,
    choice: Choice,
    *,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> Cost:
    """What `train_local` would cost: reads the cohort, and calls the mosaics of a few individuals of one chromosome.

    Raises:
        InputError: as `train_local`, of the cohort and of the settings.
    """
    place = choose_device(device)
    start = time.perf_counter()
    with Cohort(cohort) as store:
        references, _ = read_references(store, choice, recipe.spacing, progress)
    read = time.perf_counter() - start
    panel, labels = references[0].panel, references[0].labels
    with PeakMemory(place) as memory:
        start = time.perf_counter()
        made = make_mosaics(panel, labels, LEAST_INDIVIDUALS, np.random.default_rng(0), recipe.made)
        evidence = CopyingModel.fit(panel, labels, recipe.copying).evidence(made.allele)
        blocks = make_blocks(panel.sites.position, panel.sites.cm)
        middle = np.minimum(blocks.start + blocks.size // 2, len(panel.sites) - 1)
        chain, *_ = choose_chain([Examples(blocks, evidence, np.ascontiguousarray(made.truth[:, middle]))])
        took = time.perf_counter() - start
    cohorts = 2 * recipe.folds * recipe.individuals(len(references)) / LEAST_INDIVIDUALS
    sites = sum(len(reference.panel.sites) for reference in references)
    seconds = read + took * cohorts * sites / len(panel.sites)
    cost = Cost(seconds, used_mb(place) + cohorts * memory.added / 2**20, available_mb(place))
    if not recipe.steps:
        return cost
    from crocuta.ancestry.local import network

    taught = [
        (network.channels(evidence, smooth_individuals(evidence, blocks.cm, chain)), made.truth[:, middle])
    ]
    learning = estimate_training(lambda: network.lesson(taught, recipe), network.course(recipe, device))
    return learning._replace(
        seconds=seconds + learning.seconds, memory_mb=max(cost.memory_mb, learning.memory_mb)
    )


def estimate_inference(
    query: str | PathLike,
    model: str | PathLike,
    *,
    window: int | None = None,
    step: int | None = None,
    smooth: bool = True,
    jobs: int = 1,
    device: str = AUTO,
) -> tuple[Cost, int]:
    """What `infer_ancestry` would cost, by a few random individuals on its first chromosome; how many the query has.

    Raises:
        InputError: the run or the query cannot be read.
    """
    query, place = Path(query), choose_device(device)
    trained, file = open_run(Path(model), window, step, smooth, device), VariantFile(query)
    start = time.perf_counter()
    block = next(file.blocks(Policy(phase="ignore")), None)
    reading = (time.perf_counter() - start) / (
        share_read(query, block.counts.sites) if block is not None else 1
    )
    caller = chromosome_caller(trained, trained.chromosomes[0], smooth, jobs, device)
    individuals = len(file.samples)
    panel = _random_panel(caller.sites, 0.5 if isinstance(trained, LocalRun) else trained.caller.density)
    with PeakMemory(place) as memory:
        start = time.perf_counter()
        caller.posterior(panel)
        took = time.perf_counter() - start
    seconds = reading + took * individuals / SAMPLE * _share(trained)
    added = memory.added * min(individuals, INDIVIDUALS) / SAMPLE
    return Cost(seconds, used_mb(place) + added / 2**20, available_mb(place)), individuals


def _random_panel(sites: Sites, share: float) -> Panel:
    """Individuals who carry the alternative on either haplotype at the given share of the sites."""
    frequency = 1 - (1 - min(share, 0.99)) ** 0.5
    allele = np.random.default_rng(0).random((SAMPLE, 2, len(sites))) < frequency
    names = np.array([str(i) for i in range(SAMPLE)])
    return Panel(Samples(names, names, names, names), sites, allele.astype(np.uint8))


def _share(trained: LocalRun | WindowRun) -> float:
    """The size of all chromosomes over that of the first."""
    if isinstance(trained, LocalRun):
        files = (reference_file(trained.folder / REFERENCE, name) for name in trained.chromosomes)
        sizes = [path.stat().st_size for path in files]
    else:
        sizes = [len(sites) for sites in trained.sites]
    return sum(sizes) / sizes[0]
