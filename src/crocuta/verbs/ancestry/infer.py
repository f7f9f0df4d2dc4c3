"""The verb `ancestry infer`: local ancestry of a VCF's people."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crocuta.quiet import prepare

console = Console(highlight=False)


def infer(
    query: Annotated[Path, typer.Argument(help="VCF or BCF of the people in question, phased.")],
    model: Annotated[Path, typer.Option("--model", "-m", help="Run of `ancestry train --task local`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to fill.")] = Path("ancestry"),
    window: Annotated[
        int | None, typer.Option(min=1, help="SNPs of a line of the .fb.tsv. Default: about 32 kb.")
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=1, help="SNPs from one line to the next. Default: a window.")
    ] = None,
    overlap: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of the model's sites that the VCF must have.")
    ] = 0.8,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Batches of people at once.")] = 2,
) -> None:
    """Infer local ancestry: local.msp.tsv, local.fb.tsv, local.rfmix.Q, bed/, summary.json.

    Intervals are half-open. Generations since admixture and the rate of phase errors are estimated from the people
    themselves; both haplotypes of a person are judged together, so that phase errors cost little.

    Examples:

    `crocuta ancestry infer query.vcf.gz --model run/ -o out/`

    `crocuta ancestry infer query.vcf.gz --model run/ -o out/ --window 200 --step 100 --jobs 4`
    """
    prepare()
    from rich.progress import Progress
    from rich.table import Table

    from crocuta.train.local_ancestry_infer import infer_local

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("haplotypes", total=None)
        told = infer_local(
            query, model, output, window=window, step=step, overlap=overlap, jobs=jobs,
            progress=lambda done: bar.update(task, advance=done),
        )  # fmt: skip
    table = Table("chromosome", "sites found", "generations", "phase switches per cM")
    for chromosome, about in told["chromosomes"].items():
        rates = f"{about['generations']:g}", f"{about['phase_switches']:g}"
        table.add_row(chromosome, f"{about['overlap']:.1%}", *rates)
    console.print(table)
    if any(about["phase_switches"] >= 0.1 for about in told["chromosomes"].values()):
        console.print(
            "The haplotypes change places often: phase is uncertain. Ancestries are right place by place, but a tract"
            " may go on in the person's other haplotype."
        )
    console.print(f"{len(told['samples']):,} people → [bold]{output}[/]")
