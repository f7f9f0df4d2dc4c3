"""Blocks of variants, and the policies under which they are kept."""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from crocuta.errors import InputError
from crocuta.variants.genotypes import OTHER, UNKNOWN, Genotypes, as_alleles
from crocuta.variants.panel import MISSING

NUCLEOTIDES = frozenset((b"A", b"C", b"G", b"T"))
PHASES = ("auto", "require", "ignore")
MULTIALLELIC = ("skip", "split")


@dataclass(frozen=True)
class Policy:
    """Which variants and genotypes are taken, and how.

    Args:
        snps_only: leave out insertions, deletions and others whose alleles are more than one nucleotide.
        multiallelic: "skip" sites with several alternatives, or "split" them into one site each; an allele that is
            neither the reference nor this alternative is missing there, never reference.
        maf: least frequency of the rarer allele among known alleles.
        phase: "auto" takes phased files, and unphased ones as unphased, and stops at a mixture; "require" stops at any
            heterozygous genotype that is unphased; "ignore" takes everything as unphased.
    """

    snps_only: bool = True
    multiallelic: str = "skip"
    maf: float = 0.0
    phase: str = "auto"

    def __post_init__(self) -> None:
        if self.phase not in PHASES or self.multiallelic not in MULTIALLELIC:
            raise InputError(
                f"phase {self.phase!r}, multi-allelic {self.multiallelic!r}; expected one of"
                f" {', '.join(PHASES)}, and {' or '.join(MULTIALLELIC)}"
            )
        if not 0 <= self.maf < 0.5:
            raise InputError(f"`maf` {self.maf}: expected a frequency from 0 to below 0.5")


@dataclass
class Counts:
    """What was read and what was done with it: sites, then genotypes."""

    sites: int = 0
    kept: int = 0
    multiallelic: int = 0  # sites with several alternatives
    not_snps: int = 0  # left out: alleles of more than one nucleotide
    symbolic: int = 0  # left out: no alternative in nucleotides
    rare: int = 0  # left out: below the least frequency
    heterozygous: int = 0
    unphased: int = 0  # of the heterozygous ones
    missing: int = 0  # both alleles
    half: int = 0  # one allele of a diploid genotype
    haploid: int = 0

    def add(self, other: "Counts") -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def phased(self, source: object, policy: Policy) -> bool:
        """Whether the genotypes are phased.

        Raises:
            InputError: partly, or not where they must be.
        """
        if policy.phase == "ignore":
            return False
        part = (
            f"{self.unphased:,} of {self.heterozygous:,} heterozygous genotypes are unphased (0/1, not 0|1)"
        )
        if policy.phase == "require" and self.unphased:
            raise InputError(
                f"{source}: {part}; expected phased genotypes, phase them with SHAPEIT5 or Beagle (models of"
                " windows with `view` genotype or carried need no phase)"
            )
        if 0 < self.unphased < self.heterozygous:
            raise InputError(
                f"{source}: {part}; expected all or none, phase them with SHAPEIT5 or Beagle, or take all as unphased"
                " with `phase` ignore"
            )
        return self.unphased == 0


class Heads(NamedTuple):
    """What stands before the genotypes of some lines of one chromosome."""

    chromosome: str
    position: np.ndarray
    ref: list[bytes]
    alt: list[bytes]

    def at(self, rows: slice) -> "Heads":
        return Heads(self.chromosome, self.position[rows], self.ref[rows], self.alt[rows])


class Block(NamedTuple):
    """Biallelic sites of one chromosome, in order; `counts` is of all that was read for them.

    Shapes: `position` int32 (n,), `ref`, `alt` bytes (n,), `allele` uint8 (n, individuals, 2).
    """

    chromosome: str
    position: np.ndarray
    ref: np.ndarray
    alt: np.ndarray
    allele: np.ndarray
    counts: Counts


def make_block(heads: Heads, genotypes: Genotypes, policy: Policy) -> Block:
    """The sites that the policy keeps, perhaps none."""
    counts = Counts()
    rows, alternatives, refs, alts = _chosen(heads, policy, counts)
    index = (
        genotypes.index
        if len(rows) == len(heads.ref) and rows == list(range(len(rows)))
        else genotypes.index[rows]
    )
    which = np.array(alternatives, np.uint8)
    allele = as_alleles(index, 1 if (which == 1).all() else which[:, None, None])
    position = heads.position[rows]
    common = _common(allele, policy.maf)
    counts.sites += len(heads.ref)
    counts.rare += len(common) - int(common.sum())
    counts.kept += int(common.sum())
    rows = np.array(rows, int)
    if not common.all():
        allele, position, rows = allele[common], position[common], rows[common]
        refs, alts = np.array(refs)[common], np.array(alts)[common]
    _count(allele, genotypes, rows, counts)
    return Block(
        heads.chromosome, position, np.array(refs, dtype="S"), np.array(alts, dtype="S"), allele, counts
    )


def _chosen(heads: Heads, policy: Policy, counts: Counts) -> tuple[list[int], list[int], list, list]:
    """Lines to keep (one several times if it is split), and which of their alternatives."""
    rows, alternatives, refs, alts = [], [], [], []
    for row, (ref, alt) in enumerate(zip(heads.ref, heads.alt, strict=True)):
        if ref in NUCLEOTIDES and alt in NUCLEOTIDES:
            several = [alt]
        else:
            ref, several = ref.upper(), alt.upper().split(b",")
            if len(several) > 1:
                counts.multiallelic += 1
                if policy.multiallelic == "skip" or len(several) >= OTHER:
                    continue
        for which, nucleotides in enumerate(several, 1):
            if not nucleotides.isalpha():
                counts.symbolic += 1
            elif policy.snps_only and (ref not in NUCLEOTIDES or nucleotides not in NUCLEOTIDES):
                counts.not_snps += 1
            else:
                rows.append(row)
                alternatives.append(which)
                refs.append(ref)
                alts.append(nucleotides)
    return rows, alternatives, refs, alts


def _common(allele: np.ndarray, maf: float) -> np.ndarray:
    if maf == 0:
        return np.ones(len(allele), bool)
    flat = allele.reshape(len(allele), -1)
    known = (flat != MISSING).sum(1)
    alternative = (flat == 1).sum(1)
    return np.minimum(alternative, known - alternative) >= maf * np.maximum(known, 1)


def _count(allele: np.ndarray, genotypes: Genotypes, rows: np.ndarray, counts: Counts) -> None:
    first, second = allele[..., 0], allele[..., 1]
    different = first != second
    counts.heterozygous += int(np.count_nonzero(different))
    if not genotypes.index.max(initial=0) > 1:
        _count_unphased(different, genotypes, rows, counts)
        return
    unknown = genotypes.index[rows] == UNKNOWN
    one, both = unknown.any(-1), unknown.all(-1)
    lost = different & ((first == MISSING) | (second == MISSING))
    counts.heterozygous -= int(lost.sum())
    haploid = genotypes.haploid[rows] if genotypes.haploid is not None else np.zeros_like(one)
    counts.haploid += int((haploid & ~both).sum())
    counts.missing += int(both.sum())
    counts.half += int((one & ~both & ~haploid).sum())
    _count_unphased(different & ~lost, genotypes, rows, counts)


def _count_unphased(heterozygous: np.ndarray, genotypes: Genotypes, rows: np.ndarray, counts: Counts) -> None:
    if genotypes.unphased is not None:
        counts.unphased += int((heterozygous & genotypes.unphased[rows]).sum())
