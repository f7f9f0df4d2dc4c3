"""Variant files, streamed in blocks of sites: VCF through numpy, BCF and indexed regions through cyvcf2, VCF Zarr."""

from collections.abc import Collection, Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crocuta.data.text import read_blocks
from crocuta.errors import InputError
from crocuta.variants.bgzf import check_whole
from crocuta.variants.blocks import Block, Heads, Policy, make_block
from crocuta.variants.contigs import ContigRegion
from crocuta.variants.genotypes import Genotypes, Malformed, parse_lines, parse_words
from crocuta.variants.vcf_header import VcfHeader, parse_vcf_header
from crocuta.variants.vcz import is_zarr, read_zarr_header, read_zarr_variants

CHUNK = 1 << 23  # bytes of text parsed at once
INDEXES = (".tbi", ".csi")


class Lines(NamedTuple):
    """Whole lines of a VCF: their bytes, where each ends (its newline), and the number of the first, from 1."""

    text: np.ndarray
    ends: np.ndarray
    number: int


class VariantFile:
    """A VCF (plain, gzip, bgzip), BCF or VCF Zarr of one or more chromosomes, each in ascending order.

    Raises:
        InputError: the file cannot be read, is truncated or malformed; names the line.
    """

    header: VcfHeader

    def __init__(self, path: str | PathLike) -> None:
        self.path = Path(path)
        self.binary = ".bcf" in self.path.suffixes
        if is_zarr(self.path):
            self.header = read_zarr_header(self.path)
        elif self.binary:
            from crocuta.variants.bcf import read_header

            self.header = read_header(self.path)
        else:
            self.header = self._text_header()

    @property
    def samples(self) -> list[str]:
        return self.header.samples

    def blocks(
        self,
        policy: Policy,
        region: ContigRegion | None = None,
        individuals: np.ndarray | None = None,
        skip: Collection[str] = (),
    ) -> Iterator[Block]:
        """The sites that the policy keeps, in blocks that never cross a chromosome; some may keep none.

        Args:
            region: only these; a bgzip-compressed VCF with its index is not read as a whole then.
            individuals: indices of samples, in the order wanted; default all.
            skip: chromosomes to pass over.
        """
        order = Order(self.path)
        for heads, genotypes in self._parsed(region, skip):
            order.check(heads)
            yield make_block(heads, _chosen(genotypes, individuals), policy)

    def _parsed(
        self, region: ContigRegion | None, skip: Collection[str]
    ) -> Iterator[tuple[Heads, Genotypes]]:
        if is_zarr(self.path):
            records = read_zarr_variants(self.path, region)
            yield from (pair for pair in records if pair[0].chromosome not in skip)
            return
        indexed = region and any(Path(f"{self.path}{suffix}").exists() for suffix in INDEXES)
        if self.binary or (indexed and not self._whole(region)):
            from crocuta.variants.bcf import read_variants

            records = read_variants(self.path, region)
            yield from (pair for pair in records if pair[0].chromosome not in skip)
            return
        for lines in self._lines():
            for heads, part in self._heads(lines, region, skip):
                yield heads, parse_words(part.text, part.ends, len(self.samples)) or self._parse(part)

    def _whole(self, region: ContigRegion | None) -> bool:
        """Whether a region is all that the file has, as far as its header says."""
        return (
            region is not None and region == ContigRegion(region.chromosome) and len(self.header.contigs) == 1
        )

    def _parse(self, lines: Lines) -> Genotypes:
        try:
            return parse_lines(lines.text, lines.ends, len(self.samples))
        except Malformed as error:
            raise InputError(f"{self.path}, line {lines.number + error.line}: {error.found}") from error

    def _text_header(self) -> VcfHeader:
        rest, lines = b"", []
        for block in read_blocks(self.path, 1 << 16):
            *whole, rest = (rest + block).split(b"\n")
            lines += [line.rstrip(b"\r").decode(errors="replace") for line in whole]
            if any(not line.startswith("##") for line in lines):
                break
        else:
            lines += [rest.decode(errors="replace")] if rest else []
        last = next((i for i, line in enumerate(lines) if not line.startswith("##")), len(lines) - 1)
        header = parse_vcf_header(self.path, lines[: last + 1])
        self._first = last + 2
        return header

    def _lines(self) -> Iterator[Lines]:
        """The variants' lines, in pieces of about `CHUNK` bytes."""
        check_whole(self.path)
        rest, number = b"", 1
        for block in read_blocks(self.path, CHUNK):
            stop = block.rfind(b"\n") + 1
            if not stop:
                rest += block
                continue
            text = rest + block[:stop]
            rest = block[stop:]
            skipped = 0
            if number < self._first:
                text, skipped = self._past_header(text, self._first - number)
            if text:
                yield _lines_of(text, number + skipped)
            number += skipped + text.count(b"\n")
        if rest.strip() and number >= self._first:
            yield _lines_of(rest + b"\n", number)

    def _past_header(self, text: bytes, lines: int) -> tuple[bytes, int]:
        start, done = 0, 0
        while done < lines and start < len(text):
            start = text.index(b"\n", start) + 1
            done += 1
        return text[start:], done

    def _heads(
        self, lines: Lines, region: ContigRegion | None, skip: Collection[str]
    ) -> Iterator[tuple[Heads, Lines]]:
        """Runs of lines of one chromosome within the region, and what stands before their genotypes."""
        starts = np.append(0, lines.ends[:-1] + 1)
        text = lines.text.tobytes()
        first, last = (text[start : start + 200].split(b"\t", 1)[0] for start in (0, int(starts[-1])))
        if first == last and first.decode() in skip:
            return
        names, positions, refs, alts = [], [], [], []
        for row, start in enumerate(starts.tolist()):
            fields = text[start : start + 200].split(b"\t", 5)
            if len(fields) < 6 or not fields[1].isdigit():
                fields = self._long_head(text[start : int(lines.ends[row])], lines.number + row)
            names.append(fields[0])
            positions.append(int(fields[1]))
            refs.append(fields[3])
            alts.append(fields[4])
        position = np.array(positions, np.int32)
        for start, stop in _runs(names):
            name = names[start].decode()
            if name in skip:
                continue
            if region:
                if not region.holds(name):
                    continue
                start, stop = start + np.searchsorted(position[start:stop], [region.start, region.end + 1])
            if stop > start:
                piece = Lines(
                    lines.text[starts[start] : lines.ends[stop - 1] + 1],
                    lines.ends[start:stop] - starts[start],
                    lines.number + int(start),
                )
                self._check_format(text, starts[start], lines.ends[start], piece.number)
                yield Heads(name, position[start:stop], refs[start:stop], alts[start:stop]), piece

    def _long_head(self, line: bytes, number: int) -> list[bytes]:
        fields = line.split(b"\t", 9)
        if len(fields) < 10:
            raise InputError(
                f"{self.path}, line {number}: {len(fields)} columns, expected {9 + len(self.samples)};"
                " if the file was cut short, copy it again"
            )
        if not fields[1].isdigit():
            raise InputError(
                f"{self.path}, line {number}: found {fields[1][:20].decode(errors='replace')!r} in column POS;"
                " expected a number"
            )
        return fields

    def _check_format(self, text: bytes, start: int, end: int, number: int) -> None:
        fields = text[start:end].split(b"\t", 9)
        if len(fields) < 10 or fields[8].split(b":")[0] != b"GT":
            found = fields[8].decode(errors="replace")[:20] if len(fields) > 8 else ""
            raise InputError(f"{self.path}, line {number}: FORMAT is {found!r}; expected GT first")


