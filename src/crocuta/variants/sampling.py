"""Random windows of haplotypes in the thesis's five steps, as a function of a seed and an index; individuals held out.

Population, individual, chromosome, start, window: populations and individuals equally often, chromosomes in proportion
to the starts that they offer, never across the end of one. Nothing here keeps a state: a window follows from the seed
and its index alone, so that workers and resumed trainings see the same ones, whatever their number.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from crocuta.data.encoding import VOCABULARY, encode
from crocuta.errors import InputError
from crocuta.variants.panel import Samples
from crocuta.variants.samples import check_populations
from crocuta.variants.store import Haplotypes

SHARES = (0.7, 0.1, 0.2)


class IndividualSplit(NamedTuple):
    """Indices of individuals, ascending."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


class Draw(NamedTuple):
    """A window drawn: whose, which haplotype, where; `start` counts sites (or the person's carried sites)."""

    person: int
    haplotype: int
    chromosome: str
    start: int


class VariantWindow(NamedTuple):
    """A window of one haplotype at the panel's sites, or of a person's carried sites.

    Shapes: `token` uint8 (length,): the allele (0, 1, 2 missing), or the nucleotide carried as `crocuta.data.encoding`
    numbers it; `position` int32 (length,), base pairs; `cm` float64 (length,). `label` indexes the sampler's `labels`.
    """

    token: np.ndarray
    position: np.ndarray
    cm: np.ndarray
    chromosome: str
    label: int
    draw: Draw


def split_individuals(samples: Samples, shares: Sequence[float] = SHARES, seed: int = 0) -> IndividualSplit:
    """Individuals for training, validation and test: each population in these shares, no family in two parts.

    A family goes with the population of its first member. Within a population families are dealt in random order,
    each to the part that lacks most.

    Raises:
        InputError: shares that are not three numbers with the sum 1; a population with too few families.
    """
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise InputError(
            f"shares {tuple(shares)}: expected three, of training, validation and test, with the sum 1"
        )
    used = [part for part, share in enumerate(shares) if share > 0]
    check_populations(samples, len(used))
    random = np.random.default_rng([seed, 7])
    _, first, family = np.unique(samples.family, return_index=True, return_inverse=True)
    home = samples.population[first]
    size = np.bincount(family)
    part_of = np.zeros(len(first), int)
    for population in np.unique(home):
        families = random.permutation(np.flatnonzero(home == population))
        if len(families) < len(used):
            raise InputError(
                f"population {population} has {len(families)} families, expected at least {len(used)} to split by"
                " family; merge it with another or leave it out"
            )
        wanted = np.array(shares) * size[families].sum()
        given = np.zeros(3)
        for done, chosen in enumerate(families):
            empty = [part for part in used if not given[part]]
            choices = empty if len(families) - done == len(empty) else used
            part = max(choices, key=lambda part: wanted[part] - given[part])
            part_of[chosen] = part
            given[part] += size[chosen]
    return IndividualSplit(*(np.flatnonzero(part_of[family] == part) for part in range(3)))


