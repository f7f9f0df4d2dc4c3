"""The verb `ancestry paint`: karyograms of what `ancestry infer` found."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crocuta.quiet import prepare

console = Console(highlight=False)


def paint(
    inferred: Annotated[Path, typer.Argument(help="Folder that `ancestry infer` filled.")],
    sample: Annotated[
        list[str] | None,
        typer.Option("--sample", "-s", help="Whom to paint; repeat for several. Default: all."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the pictures. Default: karyograms/ inside."),
    ] = None,
    formats: Annotated[str, typer.Option(help="png, svg, html, by commas.")] = "png,svg,html",
) -> None:
    """Paint chromosomes: both haplotypes by ancestry, doubtful parts hatched, shares beside each chromosome.

    Examples:

    `crocuta ancestry paint out/`

    `crocuta ancestry paint out/ --sample NA19700 --formats html -o pictures/`
    """
    prepare()
    from rich.progress import track

    from crocuta.report.karyogram import check_suffixes, read_people, write_karyogram

    folder = output or inferred / "karyograms"
    endings = [ending.strip() for ending in formats.split(",") if ending.strip()]
    check_suffixes([Path(f"{folder}.{ending}") for ending in endings])
    people = read_people(inferred, sample)
    for person in track(people, "painting", console=console, transient=True):
        for ending in endings:
            write_karyogram(folder / f"{person.name}.{ending}", person)
    console.print(f"{len(people):,} people → [bold]{folder}[/]")
