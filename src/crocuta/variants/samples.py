"""Tables of samples: who belongs to which population, group of populations and family."""

from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from crocuta.errors import InputError
from crocuta.variants.panel import Samples
from crocuta.variants.tables import TableRow, find_columns, read_rows

COLUMNS = {
    "sample": {"sample", "sample_id", "sample_name", "id", "iid", "individual", "individual_id"},
    "population": {"pop", "population", "population_code", "panel", "label"},
    "group": {
        "super_pop",
        "superpop",
        "superpopulation",
        "superpopulation_code",
        "super_population",
        "group",
        "region",
    },
    "family": {"family", "family_id", "fid", "familyid"},
}
SHOWN = 3  # names that a message gives


def read_samples(path: str | PathLike) -> Samples:
    """The table of samples: columns `sample` and `pop`, perhaps `super_pop` and `family`, under their usual names.

    A table of two columns without a header (RFMix's sample map) is sample and population. Who has no family is a
    family of one.

    Raises:
        InputError: a column is missing, a line is short, or a sample stands there twice.
    """
    path = Path(path)
    rows = list(read_rows(path))
    columns = find_columns(rows[0].fields, COLUMNS)
    if "sample" in columns and "population" in columns:
        rows = rows[1:]
    elif not columns and len(rows[0].fields) == 2:
        columns = {"sample": 0, "population": 1}
    else:
        raise InputError(
            f"{path}, line {rows[0].number}: found the columns {', '.join(rows[0].fields)}; expected at least"
            " 'sample' and 'pop' (perhaps 'super_pop', 'family')"
        )
    table = {key: _column(path, rows, columns[key]) for key in columns}
    _check_once(path, rows, table["sample"])
    blank = np.full(len(rows), "")
    families = table.get("family", blank)
    return Samples(
        table["sample"], table["population"], table.get("group", blank),
        np.where(families == "", table["sample"], families),
    )  # fmt: skip


def _column(path: Path, rows: list[TableRow], place: int) -> np.ndarray:
    for row in rows:
        if len(row.fields) <= place:
            raise InputError(
                f"{path}, line {row.number}: {len(row.fields)} fields, expected {place + 1} or more"
            )
    return np.array([row.fields[place] for row in rows], dtype=str)


def _check_once(path: Path, rows: list[TableRow], names: np.ndarray) -> None:
    seen: dict[str, int] = {}
    for row, name in zip(rows, names, strict=True):
        if name in seen:
            raise InputError(
                f"{path}, line {row.number}: sample {name} stands on line {seen[name]} already; keep one of them"
            )
        seen[name] = row.number


def unlabelled(names: Sequence[str]) -> Samples:
    """Samples of whom only the names are known."""
    blank = np.full(len(names), "")
    return Samples(np.array(names, dtype=str), blank, blank, np.array(names, dtype=str))


def join_samples(
    names: Sequence[str], table: Samples, variants: Path, path: Path, shared: bool = False
) -> Samples:
    """The table's rows for the samples of a variant file, in the file's order.

    Args:
        names: samples of the variant file.
        shared: take those who are in both; otherwise a sample of only one is an error.

    Raises:
        InputError: samples of the file are not in the table, or the reverse.
    """
    place = {name: i for i, name in enumerate(table.name)}
    absent = [name for name in names if name not in place]
    extra = sorted(set(place) - set(names))
    if len(absent) == len(names):
        raise InputError(
            f"{path}: none of its samples ({_some(table.name)}) is in {variants} ({_some(names)});"
            " expected the same names in both"
        )
    if (absent or extra) and not shared:
        faults = []
        if absent:
            faults.append(
                f"{len(absent):,} of {len(names):,} samples of {variants} are not in it ({_some(absent)})"
            )
        if extra:
            faults.append(
                f"{len(extra):,} of its {len(place):,} samples are not in {variants} ({_some(extra)})"
            )
        raise InputError(
            f"{path}: {', and '.join(faults)}; complete the files, or take who is in both with `shared`"
        )
    return table.at([place[name] for name in names if name in place])


def check_unique(names: Sequence[str], path: Path) -> None:
    """Raises InputError if a sample of a variant file has two columns."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"{path}: sample {repeated[0]} has {names.count(repeated[0])} columns; name each sample once"
        )


def check_populations(samples: Samples, least: int = 2) -> None:
    """Raises InputError naming the first population with fewer individuals than `least`."""
    for population, count in zip(*np.unique(samples.population, return_counts=True), strict=True):
        if count < least:
            raise InputError(
                f"population {population} has {count} individual{'s' if count > 1 else ''}, expected at least {least};"
                f" merge it with another or leave it out by `leave_out`"
            )


def _some(names: Sequence[str] | np.ndarray) -> str:
    return ", ".join(map(str, names[:SHOWN])) + ", ..." * (len(names) > SHOWN)
