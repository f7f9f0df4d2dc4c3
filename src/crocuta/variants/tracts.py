"""Local ancestry on disk: `.msp.tsv` and `.fb.tsv` as RFMix 2 writes them, `.rfmix.Q`, and BED.

All intervals are half-open: a window's `epos` is the next window's `spos`, which Tractor and the like rely on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crocuta.data.text import Line, open_lines
from crocuta.errors import InputError
from crocuta.files import replacing

MSP_HEADER = ["#chm", "spos", "epos", "sgpos", "egpos", "n snps"]
BED_HEADER = ["chrom", "start", "end", "population", "probability", "haplotype"]
CONFIDENT = 0.9
LINES = 256  # of an .fb.tsv that are put together at a time
FB_HEADER = ["chromosome", "physical_position", "genetic_position", "genetic_marker_index"]


@dataclass(frozen=True)
class Segments:
    """Consecutive intervals of one chromosome. Shapes (t,): positions half-open; centimorgans; sites within."""

    chromosome: str
    start: np.ndarray
    end: np.ndarray
    start_cm: np.ndarray
    end_cm: np.ndarray
    sites: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class Tracts:
    """What is found on one chromosome: `posterior` float32 (2 * individuals, t, populations) of each haplotype."""

    samples: tuple[str, ...]
    populations: tuple[str, ...]
    segments: Segments
    posterior: np.ndarray

    @property
    def code(self) -> np.ndarray:
        """The most probable population, uint8 (2 * individuals, t)."""
        found = np.empty(self.posterior.shape[:2], np.uint8)
        for row, posterior in enumerate(self.posterior):  # one by one: posteriors may lie in a file
            found[row] = posterior.argmax(1)
        return found

    @property
    def names(self) -> list[str]:
        """`S.0` and `S.1` for each sample S."""
        return [f"{name}.{copy}" for name in self.samples for copy in (0, 1)]


@dataclass(frozen=True)
class Calls:
    """What an `.msp.tsv` says of one chromosome: `code` uint8 (2 * individuals, t), numbers of `populations`."""

    samples: tuple[str, ...]
    populations: tuple[str, ...]
    segments: Segments
    code: np.ndarray


def joined(segments: Segments, code: np.ndarray) -> tuple[Segments, np.ndarray]:
    """Neighbouring intervals in which nobody's code changes become one; `code` (haplotypes, t)."""
    first = np.flatnonzero(np.append(True, (np.diff(code.astype(int), axis=1) != 0).any(0)))
    last = np.append(first[1:], len(segments)) - 1
    merged = Segments(
        segments.chromosome, segments.start[first], segments.end[last], segments.start_cm[first],
        segments.end_cm[last], np.add.reduceat(segments.sites, first),
    )  # fmt: skip
    return merged, code[:, first]


def write_msp(path: Path, chromosomes: Sequence[Tracts]) -> None:
    """Most probable populations of all chromosomes, equal neighbours joined."""
    populations = "\t".join(f"{name}={i}" for i, name in enumerate(chromosomes[0].populations))
    with replacing(path) as file:
        file.write(f"#Subpopulation order/codes: {populations}\n")
        file.write("\t".join([*MSP_HEADER, *chromosomes[0].names]) + "\n")
        for tracts in chromosomes:
            segments, code = joined(tracts.segments, tracts.code)
            for i, row in enumerate(code.T.tolist()):
                file.write(
                    f"{segments.chromosome}\t{segments.start[i]}\t{segments.end[i]}\t{segments.start_cm[i]:.6f}\t"
                    f"{segments.end_cm[i]:.6f}\t{segments.sites[i]}\t" + "\t".join(map(str, row)) + "\n"
                )


