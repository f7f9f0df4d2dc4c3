"""What is embedded: sequences of a file, windows of a genome, its BED intervals or its genes, one at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crocuta.data.annotation import read_annotation
from crocuta.data.encoding import encode
from crocuta.data.genome import Genome
from crocuta.data.intervals import Intervals, check_intervals, read_bed, windows
from crocuta.data.records import FASTA_SUFFIXES, read_records
from crocuta.errors import InputError


class Piece(NamedTuple):
    """A sequence that is read when `ids` is called, uint8 (length,), and what is known of it, by column."""

    name: str
    length: int
    ids: Callable[[], np.ndarray]
    columns: dict[str, Any]


@dataclass(frozen=True)
class PieceSource:
    """Where pieces come from: all sequences of a file, or parts of a genome in FASTA.

    bed: its intervals; genes: those of a GTF or GFF3 file; window, step: windows of equal length. One of the three.
    cache: folder for the genome's ids; keep: False leaves none behind; see `Genome`.
    """

    path: str
    bed: str | None = None
    genes: str | None = None
    window: int | None = None
    step: int | None = None
    cache: str | None = None
    keep: bool = True

    def __post_init__(self):
        chosen = [name for name in ("bed", "genes", "window") if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise InputError(f"`{chosen[0]}` and `{chosen[1]}` were both given; use one of them")
        if self.step is not None and self.window is None:
            raise InputError(f"`step` {self.step} needs `window`, the length of the windows")
        if chosen and not {suffix.lower() for suffix in Path(self.path).suffixes} & FASTA_SUFFIXES:
            raise InputError(
                f"{self.path}: `{chosen[0]}` cuts FASTA ({', '.join(sorted(FASTA_SUFFIXES))}, plain or .gz)"
            )

    @property
    def files(self) -> dict[str, str | None]:
        """Every file that may be read, by its role."""
        return {"sequences": self.path, "bed": self.bed, "genes": self.genes}

    def pieces(self) -> Iterator[Piece]:
        """Reads them, in the order of the file.

        Raises:
            InputError: a file that cannot be read, or intervals that do not fit the genome.
        """
        if self.bed is None and self.genes is None and self.window is None:
            return _records(self.path)
        genome = Genome(self.path, self.cache, keep=self.keep)
        intervals = self._intervals(genome)
        return _intervals(genome, intervals)

    def _intervals(self, genome: Genome) -> Intervals:
        if self.window is not None:
            return windows(genome, self.window, self.step)
        intervals = read_bed(self.bed) if self.bed is not None else read_annotation(self.genes or "")
        check_intervals(intervals, genome)
        return intervals


def _records(path: str) -> Iterator[Piece]:
    for record in read_records(path):
        known = {"label": record.label, "split": record.split}
        sequence = record.sequence
        yield Piece(
            record.name,
            len(sequence),
            lambda sequence=sequence: encode(sequence),
            {key: value for key, value in known.items() if value is not None},
        )


def _intervals(genome: Genome, intervals: Intervals) -> Iterator[Piece]:
    for i, interval in enumerate(intervals):
        place = {key: getattr(interval, key) for key in ("contig", "start", "end", "strand")}
        more = {key: column[i] for key, column in intervals.columns.items()}
        yield Piece(
            interval.name or f"{interval.contig}:{interval.start}-{interval.end}",
            interval.end - interval.start,
            lambda interval=interval: genome.sequence(interval),
            place | more,
        )
