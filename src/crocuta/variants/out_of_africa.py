"""Three populations out of Africa, and individuals admixed from them, simulated with msprime (optional, GPL)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from crocuta.errors import InputError

POPULATIONS = ("YRI", "CEU", "CHB")
GROUPS = {"YRI": "AFR", "CEU": "EUR", "CHB": "EAS"}
SHARES = (0.4, 0.35, 0.25)  # of the three populations in an admixture
PULSES = (8, 20)  # generations ago
ADMIXED_SIZE = 20_000
MUTATION_RATE = 2.35e-8
RECOMBINATION_RATE = 2.1e-8
BIN = 5_000  # base pairs of one rate of the genetic map
SEXUAL = 50  # generations of discrete-time Wright-Fisher, where the coalescent's approximation is worst
CENSUS = 0.01  # generations before a pulse at which ancestors are recorded


@dataclass(frozen=True)
class Admixture:
    """What to simulate.

    Args:
        length: base pairs of a chromosome.
        chromosomes: their names.
        individuals: individuals of YRI, CEU and CHB.
        admixed: individuals of each pulse.
        seed: of all random draws; each chromosome has its own, so that their number does not change them.
    """

    length: int = 10_000_000
    chromosomes: tuple[str, ...] = ("1",)
    individuals: tuple[int, int, int] = (160, 241, 190)
    admixed: int = 40
    seed: int = 1

    def __post_init__(self) -> None:
        if self.length < 2 * BIN:
            raise InputError(f"`length` {self.length}: expected at least {2 * BIN:,} base pairs")
        if not self.chromosomes or len(set(self.chromosomes)) < len(self.chromosomes):
            raise InputError(f"chromosomes {', '.join(self.chromosomes)}: expected names, each once")
        if min(self.individuals) < 1 or self.admixed < 0:
            raise InputError(
                f"`individuals` {self.individuals}: expected at least one individual of each population"
            )

    @property
    def counts(self) -> dict[str, int]:
        """Individuals by population, in the order of the files."""
        return dict(zip(POPULATIONS, self.individuals, strict=True)) | {
            admixed_name(pulse): self.admixed for pulse in PULSES if self.admixed
        }

    @property
    def names(self) -> list[tuple[str, str]]:
        """Name and population of every individual."""
        return [(f"{pop}_{i:03}", pop) for pop, n in self.counts.items() for i in range(1, n + 1)]


class Rates(NamedTuple):
    """Rates of recombination. Shapes: `edges` (bins + 1,) in base pairs from 0; `rate` (bins,) per base pair."""

    edges: np.ndarray
    rate: np.ndarray


class AncestralSegments(NamedTuple):
    """Whence each stretch of an admixed haplotype comes, by haplotype and start; equal neighbours are one.

    Shapes: (segments,). `haplotype` counts all haplotypes of the files from 0; `start` (included) and `end` (excluded)
    count from 0; `population` indexes `POPULATIONS`.
    """

    haplotype: np.ndarray
    start: np.ndarray
    end: np.ndarray
    population: np.ndarray
    generations: np.ndarray


def admixed_name(pulse: int) -> str:
    return f"ADMIX{pulse}"


def random_map(settings: Admixture, index: int) -> Rates:
    """The genetic map of a chromosome: rates of bins in proportion to gamma(0.15) + 0.02, a few of them hot."""
    edges = np.append(np.arange(0, settings.length, BIN), settings.length).astype(float)
    rate = np.random.default_rng([settings.seed, index, 0]).gamma(0.15, size=len(edges) - 1) + 0.02
    mean = np.average(rate, weights=np.diff(edges))
    return Rates(edges, rate * RECOMBINATION_RATE / mean)


def demography() -> Any:
    """The out-of-Africa model with two admixed populations beside it.

    Source: Gutenkunst et al. 2009, table 1 (25 years to a generation), known to stdpopsim as OutOfAfrica_3G09.
    """
    msprime = import_msprime()
    apart = 21.2e3 / 25
    model = msprime.Demography()
    model.add_population(name="YRI", initial_size=12_300)
    model.add_population(name="CEU", initial_size=1000 * np.exp(0.004 * apart), growth_rate=0.004)
    model.add_population(name="CHB", initial_size=510 * np.exp(0.0055 * apart), growth_rate=0.0055)
    model.add_population(name="OOA", initial_size=2_100)
    model.add_population(name="AMH", initial_size=12_300)
    model.add_population(name="ANC", initial_size=7_300)
    for pulse in PULSES:
        model.add_population(name=admixed_name(pulse), initial_size=ADMIXED_SIZE)
        model.add_admixture(
            time=pulse, derived=admixed_name(pulse), ancestral=POPULATIONS, proportions=SHARES
        )
        model.add_census(time=pulse + CENSUS)
    model.set_symmetric_migration_rate(["CEU", "CHB"], 9.6e-5)
    model.set_symmetric_migration_rate(["YRI", "CHB"], 1.9e-5)
    model.set_symmetric_migration_rate(["YRI", "CEU"], 3e-5)
    model.add_population_split(time=apart, derived=["CEU", "CHB"], ancestral="OOA")
    model.add_symmetric_migration_rate_change(time=apart, populations=["YRI", "OOA"], rate=25e-5)
    model.add_population_split(time=140e3 / 25, derived=["YRI", "OOA"], ancestral="AMH")
    model.add_population_split(time=220e3 / 25, derived=["AMH"], ancestral="ANC")
    model.sort_events()
    return model


def simulate_chromosome(settings: Admixture, index: int) -> Any:
    """Tree sequence with mutations of the chromosome of this index (tskit.TreeSequence).

    Raises:
        InputError: msprime is not installed.
    """
    msprime = import_msprime()
    edges, rate = random_map(settings, index)
    ancestry_seed, mutation_seed = np.random.SeedSequence([settings.seed, index]).generate_state(2) // 2 + 1
    trees = msprime.sim_ancestry(
        settings.counts,
        demography=demography(),
        recombination_rate=msprime.RateMap(position=edges, rate=rate),
        model=[msprime.DiscreteTimeWrightFisher(duration=SEXUAL), msprime.StandardCoalescent()],
        random_seed=int(ancestry_seed),
    )
    return msprime.sim_mutations(trees, rate=MUTATION_RATE, random_seed=int(mutation_seed))


def local_ancestry(trees: Any) -> AncestralSegments:
    """Exact local ancestry of the admixed haplotypes, from the ancestors recorded just before their pulse."""
    parts = []
    populations = {population.metadata["name"]: population.id for population in trees.populations()}
    order = np.full(trees.num_nodes, -1)
    order[trees.samples()] = np.arange(trees.num_samples)
    for pulse in PULSES:
        samples = trees.samples(population=populations[admixed_name(pulse)])
        if not len(samples):
            continue
        census = np.flatnonzero(trees.nodes_time == pulse + CENSUS)
        links = trees.tables.link_ancestors(samples, census)
        haplotype, population = order[links.child], trees.nodes_population[links.parent]
        chosen = np.lexsort((links.left, haplotype))
        found = AncestralSegments(
            haplotype, links.left.astype(int), links.right.astype(int), population, np.full(len(links), pulse)
        )
        parts.append(merged(AncestralSegments(*(column[chosen] for column in found))))
    if not parts:
        return AncestralSegments(*np.zeros((5, 0), int))
    return AncestralSegments(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def merged(segments: AncestralSegments) -> AncestralSegments:
    """Segments in order, with neighbours of one haplotype and population joined."""
    same = np.ones(len(segments.start) - 1, bool)
    for column in (segments.haplotype, segments.population):
        same &= column[1:] == column[:-1]
    new = np.append(True, ~same)
    last = np.append(new[1:], True)
    return segments._replace(
        haplotype=segments.haplotype[new],
        start=segments.start[new],
        end=segments.end[last],
        population=segments.population[new],
        generations=segments.generations[new],
    )


def import_msprime() -> Any:
    """msprime, which only simulation needs.

    Raises:
        InputError: it is not installed.
    """
    try:
        import msprime
    except ImportError as error:
        raise InputError(
            'simulation needs msprime, which is not installed; pip install "crocuta[simulate]"'
        ) from error
    return msprime
