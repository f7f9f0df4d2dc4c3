"""A variant file with its table of samples and genetic map, as a panel in memory."""

from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path

import numpy as np

from crocuta.errors import InputError
from crocuta.variants.blocks import Counts, Policy
from crocuta.variants.contigs import ContigRegion, parse_region
from crocuta.variants.genetic_map import UNIFORM, read_genetic_map
from crocuta.variants.panel import Panel, Samples, Sites
from crocuta.variants.samples import join_samples, read_samples, unlabelled
from crocuta.variants.vcf import VariantFile


class NoVariants(InputError):
    """A file has no variants at all in the region."""


def read_panel(
    vcf: str | PathLike,
    samples: str | PathLike | None = None,
    *,
    genetic_map: str | PathLike | None = None,
    region: str | None = None,
    individuals: Sequence[str] | None = None,
    shared: bool = False,
    policy: Policy | None = None,
    counts: Counts | None = None,
    spool: Path | None = None,
) -> Panel:
    """Reads the haplotypes of one chromosome of a VCF or BCF into memory.

    Args:
        samples: table of samples (see `crocuta.variants.samples`); without it populations are unknown.
        genetic_map: see `crocuta.variants.genetic_map`; without it 1 cM/Mb.
        region: a chromosome (`22`, `chr22`) or a part of one (`22:16000000-17000000`); needed if the file has several.
        individuals: names of those wanted, in this order; default all.
        shared: take those who are both in the file and in the table; otherwise a difference is an error.
        policy: which variants; default SNPs with two alleles.
        counts: filled with what was read and left out.
        spool: a file to hold the alleles instead of memory; the panel maps it.

    Raises:
        InputError: a file cannot be read, is malformed, disagrees with another, or is partly phased.
        NoVariants: it has none there.
    """
    policy, counts = policy or Policy(), counts if counts is not None else Counts()
    path, file = Path(vcf), VariantFile(vcf)
    table, order = choose_individuals(file, samples, individuals, shared)
    place = parse_region(region) if region else None
    blocks = []
    for block in file.blocks(policy, place, order):
        counts.add(block.counts)
        if not len(block.position):
            continue
        if blocks and blocks[0].chromosome != block.chromosome:
            raise InputError(
                f"{path}: chromosomes {blocks[0].chromosome} and {block.chromosome}; name the one wanted with region"
            )
        allele = np.ascontiguousarray(block.allele.transpose(1, 2, 0))
        blocks.append(block._replace(allele=_spooled(allele, spool, len(blocks)) if spool else allele))
    if not blocks:
        kind = InputError if counts.sites else NoVariants
        raise kind(f"{path}: {nothing_kept(counts, place)}")
    phased = counts.phased(path, policy)
    chromosome = blocks[0].chromosome
    position = np.concatenate([block.position for block in blocks])
    cm = (read_genetic_map(genetic_map) if genetic_map else UNIFORM).centimorgans(chromosome, position)
    ref, alt = (
        np.concatenate([block.ref for block in blocks]),
        np.concatenate([block.alt for block in blocks]),
    )
    sites = Sites(chromosome, position, ref, alt, cm)
    alleles = [block.allele for block in blocks]
    whole = _mapped(alleles, spool) if spool else np.concatenate(alleles, axis=2)
    return Panel(table, sites, whole, phased)


def _spooled(allele: np.ndarray, spool: Path, number: int) -> np.ndarray:
    """The same array, in a file beside `spool`."""
    np.save(_part(spool, number), allele)
    return np.load(_part(spool, number), mmap_mode="r")


def _part(spool: Path, number: int) -> Path:
    return spool.with_name(f"{spool.name}.{number}.npy")


def _mapped(alleles: list[np.ndarray], spool: Path) -> np.ndarray:
    """Blocks (individuals, 2, n) side by side in one mapped file; theirs are removed. Maps one block at a time."""
    shape = (*alleles[0].shape[:2], sum(allele.shape[2] for allele in alleles))
    np.lib.format.open_memmap(spool, "w+", np.uint8, shape)
    place = 0
    for number, allele in enumerate(alleles):
        whole = np.load(spool, mmap_mode="r+")
        whole[:, :, place : place + allele.shape[2]] = np.load(_part(spool, number))
        place += allele.shape[2]
        with suppress(PermissionError):  # Windows keeps what is mapped
            _part(spool, number).unlink()
    return np.load(spool, mmap_mode="r")


def choose_individuals(
    file: VariantFile,
    samples: str | PathLike | None,
    individuals: Sequence[str] | None = None,
    shared: bool = False,
) -> tuple[Samples, np.ndarray | None]:
    """Who of a variant file is taken, and their columns (None for all in order).

    Raises:
        InputError: a wanted person is not in the file, or the table disagrees with it.
    """
    table = unlabelled(file.samples)
    if samples is not None:
        rows = read_samples(samples)
        wanted_rows = rows.at(np.isin(rows.name, individuals)) if individuals is not None else rows
        names = [n for n in file.samples if individuals is None or n in set(individuals)]
        table = join_samples(names, wanted_rows, file.path, Path(samples), shared)
    place = {name: i for i, name in enumerate(table.name)}
    if individuals is not None:
        absent = [name for name in individuals if name not in place]
        if absent:
            raise InputError(
                f"{file.path}: no sample {absent[0]}; expected one of {', '.join(table.name[:3])}, ..."
            )
        table = table.at([place[name] for name in individuals])
    if list(table.name) == file.samples:
        return table, None
    column = {name: i for i, name in enumerate(file.samples)}
    return table, np.array([column[name] for name in table.name])


def nothing_kept(counts: Counts, region: ContigRegion | None = None) -> str:
    """Why a reading kept no site."""
    if not counts.sites:
        place = f" in {region.chromosome}:{region.start}-{region.end}" if region else ""
        return f"no variants{place}; expected at least one (is the chromosome named as in the file?)"
    return (
        f"none of {counts.sites:,} sites kept: {counts.multiallelic:,} have several alternatives, {counts.not_snps:,}"
        f" are not SNPs, {counts.symbolic:,} have no alternative in nucleotides, {counts.rare:,} are too rare"
    )
