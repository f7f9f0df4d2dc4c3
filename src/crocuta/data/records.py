"""Sequences from CSV, TSV and FASTA files, plain or gzip, one at a time."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from os import PathLike
from pathlib import Path

from crocuta.data.label_sets import LabelSet, columns_without_header, label_reader
from crocuta.data.text import Line, open_lines, read_blocks
from crocuta.data.windows import COORDINATES, Windows
from crocuta.errors import InputError

FASTA_SUFFIXES = {".fa", ".fasta", ".fna", ".ffn", ".fas"}
DELIMITERS = "\t,;"
FORMATS = "a table with the columns sequence[,label][,split], or FASTA"


@dataclass(frozen=True, slots=True)
class Record:
    """One sequence as written in the file, with what the file says of it.

    `label`, `split` and `labels` (of a sequence that may have several) are None where the file gives none.
    """

    name: str
    sequence: str
    label: str | None = None
    split: str | None = None
    labels: LabelSet | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """What a FASTA header says of its sequence."""

    name: str
    label: str | None = None
    split: str | None = None


def parse_header(text: str) -> Header:
    """Reads `name ... label=x split=y`; fields may also be separated by `|` or `;`.

    >>> parse_header("chr1:5-9 label=promoter split=test")
    Header(name='chr1:5-9', label='promoter', split='test')
    """
    fields = {}
    for match in _FIELD.finditer(text):
        fields.setdefault(match["key"].lower(), match["quoted"] or match["plain"] or None)
    rest = _FIELD.sub(" ", text).split()
    return Header(rest[0].rstrip("|;") if rest else "", fields.get("label"), fields.get("split"))


_FIELD = re.compile(
    r"""(?:^|(?<=[\s|;]))(?P<key>label|split)=(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s|;]*))[|;]?""",
    re.IGNORECASE,
)


def read_records(
    path: str | PathLike,
    header: Callable[[str], Header] = parse_header,
    windows: Windows | None = None,
) -> Iterator[Record]:
    """Yields the sequences of a CSV, TSV or FASTA file; memory does not grow with the file.

    The first line of a table names its columns: `sequence` (or, with `windows`, a chromosome, start and end),
    perhaps `label`, `split`, `name` (or `id`); others are ignored. Sequences with several labels have a column
    `labels`, names joined by `;`, or a column of 0 and 1 for each label; see `crocuta.data.label_sets`. A FASTA file
    may carry `label=` and `split=` in its headers. gzip is recognised by content. Sequences without a name are
    called `row_1`, `row_2`, ... by their place in the file.

    Args:
        path: the file.
        header: reads a FASTA header (without `>`); for files that write labels differently.
        windows: where the sequences of a table of coordinates come from.

    Raises:
        InputError: the file cannot be read; the message names the line and what was expected.
    """
    path = Path(path)
    with open_lines(path) as lines:
        first = next((line for line in lines if line.text.strip()), None)
        if first is None:
            raise InputError(f"{path}: the file is empty; expected {FORMATS}")
        if first.text.lstrip().startswith(">"):
            yield from _fasta(path, first, lines, header)
        else:
            yield from _table(path, first, lines, windows)


def count_records(path: str | PathLike) -> int | None:
    """How many sequences a file holds, blank lines of a table among them; None for what can be read only once."""
    path = Path(path)
    if not path.is_file():
        return None
    lines = headers = 0
    last = b"\n"
    for block in read_blocks(path, 1 << 20):
        lines += block.count(b"\n")
        headers += (last + block).count(b"\n>")
        last = block[-1:]
    return headers or lines - (last == b"\n")


def _fasta(
    path: Path, first: Line, lines: Iterator[Line], parse: Callable[[str], Header]
) -> Iterator[Record]:
    count, title, parts = 1, first, []
    for line in lines:
        if line.text.startswith(">"):
            yield _fasta_record(path, count, title, parts, parse)
            count, title, parts = count + 1, line, []
        elif part := line.text.strip():
            check_nucleotides(part, path, line.number)
            parts.append(part)
    yield _fasta_record(path, count, title, parts, parse)


def _fasta_record(
    path: Path, count: int, title: Line, parts: list[str], parse: Callable[[str], Header]
) -> Record:
    head = parse(title.text.strip().removeprefix(">").strip())
    if not parts:
        raise InputError(
            f"{path}, line {title.number}: record {count} ({head.name or 'no name'}) has no sequence"
        )
    return Record(head.name or f"row_{count}", "".join(parts), head.label, head.split)


def _table(path: Path, first: Line, lines: Iterator[Line], windows: Windows | None) -> Iterator[Record]:
    delimiter = next((mark for mark in DELIMITERS if mark in first.text), ",")
    titles = [column.strip() for column in _split(first.text, delimiter)]
    if unnamed := columns_without_header(titles):
        titles, lines = unnamed, chain([first], lines)
    columns = [title.lower() for title in titles]
    _check_columns(path, first, columns, windows)
    count, several = 0, None
    for line in lines:
        if not line.text.strip():
            continue
        count += 1
        fields = [field.strip() for field in _split(line.text, delimiter)]
        if len(fields) != len(columns):
            raise InputError(
                f"{path}, line {line.number}: {len(fields)} fields, expected {len(columns)}"
                f" ({_short(', '.join(columns))})"
            )
        row = dict(zip(columns, fields, strict=True))
        sequence = row["sequence"] if "sequence" in row else _cut(row, windows, path, line)
        name = row.get("name") or row.get("id") or f"row_{count}"
        if not sequence:
            raise InputError(
                f"{path}, line {line.number}: the sequence is blank; give its nucleotides or drop the line"
            )
        check_nucleotides(sequence, path, line.number)
        several = several or label_reader(titles, fields)
        yield Record(name, sequence, row.get("label") or None, row.get("split") or None, several(fields))
    if not count:
        raise InputError(f"{path}: a header and no records; expected at least one sequence below the header")


def _cut(row: dict[str, str], windows: Windows | None, path: Path, line: Line) -> str:
    assert windows is not None, "_check_columns has seen to it"
    return windows.cut(row, f"{path}, line {line.number}")


def _check_columns(path: Path, first: Line, columns: list[str], windows: Windows | None) -> None:
    place = f"{path}, line {first.number}"
    located = all(names & set(columns) for names in COORDINATES.values())
    if "sequence" in columns or (located and windows):
        repeated = sorted({column for column in columns if columns.count(column) > 1})
        if repeated:
            raise InputError(f"{place}: column {repeated[0]!r} appears more than once; name each column once")
        return
    if located:
        raise InputError(f"{place}: coordinates, and no sequences; give their genome as `genome`")
    text = first.text.strip()
    if {suffix.lower() for suffix in path.suffixes} & FASTA_SUFFIXES:
        raise InputError(f"{place}: a FASTA file must begin with '>', found {_short(text)}")
    if text.startswith(("@", "##")):
        found = "FASTQ; convert it to FASTA" if text[0] == "@" else "a VCF or GFF file"
        raise InputError(f"{place}: this looks like {found}; expected {FORMATS}")
    if len(text) > 9 and not set(text.upper()) - set("ACGTUN"):
        raise InputError(f"{place}: a bare sequence without a header; expected {FORMATS}")
    raise InputError(
        f"{place}: no column 'sequence', found {_short(', '.join(columns))};"
        " the first line names the columns, e.g. sequence,label"
    )


_QUOTED = re.compile(r' *"((?:[^"]|"")*)" *')


def _split(text: str, delimiter: str) -> list[str]:
    """Fields of one line; a quoted field may hold the delimiter, and doubled quotes."""
    if '"' not in text:
        return text.split(delimiter)
    fields, start = [], 0
    while start <= len(text):
        match = _QUOTED.match(text, start)
        if match and text[match.end() : match.end() + 1] in ("", delimiter):
            fields.append(match[1].replace('""', '"'))
            start = match.end() + 1
        else:
            end = text.find(delimiter, start)
            end = len(text) if end < 0 else end
            fields.append(text[start:end])
            start = end + 1
    return fields


def check_nucleotides(sequence: str, path: Path, line: int) -> None:
    """Raises InputError at the first character that stands for no nucleotide, naming it and its position."""
    if sequence.isascii() and sequence.isalpha():
        return
    position, found = next((i, c) for i, c in enumerate(sequence, 1) if not (c.isascii() and c.isalpha()))
    hints = {"-": " (a gap; remove gaps from alignments)", ".": " (a gap; remove gaps from alignments)",
             "*": " (a stop of a protein?)", " ": " (a blank)"}  # fmt: skip
    raise InputError(
        f"{path}, line {line}: character {found!r} at position {position}{hints.get(found, '')} is not"
        " a nucleotide; expected A, C, G, T, N or another IUPAC letter"
    )


def _short(text: str, limit: int = 60) -> str:
    return repr(text if len(text) <= limit else text[:limit] + "...")