class Order:
    """Sees to it that positions do not go down and chromosomes do not come back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: set[str] = set()
        self.chromosome = ""
        self.position = 0

    def check(self, heads: Heads) -> None:
        if heads.chromosome != self.chromosome:
            if heads.chromosome in self.done:
                self._fail(f"chromosome {heads.chromosome} comes back after {self.chromosome}")
            self.chromosome, self.position = heads.chromosome, 0
            self.done.add(heads.chromosome)
        falls = np.flatnonzero(np.diff(heads.position, prepend=self.position) < 0)
        if len(falls):
            place = int(falls[0])
            before = heads.position[place - 1] if place else self.position
            self._fail(f"position {heads.chromosome}:{heads.position[place]} comes after {before}")
        self.position = int(heads.position[-1])

    def _fail(self, what: str) -> None:
        raise InputError(f"{self.path}: {what}; expected ascending positions, sort with bcftools sort")


def _chosen(genotypes: Genotypes, individuals: np.ndarray | None) -> Genotypes:
    if individuals is None:
        return genotypes
    index, unphased, haploid = genotypes
    return Genotypes(
        index[:, individuals],
        None if unphased is None else unphased[:, individuals],
        None if haploid is None else haploid[:, individuals],
    )


def _lines_of(text: bytes, number: int) -> Lines:
    view = np.frombuffer(text, np.uint8)
    return Lines(view, np.flatnonzero(view == ord("\n")), number)


def _runs(names: list[bytes]) -> Iterator[tuple[int, int]]:
    """Start and end of runs of equal names."""
    start = 0
    for row in range(1, len(names) + 1):
        if row == len(names) or names[row] != names[start]:
            yield start, row
            start = row
