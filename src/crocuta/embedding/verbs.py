"""The verb `embed`, which `crocuta.cli` takes in."""

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from crocuta.embedding.pieces import PieceSource
from crocuta.errors import InputError
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


def make_request(source: PieceSource, model: str, layer: str, pool: str, truncate: bool) -> dict[str, Any]:
    """What is asked, as JSON: what the same command has to ask again in order to go on.

    Raises:
        InputError: a layer that is no number and not `head`; a missing file.
    """
    from crocuta.embedding.features import HEAD

    layer = HEAD if model.startswith("kmer-") else layer
    if layer != HEAD and not layer.lstrip("-").isdigit():
        raise InputError(f"`layer` {layer}: expected a whole number, or head")
    missing = next((path for path in source.files.values() if path and not Path(path).exists()), None)
    if missing is not None:
        raise InputError(f"{missing}: no such file")
    return {
        "model": model, **source.files, "window": source.window, "step": source.step,
        "layer": layer if layer == HEAD else int(layer), "pool": pool, "truncate": truncate,
    }  # fmt: skip


def counted(model: str) -> int | None:
    """The longest k-mer that `kmer-4` counts; None: another model."""
    found = re.fullmatch(r"kmer-([1-8])", model)
    return int(found[1]) if found else None


def weights(model: str) -> list[Path] | None:
    """Files of the model; None where its name says all."""
    from crocuta.runs.load import weights_of

    return None if counted(model) else weights_of(model)


def make_embedder(request: dict[str, Any], device: str):
    """The model of a request: of a run, the first seed of its first model."""
    from crocuta.embedding.features import HEAD, Embedder
    from crocuta.models.baselines import KmerConfig, KmerForSequenceClassification
    from crocuta.runs.device import choose_device
    from crocuta.runs.load import load

    place = choose_device(device)
    if longest := counted(request["model"]):
        counts = KmerForSequenceClassification(KmerConfig(longest_kmer=longest))
        return Embedder(counts.to(place), HEAD)  # pyright: ignore[reportArgumentType]
    loaded = load(request["model"])
    model = loaded.members[0] if hasattr(loaded, "members") else loaded
    return Embedder(model.to(place), request["layer"], request["pool"])


def work(
    source: PieceSource, request: dict[str, Any], device: str, options: dict[str, Any],
    folder: Path, rank: int, world: int, done: Callable[[int], object] = lambda count: None,
):  # fmt: skip
    """One process's share of the shards."""
    prepare()
    from crocuta.embedding.shards import write_shards

    embedder = make_embedder(request, device)
    return write_shards(embedder, source.pieces(), folder, rank=rank, world=world, done=done, **options)


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
