"""The verb `ancestry paint`: karyograms of what `ancestry infer` found."""

from pathlib import Path
from typing import Annotated

import typer

from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.console import wrote
from crocuta.runs.options import OVERWRITE, check_file
from crocuta.runs.progress import shown

console = make_console()


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
    formats: Annotated[str, typer.Option(help="png, svg and html, separated by commas.")] = "png,svg,html",
    overwrite: OVERWRITE = False,
) -> None:
    """Paint chromosomes: both haplotypes by ancestry, doubtful parts hatched, shares next to each chromosome.

    Examples:

    `crocuta ancestry paint out/`

    `crocuta ancestry paint out/ --sample NA19700 --formats html -o pictures/`
    """
    prepare()
    from crocuta.ancestry.karyogram import check_suffixes, read_individuals, write_karyogram
    from crocuta.files import file_name

    folder = output or inferred / "karyograms"
    endings = [ending.strip() for ending in formats.split(",") if ending.strip()]
    check_suffixes([Path(f"{folder}.{ending}") for ending in endings])
    individuals = read_individuals(inferred, sample)
    pictures = [
        (person, folder / f"{file_name(person.name)}.{end}") for person in individuals for end in endings
    ]
    for _, path in pictures:
        check_file(path, overwrite)
    with shown(console) as progress, progress.stage("painting", len(pictures), "pictures") as stage:
        for person, path in pictures:
            write_karyogram(path, person)
            stage.advance()
    console.print(wrote(f"{len(individuals):,} individuals", folder))
