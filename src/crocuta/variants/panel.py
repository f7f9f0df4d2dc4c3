"""A panel in memory: the haplotypes of some individuals at the sites of one chromosome."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

MISSING = 2  # beside 0, the reference allele, and 1, the alternative


@dataclass(frozen=True)
class Sites:
    """Biallelic sites of one chromosome, in ascending order of position.

    Shapes: every array (n,). `position` int32, counted from 1; `ref` and `alt` bytes (dtype "S"); `cm` float64,
    genetic position in centimorgans.
    """

    chromosome: str
    position: np.ndarray
    ref: np.ndarray
    alt: np.ndarray
    cm: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def at(self, chosen: slice | np.ndarray) -> "Sites":
        """Some of the sites, by slice, mask or ascending indices."""
        return Sites(
            self.chromosome, self.position[chosen], self.ref[chosen], self.alt[chosen], self.cm[chosen]
        )


@dataclass(frozen=True)
class Samples:
    """Individuals in the order of the genotypes: name, population, group of populations ("EUR"), family; "" if unknown.

    Shapes: every array (individuals,), of strings.
    """

    name: np.ndarray
    population: np.ndarray
    group: np.ndarray
    family: np.ndarray

    def __len__(self) -> int:
        return len(self.name)

    def at(self, chosen: slice | np.ndarray | Sequence[int]) -> "Samples":
        """Some of the individuals, by slice, mask or indices."""
        return Samples(self.name[chosen], self.population[chosen], self.group[chosen], self.family[chosen])


@dataclass(frozen=True)
class Panel:
    """Haplotypes of individuals at sites.

    Shapes: `allele` uint8 (individuals, 2, n): 0 reference, 1 alternative, 2 missing (`MISSING`). If not `phased`,
    which of the two haplotypes an allele stands in means nothing.
    """

    samples: Samples
    sites: Sites
    allele: np.ndarray
    phased: bool = True

    @property
    def haplotypes(self) -> np.ndarray:
        """Alleles (2 * individuals, n): both haplotypes of the first person, then of the second."""
        return self.allele.reshape(-1, len(self.sites))

    def individuals(self, chosen: slice | np.ndarray | Sequence[int]) -> "Panel":
        """Some of the individuals, by slice, mask or indices."""
        return replace(self, samples=self.samples.at(chosen), allele=self.allele[chosen])

    def at(self, chosen: slice | np.ndarray) -> "Panel":
        """Some of the sites, by slice, mask or ascending indices."""
        return replace(self, sites=self.sites.at(chosen), allele=self.allele[:, :, chosen])

    def frequency(self) -> np.ndarray:
        """Share of the alternative among the alleles that are known, float64 (n,); 0 where none is."""
        known = self.allele != MISSING
        count = np.maximum(known.sum((0, 1)), 1)
        return (self.allele == 1).sum((0, 1)) / count
