"""The verb `ancestry build`, which `crocuta.ancestry.verbs` takes in."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe, wrote
from crocuta.runs.options import DRY_RUN, JOBS, RESUME
from crocuta.runs.progress import shown

if TYPE_CHECKING:
    from crocuta.variants.build import Built

console = make_console()


def build(
    variants: Annotated[
        list[Path], typer.Argument(help="VCF (.vcf, .vcf.gz) or BCF, one or more, of the same individuals.")
    ],
    samples: Annotated[
        Path | None,
        typer.Option(help="Table with the columns sample, pop, and perhaps super_pop and family."),
    ] = None,
    genetic_map: Annotated[
        Path | None,
        typer.Option("--map", help="Genetic map: HapMap, `pos chr cM` or PLINK. Default 1 cM/Mb."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Store (HDF5 file) to write.")] = Path(
        "cohort.h5"
    ),
    maf: Annotated[
        float, typer.Option(help="Least frequency of a site's rarer allele, over all individuals.")
    ] = 0.0,
    snps_only: Annotated[
        bool,
        typer.Option("--snps-only/--all", help="Leave out insertions, deletions and the like, or keep them."),
    ] = True,
    multiallelic: Annotated[
        str, typer.Option(help="Sites with several alternatives: skip, or split into one site each.")
    ] = "skip",
    phase: Annotated[
        str,
        typer.Option(
            help="auto: phased or unphased as the file is, a mixture is an error. require: phased. ignore: take all"
            " as unphased."
        ),
    ] = "auto",
    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            help="Take the individuals that are in the files and in the table; else all must match.",
        ),
    ] = False,
    reference: Annotated[
        str, typer.Option(help="Name of the reference build. Default: what the headers say.")
    ] = "",
    jobs: JOBS = 1,
    resume: RESUME = False,
    dry_run: DRY_RUN = False,
) -> None:
    """Build a cohort from VCFs and a table of samples: one HDF5 file, read by window of an individual.

    A missing allele (`.`), also half of a genotype, stays missing and never becomes the reference; so does the absent
    second allele of a haploid X. Where a site is split, an allele that is neither the reference nor the alternative is
    missing. Positions must ascend; `chr22` and `22` are the same.

    Examples:

    `crocuta ancestry build cohort.vcf.gz --samples samples.tsv --map map.tsv -o cohort.h5`

    `crocuta ancestry build chr*.vcf.gz --samples 1000g.panel --shared --maf 0.01 --jobs 2 -o cohort.h5`
    """
    from crocuta.ancestry.cohorts import build_cohort, estimate_build
    from crocuta.variants.blocks import Policy

    policy = Policy(snps_only=snps_only, multiallelic=multiallelic, maf=maf, phase=phase)
    if dry_run:
        ahead = estimate_build(variants, policy, jobs)
        console.print(
            f"{ahead.bytes / 1e6:,.1f} MB with about {ahead.sites:,} sites: {ahead.cost.sentence()}, estimated from the"
            " first block of each file."
        )
        ahead.cost.check("lower `jobs`")
        return
    with shown(console) as progress:
        built = build_cohort(
            variants, output, samples, genetic_map, policy=policy, shared=shared, build=reference, jobs=jobs,
            resume=resume, progress=progress,
        )  # fmt: skip
    show(built)
    console.print(wrote("", output))


def show(built: "Built") -> None:
    """Individuals by population, sites by chromosome, what was left out, and what to beware of."""
    import numpy as np
    from rich.table import Table

    table = Table("chromosome", "sites", "left out", "missing", "phased")
    for name, counts in built.counts.items():
        reasons = {
            "several alternatives": counts.multiallelic, "not SNPs": counts.not_snps,
            "no nucleotides": counts.symbolic, "rare": counts.rare,
        }  # fmt: skip
        left = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
        genotypes = counts.kept * len(built.samples)
        missing = (counts.missing + counts.half) / genotypes
        table.add_row(
            safe(name),
            f"{counts.kept:,}",
            left or "–",
            f"{missing:.2%}",
            "yes" if built.phased[name] else "no",
        )
    console.print(table)
    populations = dict(zip(*np.unique(built.samples.population, return_counts=True), strict=True))
    console.print(
        f"{len(built.samples):,} individuals: "
        + ", ".join(f"{safe(name or '?')} {n:,}" for name, n in populations.items())
    )
    if not built.build:
        console.print("The headers name no reference build; give it with --reference, e.g. GRCh37.")
    if lonely := [name for name, count in populations.items() if count == 1 and name]:
        console.print(
            f"One individual alone: {safe(', '.join(lonely))}; training needs more of each population."
        )
    if haploid := sum(counts.haploid for counts in built.counts.values()):
        console.print(f"{haploid:,} haploid genotypes: their second allele is missing.")
