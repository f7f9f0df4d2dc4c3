"""The verb `ancestry infer`: ancestry of a VCF's individuals along their chromosomes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe, wrote
from crocuta.runs.options import DEVICE, DRY_RUN, JOBS, RESUME
from crocuta.runs.progress import shown

console = make_console()


def infer(
    query: Annotated[Path, typer.Argument(help="VCF or BCF of the individuals in question.")],
    model: Annotated[Path, typer.Option("--model", "-m", help="Run of `ancestry train`, of either task.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to fill.")] = Path("ancestry"),
    window: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="SNPs: of a window (scope windows; default as trained), of a line of the .fb.tsv (local; about"
            " 32 kb).",
        ),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(
            min=1, help="SNPs from one to the next. Default: half a window (windows), a line (local)."
        ),
    ] = None,
    overlap: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of the model's sites that the VCF must have.")
    ] = 0.8,
    smooth: Annotated[
        bool, typer.Option(help="windows: a chain along the chromosome, or each window by itself.")
    ] = True,
    jobs: JOBS = 2,
    device: DEVICE = "auto",
    resume: RESUME = False,
    dry_run: DRY_RUN = False,
) -> None:
    """Infer ancestry along chromosomes: local.msp.tsv, local.fb.tsv, local.rfmix.Q, bed/, summary.json.

    With a run of --scope local: a copying model and a chain over both haplotypes of an individual, so that phase errors
    cost little. With a run of --scope windows: its windows side by side, smoothed by the same chain; a run on genotypes
    or carried sites needs no phase, and says one ancestry for both haplotypes of a place. Intervals are half-open.
    Generations since admixture and the rate of phase errors are estimated from the individuals themselves.

    Examples:

    `crocuta ancestry infer query.vcf.gz --model run/ -o out/`

    `crocuta ancestry infer query.vcf.gz --model local/ -o out/ --window 200 --step 100 --jobs 4`

    `crocuta ancestry infer query.vcf.gz --model windows/ -o out/ --window 1024 --step 512 --no-smooth`
    """
    prepare()
    from crocuta.ancestry.cost import estimate_inference
    from crocuta.ancestry.infer import infer_ancestry

    if dry_run:
        cost, individuals = estimate_inference(
            query, model, window=window, step=step, smooth=smooth, jobs=jobs, device=device
        )
        console.print(f"{individuals:,} individuals: {cost.sentence()}, estimated from a few individuals.")
        cost.check("infer fewer individuals at a time")
        return
    with shown(console) as progress:
        summary = infer_ancestry(
            query, model, output, window=window, step=step, overlap=overlap, smooth=smooth, jobs=jobs, device=device,
            resume=resume, progress=progress,
        )  # fmt: skip
    show(summary, output)


def show(summary: dict[str, Any], output: Path) -> None:
    """What was estimated of each chromosome, what to keep in mind, and where the files lie."""
    from rich.table import Table

    table = Table("chromosome", "sites found", "generations", "phase switches per cM")
    for chromosome, about in summary["chromosomes"].items():
        rates = [f"{about[name]:g}" if name in about else "–" for name in ("generations", "phase_switches")]
        table.add_row(safe(chromosome), f"{about['overlap']:.1%}", *rates)
    console.print(table)
    switches = [about.get("phase_switches", 0) for about in summary["chromosomes"].values()]
    if not summary["haplotypes_apart"]:
        console.print(
            "The model does not tell haplotypes apart: both of an individual are given the same ancestry."
        )
    elif max(switches) >= 0.1:
        console.print(
            "The haplotypes change places often: phase is uncertain. Ancestries are right place by place, but a tract"
            " may go on in the individual's other haplotype."
        )
    if seen := summary["in_reference"]:
        console.print(
            f"{len(seen):,} of these individuals are in the model's own reference ({safe(', '.join(seen[:3]))}"
            f"{', ...' if len(seen) > 3 else ''}): their results look better than those of others will be."
        )
    console.print(wrote(f"{len(summary['samples']):,} individuals", output))
