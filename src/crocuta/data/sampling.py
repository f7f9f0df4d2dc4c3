"""Random windows of genomes as labelled sequences, with whole chromosomes or contiguous regions held out."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from crocuta.data.encoding import decode, reverse_complement
from crocuta.data.genome import Genome
from crocuta.data.intervals import unknown_nucleotides
from crocuta.data.labelled import Labelled
from crocuta.data.sequences import Sequences
from crocuta.errors import InputError
from crocuta.files import replacing

PARTS = ("train", "valid", "test")
SHARES = (0.7, 0.1, 0.2)
FOLDS = 5
TRIES = 20  # draws for each window that is wanted, before there are held to be too few without N


class GenomeRegion(NamedTuple):
    """Positions start to end (excluded) of a contig, of which windows of one part are drawn."""

    contig: str
    start: int
    end: int


class GenomeWindow(NamedTuple):
    """A window drawn: its genome's label, its part, its place; strand "-" is read backwards and complemented."""

    label: str
    part: str
    contig: str
    start: int
    end: int
    strand: str

    @property
    def name(self) -> str:
        return f"{self.label}:{self.contig}:{self.start}-{self.end}({self.strand})"


class Sampler:
    """Draws windows of several genomes, each the class of its label.

    Args:
        genomes: FASTA file by label.
        hold_out: contigs for "valid" and "test"; all others train. Empty: of each contig a contiguous fifth is for
            test, the tenth before it for validation, the rest for training.
        fold: which fifth, 0 to 4; the last by default. The tenth before the first fifth is the contig's end.
        both_strands: half of the windows are read from the other strand.
        largest_n_share: windows with a larger share of N are drawn again.
        cache: see `Genome`.

    Raises:
        InputError: fewer than two genomes, or a genome without any of the contigs to hold out.
    """

    def __init__(
        self,
        genomes: Mapping[str, str | PathLike],
        hold_out: Mapping[str, Sequence[str]] | None = None,
        fold: int = FOLDS - 1,
        both_strands: bool = True,
        largest_n_share: float = 0.1,
        cache: str | PathLike | None = None,
    ):
        if len(genomes) < 2:
            raise InputError(f"{len(genomes)} genome, expected at least two, each with its label")
        if not 0 <= fold < FOLDS:
            raise InputError(f"fold {fold}, expected 0 to {FOLDS - 1}")
        self.genomes = {label: Genome(path, cache) for label, path in genomes.items()}
        self.both_strands, self.largest_n_share = both_strands, largest_n_share
        held = {part: list(names) for part, names in (hold_out or {}).items() if names}
        if held:
            self.regions = {label: by_contig(genome, held, label) for label, genome in self.genomes.items()}
        else:
            self.regions = {label: by_region(genome, fold) for label, genome in self.genomes.items()}

    def draw(self, length: int, counts: Mapping[str, int], seed: int = 0) -> Iterator[GenomeWindow]:
        """Windows of equal length: `counts` of each genome, by part ("train", "valid", "test").

        Parts and genomes are drawn independently of each other: asking for more of one changes no other.

        Raises:
            InputError: a genome has no region of a part that is as long as a window, or only N there.
        """
        for number, label in enumerate(self.genomes):
            for part, count in counts.items():
                generator = np.random.default_rng([seed, number, PARTS.index(part), length])
                yield from self._draw(label, part, length, count, generator)

    def ids(self, window: GenomeWindow) -> np.ndarray:
        """Token ids of a window, uint8 (length,)."""
        ids = self.genomes[window.label].fetch(window.contig, window.start, window.end)
        return reverse_complement(ids) if window.strand == "-" else ids

    def labelled(self, length: int, part: str, count: int, seed: int = 0) -> Labelled:
        """Windows of one part in memory, numbered by the order of the genomes."""
        drawn = list(self.draw(length, {part: count}, seed))
        classes = tuple(self.genomes)
        number = {label: i for i, label in enumerate(classes)}
        sequences = Sequences.from_ids([self.ids(window) for window in drawn], [w.name for w in drawn])
        return Labelled(sequences, np.array([number[window.label] for window in drawn], np.int64), classes)

    def _draw(
        self, label: str, part: str, length: int, count: int, generator: np.random.Generator
    ) -> Iterator[GenomeWindow]:
        regions = [region for region in self.regions[label][part] if region.end - region.start >= length]
        if count and not regions:
            longest = max((r.end - r.start for r in self.regions[label][part]), default=0)
            raise InputError(
                f"{self.genomes[label].path}: the longest region for {part} has {longest:,} nucleotides, too short for"
                f" windows of {length:,}; give a smaller `length`, or hold out longer contigs"
            )
        room = np.array([region.end - region.start - length + 1 for region in regions], float)
        found = 0
        for _ in range(TRIES * count):
            if found == count:
                return
            region = regions[generator.choice(len(regions), p=room / room.sum())]
            start = int(generator.integers(region.start, region.end - length + 1))
            strand = "-" if self.both_strands and generator.random() < 0.5 else "+"
            window = GenomeWindow(label, part, region.contig, start, start + length, strand)
            n = unknown_nucleotides(self.ids(window), np.zeros(1, np.int64), length)[0]
            if n <= self.largest_n_share * length:
                found += 1
                yield window
        if found < count:
            raise InputError(
                f"{self.genomes[label].path}: the regions for {part} are mostly N: only {found:,} of {count:,}"
                f" windows of {length:,} have at most {self.largest_n_share:.0%} N"
            )


