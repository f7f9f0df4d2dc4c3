"""Panels in memory for training: who counts, which sites, and a digest by which a model knows its sites again."""

import hashlib
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crocuta.errors import InputError
from crocuta.runs.progress import SILENT, Progress, Stage
from crocuta.variants.panel import MISSING, Panel, Samples
from crocuta.variants.sampling import IndividualSplit, split_individuals
from crocuta.variants.store import Haplotypes


class TrainingData(NamedTuple):
    """One panel a chromosome, of all individuals that have a population; `labels` (individuals,) count `populations`.

    `build` names the reference build, "" if unknown; `source` is what messages call the cohort.
    """

    panels: list[Panel]
    populations: tuple[str, ...]
    labels: np.ndarray
    split: IndividualSplit
    build: str = ""
    source: str = "cohort"


@contextmanager
def naming(source: object):
    """Puts the name of a file in front of what is wrong with it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def name_of(cohort: Haplotypes) -> str:
    """What messages call a cohort: its file, if it has one."""
    return str(getattr(cohort, "path", "cohort"))


@dataclass(frozen=True)
class Choice:
    """What of a cohort is learned from.

    Args:
        by: what the labels are, "population" or "group".
        leave_out: populations or groups that are left out.
        maf: least frequency of the rarer allele among the training individuals.
        shares: of training, validation and test individuals in each population; families stay together.
    """

    by: str = "group"
    leave_out: tuple[str, ...] = ()
    maf: float = 0.0
    shares: tuple[float, float, float] = (0.675, 0.075, 0.25)


def load_training_data(
    cohort: Haplotypes, choice: Choice | None = None, seed: int = 0, progress: Progress = SILENT
) -> TrainingData:
    """Reads the chosen individuals of a cohort, at sites that vary among those for training; `seed` draws these.

    Raises:
        InputError: individuals without a label; a name to leave out that nobody has; no site is frequent enough.
    """
    choice = choice or Choice()
    with naming(name_of(cohort)):
        individuals = kept_individuals(cohort.samples, choice.by, choice.leave_out)
        samples = cohort.samples.at(individuals)
        labels_of = getattr(samples, choice.by)
        populations = tuple(np.unique(labels_of).tolist())
        if len(populations) < 2:
            found = ", ".join(populations)
            raise InputError(f"one {choice.by} only ({found}); expected at least two")
        split = split_individuals(samples, choice.shares, seed)
        train = individuals[split.train]
        total = (len(train) + len(individuals)) * len(cohort.chromosomes)
        with progress.stage("reading", total, "individuals") as stage:
            panels = [
                load_panel(cohort, chromosome, individuals, train, samples, choice.maf, stage)
                for chromosome in cohort.chromosomes
            ]
    labels = np.searchsorted(populations, labels_of)
    return TrainingData(panels, populations, labels, split, cohort.build, name_of(cohort))


def kept_individuals(samples: Samples, by: str, leave_out: Sequence[str]) -> np.ndarray:
    """Indices of the individuals with a label that is not left out."""
    for name in leave_out:
        if not ((samples.population == name) | (samples.group == name)).any():
            raise InputError(f"`leave_out` {name}: nobody in the cohort is of this population or group")
    out = np.isin(samples.population, leave_out) | np.isin(samples.group, leave_out)
    unnamed = ~out & (getattr(samples, by) == "")
    if unnamed.any():
        raise InputError(
            f"{samples.name[unnamed][0]} has no {by}; give a table of samples with it, or take `by`"
            f" {'population' if by == 'group' else 'group'}"
        )
    return np.flatnonzero(~out)


def load_panel(
    cohort: Haplotypes,
    chromosome: str,
    individuals: np.ndarray,
    train: np.ndarray,
    samples: Samples,
    maf: float,
    stage: Stage,
) -> Panel:
    """The panel of one chromosome at sites that are frequent enough among `train`; reads person by person."""
    sites = cohort.sites(chromosome)
    count, known = np.zeros((2, len(sites)), np.int32)
    for person in train:
        allele = cohort.read(int(person), chromosome, 0, len(sites))
        count += (allele == 1).sum(0, dtype=np.int32)
        known += (allele != MISSING).sum(0, dtype=np.int32)
        stage.advance()
    frequency = count / np.maximum(known, 1)
    chosen = np.flatnonzero(np.minimum(frequency, 1 - frequency) >= maf)
    if not len(chosen):
        raise InputError(
            f"chromosome {chromosome}: no site has a minor allele frequency of {maf:g}; lower `maf`"
        )
    allele = np.empty((len(individuals), 2, len(chosen)), np.uint8)
    for row, person in enumerate(individuals):
        allele[row] = cohort.read(int(person), chromosome, 0, len(sites))[:, chosen]
        stage.advance()
    return Panel(samples, sites.at(chosen), allele, cohort.is_phased(chromosome))


def panel_fingerprint(panels: Sequence[Panel]) -> str:
    """Digest of chromosomes, positions and alleles of all sites."""
    digest = hashlib.sha256()
    for panel in panels:
        sites = panel.sites
        digest.update(f"{sites.chromosome}:{len(sites)};".encode())
        digest.update(sites.position.astype("<i4").tobytes())
        for alleles in (sites.ref, sites.alt):
            digest.update(b",".join(alleles.tolist()))
    return digest.hexdigest()
