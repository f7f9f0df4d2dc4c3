"""Known local ancestry: segments of haplotypes, and the population at each site."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crocuta.errors import InputError
from crocuta.variants.contigs import plain
from crocuta.variants.panel import Samples, Sites
from crocuta.variants.tables import find_columns, read_rows

COLUMNS = ("sample", "haplotype", "chromosome", "start", "end", "population")
UNKNOWN = -1


class Truth(NamedTuple):
    """Segments of `truth.tsv.gz`. Shapes: (segments,); `start` is included, `end` is not."""

    sample: np.ndarray
    haplotype: np.ndarray
    chromosome: np.ndarray
    start: np.ndarray
    end: np.ndarray
    population: np.ndarray

    def at(self, samples: Samples, sites: Sites, populations: Sequence[str]) -> np.ndarray:
        """Which population each allele comes from, int8 (individuals, 2, n); -1 where the table does not say.

        Raises:
            InputError: a segment's population is none of these.
        """
        index = {name: number for number, name in enumerate(populations)}
        row_of = {name: row for row, name in enumerate(samples.name.tolist())}
        found = np.full((len(samples), 2, len(sites)), UNKNOWN, np.int8)
        here = np.array([plain(name) == plain(sites.chromosome) for name in self.chromosome.tolist()], bool)
        for place in np.flatnonzero(here & np.isin(self.sample, samples.name)).tolist():
            name = str(self.population[place])
            if name not in index:
                raise InputError(
                    f"population {name} of the known ancestry; expected one of {', '.join(index)}"
                )
            first, last = np.searchsorted(sites.position, [self.start[place], self.end[place]])
            found[row_of[str(self.sample[place])], self.haplotype[place], first:last] = index[name]
        return found


def read_truth(path: str | PathLike) -> Truth:
    """Reads what `crocuta ancestry simulate` wrote of exact local ancestry.

    Raises:
        InputError: a column is missing or a field is no number.
    """
    path = Path(path)
    header, *rows = read_rows(path)
    columns = find_columns(header.fields, {name: {name} for name in COLUMNS})
    if absent := [name for name in COLUMNS if name not in columns]:
        raise InputError(
            f"{path}, line {header.number}: no column {absent[0]!r}; expected {', '.join(COLUMNS)}"
        )
    for row in rows:
        if len(row.fields) < len(header.fields):
            raise InputError(
                f"{path}, line {row.number}: {len(row.fields)} fields, expected {len(header.fields)}"
            )
    table = {
        name: np.array([row.fields[place] for row in rows], dtype=str) for name, place in columns.items()
    }
    try:
        numbers = {name: table[name].astype(np.int64) for name in ("haplotype", "start", "end")}
    except ValueError as error:
        raise InputError(f"{path}: {error}; expected numbers as haplotype, start and end") from error
    return Truth(**(table | numbers))
