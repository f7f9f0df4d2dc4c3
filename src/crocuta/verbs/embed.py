"""The verb `embed`, which `crocuta.cli` takes in."""

import os
import re
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from crocuta.data.pieces import Source
from crocuta.errors import InputError
from crocuta.quiet import prepare

console = Console(highlight=False)


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
    window: Annotated[int | None, typer.Option(min=1, help="Embed windows of so many nucleotides.")] = None,
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
        bool, typer.Option("--truncate", help="Read the first letters of what is longer than the model.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes side by side.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate time and memory, embed nothing.")
    ] = False,
) -> None:
    """Embed sequences, or windows, intervals or genes of a genome. The same command goes on where it stopped.

    Points of hyperbolic models stay on their manifold, which the file names. Under torchrun, or with RANK and
    WORLD_SIZE set, each process makes its share.

    Examples:

    `crocuta embed seqs.fa -m run/ -o emb.h5ad`

    `crocuta embed genome.fa --bed peaks.bed -m hyenadna-small-32k --layer 2 --pool max --jobs 2 -o peaks.h5ad`

    `crocuta embed genome.fa --window 1000 --step 500 -m hyenadna-tiny -o tiles.h5ad`
    """  # fmt: skip
    prepare()
    bed_file, genes_file = (None if path is None else str(path) for path in (bed, genes))
    source = Source(str(sequences), bed_file, genes_file, window, step)
    request = make_request(source, model, layer, pool, truncate)
    options: dict[str, Any] = {"batch_size": batch_size, "truncate": truncate}
    if dry_run:
        show_cost(source, request, options)
        return
    from crocuta.train.embed import is_done

    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if is_done(output, request):
        console.print(f"[bold]{output}[/] is there already, made by this very request.")
    elif world > 1:
        share_out(source, request, output, options, rank, world)
    elif jobs > 1:
        side_by_side(source, request, output, options, jobs)
    else:
        work(source, request, output, options, 0, 1, show=True)
    if rank == 0:
        show_contents(output)


def make_request(source: Source, model: str, layer: str, pool: str, truncate: bool) -> dict[str, Any]:
    """What is asked, as JSON: what the same command has to ask again in order to go on.

    Raises:
        InputError: a layer that is no number and not `head`; a missing file.
    """
    from crocuta.runs.manifest import describe
    from crocuta.train.features import HEAD

    layer = HEAD if model.startswith("kmer-") else layer

    if layer != HEAD and not layer.lstrip("-").isdigit():
        raise InputError(f"--layer {layer!r}, expected a whole number, or head")
    missing = next((path for path in source.files if not path.exists()), None)
    if missing is not None:
        raise InputError(f"{missing}: no such file")
    weights = [describe(path)["sha256"] for path in weight_files(Path(model))]
    files = [{key: describe(path)[key] for key in ("sha256", "bytes")} for path in source.files]
    return {
        "model": model, "weights": weights, **asdict(source), "files": files,
        "layer": layer if layer == HEAD else int(layer), "pool": pool, "truncate": truncate,
    }  # fmt: skip


def weight_files(model: Path) -> list[Path]:
    """The weights in a folder of one model, or of a run; none for a model by name."""
    return sorted(model.rglob("model*.safetensors")) if model.is_dir() else []


def make_embedder(request: dict[str, Any]):
    """The model of a request: of a run, the first seed of its first model; on the accelerator where there is one."""
    import torch

    from crocuta import presets
    from crocuta.models.baselines import KmerConfig, KmerForSequenceClassification
    from crocuta.train.features import HEAD, Embedder

    if counted := re.fullmatch(r"kmer-([1-8])", request["model"]):
        return Embedder(KmerForSequenceClassification(KmerConfig(longest_kmer=int(counted[1]))), HEAD)
    loaded = presets.load(request["model"])
    model = loaded.members[0] if hasattr(loaded, "members") else loaded
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return Embedder(model, request["layer"], request["pool"])


def work(
    source: Source,
    request: dict[str, Any],
    output: Path,
    options: dict[str, Any],
    rank: int,
    world: int,
    show: bool = False,
) -> int:
    """One process's share; the only process also joins the shards. Returns their number."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from crocuta.train import embed as shards

    embedder = make_embedder(request)
    columns = SpinnerColumn(), TextColumn("{task.completed:,} sequences"), TimeElapsedColumn()
    with Progress(
        *columns, console=console, transient=True, disable=not (show and console.is_terminal)
    ) as bar:
        task = bar.add_task("embedding", total=None)
        count = shards.embed(
            embedder, source.pieces(), output, request, rank=rank, world=world,
            progress=lambda done: bar.update(task, advance=done), **options,
        )  # fmt: skip
    if world == 1:
        shards.finish(output, count)
    return count


def share_out(source, request, output: Path, options, rank: int, world: int) -> None:
    """One of several processes that a launcher started; the first waits for the others and joins."""
    from crocuta.train import embed as shards

    count = work(source, request, output, options, rank, world, show=rank == 0)
    if rank == 0:
        while shards.made(output) < count:
            time.sleep(0.2)
        shards.finish(output, count)


def side_by_side(source, request, output: Path, options, jobs: int) -> None:
    """Starts processes, shows how many shards there are, and joins them."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from crocuta.train import embed as shards

    shards.claim(output, request)
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    os.environ.setdefault("OMP_NUM_THREADS", threads)  # of the processes that start now
    columns = SpinnerColumn(), TextColumn("{task.completed:,} shards"), TimeElapsedColumn()
    with (
        ProcessPoolExecutor(jobs, get_context("spawn"), prepare) as pool,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("embedding", total=None)
        futures = [pool.submit(work, source, request, output, options, i, jobs) for i in range(jobs)]
        while not all(map(Future.done, futures)):
            bar.update(task, completed=shards.made(output))
            time.sleep(0.1)
        counts = [future.result() for future in futures]
    shards.finish(output, counts[0])


def show_contents(output: Path) -> None:
    """Prints what the file holds."""
    from crocuta.train.embedding_file import read_contents

    found = read_contents(output)
    if found.rows_with_unknown:
        console.print(
            f"Letters that are N, or were read as N: {found.unknown_letters:,}, in {found.rows_with_unknown:,} rows"
            " (column unknown_letters)."
        )
    console.print(f"{found.rows:,} rows of {found.dimension:,} numbers → [bold]{output}[/]", soft_wrap=True)


def show_cost(source: Source, request: dict[str, Any], options: dict[str, Any]) -> None:
    """Prints what embedding would take."""
    from crocuta.runs.progress import duration
    from crocuta.train.embed_cost import estimate

    cost = estimate(make_embedder(request), source.pieces(), **options)
    console.print(
        f"{cost.sequences:,} sequences, {cost.letters:,} letters, the longest {cost.longest:,}. About"
        f" {duration(cost.seconds)} in one process, {cost.memory_mb:,.0f} MB of memory"
        f" ({cost.available_mb:,.0f} MB are free), and a file of {cost.file_mb:,.1f} MB."
    )
    if cost.memory_mb > cost.available_mb:
        console.print("This does not fit: give a smaller --batch-size, or shorter windows with --window.")
