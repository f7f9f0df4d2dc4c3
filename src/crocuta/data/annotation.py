"""Genes from GTF and GFF3 files."""

import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

from crocuta.data.intervals import STRANDS, Intervals
from crocuta.data.text import open_lines
from crocuta.errors import InputError

GENES = {"gene", "ncRNA_gene", "pseudogene", "transposable_element_gene"}
TRANSCRIPTS = {"mRNA": "protein_coding", "CDS": "protein_coding", "pseudogenic_transcript": "pseudogene"} | {
    kind: kind
    for kind in ("ncRNA", "lnc_RNA", "lncRNA", "miRNA", "rRNA", "snRNA", "snoRNA", "tRNA", "pre_miRNA",
                 "scRNA", "SRP_RNA", "RNase_P_RNA", "RNase_MRP_RNA", "telomerase_RNA", "antisense_RNA",
                 "pseudogene", "mRNA_TE_gene")
}  # fmt: skip
BIOTYPES = ("gene_biotype", "biotype", "gene_type")
NAMES = ("gene_id", "ID", "Name")


BIOTYPE_WORDS = {
    "protein_coding": "protein coding gene",
    "pseudogene": "pseudogene",
    "ncRNA": "non-coding RNA gene",
    "lncRNA": "long non-coding RNA gene",
    "mRNA_TE_gene": "transposable element gene",
    "miRNA": "micro RNA gene",
    "piRNA": "piwi-interacting RNA gene",
    "rRNA": "ribosomal RNA gene",
    "snRNA": "small nuclear RNA gene",
    "snoRNA": "small nucleolar RNA gene",
    "tRNA": "transfer RNA gene",
}


class Gene(NamedTuple):
    """A gene while its lines are read; start and end as in BED."""

    name: str
    contig: str
    start: int
    end: int
    strand: str
    biotype: str
    line: int


def read_annotation(path: str | PathLike) -> Intervals:
    """Genes of a GTF or GFF3 file, plain or gzip, with the column `biotype`.

    Positions are turned to those of BED: from 0, the end excluded. The biotype is what the gene's line says
    (`gene_biotype`, `biotype`, `gene_type`), else the kind of its first transcript ("protein_coding" for mRNA), else
    "". In a file without genes (refGene), the exons of one `gene_id` on one contig and strand make a gene.

    Raises:
        InputError: no file, no genes, a broken line; names the line.
    """
    path = Path(path)
    genes: dict[str, Gene] = {}
    parts: dict[tuple[str, str, str], Gene] = {}
    kinds: dict[str, str] = {}
    for feature, gene, parent in _features(path):
        if feature in GENES:
            genes[gene.name] = gene
        elif feature in TRANSCRIPTS and parent:
            kinds.setdefault(parent, gene.biotype or TRANSCRIPTS[feature])
        if feature not in GENES and not genes and parent:
            key = (parent, gene.contig, gene.strand)
            parts[key] = _joined(parts.get(key), gene._replace(name=parent), feature)
    named = [gene._replace(biotype=gene.biotype or kinds.get(gene.name, "")) for gene in genes.values()]
    found = named or list(parts.values())
    if not found:
        raise InputError(f"{path}: no genes; expected GTF or GFF3 with lines of the feature 'gene'")
    return _intervals(path, found)


def _intervals(path: Path, genes: list[Gene]) -> Intervals:
    name, contig, start, end, strand, biotype, line = zip(*genes, strict=True)
    names = [text.removeprefix("gene:").removeprefix("Gene:") for text in name]
    return Intervals.build(
        contig, start, end, names, strand,
        columns={"biotype": np.array(biotype, object)}, path=path, lines=np.array(line),
    )  # fmt: skip


def _joined(known: Gene | None, part: Gene, feature: str) -> Gene:
    """A gene that covers another exon."""
    biotype = "protein_coding" if feature == "CDS" else (known or part).biotype
    if known is None:
        return part._replace(biotype=biotype)
    return known._replace(start=min(known.start, part.start), end=max(known.end, part.end), biotype=biotype)


def _features(path: Path) -> Iterator[tuple[str, Gene, str]]:
    """Feature, what its line says, and the gene or transcript that it belongs to ("" if none)."""
    with open_lines(path) as lines:
        for number, text in lines:
            if text.startswith("##FASTA"):
                return
            if not text.strip() or text.startswith("#"):
                continue
            fields = text.rstrip("\r").split("\t")
            if len(fields) != 9:
                raise InputError(
                    f"{path}, line {number}: {len(fields)} fields, expected the 9 of GTF and GFF3,"
                    " separated by tabs"
                )
            yield _feature(path, number, fields)


def _feature(path: Path, number: int, fields: list[str]) -> tuple[str, Gene, str]:
    contig, _, feature, first, last, _, strand, _, attributes = fields
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise InputError(
            f"{path}, line {number}: start {first!r} and end {last!r}; expected whole numbers, 1 <= start <= end"
        )
    found = _attributes(attributes)
    name = next((found[key] for key in NAMES if key in found), f"gene_{number}")
    if feature in GENES and found.get("ID"):
        name = found["ID"]  # what the transcripts' Parent refers to
    biotype = next((found[key] for key in BIOTYPES if key in found), "")
    parent = found.get("Parent") or found.get("gene_id") or ""
    strand = strand if strand in STRANDS else "."
    return feature, Gene(name, contig, int(first) - 1, int(last), strand, biotype, number), parent


_GTF = re.compile(r'\s*([^\s;]+)\s+(?:"([^"]*)"|([^;"]*))\s*(?:;|$)')


def _attributes(text: str) -> dict[str, str]:
    """The last column: `key "value";` (GTF) or `key=value;` (GFF3)."""
    if "=" in text.split(" ", 1)[0]:
        pairs = (part.split("=", 1) for part in text.split(";") if "=" in part)
        return {key.strip(): unquote(value.strip()) for key, value in pairs}
    return {match[1]: match[2] or match[3] or "" for match in _GTF.finditer(text)}


def gene_caption(biotype: str, species: str | None = None, description: str = "") -> str:
    """What an annotation says of a gene, in words.

    >>> gene_caption("tRNA", "yeast")
    'a transfer RNA gene of yeast'
    >>> gene_caption("protein_coding", description="ionotropic receptor 21a")
    'a protein coding gene: ionotropic receptor 21a'
    """
    words = f"a {BIOTYPE_WORDS.get(biotype, biotype.replace('_', ' ') + ' gene')}"
    words += "" if species is None else f" of {species}"
    return f"{words}: {description}" if description else words
