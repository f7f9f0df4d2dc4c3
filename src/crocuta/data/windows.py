"""Sequences from a genome and a table of coordinates, in the layout of the published chromatin profiles."""

from collections.abc import Mapping
from dataclasses import dataclass

from crocuta.data.encoding import decode
from crocuta.data.genome import Genome, unknown_contig
from crocuta.errors import InputError

# Names of the columns, in lower case. `chr_no` counts chromosomes from 0, as published.
COORDINATES = {
    "chromosome": {"chrom", "chromosome", "chr", "#chrom", "chr_no"},
    "start": {"start", "chromstart"},
    "end": {"end", "stop", "chromend"},
}


@dataclass(frozen=True)
class Windows:
    """Cuts windows out of a genome.

    width: nucleotides of each window, which keeps the interval's centre; None: the interval as it is.
    """

    genome: Genome
    width: int | None = None

    def cut(self, row: Mapping[str, str], place: str) -> str:
        """The window of one row of a table, by the names of its columns; beyond the chromosome's ends stand Ns.

        Raises:
            InputError: an unknown chromosome, or coordinates that are no interval on it.
        """
        start, end = (self._integer(row, part, place) for part in ("start", "end"))
        name = self._chromosome(row, place)
        length = self.genome.length(name)
        if not 0 <= start < end <= length:
            raise InputError(
                f"{place}: {name}:{start:,}-{end:,} is no interval inside the chromosome's {length:,}"
                f" nucleotides in {self.genome.path}; starts count from 0, ends are excluded: another assembly?"
            )
        if self.width is not None:
            start -= (self.width - (end - start)) // 2
            end = start + self.width
        before, after = max(0, -start), max(0, end - length)
        return "N" * before + decode(self.genome.fetch(name, max(0, start), min(end, length))) + "N" * after

    def _chromosome(self, row: Mapping[str, str], place: str) -> str:
        column = next(key for key in row if key in COORDINATES["chromosome"])
        wanted = row[column]
        if column == "chr_no":
            number = self._integer(row, "chromosome", place) + 1
            wanted = {23: "X", 24: "Y"}.get(number, str(number))
        bare = wanted.removeprefix("chr")
        found = next((name for name in (wanted, f"chr{bare}", bare) if name in self.genome.lengths), None)
        if found is None:
            raise InputError(f"{place}: {self.genome.path}: {unknown_contig(wanted, self.genome.names)}")
        return found

    def _integer(self, row: Mapping[str, str], part: str, place: str) -> int:
        column = next(key for key in row if key in COORDINATES[part])
        try:
            return int(row[column])
        except ValueError:
            raise InputError(f"{place}: {column} is {row[column]!r}, expected a whole number") from None
