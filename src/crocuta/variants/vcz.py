"""VCF Zarr, the folders that vcf2zarr writes.

Source: the VCF Zarr specification (sgkit-dev/vcf-zarr-spec), version 0.4.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.errors import InputError
from crocuta.variants.blocks import Heads
from crocuta.variants.contigs import ContigRegion, build_of
from crocuta.variants.genotypes import UNKNOWN, Genotypes
from crocuta.variants.samples import check_unique
from crocuta.variants.vcf_header import VcfHeader

SUFFIXES = {".vcz", ".zarr"}
BATCH = 10_000
NEEDED = ("sample_id", "contig_id", "variant_contig", "variant_position", "variant_allele", "call_genotype")


def is_zarr(path: Path) -> bool:
    return path.is_dir() and path.suffix in SUFFIXES


def read_zarr_header(path: Path) -> VcfHeader:
    """Samples and contigs.

    Raises:
        InputError: zarr is not installed, or the folder is no VCF Zarr.
    """
    group = _open(path)
    samples = [str(name) for name in group["sample_id"][:]]
    check_unique(samples, path)
    lengths = group["contig_length"][:].tolist() if "contig_length" in group else []
    contigs = {str(name): 0 for name in group["contig_id"][:]}
    contigs.update(zip(contigs, lengths, strict=False))
    return VcfHeader(samples, contigs, build_of(contigs))


def count_zarr_variants(path: Path) -> int:
    """Sites of all contigs."""
    return len(_open(path)["variant_position"])


def read_zarr_variants(path: Path, region: ContigRegion | None) -> Iterator[tuple[Heads, Genotypes]]:
    """What stands before the genotypes, and the genotypes, in batches of one chromosome."""
    group = _open(path)
    names = [str(name) for name in group["contig_id"][:]]
    contig, position = group["variant_contig"][:], group["variant_position"][:].astype(np.int32)
    wanted = np.ones(len(contig), bool)
    if region is not None:
        here = np.array([region.holds(name) for name in names])
        wanted = here[contig] & (position >= region.start) & (position <= region.end)
    rows = np.flatnonzero(wanted)
    for batch in np.split(rows, np.flatnonzero(np.diff(contig[rows])) + 1):
        for start in range(0, len(batch), BATCH):
            place = slice(int(batch[start]), int(batch[min(start + BATCH, len(batch)) - 1]) + 1)
            alleles = [[str(a).encode() for a in row if a] for row in group["variant_allele"][place]]
            alternatives = [b",".join(row[1:]) or b"." for row in alleles]
            heads = Heads(
                names[contig[place.start]], position[place], [row[0] for row in alleles], alternatives
            )
            yield heads, _genotypes(group, place)


def _genotypes(group: Any, place: slice) -> Genotypes:
    """Alleles (variants, individuals, 2) as -1 where unknown and -2 where there is none."""
    codes = group["call_genotype"][place]
    haploid = codes[..., 1] == -2
    index = np.where(codes < 0, UNKNOWN, codes).astype(np.uint8)
    if "call_genotype_phased" not in group:
        return Genotypes(index, ~haploid, haploid)
    return Genotypes(index, ~group["call_genotype_phased"][place] & ~haploid, haploid)


def _open(path: Path) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise InputError(f"{path}: VCF Zarr needs zarr, which is not installed; pip install zarr") from error
    group = zarr.open_group(str(path), mode="r")
    if absent := [name for name in NEEDED if name not in group]:
        raise InputError(f"{path}: no array {absent[0]!r}; expected VCF Zarr, as vcf2zarr writes it")
    return group