def by_region(genome: Genome, fold: int = FOLDS - 1) -> dict[str, list[GenomeRegion]]:
    """Of each contig a fifth for test, the tenth before it for validation (around the end), the rest for training."""
    regions: dict[str, list[GenomeRegion]] = {part: [] for part in PARTS}
    for contig in genome.names:
        length = genome.length(contig)
        cut = [round(length * i / (2 * FOLDS)) for i in range(2 * FOLDS + 1)]
        tenths = ["train"] * (2 * FOLDS)
        tenths[2 * fold] = tenths[2 * fold + 1] = "test"
        tenths[2 * fold - 1] = "valid"
        start = 0
        for i, part in enumerate(tenths, 1):
            if i == len(tenths) or tenths[i] != part:
                regions[part].append(GenomeRegion(contig, cut[start], cut[i]))
                start = i
    return regions


def by_contig(genome: Genome, held: Mapping[str, Sequence[str]], label: str) -> dict[str, list[GenomeRegion]]:
    """Whole contigs: those named for valid and test where the genome has them, the others for training."""
    regions: dict[str, list[GenomeRegion]] = {part: [] for part in PARTS}
    for part in ("valid", "test"):
        if not set(held.get(part, ())) & set(genome.names):
            wanted = ", ".join(held.get(part, ())) or "none given"
            raise InputError(
                f"{genome.path} ({label}): no contig for {part} ({wanted}); it holds"
                f" {', '.join(genome.names[:6])}{', ...' if len(genome.names) > 6 else ''};"
                " name one of each genome for `valid` and for `test`, or leave both out to hold out regions"
            )
    for contig in genome.names:
        part = next((part for part in ("test", "valid") if contig in held.get(part, ())), "train")
        regions[part].append(GenomeRegion(contig, 0, genome.length(contig)))
    return regions


def counts_of(count: int) -> dict[str, int]:
    """`count` windows shared out: 7 tenths for training, 1 for validation, 2 for test."""
    counts = {part: round(count * share) for part, share in zip(PARTS, SHARES, strict=True)}
    return counts | {"train": count - counts["valid"] - counts["test"]}


def write_windows(
    sampler: Sampler, output: str | PathLike, length: int, counts: Mapping[str, int], seed: int = 0
) -> int:
    """Writes windows as a table name,sequence,label,split (gzip if the name ends in .gz); returns their number."""
    total = 0
    with replacing(output, "wb") as file, _packed(file, Path(output).suffix == ".gz") as table:
        table.write(b"name,sequence,label,split\n")
        for window in sampler.draw(length, counts, seed):
            line = f"{window.name},{decode(sampler.ids(window))},{window.label},{window.part}\n"
            table.write(line.encode())
            total += 1
    return total


def _packed(file: IO[bytes], gzipped: bool) -> AbstractContextManager[Any]:
    """A gzip stream onto a file, or the file itself, which stays open."""
    return gzip.GzipFile("", "wb", 6, file, mtime=0) if gzipped else nullcontext(file)
