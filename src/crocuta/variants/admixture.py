"""Files of a simulated cohort: VCF, samples, genetic map, and the exact local ancestry of its admixed individuals."""

import gzip
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crocuta.files import replacing, write_json
from crocuta.variants.bgzf import BgzfWriter
from crocuta.variants.out_of_africa import (
    GROUPS,
    POPULATIONS,
    Admixture,
    local_ancestry,
    random_map,
    simulate_chromosome,
)

VCF, SAMPLES, MAP, TRUTH = "cohort.vcf.gz", "samples.tsv", "map.tsv", "truth.tsv.gz"
BATCH = 2_000  # sites written at once
ADMIXED_GROUP = "ADMIXED"


class Chromosome(NamedTuple):
    """What of a simulated chromosome is kept beside its lines: its sites, and rows of `truth.tsv.gz`."""

    sites: int
    truth: list[str]


def write_chromosome(settings: Admixture, parts: Path, index: int) -> Chromosome:
    """Simulates a chromosome into the folder `parts`, unless it lies there already.

    Raises:
        InputError: msprime is not installed.
    """
    known = parts / f"{index}.json"
    if known.exists():
        return Chromosome(**json.loads(known.read_text()))
    trees = simulate_chromosome(settings, index)
    sites = 0
    with open(_part(parts, index), "wb") as file:
        body = BgzfWriter(file)
        for positions, nucleotides, alleles in _biallelic(trees):
            body.write(_lines(settings.chromosomes[index], positions, nucleotides, alleles))
            sites += len(positions)
        body.close()
    made = Chromosome(sites, _truth_rows(settings, index, trees))
    write_json(known, made._asdict())
    return made


def join_chromosomes(folder: Path, settings: Admixture, parts: Path, made: Sequence[Chromosome]) -> None:
    """Writes `cohort.vcf.gz`, `samples.tsv`, `map.tsv` and `truth.tsv.gz` of the chromosomes in `parts`.

    The VCF is phased, with GT only, biallelic, packed with BGZF. Positions count from 1; segments of the truth include
    their start and not their end, as RFMix's `.msp.tsv` does.
    """
    with replacing(folder / VCF, "wb") as file:
        header = BgzfWriter(file)
        header.write(_header(settings).encode())
        header.close()
        for index in range(len(made)):
            with open(_part(parts, index), "rb") as body:
                shutil.copyfileobj(body, file, 1 << 20)
        header.finish()
    _write_tables(folder, settings, [row for part in made for row in part.truth])


def _part(parts: Path, index: int) -> Path:
    return parts / f"{index}.vcf.gz"


def _biallelic(trees: Any) -> Iterator[tuple[list[int], list[tuple[str, str]], np.ndarray]]:
    """Batches of sites with two alleles: positions from 1, nucleotides, alleles uint8 (sites, haplotypes)."""
    positions, nucleotides, alleles = [], [], []
    for variant in trees.variants():
        carried = np.bincount(variant.genotypes, minlength=len(variant.alleles))
        if carried[0] == 0 or np.count_nonzero(carried) != 2:
            continue
        alternative = int(carried[1:].argmax()) + 1
        positions.append(int(variant.site.position) + 1)
        nucleotides.append((variant.alleles[0], variant.alleles[alternative]))
        alleles.append((variant.genotypes == alternative).astype(np.uint8))
        if len(positions) == BATCH:
            yield positions, nucleotides, np.stack(alleles)
            positions, nucleotides, alleles = [], [], []
    if positions:
        yield positions, nucleotides, np.stack(alleles)


def _lines(name: str, positions: list[int], nucleotides: list[tuple[str, str]], alleles: np.ndarray) -> bytes:
    """Lines of a VCF, with genotypes of four bytes: tab, allele, bar, allele."""
    cells = np.empty((len(alleles), alleles.shape[1] // 2, 4), np.uint8)
    cells[..., 0], cells[..., 2] = ord("\t"), ord("|")
    cells[..., 1::2] = alleles.reshape(len(alleles), -1, 2) + ord("0")
    heads = (
        f"{name}\t{position}\t.\t{ref}\t{alt}\t.\tPASS\t.\tGT".encode()
        for position, (ref, alt) in zip(positions, nucleotides, strict=True)
    )
    return b"".join(b"%b%b\n" % (head, row.tobytes()) for head, row in zip(heads, cells, strict=True))


def _header(settings: Admixture) -> str:
    contigs = "".join(f"##contig=<ID={name},length={settings.length}>\n" for name in settings.chromosomes)
    columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]
    return (
        '##fileformat=VCFv4.2\n##FILTER=<ID=PASS,Description="All filters passed">\n'
        f"##source=crocuta ancestry simulate, seed {settings.seed}\n{contigs}"
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
        + "\t".join([*columns, *(name for name, _ in settings.names)])
        + "\n"
    )


def _truth_rows(settings: Admixture, index: int, trees: Any) -> list[str]:
    individuals, chromosome = settings.names, settings.chromosomes[index]
    rows = []
    for haplotype, start, end, population, generations in zip(*local_ancestry(trees), strict=True):
        name = individuals[haplotype // 2][0]
        rows.append(
            f"{name}\t{haplotype % 2}\t{chromosome}\t{start + 1}\t{end + 1}\t{POPULATIONS[population]}\t{generations}"
        )
    return rows


def _map_rows(settings: Admixture) -> Iterator[str]:
    for index, name in enumerate(settings.chromosomes):
        edges, rate = random_map(settings, index)
        cm = np.append(0, np.cumsum(np.diff(edges) * rate)) * 100
        for edge, speed, total in zip(edges, np.append(rate, 0) * 1e8, cm, strict=True):
            yield f"{name}\t{int(edge) + 1}\t{speed:.6f}\t{total:.9f}"


def _write_tables(folder: Path, settings: Admixture, truth: list[str]) -> None:
    individuals = (f"{name}\t{pop}\t{GROUPS.get(pop, ADMIXED_GROUP)}\t{name}" for name, pop in settings.names)
    with replacing(folder / SAMPLES) as file:
        file.write("\n".join(["sample\tpop\tsuper_pop\tfamily", *individuals]) + "\n")
    with replacing(folder / MAP) as file:
        header = "Chromosome\tPosition(bp)\tRate(cM/Mb)\tMap(cM)"
        file.write("\n".join([header, *_map_rows(settings)]) + "\n")
    with replacing(folder / TRUTH, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        header = "sample\thaplotype\tchromosome\tstart\tend\tpopulation\tgenerations"
        packed.write(("\n".join([header, *truth]) + "\n").encode())
