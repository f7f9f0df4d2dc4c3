"""Genetic maps: centimorgans of positions."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from crocuta.errors import InputError
from crocuta.variants.contigs import plain
from crocuta.variants.tables import TableRow, find_columns, read_rows

COLUMNS = {
    "chromosome": {"chromosome", "chrom", "chr", "chm", "contig"},
    "position": {"position", "pos", "position(bp)", "bp", "physical_position", "pposition"},
    "cm": {"cm", "map(cm)", "genetic_map(cm)", "genetic_position", "gposition", "map"},
}
EVERY = ""  # the chromosome of maps that name none
DEFAULT_RATE = 1e-6  # centimorgans per base pair: 1 cM/Mb
FORMATS = (
    "expected HapMap's 'Chromosome Position(bp) Rate(cM/Mb) Map(cM)', 'pos chr cM', or PLINK's chromosome, name, cM,"
    " position"
)


@dataclass(frozen=True)
class GeneticMap:
    """Positions and centimorgans of each chromosome (by plain name, "22" for "chr22"), ascending."""

    points: Mapping[str, tuple[np.ndarray, np.ndarray]]
    source: str

    def centimorgans(self, chromosome: str, position: np.ndarray) -> np.ndarray:
        """Genetic positions, float64: linear between the map's points, at its mean rate beyond its ends.

        Raises:
            InputError: the map has nothing of the chromosome.
        """
        found = self.points.get(plain(chromosome), self.points.get(EVERY))
        if found is None:
            raise InputError(
                f"{self.source}: nothing of chromosome {chromosome}; it holds {', '.join(self.points)}"
            )
        base, cm = found
        rate = (cm[-1] - cm[0]) / (base[-1] - base[0]) if len(base) > 1 else DEFAULT_RATE
        position = np.asarray(position, float)
        beyond = np.minimum(position - base[0], 0) + np.maximum(position - base[-1], 0)
        return np.interp(position, base, cm) + beyond * rate


UNIFORM = GeneticMap({EVERY: (np.zeros(1), np.zeros(1))}, "1 cM/Mb")


def read_genetic_map(path: str | PathLike) -> GeneticMap:
    """Reads a genetic map: HapMap's four columns, PLINK's `.map`, or chromosome, position, cM; plain or gzip.

    Columns are known by the names of a header. Without one, three columns are chromosome, position, cM; four are
    PLINK's (chromosome, name, cM, position) if the file is called `.map` or the second column is no number, and else
    HapMap's.

    Raises:
        InputError: columns are missing, a number is none, or positions or centimorgans go down; names the line.
    """
    path = Path(path)
    rows = list(read_rows(path))
    columns = find_columns(rows[0].fields, COLUMNS)
    if {"position", "cm"} <= set(columns):
        rows = rows[1:]
    else:
        columns = _columns_without_header(path, rows[0])
    points: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        name = plain(row.fields[columns["chromosome"]]) if "chromosome" in columns else EVERY
        position, cm = _number(path, row, columns["position"]), _number(path, row, columns["cm"])
        base, morgans = points.setdefault(name, ([], []))
        if base and (position < base[-1] or cm < morgans[-1]):
            what, low, high = (
                ("position", position, base[-1]) if position < base[-1] else ("cM", cm, morgans[-1])
            )
            raise InputError(
                f"{path}, line {row.number}: {what} {low:.10g} after {high:.10g}; a map must not go down, sort or"
                " correct it"
            )
        base.append(position)
        morgans.append(cm)
    if not points:
        raise InputError(f"{path}: a header and no points; expected at least two")
    return GeneticMap({name: (np.array(b), np.array(m)) for name, (b, m) in points.items()}, str(path))


def _columns_without_header(path: Path, first: TableRow) -> dict[str, int]:
    numbers = [_is_number(field) for field in first.fields]
    plink = {".map", ".bim"} & set(path.suffixes) or (len(numbers) > 1 and not numbers[1])
    if len(numbers) == 3 and all(numbers[1:]):
        return {"chromosome": 0, "position": 1, "cm": 2}
    if plink and len(numbers) in (4, 6) and all(numbers[2:4]):
        return {"chromosome": 0, "position": 3, "cm": 2}
    if len(numbers) == 4 and all(numbers[1:]):
        return {"chromosome": 0, "position": 1, "cm": 3}
    raise InputError(f"{path}, line {first.number}: found {' '.join(first.fields)[:60]!r}; {FORMATS}")


def _is_number(text: str) -> bool:
    try:
        return np.isfinite(float(text))
    except ValueError:
        return False


def _number(path: Path, row: TableRow, place: int) -> float:
    text = row.fields[place] if place < len(row.fields) else ""
    if not _is_number(text):
        raise InputError(
            f"{path}, line {row.number}: found {text!r} in column {place + 1}; expected a number"
        )
    return float(text)
