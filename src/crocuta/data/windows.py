"""Sequences from a genome and a table of coordinates, in the layout of the published chromatin profiles."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from crocuta.data.text import open_lines
from crocuta.errors import InputError

# Names of the columns, in small letters. `chr_no` counts chromosomes from 0, as published.
COORDINATES = {
    "chromosome": {"chrom", "chromosome", "chr", "#chrom", "chr_no"},
    "start": {"start", "chromstart"},
    "end": {"end", "stop", "chromend"},
}


@dataclass(frozen=True)
class Windows:
    """Cuts windows out of chromosomes held in memory.

    genome: letters by chromosome.
    width: nucleotides of each window, which keeps the interval's centre; None: the interval as it is.
    source: the genome's file, for messages.
    """

    genome: Mapping[str, str]
    width: int | None = None
    source: str = "the genome"

    @classmethod
    def read(cls, path: str | PathLike, width: int | None = None) -> "Windows":
        """Reads a whole FASTA file, plain or gzip: memory of one byte for each nucleotide.

        Raises:
            InputError: the file is not FASTA.
        """
        parts: dict[str, list[str]] = {}
        with open_lines(Path(path)) as lines:
            for line in lines:
                text = line.text.strip()
                if text.startswith(">"):
                    parts[(text[1:].split() or [""])[0]] = []
                elif parts:
                    parts[next(reversed(parts))].append(text)
                elif text:
                    raise InputError(f"{path}, line {line.number}: a genome in FASTA must begin with '>'")
        if not parts:
            raise InputError(f"{path}: the file is empty; expected a genome in FASTA")
        return cls({name: "".join(found) for name, found in parts.items()}, width, str(path))

    def cut(self, row: Mapping[str, str], place: str) -> str:
        """The window of one row of a table, by the names of its columns; beyond the chromosome's ends stand Ns.

        Raises:
            InputError: an unknown chromosome, or coordinates that are no interval on it.
        """
        start, end = (self._integer(row, part, place) for part in ("start", "end"))
        name = self._chromosome(row, place)
        letters = self.genome[name]
        if not 0 <= start < end <= len(letters):
            raise InputError(
                f"{place}: {name}:{start:,}-{end:,} is no interval inside the chromosome's {len(letters):,}"
                f" nucleotides in {self.source}; starts count from 0, ends are excluded: another assembly?"
            )
        if self.width is not None:
            start -= (self.width - (end - start)) // 2
            end = start + self.width
        before, after = max(0, -start), max(0, end - len(letters))
        return "N" * before + letters[max(0, start) : end] + "N" * after

    def _chromosome(self, row: Mapping[str, str], place: str) -> str:
        column = next(key for key in row if key in COORDINATES["chromosome"])
        wanted = row[column]
        if column == "chr_no":
            number = self._integer(row, "chromosome", place) + 1
            wanted = {23: "X", 24: "Y"}.get(number, str(number))
        bare = wanted.removeprefix("chr")
        found = next((name for name in (wanted, f"chr{bare}", bare) if name in self.genome), None)
        if found is None:
            known = ", ".join(list(self.genome)[:5])
            raise InputError(f"{place}: no chromosome {wanted!r} in {self.source}; it has {known}, ...")
        return found

    def _integer(self, row: Mapping[str, str], part: str, place: str) -> int:
        column = next(key for key in row if key in COORDINATES[part])
        try:
            return int(row[column])
        except ValueError:
            raise InputError(f"{place}: {column} is {row[column]!r}, expected a whole number") from None
