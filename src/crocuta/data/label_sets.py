"""Tables whose sequences may each have several labels: names in one column, or a column of 0 and 1 for each."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from crocuta.data.chromatin import profile_names
from crocuta.data.windows import COORDINATES

# Columns that are never labels, in lower case; pandas writes its index under the last ones.
OTHER_COLUMNS = {
    "sequence",
    "name",
    "id",
    "split",
    "strand",
    "",
    "unnamed: 0",
    "index",
    "filter_index",
}.union(*COORDINATES.values())
_BINARY = {"0": "0", "1": "1", "0.0": "0", "1.0": "1", "false": "0", "true": "1", "False": "0", "True": "1"}
_NUCLEOTIDES = re.compile("[ACGTUNacgtun]{10,}")


class LabelSet(NamedTuple):
    """Which of `names` a sequence has: their indices, in order.

    `complete` where the file has a column for each name, so that the others are known to be absent.
    """

    names: tuple[str, ...]
    present: np.ndarray
    complete: bool


def columns_without_header(first: Sequence[str]) -> list[str] | None:
    """Names for the columns of a table that begins with a sequence and 0/1 targets instead of a header; else None.

    919 targets are those of DeepSEA.
    """
    targets = len(first) - 1
    if targets < 1 or not _NUCLEOTIDES.fullmatch(first[0]) or not set(first[1:]) <= {"0", "1"}:
        return None
    return ["sequence", *(profile_names(targets) or [f"label_{i}" for i in range(1, targets + 1)])]


def label_reader(titles: Sequence[str], fields: Sequence[str]) -> Callable[[Sequence[str]], LabelSet | None]:
    """Reads the labels of a row, from the titles of a table's columns and its first row.

    The reader gives None for tables that say nothing of several labels, and for a row that is not of 0 and 1.
    """
    small = [title.lower() for title in titles]
    if "labels" in small:
        place = small.index("labels")
        return lambda row: _joined(row[place])
    places = [i for i, title in enumerate(small) if title not in OTHER_COLUMNS]
    if "label" in small or len(places) < 2 or not all(fields[i] in _BINARY for i in places):
        return lambda row: None
    names, contiguous = tuple(titles[i] for i in places), places == list(range(places[0], places[-1] + 1))
    span = slice(places[0], places[-1] + 1)
    return lambda row: _binary(row[span] if contiguous else [row[i] for i in places], names)


def _joined(text: str) -> LabelSet:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(";") if part.strip()))
    return LabelSet(names, np.arange(len(names)), complete=False)


def _binary(values: Sequence[str], names: tuple[str, ...]) -> LabelSet | None:
    if values.count("0") + values.count("1") != len(values):
        if not all(value in _BINARY for value in values):
            return None
        values = [_BINARY[value] for value in values]
    return LabelSet(names, np.array([i for i, value in enumerate(values) if value == "1"], np.int32), True)
