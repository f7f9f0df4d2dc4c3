"""Stretches of a genome: read from BED files, checked against it, or cut from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crocuta.data.encoding import VOCABULARY
from crocuta.data.genome import Genome, unknown_contig
from crocuta.data.text import Line, open_lines
from crocuta.errors import InputError

SPLITS = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid",
          "dev": "valid", "test": "test"}  # fmt: skip
STRANDS = {"+", "-", "."}
BED_COLUMNS = ("contig", "start", "end", "name", "score", "strand")
COLUMN_NAMES = {"chrom": "contig", "chr": "contig", "chromosome": "contig", "seqid": "contig", "seqname": "contig",
                "chromstart": "start", "chromend": "end", "stop": "end", "id": "name"}  # fmt: skip


class Interval(NamedTuple):
    """Positions start to end of a contig, counted from 0, `end` excluded; strand "+", "-" or "." (unknown)."""

    contig: str
    start: int
    end: int
    name: str = ""
    strand: str = "."


@dataclass(frozen=True, eq=False)
class Intervals:
    """Columns of n intervals, in the order of the file.

    Attributes:
        contig, name, strand: text (n,); start, end: int64 (n,), see `Interval`.
        columns: further text columns (n,) by name, such as `split` ("train", "valid", "test") or `biotype`.
        path, lines: where they were read, for messages; None where they were cut from a genome.
    """

    contig: np.ndarray
    start: np.ndarray
    end: np.ndarray
    name: np.ndarray
    strand: np.ndarray
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    path: Path | None = None
    lines: np.ndarray | None = None

    @classmethod
    def build(cls, contig: Any, start: Any, end: Any, name: Any = "", strand: Any = ".", **more: Any):
        """Intervals from sequences, single values repeated; further arguments as the attributes."""
        starts = np.asarray(start, np.int64)

        def text(values: Any) -> np.ndarray:
            column = np.empty(len(starts), object)
            column[:] = values
            return column

        return cls(text(contig), starts, np.asarray(end, np.int64), text(name), text(strand), **more)

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, index: int) -> Interval:
        return Interval(
            self.contig[index],
            int(self.start[index]),
            int(self.end[index]),
            self.name[index],
            self.strand[index],
        )

    def __iter__(self) -> Iterator[Interval]:
        return (self[i] for i in range(len(self)))

    @property
    def lengths(self) -> np.ndarray:
        return self.end - self.start

    def take(self, which: np.ndarray) -> "Intervals":
        """Those that a mask (n,) or an array of indices picks."""
        picked = {key: column[which] for key, column in self.columns.items()}
        lines = None if self.lines is None else self.lines[which]
        return replace(
            self,
            **{part: getattr(self, part)[which] for part in ("contig", "start", "end", "name", "strand")},
            columns=picked,
            lines=lines,
        )

    def split(self, part: str) -> "Intervals":
        """Those whose column `split` says `part`.

        Raises:
            InputError: there is no such column.
        """
        if "split" not in self.columns:
            raise InputError(
                f"{self.path}: no split; expected a column of train, valid and test, e.g. the fourth"
            )
        return self.take(self.columns["split"] == part)

    def where(self, index: int) -> str:
        """Names the file and line of one, for messages."""
        return f"{self.path or 'intervals'}, {'record' if self.lines is None else 'line'} {self._line(index)}"

    def _line(self, index: int) -> int:
        return index + 1 if self.lines is None else int(self.lines[index])


def read_bed(path: str | PathLike) -> Intervals:
    """Intervals of a BED file, plain or gzip, separated by tabs or blanks.

    A first line with the words `start` and `end` names the columns. Otherwise they are contig, start, end, name,
    score, strand; a column of only train, valid and test is the split, and one of only +, - and . the strand,
    wherever they stand.

    Raises:
        InputError: no file, a line with too few or broken fields, an empty interval; names the line.
    """
    path = Path(path)
    names: list[str] | None = None
    rows: list[list[str]] = []
    numbers: list[int] = []
    with open_lines(path) as lines:
        for line in lines:
            fields = _fields(line)
            if not fields or fields[0] in ("track", "browser"):
                continue
            if not rows and names is None and (header := _header(fields)):
                names = header
            elif not fields[0].startswith("#"):
                rows.append(_checked(path, line, fields, rows[0] if rows else names))
                numbers.append(line.number)
    if not rows:
        raise InputError(f"{path}: no intervals; expected BED lines: contig, start, end[, name, ...]")
    return _intervals(path, numbers, names or _guess(rows), rows)


def _fields(line: Line) -> list[str]:
    text = line.text.rstrip("\r")
    return [field.strip() for field in text.split("\t")] if "\t" in text else text.split()


def _header(fields: list[str]) -> list[str] | None:
    names = [field.lstrip("#").strip().lower() for field in fields]
    names = [COLUMN_NAMES.get(name, name) for name in names]
    return names if {"contig", "start", "end"} <= set(names) else None


def _checked(path: Path, line: Line, fields: list[str], like: Sequence[str] | None) -> list[str]:
    place = f"{path}, line {line.number}"
    if len(fields) < 3:
        raise InputError(f"{place}: {len(fields)} fields, expected at least contig, start, end")
    if like is not None and len(fields) != len(like):
        raise InputError(f"{place}: {len(fields)} fields, expected {len(like)} as on the lines before")
    return fields


def _guess(rows: list[list[str]]) -> list[str]:
    """Names of the columns of a file that does not name them."""
    width = len(rows[0])
    names = [*BED_COLUMNS, *(f"column_{i}" for i in range(7, width + 1))][:width]
    for i in range(3, width):
        values = {row[i].lower() for row in rows}
        if values <= SPLITS.keys():
            names[i] = "split"
        elif values <= STRANDS:
            names[i] = "strand"
        elif names[i] == "strand":
            names[i] = "column_6"
    return names


def _intervals(path: Path, numbers: list[int], names: list[str], rows: list[list[str]]) -> Intervals:
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    start = _integers(path, numbers, columns.pop("start"), "start")
    end = _integers(path, numbers, columns.pop("end"), "end")
    wrong = np.flatnonzero((start < 0) | (end <= start))
    if len(wrong):
        i = wrong[0]
        raise InputError(
            f"{path}, line {numbers[i]}: start {start[i]:,} and end {end[i]:,}; expected 0 <= start < end"
        )
    contig, name, strand = columns.pop("contig"), columns.pop("name", ""), columns.pop("strand", ".")
    more = {key: np.array(values, object) for key, values in columns.items()}
    if "split" in more:
        more["split"] = _splits(path, numbers, columns["split"])
    return Intervals.build(contig, start, end, name, strand, columns=more, path=path, lines=np.array(numbers))


def _integers(path: Path, numbers: list[int], values: list[str], what: str) -> np.ndarray:
    for number, value in zip(numbers, values, strict=True):
        if not (value.isascii() and value.lstrip("-").isdigit()):
            raise InputError(f"{path}, line {number}: {what} must be a whole number, found {value!r}")
    return np.array(values, dtype="U").astype(np.int64)


def _splits(path: Path, numbers: list[int], values: list[str]) -> np.ndarray:
    for number, value in zip(numbers, values, strict=True):
        if value.lower() not in SPLITS:
            raise InputError(f"{path}, line {number}: split {value!r}; expected train, valid or test")
    return np.array([SPLITS[value.lower()] for value in values], object)


def check_intervals(intervals: Intervals, genome: Genome) -> None:
    """Checks that all intervals lie in a genome.

    Raises:
        InputError: a contig that the genome does not have (with a hint where only its name differs), or an interval
            past the end of its contig; names the file and line.
    """
    for contig in dict.fromkeys(intervals.contig):
        if contig not in genome.lengths:
            first = int(np.argmax(intervals.contig == contig))
            raise InputError(
                f"{intervals.where(first)}: {genome.path.name} has {unknown_contig(contig, genome.names)}"
            )
    limits = np.array([genome.lengths[contig] for contig in intervals.contig], np.int64)
    beyond = np.flatnonzero((intervals.end > limits) | (intervals.start < 0))
    if len(beyond):
        i = int(beyond[0])
        contig, start, end = intervals[i][:3]
        more = f" (and {len(beyond) - 1:,} more)" if len(beyond) > 1 else ""
        raise InputError(
            f"{intervals.where(i)}{more}: {contig}:{start:,}-{end:,} ends {end - int(limits[i]):,} past the end of"
            f" {contig}, which has {int(limits[i]):,} nucleotides in {genome.path.name}; is this BED of another build?"
        )


def windows(
    genome: Genome,
    length: int,
    step: int | None = None,
    contigs: Sequence[str] | None = None,
    largest_n_share: float = 0.5,
) -> Intervals:
    """Windows of equal length that cover the contigs of a genome.

    Args:
        genome: where to cut; contigs shorter than `length` give none, and so do the ends that remain.
        length: nucleotides of a window.
        step: from one start to the next; None: `length`, windows side by side.
        contigs: names; None: all.
        largest_n_share: windows with a larger share of N are left out.

    Raises:
        InputError: no such contig; no contig is long enough.
    """
    step = length if step is None else step
    if length < 1 or step < 1:
        raise ValueError(f"length and step must be at least 1, got {length} and {step}")
    names, starts = [], []
    chosen = genome.names if contigs is None else list(contigs)
    for contig in chosen:
        at = np.arange(0, genome.length(contig) - length + 1, step, dtype=np.int64)
        unknown = unknown_nucleotides(genome.fetch(contig), at, length)
        at = at[unknown <= largest_n_share * length]
        names += [contig] * len(at)
        starts.append(at)
    start = np.concatenate([np.empty(0, np.int64), *starts])
    if not len(start):
        raise InputError(
            f"{genome.path}: no window of {length:,} nucleotides; the longest of {len(chosen):,} contigs has"
            f" {max(map(genome.length, chosen), default=0):,}, and windows mostly of N are left out"
        )
    return Intervals.build(names, start, start + length)


def unknown_nucleotides(ids: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Number of N in windows of ids (nucleotides,) that begin at `starts` (n,)."""
    places = np.flatnonzero(ids == VOCABULARY["N"])
    return np.searchsorted(places, starts + length) - np.searchsorted(places, starts)
