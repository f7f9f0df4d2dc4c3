"""The verb `embed`, which `crocuta.cli` takes in."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from crocuta.embedding.launch import make_embedder, make_request, weights, work
from crocuta.embedding.pieces import PieceSource
from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.console import wrote
from crocuta.runs.options import DEVICE, DRY_RUN, JOBS, RESUME

console = make_console()


def embed(
    sequences: Annotated[Path, typer.Argument(help="FASTA, CSV or TSV, plain or .gz; or a genome in FASTA.")],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="Run folder of `crocuta train`, folder of a saved model, or a released one: hyenadna-tiny-1k, ...",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="AnnData file to write.")] = Path("emb.h5ad"),
    bed: Annotated[Path | None, typer.Option(help="Embed these intervals of the genome.")] = None,
    genes: Annotated[Path | None, typer.Option(help="Embed the genes of a GTF or GFF3 file, whole.")] = None,
    window: Annotated[int | None, typer.Option(min=1, help="Embed windows of this many nucleotides.")] = None,
    step: Annotated[
        int | None, typer.Option(min=1, help="From one window to the next; default: side by side.")
    ] = None,
    layer: Annotated[
        str,
        typer.Option(
            help="0: token embeddings; n: after n blocks; -1: the last; head: what the classifier reads."
        ),
    ] = "-1",
    pool: Annotated[str, typer.Option(help="mean, max, last, or none: a row for each nucleotide.")] = "mean",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Sequences at a time; default: about 65,000 tokens.")
    ] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Read the first nucleotides of what is longer than the model.")
    ] = False,
    jobs: JOBS = 1,
    device: DEVICE = "auto",
    resume: RESUME = False,
    dry_run: DRY_RUN = False,
) -> None:
    """Embed sequences, or windows, intervals or genes of a genome; with --resume a command goes on where it stopped.

    Points of hyperbolic models stay on their manifold, which the file names. Under torchrun, or with RANK and
    WORLD_SIZE set, each process makes its share.

    Examples:

    `crocuta embed seqs.fa -m run/ -o emb.h5ad`

    `crocuta embed genome.fa --bed peaks.bed -m hyenadna-small-32k --layer 2 --pool max --jobs 2 -o peaks.h5ad`

    `crocuta embed genome.fa --window 1000 --step 500 -m hyenadna-tiny -o tiles.h5ad`
    """  # fmt: skip
    prepare()
    from crocuta.embedding.shards import embed_with
    from crocuta.runs.progress import SILENT, shown

    bed_file, genes_file = (None if path is None else str(path) for path in (bed, genes))
    source = PieceSource(str(sequences), bed_file, genes_file, window, step, keep=not dry_run)
    request = make_request(source, model, layer, pool, truncate)
    options: dict[str, Any] = {"batch_size": batch_size, "truncate": truncate}
    if dry_run:
        show_cost(source, request, device, options)
        return
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    with SILENT if rank else shown(console) as progress:
        embed_with(
            partial(work, source, request, device, options), output, request,
            inputs=source.files | {"model": weights(model)}, resume=resume, jobs=jobs, rank=rank, world=world,
            progress=progress,
        )  # fmt: skip
    if rank == 0:
        show_contents(output)


def show_contents(output: Path) -> None:
    """Prints what the file holds."""
    from crocuta.embedding.file import read_contents

    found = read_contents(output)
    if found.rows_with_unknown:
        console.print(
            f"Nucleotides that are N, or were read as N: {found.unknown_letters:,}, in {found.rows_with_unknown:,} rows"
            " (column unknown_letters)."
        )
    console.print(wrote(f"{found.rows:,} rows of {found.dimension:,} numbers", output))


def show_cost(source: PieceSource, request: dict[str, Any], device: str, options: dict[str, Any]) -> None:
    """Prints what embedding would take."""
    from crocuta.embedding.cost import estimate_embedding

    found = estimate_embedding(make_embedder(request, device), source.pieces(), **options)
    console.print(
        f"{found.sequences:,} sequences, {found.nucleotides:,} nucleotides, longest {found.longest:,}: in one process"
        f" {found.cost.sentence()}, and a file of {found.file_mb:,.1f} MB."
    )
    found.cost.check("give a smaller `batch_size`, or shorter windows by `window`")
