"""What a trained model of windows makes of individuals that it has not seen: hidden states, and their windows.

What the figures of the thesis are drawn from (`crocuta.ancestry.figures`).
"""

from typing import NamedTuple

import numpy as np
import torch

from crocuta.ancestry.infer import segments
from crocuta.ancestry.window_infer import WindowChromosome, WindowRun
from crocuta.ancestry.window_training import LabelledWindows
from crocuta.ancestry.windows import WindowSource
from crocuta.errors import InputError
from crocuta.models.ancestry import AncestryForSNPPrediction, AncestryForWindowClassification
from crocuta.nn.pool import MeanPool
from crocuta.variants import Panel, Samples
from crocuta.variants.matching import match
from crocuta.variants.store import Haplotypes
from crocuta.variants.tracts import Tracts

BATCH = 16  # windows


class States(NamedTuple):
    """Mean hidden states (n, width) of the same windows before and after fine-tuning, and their populations (n,).

    `pretrained`: whether "before" is the model of next SNPs, or one that has learned nothing.
    """

    before: np.ndarray
    after: np.ndarray
    population: np.ndarray
    pretrained: bool


def held_out_individuals(cohort: Haplotypes, run: WindowRun) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the run's test individuals in the cohort, and their population numbers.

    Raises:
        InputError: none of them is in the cohort, or their populations are not those of the run.
    """
    index = np.flatnonzero(np.isin(cohort.samples.name, run.tested))
    if not len(index):
        raise InputError(
            f"none of the {len(run.tested):,} test individuals of {run.folder} is in the cohort (the first is"
            f" {run.tested[0]}); give the cohort that it was trained on"
        )
    some: Samples = cohort.samples.at(index)
    for labels in (some.group, some.population):
        if np.isin(labels, run.populations).all():
            return index, np.array([run.populations.index(label) for label in labels])
    raise InputError(
        f"{some.name[0]} of the cohort is {some.population[0]} (group {some.group[0] or 'not known'}); the run"
        f" distinguishes {', '.join(run.populations)}; give the cohort that it was trained on"
    )


def aligned_panels(cohort: Haplotypes, run: WindowRun, individuals: np.ndarray) -> list[Panel]:
    """Individuals of a cohort at the run's sites, chromosome by chromosome.

    Raises:
        InputError: the cohort lacks a chromosome or too many sites.
    """
    found = []
    for sites in run.sites:
        panel = cohort.panel(sites.chromosome, individuals)
        builds = (cohort.build, run.build)
        found.append(match(panel.sites, sites, source="cohort", builds=builds).align(panel, sites))
    return found


def window_states(
    run: WindowRun, panels: list[Panel], labels: np.ndarray, count: int = 600, seed: int = 0
) -> States:
    """Hidden states of `count` windows, populations equally often; `labels` are -1 for individuals to leave out."""
    source = WindowSource(panels, labels, run.caller.view)
    individuals = np.flatnonzero(labels >= 0)
    drawn = source.draw(individuals, count, run.caller.window, np.random.default_rng((seed, 13)))
    reference, model = run.caller.reference, run.caller.model
    windows = LabelledWindows(drawn, None if reference is None else reference.evidence(drawn))
    folder = run.folder / "pretrained"
    pretrained = (folder / "config.json").exists()
    if pretrained:
        first = AncestryForSNPPrediction.from_pretrained(folder).to(model.device)  # pyright: ignore
        before = _states(first, LabelledWindows(drawn, None))
    else:
        torch.manual_seed(seed)
        before = _states(AncestryForWindowClassification(model.config).to(model.device), windows)  # pyright: ignore
    names = np.array(run.populations)[drawn.label.numpy()]
    return States(before, _states(model, windows), names, pretrained)


@torch.no_grad()
def _states(
    model: AncestryForSNPPrediction | AncestryForWindowClassification, windows: LabelledWindows
) -> np.ndarray:
    model.eval()
    pool, found = MeanPool(), []
    for first in range(0, len(windows), BATCH):
        some = windows.at(slice(first, first + BATCH)).to(model.device)
        hidden, ids, _ = model.read(**some.windows.inputs(), evidence=some.evidence)
        found.append(pool(hidden, model.ancestry.known(ids)))
    return torch.cat(found).cpu().numpy()


def window_tracts(run: WindowRun, panels: list[Panel], individuals: np.ndarray) -> list[Tracts]:
    """What the windows alone say of some individuals (indices into the panels), a step at a time, by chromosome."""
    found = []
    for panel in panels:
        chromosome = WindowChromosome(run, panel.sites.chromosome, smooth=False)
        posterior = chromosome.posterior(panel.individuals(individuals))
        names = tuple(panel.samples.name[individuals].tolist())
        found.append(Tracts(names, run.populations, segments(chromosome.sites, chromosome.blocks), posterior))
    return found
