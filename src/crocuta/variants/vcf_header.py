"""What the header of a VCF says: samples, contigs, reference build."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from crocuta.errors import InputError
from crocuta.variants.contigs import BUILDS, build_of
from crocuta.variants.samples import check_unique

CONTIG = re.compile(r"ID=([^,>]+)(?:.*?length=(\d+))?(?:.*?assembly=\"?([^,>\"]+))?")
COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]
ALIASES = {"GRCh37": ("grch37", "hg19", "b37", "hs37"), "GRCh38": ("grch38", "hg38", "b38", "hs38")}


@dataclass
class VcfHeader:
    """Names of the samples, lengths of contigs (0 if not given), and the build ("" if nothing tells it)."""

    samples: list[str] = field(default_factory=list)
    contigs: dict[str, int] = field(default_factory=dict)
    build: str = ""


def parse_vcf_header(path: Path, lines: list[str]) -> VcfHeader:
    """The header of a VCF from its lines, the last of which names the columns.

    Raises:
        InputError: not a VCF, no samples, or one of them twice.
    """
    if not lines or not lines[0].startswith("##fileformat=VCF"):
        found = repr(lines[0][:40]) if lines and lines[0] else "nothing"
        raise InputError(f"{path}, line 1: found {found}; expected a VCF, which starts with ##fileformat=VCF")
    columns = lines[-1].split("\t")
    if columns[0] != "#CHROM":
        raise InputError(
            f"{path}, line {len(lines)}: no line '#CHROM ...' before the variants; expected a VCF's header"
        )
    if columns[: len(COLUMNS)] != COLUMNS or len(columns) == len(COLUMNS):
        raise InputError(
            f"{path}, line {len(lines)}: no genotypes; expected the columns {' '.join(COLUMNS)} and one for each sample"
        )
    header = VcfHeader(columns[len(COLUMNS) :])
    check_unique(header.samples, path)
    said = ""
    for line in lines:
        if line.startswith("##contig=") and (match := CONTIG.search(line)):
            header.contigs[match[1]] = int(match[2] or 0)
            said += (match[3] or "").lower()
        elif line.startswith("##reference="):
            said += line.lower()
    named = [build for build in BUILDS if any(alias in said for alias in ALIASES[build])]
    header.build = build_of(header.contigs) or (named[0] if len(named) == 1 else "")
    return header