def write_fb(path: Path, chromosomes: Sequence[Tracts]) -> None:
    """Posteriors: a line for each interval (its middle), a column for each haplotype and population."""
    first = chromosomes[0]
    columns = [
        f"{name}:::hap{copy}:::{population}"
        for name in first.samples
        for copy in (1, 2)
        for population in first.populations
    ]
    with replacing(path) as file:
        file.write("#reference_panel_population:\t" + "\t".join(first.populations) + "\n")
        file.write("\t".join([*FB_HEADER, *columns]) + "\n")
        marker = 0
        for tracts in chromosomes:
            segments = tracts.segments
            line = "\t".join(["%.5f"] * len(columns))
            for i, row in enumerate(_lines(tracts.posterior)):
                middle = (segments.start[i] + segments.end[i]) // 2
                centimorgan = (segments.start_cm[i] + segments.end_cm[i]) / 2
                file.write(
                    f"{segments.chromosome}\t{middle}\t{centimorgan:.6f}\t{marker}\t{line % tuple(row)}\n"
                )
                marker += int(segments.sites[i])


def _lines(posterior: np.ndarray) -> Iterator[list[float]]:
    """Numbers of each interval, all haplotypes one after another."""
    for first in range(0, posterior.shape[1], LINES):
        some = posterior[:, first : first + LINES].transpose(1, 0, 2)
        yield from some.reshape(len(some), -1).tolist()


def proportions(chromosomes: Sequence[Tracts]) -> np.ndarray:
    """Share of each population in each person's genome, by length, float64 (individuals, populations)."""
    total = sum(
        np.stack([row.T @ (tracts.segments.end - tracts.segments.start) for row in tracts.posterior])
        for tracts in chromosomes
    )
    of_person = np.asarray(total).reshape(len(chromosomes[0].samples), 2, -1).sum(1)
    return of_person / of_person.sum(1, keepdims=True)


def write_q(path: Path, chromosomes: Sequence[Tracts]) -> None:
    """Global proportions: a line for each person, a column for each population."""
    first = chromosomes[0]
    with replacing(path) as file:
        file.write("#rfmix diploid global ancestry .Q format output\n")
        file.write("\t".join(["#sample", *first.populations]) + "\n")
        for name, row in zip(first.samples, proportions(chromosomes), strict=True):
            file.write("\t".join([name, *(f"{share:.5f}" for share in row)]) + "\n")


