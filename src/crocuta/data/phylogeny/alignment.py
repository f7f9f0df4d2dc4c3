"""Aligned sequences, gaps included."""

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from crocuta.data.text import open_lines
from crocuta.errors import InputError
from crocuta.files import replacing

#: Byte to base: A, C, G, T (or U) are 0 to 3, either case; gaps, `?`, N and ambiguity codes are 4, unknown.
BASES = np.full(256, 4, np.uint8)
for _base, _nucleotides in enumerate(("Aa", "Cc", "Gg", "TtUu")):
    BASES[[ord(nucleotide) for nucleotide in _nucleotides]] = _base

_ALLOWED = set("ACGTUNRYSWKMBDHVXacgtunryswkmbdhvx-?.*")


@dataclass(frozen=True)
class Alignment:
    """Sequences of one length.

    names: n of them.
    bases: uint8 (n, sites): 0 to 3 for A, C, G, T; 4 where unknown (a gap, N, ...).
    """

    names: list[str]
    bases: np.ndarray

    def __len__(self) -> int:
        return len(self.names)


def read_alignment(path: str | PathLike) -> Alignment:
    """Reads an aligned FASTA file, plain or gzip; the name is the header up to its first blank.

    Raises:
        InputError: not FASTA, a character that is no DNA nucleotide or gap, or sequences of different lengths.
    """
    path = Path(path)
    names: list[str] = []
    parts: list[list[str]] = []
    with open_lines(path) as lines:
        for line in lines:
            text = line.text.strip()
            if text.startswith(">"):
                names.append((text[1:].split() or [f"row_{len(names) + 1}"])[0])
                parts.append([])
            elif text:
                if not parts:
                    raise InputError(
                        f"{path}, line {line.number}: a FASTA file must begin with '>', found {text[:40]!r}"
                    )
                if wrong := set(text) - _ALLOWED:
                    raise InputError(
                        f"{path}, line {line.number}: character {min(wrong)!r} is neither a DNA nucleotide nor a gap"
                    )
                parts[-1].append(text)
    if not names:
        raise InputError(f"{path}: the file is empty; expected an aligned FASTA file")
    rows = [BASES[np.frombuffer("".join(part).encode(), np.uint8)] for part in parts]
    for name, row in zip(names, rows, strict=True):
        if len(row) != len(rows[0]):
            raise InputError(
                f"{path}, record {name}: {len(row)} columns, expected {len(rows[0])} as in the first;"
                " align the sequences, or compare them by k-mers"
            )
    return Alignment(names, np.stack(rows))


def write_fasta(path: str | PathLike, names: Iterable[str], sequences: Iterable[str]) -> None:
    """A FASTA file, one line per sequence."""
    with replacing(path) as file:
        file.writelines(f">{name}\n{sequence}\n" for name, sequence in zip(names, sequences, strict=True))
