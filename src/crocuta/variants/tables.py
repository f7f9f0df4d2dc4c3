"""Small tables that come with variants, of samples and genetic maps: their columns found by name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from crocuta.data.text import Line, open_lines
from crocuta.errors import InputError


class TableRow(NamedTuple):
    """A line's number and its fields."""

    number: int
    fields: list[str]


def read_rows(path: Path) -> Iterator[TableRow]:
    """Rows of a table whose fields stand between tabs, commas or blanks, as its first line shows; blank lines skipped.

    Raises:
        InputError: the file cannot be read or holds nothing.
    """
    with open_lines(path) as lines:
        first = next((line for line in lines if line.text.strip() and not line.text.startswith("##")), None)
        if first is None:
            raise InputError(f"{path}: the file is empty; expected a table")
        mark = next((mark for mark in "\t," if mark in first.text.strip()), None)
        yield _row(first, mark)
        yield from (_row(line, mark) for line in lines if line.text.strip())


def _row(line: Line, mark: str | None) -> TableRow:
    return TableRow(line.number, [field.strip() for field in line.text.strip().split(mark)])


def find_columns(header: list[str], aliases: Mapping[str, set[str]]) -> dict[str, int]:
    """Where the columns stand that go by any of their names, whatever their case; the first that does."""
    names = [name.lstrip("#").strip().lower().replace(" ", "_") for name in header]
    found = {}
    for key, known in aliases.items():
        place = next((i for i, name in enumerate(names) if name in known), None)
        if place is not None:
            found[key] = place
    return found