def write_bed(path: Path, chromosomes: Sequence[Tracts], sample: int) -> None:
    """Tracts of one person: chromosome, start (from 0), end, population, mean probability, haplotype (0 or 1).

    A tract is cut where its probability passes `CONFIDENT`, so that what is doubtful can be told from what is not.
    """
    with replacing(path) as file:
        file.write("#" + "\t".join(BED_HEADER) + "\n")
        for tracts in chromosomes:
            weight = (tracts.segments.end - tracts.segments.start).astype(float)
            for haplotype in (0, 1):
                row = 2 * sample + haplotype
                sure = tracts.posterior[row].max(1)
                kind = 2 * tracts.posterior[row].argmax(1) + (sure < CONFIDENT)
                first = np.flatnonzero(np.append(True, np.diff(kind) != 0))
                last = np.append(first[1:], len(weight)) - 1
                mean = np.add.reduceat(sure * weight, first) / np.add.reduceat(weight, first)
                for begin, end, probability in zip(first, last, mean, strict=True):
                    population = tracts.populations[kind[begin] // 2]
                    file.write(
                        f"{tracts.segments.chromosome}\t{tracts.segments.start[begin] - 1}\t"
                        f"{tracts.segments.end[end] - 1}\t{population}\t{probability:.4f}\t{haplotype}\n"
                    )


@dataclass(frozen=True)
class Tract:
    """A stretch of one haplotype (0 or 1) from `start` (counted from 0) to before `end`."""

    chromosome: str
    start: int
    end: int
    population: str
    probability: float
    haplotype: int


def read_tracts(path: Path) -> list[Tract]:
    """Reads what `write_bed` wrote.

    Raises:
        InputError: not such a file; names the line.
    """
    with open_lines(path) as lines:
        _header(path, next(lines, None), ["#chrom", *BED_HEADER[1:]], line=1)
        found = []
        for number, text in lines:
            fields = text.split("\t")
            try:
                chromosome, start, end, population, probability, haplotype = fields
                tract = Tract(
                    chromosome, int(start), int(end), population, float(probability), int(haplotype)
                )
            except ValueError as error:
                raise InputError(
                    f"{path}, line {number}: {text[:60]!r}; expected {', '.join(BED_HEADER)}"
                ) from error
            found.append(tract)
    return found


def read_msp(path: Path) -> list[Calls]:
    """Reads an `.msp.tsv` of this library, RFMix 2 or gnomix, chromosome by chromosome.

    Raises:
        InputError: not such a file; names the line.
    """
    with open_lines(path) as lines:
        codes = _codes(path, next(lines, None))
        header = _header(path, next(lines, None), MSP_HEADER)
        names = tuple(name.removesuffix(".0") for name in header[::2])
        if any(name != f"{names[i // 2]}.{i % 2}" for i, name in enumerate(header)) or len(header) % 2:
            raise InputError(f"{path}, line 2: expected columns S.0 and S.1 for each sample S after 'n snps'")
        parts: dict[str, list[list[str]]] = {}
        for number, text in lines:
            fields = text.split("\t")
            if len(fields) != len(header) + len(MSP_HEADER):
                expected = len(header) + len(MSP_HEADER)
                raise InputError(f"{path}, line {number}: {len(fields)} fields, expected {expected}")
            parts.setdefault(fields[0], []).append(fields[1:])
    return [_calls(path, chromosome, rows, names, codes) for chromosome, rows in parts.items()]


def _calls(
    path: Path, chromosome: str, rows: list[list[str]], names: tuple[str, ...], codes: tuple[str, ...]
) -> Calls:
    try:
        table = np.array(rows, dtype=float)
    except ValueError as error:
        raise InputError(f"{path}, chromosome {chromosome}: {error}; expected numbers") from error
    code = table[:, 5:].T
    if code.size and not (0 <= code.min() <= code.max() < len(codes)):
        raise InputError(
            f"{path}, chromosome {chromosome}: code {code.max():g}, expected 0 to {len(codes) - 1}"
        )
    start, end, sites = (table[:, i].astype(np.int64) for i in (0, 1, 4))
    return Calls(
        names, codes, Segments(chromosome, start, end, table[:, 2], table[:, 3], sites), code.astype(np.uint8)
    )


def _codes(path: Path, line: Line | None) -> tuple[str, ...]:
    text = line.text if line else ""
    if not text.startswith("#Subpopulation order/codes:"):
        raise InputError(
            f"{path}, line 1: expected '#Subpopulation order/codes: A=0<tab>B=1', found {text[:40]!r}"
        )
    pairs = [part.split("=") for part in text.partition(":")[2].replace("\t", " ").split()]
    return tuple(name for name, _ in sorted(pairs, key=lambda pair: int(pair[1])))


def _header(path: Path, found: Line | None, expected: list[str], line: int = 2) -> list[str]:
    fields = (found.text if found else "").split("\t")
    if fields[: len(expected)] != expected:
        raise InputError(
            f"{path}, line {line}: columns {', '.join(fields[:6])}; expected {', '.join(expected)}"
        )
    return fields[len(expected) :]


def read_fb(path: Path) -> Iterator[tuple[str, int, np.ndarray]]:
    """Lines of an `.fb.tsv`: chromosome, position, and posteriors float32 (haplotypes, populations).

    Raises:
        InputError: not such a file; names the line.
    """
    with open_lines(path) as lines:
        first = next(lines, None)
        text = first.text if first else ""
        if not text.startswith("#reference_panel_population:"):
            raise InputError(f"{path}, line 1: expected '#reference_panel_population:', found {text[:40]!r}")
        count = len(text.split("\t")) - 1
        columns = len(_header(path, next(lines, None), FB_HEADER))
        for number, text in lines:
            fields = text.split("\t")
            if len(fields) != columns + len(FB_HEADER):
                raise InputError(
                    f"{path}, line {number}: {len(fields)} fields, expected {columns + len(FB_HEADER)}"
                )
            yield fields[0], int(fields[1]), np.array(fields[4:], dtype=np.float32).reshape(-1, count)
