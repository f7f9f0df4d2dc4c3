"""Lines of a VCF to alleles, by a view of their bytes in numpy.

Where lines hold GT alone, diploid and of one digit, genotypes are words of four bytes and need no search. Other lines
are parted at their tabs, all at once.
"""

from typing import NamedTuple

import numpy as np

from crocuta.variants.panel import MISSING

FIXED = 9  # columns before the samples
PHASED_ZERO = np.frombuffer(b"\t0|0", "<u4")[0]
ALLELE_BITS = np.frombuffer(b"\x00\x01\x00\x01", "<u4")[0]
OTHER = 254  # in `CODES`: none of 0 to 9 and .
CODES = np.full(256, OTHER, np.uint8)
CODES[ord("0") : ord("9") + 1] = np.arange(10)
CODES[ord(".")] = 255  # an unknown allele
UNKNOWN = 255
ENDS = np.isin(np.arange(256), list(b"\t\n\r:"))


class Genotypes(NamedTuple):
    """Genotypes as a file numbers them.

    Shapes: `index` uint8 (lines, individuals, 2): which allele, 0 the reference, 1 the first alternative, ...,
    `UNKNOWN`; the second one of a haploid genotype is unknown. `unphased` and `haploid`, bool (lines, individuals), or
    None where no genotype is.
    """

    index: np.ndarray
    unphased: np.ndarray | None
    haploid: np.ndarray | None


class Malformed(Exception):
    """A line whose genotypes cannot be read; `line` counts from 0, `found` says what is wrong."""

    def __init__(self, line: int, found: str) -> None:
        super().__init__(found)
        self.line = line
        self.found = found


def parse_words(text: np.ndarray, ends: np.ndarray, individuals: int) -> Genotypes | None:
    """Genotypes of lines that hold `GT` alone, phased, diploid, of alleles 0 to 9 or unknown; None if not all do.

    Shapes: `text` uint8 (bytes,); `ends` (lines,), where each line's newline stands.
    """
    width = 4 * individuals
    if (np.diff(ends, prepend=-1) <= width).any() or text[ends[0] - width] != ord("\t"):
        return None
    cells = np.empty((len(ends), width), np.uint8)
    for row, end in enumerate(ends.tolist()):
        cells[row] = text[end - width : end]
    words = cells.view("<u4")
    characters = cells.reshape(len(ends), individuals, 2, 2)
    if not ((words ^ PHASED_ZERO) & ~ALLELE_BITS).any():
        return Genotypes(characters[..., 1] & 1, None, None)
    index = CODES[characters[..., 1]]
    separators = characters[..., 0]
    tidy = (separators[..., 0] == ord("\t")).all() and (separators[..., 1] == ord("|")).all()
    return Genotypes(index, None, None) if tidy and not (index == OTHER).any() else None


def parse_lines(text: np.ndarray, ends: np.ndarray, individuals: int) -> Genotypes:
    """Genotypes of any lines whose first field of a sample is GT, haploid or diploid.

    Raises:
        Malformed: a line has too few or too many columns, or a genotype is none.
    """
    tabs = np.flatnonzero(text[: ends[-1] + 1] == ord("\t"))
    counts = np.diff(np.searchsorted(tabs, ends), prepend=0)
    if (counts != FIXED - 1 + individuals).any():
        line = int(np.flatnonzero(counts != FIXED - 1 + individuals)[0])
        raise Malformed(
            line,
            f"{counts[line] + 1} columns, expected {FIXED + individuals}; if the file was cut short, copy it again",
        )
    first = tabs.reshape(len(ends), -1)[:, FIXED - 1 :] + 1
    padded = np.append(text, np.frombuffer(b"\n\n\n", np.uint8))
    separator = padded[first + 1]
    haploid = ENDS[separator]
    unphased = separator == ord("/")
    index = np.full((*first.shape, 2), UNKNOWN, np.uint8)
    index[..., 0] = CODES[padded[first]]
    index[..., 1] = np.where(haploid, UNKNOWN, CODES[padded[first + 2]])
    known = haploid | ((unphased | (separator == ord("|"))) & ENDS[padded[first + 3]])
    wrong = ~known | (index == OTHER).any(-1)
    for line, person in np.argwhere(wrong).tolist():
        start, stop = int(first[line, person]), int(first[line, person]) + 40
        cell = bytes(text[start:stop]).split(b"\t")[0].split(b"\n")[0].split(b":")[0].decode(errors="replace")
        index[line, person], haploid[line, person], unphased[line, person] = _parse_cell(cell, line)
    return Genotypes(index, unphased, haploid)


def _parse_cell(cell: str, line: int) -> tuple[list[int], bool, bool]:
    """A genotype of alleles with several digits."""
    unphased = "/" in cell
    alleles = cell.replace("/", "|").split("|")
    if len(alleles) > 2 or not all(allele == "." or allele.isdecimal() for allele in alleles):
        raise Malformed(line, f"genotype {cell!r}, expected alleles such as 0|1, 0/1, .|. or 1")
    index = [UNKNOWN if allele == "." else min(int(allele), OTHER) for allele in alleles]
    return [*index, UNKNOWN][:2], len(alleles) == 1, unphased


def as_alleles(index: np.ndarray, alternative: np.ndarray | int) -> np.ndarray:
    """0 the reference, 1 this alternative, `MISSING` anything else; `alternative` broadcasts against `index`."""
    if np.isscalar(alternative) and alternative == 1 and index.max(initial=0) <= 1:
        return index
    return np.where(index == 0, 0, np.where(index == alternative, 1, MISSING)).astype(np.uint8)
