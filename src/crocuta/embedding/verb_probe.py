"""The verb `probe`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated

import typer

from crocuta.files import write_json
from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe, wrote
from crocuta.runs.options import OVERWRITE, check_file

console = make_console()


def probe(
    embeddings: Annotated[Path, typer.Argument(help="AnnData file (.h5ad), as `crocuta embed` writes.")],
    label: Annotated[str, typer.Option("--label", "-l", help="Column to predict, e.g. biotype.")],
    group: Annotated[
        str | None, typer.Option("--group", "-g", help="Column whose values stay in one fold, e.g. contig.")
    ] = None,
    folds: Annotated[int, typer.Option(min=3, help="Parts of the cross-validation.")] = 5,
    least: Annotated[
        int, typer.Option("--min-rows", min=2, help="Labels with fewer rows are left out.")
    ] = 10,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file for the figures.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the division into folds.")] = 0,
    overwrite: OVERWRITE = False,
) -> None:
    """Evaluate embeddings by a linear probe: cross-validated logistic regression on a label, macro F1.

    Examples:

    `crocuta embed genome.fa --genes genes.gtf -m run/ -o genes.h5ad`

    `crocuta probe genes.h5ad --label biotype --group contig`
    """
    prepare()
    from rich.table import Table

    from crocuta.analysis.embeddings import read_embeddings
    from crocuta.embedding.probe import as_json
    from crocuta.embedding.probe import probe as fit_probe
    from crocuta.runs.progress import shown

    if output is not None:
        check_file(output, overwrite)
    with shown(console) as progress, progress.stage("fitting"):
        found = fit_probe(
            read_embeddings(embeddings), label=label, group=group, folds=folds, least=least, seed=seed
        )
    apart = f", {safe(group)} kept together" if group else ""
    table = Table(
        safe(label), "rows", "F1", title=f"{len(found.labels):,} rows, {folds} folds{apart}"
    )  # fmt: skip
    for name, count, f1 in zip(found.classes, found.counts, found.by_class, strict=True):
        table.add_row(safe(name), f"{count:,}", f"{f1:.3f}")
    console.print(table)
    console.print(
        f"Macro F1 [bold cyan]{found.scores['macro_f1']:.3f}[/], MCC {found.scores['mcc']:.3f},"
        f" accuracy {found.scores['accuracy']:.3f}"
    )
    if found.left_out:
        rare = ", ".join(f"{safe(name)} ({count})" for name, count in found.left_out.items())
        console.print(f"Left out, fewer than {least} rows: {rare}")
    if output is not None:
        write_json(output, as_json(found))
        console.print(wrote("", output))
