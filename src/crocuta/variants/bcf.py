"""BCF, and regions of indexed files, through cyvcf2 (htslib)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.errors import InputError
from crocuta.variants.blocks import Heads
from crocuta.variants.contigs import ContigRegion, plain
from crocuta.variants.genotypes import UNKNOWN, Genotypes
from crocuta.variants.vcf_header import VcfHeader, parse_vcf_header

BATCH = 1_000


def read_header(path: Path) -> VcfHeader:
    """The header of a BCF.

    Raises:
        InputError: the file cannot be read, or cyvcf2 is not installed.
    """
    reader = _open(path)
    lines = [line for line in reader.raw_header.split("\n") if line]
    reader.close()
    return parse_vcf_header(path, lines)


def read_variants(path: Path, region: ContigRegion | None) -> Iterator[tuple[Heads, Genotypes]]:
    """What stands before the genotypes, and the genotypes, in batches of one chromosome."""
    reader = _open(path)
    records = iter(reader)
    if region is not None:
        name = next((name for name in reader.seqnames if plain(name) == plain(region.chromosome)), None)
        if name is None:
            return
        records = reader(f"{name}:{region.start}-{region.end}")
    batch: list[tuple[str, int, bytes, bytes, np.ndarray]] = []
    for record in records:
        if region is not None and not region.start <= record.POS <= region.end:
            continue
        if batch and (len(batch) == BATCH or batch[0][0] != record.CHROM):
            yield _parsed(batch)
            batch = []
        batch.append(_row(path, record))
    if batch:
        yield _parsed(batch)
    reader.close()


def _open(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        import cyvcf2
    except ImportError as error:
        raise InputError(
            f"{path}: BCF needs cyvcf2, which is not installed; convert it to .vcf.gz"
        ) from error
    try:
        return cyvcf2.VCF(str(path))
    except Exception as error:
        raise InputError(f"{path}: cannot be read as BCF or VCF ({error})") from error


def _row(path: Path, record: Any) -> tuple[str, int, bytes, bytes, np.ndarray]:
    if record.genotype is None:
        raise InputError(f"{path}: no GT at {record.CHROM}:{record.POS}; expected genotypes")
    alternatives = ",".join(record.ALT) or "."
    return record.CHROM, record.POS, record.REF.encode(), alternatives.encode(), record.genotype.array()


def _parsed(batch: list[tuple[str, int, bytes, bytes, np.ndarray]]) -> tuple[Heads, Genotypes]:
    """cyvcf2's arrays (individuals, ploidy + 1): alleles, -1 unknown, -2 none; last whether phased."""
    chromosome = batch[0][0]
    heads = Heads(
        chromosome,
        np.array([row[1] for row in batch], np.int32),
        [row[2] for row in batch],
        [row[3] for row in batch],
    )
    rows = [row[4] for row in batch]
    codes = np.stack([row if row.shape[1] == 3 else np.insert(row, 1, -2, axis=1) for row in rows])
    alleles = codes[..., :2]
    haploid = alleles[..., 1] == -2
    index = np.where(alleles < 0, UNKNOWN, alleles).astype(np.uint8)
    return heads, Genotypes(index, (codes[..., 2] == 0) & ~haploid, haploid)