class WindowSampler:
    """Windows of `length` sites of some individuals' haplotypes; `sampler[index]` for any index from 0.

    It is a map-style dataset for torch's loaders: epoch e has the indices e * windows to (e + 1) * windows - 1.

    Args:
        cohort: a store, its cache, or panels in memory.
        individuals: indices of those who may be drawn, e.g. `split_individuals(...).train`.
        length: sites of a window.
        by: "population" or "group": what is drawn in equal parts, and what `label` says.
        windows: that make an epoch.
        seed: of all draws.

    Raises:
        InputError: individuals without a label, or no chromosome with that many sites.
    """

    def __init__(
        self,
        cohort: Haplotypes,
        individuals: Sequence[int] | np.ndarray,
        length: int,
        by: str = "population",
        windows: int = 10_000,
        seed: int = 0,
    ) -> None:
        self.cohort, self.length, self.windows, self.seed = cohort, length, windows, seed
        of = getattr(cohort.samples, by)
        if (of == "").any():
            raise InputError(
                f"{cohort.samples.name[of == ''][0]} has no {by}; give a table of samples with it"
            )
        self.labels = tuple(np.unique(of).tolist())
        self.label_of = np.searchsorted(self.labels, of)
        chosen = np.asarray(individuals)
        self.members = {
            int(label): chosen[self.label_of[chosen] == label] for label in np.unique(self.label_of[chosen])
        }
        self._prepare()

    def _prepare(self) -> None:
        sites = np.array([len(self.cohort.sites(name)) for name in self.cohort.chromosomes])
        if sites.max() < self.length:
            raise InputError(f"no chromosome has {self.length:,} sites; the longest has {sites.max():,}")
        self._running = np.cumsum(np.maximum(sites - self.length + 1, 0))

    def __len__(self) -> int:
        return self.windows

    def __getitem__(self, index: int) -> VariantWindow:
        return self.window(self.draw(index))

    def epoch(self, number: int, worker: int = 0, workers: int = 1) -> Iterator[VariantWindow]:
        """Windows of an epoch, every `workers`-th from `worker` on."""
        for index in range(number * self.windows + worker, (number + 1) * self.windows, workers):
            yield self[index]

    def draw(self, index: int) -> Draw:
        """The five steps, of the seed and the index alone."""
        random = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, index]))
        labels = list(self.members)
        members = self.members[labels[random.integers(len(labels))]]
        person = int(members[random.integers(len(members))])
        starts = self._starts(person)
        place = int(random.integers(starts[-1]))
        chromosome = int(np.searchsorted(starts, place, side="right"))
        start = place - (int(starts[chromosome - 1]) if chromosome else 0)
        return Draw(person, int(random.integers(2)), self.cohort.chromosomes[chromosome], start)

    def window(self, draw: Draw) -> VariantWindow:
        """The window that a draw names."""
        stop = draw.start + self.length
        sites = self.cohort.sites(draw.chromosome)
        token = self.cohort.read(draw.person, draw.chromosome, draw.start, stop)[draw.haplotype]
        place = slice(draw.start, stop)
        return VariantWindow(
            token,
            sites.position[place],
            sites.cm[place],
            draw.chromosome,
            int(self.label_of[draw.person]),
            draw,
        )

    def _starts(self, person: int) -> np.ndarray:
        """Running totals of valid starts over chromosomes."""
        return self._running


class CarriedSampler(WindowSampler):
    """The thesis's view: of a person, the sites where either haplotype carries the alternative, and its nucleotide.

    Windows hold `length` carried sites of the person; insertions and deletions count as N. Both haplotypes are one
    list, so that `draw.haplotype` means nothing.
    """

    def _prepare(self) -> None:
        self._found: dict[tuple[int, str], np.ndarray] = {}
        self._counted: dict[int, np.ndarray] = {}

    def window(self, draw: Draw) -> VariantWindow:
        sites = self.cohort.sites(draw.chromosome)
        place = self._carried(draw.person, draw.chromosome)[draw.start : draw.start + self.length]
        nucleotides = sites.alt[place]
        token = (
            encode(nucleotides.tobytes()) if nucleotides.dtype.itemsize == 1 else _nucleotides(nucleotides)
        )
        return VariantWindow(
            token,
            sites.position[place],
            sites.cm[place],
            draw.chromosome,
            int(self.label_of[draw.person]),
            draw,
        )

    def _carried(self, person: int, chromosome: str) -> np.ndarray:
        """Indices of the carried sites, int32 (carried,)."""
        key = person, chromosome
        if key not in self._found:
            allele = self.cohort.read(person, chromosome, 0, len(self.cohort.sites(chromosome)))
            self._found[key] = np.flatnonzero((allele == 1).any(0)).astype(np.int32)
        return self._found[key]

    def _starts(self, person: int) -> np.ndarray:
        if person not in self._counted:
            carried = np.array([len(self._carried(person, name)) for name in self.cohort.chromosomes])
            if carried.max() < self.length:
                raise InputError(
                    f"{self.cohort.samples.name[person]} carries at most {carried.max():,} alternatives on a"
                    f" chromosome; expected {self.length:,} for a window"
                )
            self._counted[person] = np.cumsum(np.maximum(carried - self.length + 1, 0))
        return self._counted[person]


def _nucleotides(alternatives: np.ndarray) -> np.ndarray:
    """Token ids of alternatives, some of several nucleotides."""
    single = np.char.str_len(alternatives) == 1
    return np.where(single, encode(alternatives.astype("S1").tobytes()), VOCABULARY["N"]).astype(np.uint8)
