"""The verb `map`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated

import typer

from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe, wrote
from crocuta.runs.options import OVERWRITE, check_file

console = make_console()


def draw(
    embeddings: Annotated[Path, typer.Argument(help="AnnData file (.h5ad), as `crocuta embed` writes.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help=".png, .svg, or .html: hover names points.")
    ] = Path("map.png"),
    colour: Annotated[
        str | None, typer.Option("--colour", "--color", "-c", help="Column of the table: texts or numbers.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="pca, disk, tsne or umap; repeat for panels. Default: disk if hyperbolic, else pca.",
        ),
    ] = None,
    points: Annotated[
        int, typer.Option(min=3, help="Draw at most this many points, chosen at random.")
    ] = 5000,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of points, t-SNE and UMAP.")] = 0,
    overwrite: OVERWRITE = False,
) -> None:
    """Draw embeddings on a plane: PCA, t-SNE, UMAP, or the Poincaré disk, coloured by any column.

    Examples:

    `crocuta map emb.h5ad --colour label -o map.png`

    `crocuta map emb.h5ad --colour biotype --method pca --method tsne -o map.html`
    """  # fmt: skip
    prepare()
    from crocuta.analysis.embeddings import read_embeddings
    from crocuta.analysis.maps import make_map
    from crocuta.report.maps import check_suffix, write_map

    check_suffix(output)
    check_file(output, overwrite)
    found = read_embeddings(embeddings, most=points, seed=seed)
    if colour is not None:
        found.column(colour)
    maps = [make_map(found, method=name, seed=seed) for name in method or [None]]
    write_map(output, maps, found, colour_by=colour)
    for made in maps:
        console.print(safe(made.caption))
    console.print(wrote(f"{len(found):,} points", output))
