"""Mosaics: admixed individuals of known ancestry, put together from haplotypes of individuals of known populations."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from crocuta.variants import Panel, Sites


@dataclass(frozen=True)
class MosaicRecipe:
    """Ranges (log-uniform) of a person's generations since admixture, and a cohort's phase switches per million bp.

    Proportions of ancestry are drawn evenly (Dirichlet, all 1).
    """

    generations: tuple[float, float] = (4.0, 60.0)
    switches: tuple[float, float] = (0.5, 4.0)


class Mosaics(NamedTuple):
    """`allele` and `truth` (population number), uint8 (2 * individuals, n); the two of an individual are neighbours."""

    allele: np.ndarray
    truth: np.ndarray


def make_mosaics(
    panel: Panel,
    labels: np.ndarray,
    individuals: int,
    rng: np.random.Generator,
    recipe: MosaicRecipe,
    phased: bool = True,
) -> Mosaics:
    """Individuals whose haplotypes change, at places drawn evenly in centimorgans, to another of a person of `panel`.

    `labels` (individuals of the panel,) population numbers; a segment's population is drawn from the person's
    proportions. Unless `phased`, the haplotypes of all individuals are switched at one rate.
    """
    n, populations = len(panel.sites), int(labels.max()) + 1
    members = [np.flatnonzero(np.repeat(labels, 2) == k) for k in range(populations)]
    allele, truth = np.empty((2, individuals, 2, n), np.uint8)
    rate = 0.0 if phased else _log_uniform(rng, recipe.switches)
    for person in range(individuals):
        generations = _log_uniform(rng, recipe.generations)
        shares = rng.dirichlet(np.array([float(len(found) > 0) for found in members]) + 1e-9)
        for haplotype in range(2):
            bounds = _breakpoints(rng, panel.sites, generations)
            for first, last in pairwise(bounds):
                k = rng.choice(populations, p=shares)
                source = panel.haplotypes[rng.choice(members[k])]
                allele[person, haplotype, first:last] = source[first:last]
                truth[person, haplotype, first:last] = k
        turned = switched(panel.sites, rng, rate)
        for found in (allele[person], truth[person]):
            found[:, turned] = found[::-1, turned]
    return Mosaics(allele.reshape(-1, n), truth.reshape(-1, n))


def switched(sites: Sites, rng: np.random.Generator, rate: float) -> np.ndarray:
    """Sites (n,) at which the two haplotypes stand the wrong way round, with `rate` switches per million bp."""
    length = int(sites.position[-1]) - int(sites.position[0])
    places = sites.position[0] + np.sort(rng.random(rng.poisson(rate * length / 1e6))) * length
    return np.searchsorted(places, sites.position) % 2 == 1


def _breakpoints(rng: np.random.Generator, sites: Sites, generations: float) -> np.ndarray:
    """Sites at which a segment begins, and n."""
    length = sites.cm[-1] - sites.cm[0]
    places = sites.cm[0] + np.sort(rng.random(rng.poisson(generations * length / 100))) * length
    return np.concatenate([[0], np.searchsorted(sites.cm, places), [len(sites)]])


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))
