"""Embeddings of any number of sequences: written as shards by one process or several, then joined into one file.

```
emb.h5ad.parts/           while it is made
  config.json             what was asked: the same request goes on where it was interrupted
  shard-00000.h5ad        whole or absent; process i of n makes the shards i, i + n, ...
emb.h5ad                  the shards in order
emb.h5ad.manifest.json    what was asked
```
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, wait
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor

from crocuta.data.encoding import VOCABULARY
from crocuta.embedding.features import HEAD, NONE, Embedder
from crocuta.embedding.file import join_shards, write_shard
from crocuta.embedding.pieces import Piece
from crocuta.errors import InputError
from crocuta.runs.claim import Claim, claim
from crocuta.runs.manifest import Inputs
from crocuta.runs.processes import wait_for_first
from crocuta.runs.progress import SILENT, Progress, Stage
from crocuta.runs.workers import pool

SHARD_SEQUENCES = 4096
SHARD_NUCLEOTIDES = 1 << 22
SHARD_ROWS = 1 << 18  # where each nucleotide is a row
TOKENS_PER_BATCH = 1 << 16
LARGEST_BATCH = 128
PATIENCE = 60.0  # seconds for which other processes may make no shard, at least


class Shard(NamedTuple):
    """Consecutive pieces that are written together."""

    number: int
    pieces: list[Piece]


class Made(NamedTuple):
    """How many shards all processes make, and what the file says of its embeddings, as `uns`."""

    shards: int
    about: dict[str, Any]


class Work(Protocol):
    """Makes the shards of process `rank` of `world` in a folder; `done` hears numbers of sequences."""

    def __call__(self, folder: Path, rank: int, world: int, done: Callable[[int], object] = ...) -> Made: ...


def embed(
    embedder: Embedder,
    pieces: Iterable[Piece],
    output: str | PathLike,
    request: dict[str, Any],
    *,
    inputs: Inputs | None = None,
    batch_size: int | None = None,
    truncate: bool = False,
    resume: bool = False,
    progress: Progress = SILENT,
) -> None:
    """Embeds sequences into an AnnData file; memory holds one shard, whatever their number.

    Args:
        embedder: the model, its layer and pooling.
        pieces: sequences, in an order that does not change.
        output: the .h5ad file to be.
        request: names what is embedded and how (JSON), "model" among it; another request may not go on in its place.
        inputs: files that are read, by role; what they name is compared by content, not by the request's words.
        batch_size: sequences of a batch; None: as many as hold 65,536 tokens, at most 128.
        truncate: of sequences longer than the model, read the first nucleotides; the column `truncated` says which.
        resume: go on with an unfinished file; a finished one is left as it is.
        progress: see `crocuta.runs.progress`.

    Raises:
        InputError: a sequence is longer than the model; `output` may not be taken; there are no sequences.
    """

    def work(folder: Path, rank: int, world: int, done: Callable[[int], object] = lambda count: None) -> Made:
        return write_shards(
            embedder, pieces, folder,
            batch_size=batch_size, truncate=truncate, rank=rank, world=world, done=done,
        )  # fmt: skip

    how = {"layer": embedder.layer, "pool": embedder.pool, "truncate": truncate}
    embed_with(work, output, how | request, inputs=inputs, resume=resume, progress=progress)


def embed_with(
    work: Work,
    output: str | PathLike,
    request: dict[str, Any],
    *,
    inputs: Inputs | None = None,
    resume: bool = False,
    jobs: int = 1,
    rank: int = 0,
    world: int = 1,
    progress: Progress = SILENT,
) -> None:
    """The same by a function that makes shards, in `jobs` processes started here or `world` started by others.

    Args:
        work: see `Work`; it is sent to other processes where there are jobs.
        rank, world: this process among how many; the first one joins the shards.
    """
    inputs = inputs or {}
    settings = {key: value for key, value in request.items() if inputs.get(key) is None}
    with claim(output, "embed", settings, inputs, resume=resume, file=True, main=rank == 0) as run:
        run = run if run.main else wait_for_first(run)
        if run.finished:
            return
        with progress.stage("embedding", unit="shards" if jobs > 1 else "sequences") as stage:
            alone = jobs == 1
            made = _share(work, run, rank, world, stage) if alone else _side_by_side(work, run, jobs, stage)
        if run.main:
            about = {"model": request["model"], **made.about}
            about["request"] = json.dumps({**request, "inputs": run.asked["inputs"]})
            join_shards([shard_path(run.folder, i) for i in range(made.shards)], run.target, about)
            run.finish()


def _share(work: Work, run: Claim, rank: int, world: int, stage: Stage) -> Made:
    """This process's shards; the first one makes those too that others, gone in the meantime, left out."""

    def done(count: int) -> None:
        run.keep()
        stage.advance(count)

    begin = time.monotonic()
    made = work(run.folder, rank, world, done)
    patience = max(PATIENCE, time.monotonic() - begin)
    last, heard = 0, time.monotonic()
    while run.main and (found := count_shards(run.folder)) < made.shards:
        if found > last:
            last, heard = found, time.monotonic()
        if time.monotonic() - heard > patience:
            return work(run.folder, 0, 1)
        stage.update(note=f"{found:,} of {made.shards:,} shards")
        time.sleep(0.1)
    return made


def _side_by_side(work: Work, run: Claim, jobs: int, stage: Stage) -> Made:
    with pool(jobs) as executor:
        futures = [executor.submit(work, run.folder, rank, jobs) for rank in range(jobs)]
        while not all(future.done() for future in futures):
            if count := count_shards(run.folder):
                run.keep()
            stage.update(count)
            for future in wait(futures, 0.1, FIRST_EXCEPTION).done:
                future.result()  # raises what went wrong there
        return futures[0].result()


def write_shards(
    embedder: Embedder,
    pieces: Iterable[Piece],
    folder: Path,
    *,
    batch_size: int | None = None,
    truncate: bool = False,
    rank: int = 0,
    world: int = 1,
    done: Callable[[int], object] = lambda count: None,
) -> Made:
    """Writes the shards of one process into a folder, those that are there excepted; see `embed`.

    Raises:
        InputError: a sequence is longer than the model; there are no sequences.
    """
    limit, count = embedder.model.config.longest_sequence, 0
    for shard in shards(pieces, unpooled=embedder.layer != HEAD and embedder.pool == NONE):
        count += 1
        if shard.number % world != rank:
            continue
        path = shard_path(folder, shard.number)
        if not path.exists():
            if not truncate:
                check_longest(shard.pieces, limit)
            write_shard(path, *embed_pieces(embedder, shard.pieces, batch_size, truncate))
        done(len(shard.pieces))
    if not count:
        raise InputError("no sequences to embed")
    return Made(count, describe_embedding(embedder))


def describe_embedding(embedder: Embedder) -> dict[str, Any]:
    """What the file says of its embeddings."""
    c = embedder.manifold.c
    return {
        "layer": str(embedder.layer),
        "pooling": "model" if embedder.layer == HEAD else embedder.pool,
        "manifold": type(embedder.manifold).__name__.lower(),
        "curvature": c.item() if isinstance(c, Tensor) else float(c),
    }


def shards(pieces: Iterable[Piece], unpooled: bool = False) -> Iterator[Shard]:
    """Pieces in groups that depend on nothing but their order and lengths."""
    most = SHARD_ROWS if unpooled else SHARD_NUCLEOTIDES
    number, group, nucleotides = 0, [], 0
    for piece in pieces:
        if group and (len(group) == SHARD_SEQUENCES or nucleotides + piece.length > most):
            yield Shard(number, group)
            number, group, nucleotides = number + 1, [], 0
        group.append(piece)
        nucleotides += piece.length
    if group:
        yield Shard(number, group)


def embed_pieces(
    embedder: Embedder, pieces: list[Piece], batch_size: int | None = None, truncate: bool = False
) -> tuple[np.ndarray, dict[str, list]]:
    """Embeddings (rows, dimension) of pieces and the columns that describe the rows."""
    limit = embedder.model.config.longest_sequence
    whole = [piece.ids() for piece in pieces]
    ids = [row[:limit] for row in whole]
    found: dict[int, np.ndarray] = {}
    for batch in batches([len(row) for row in ids], batch_size):
        found |= dict(zip(batch, embedder([ids[i] for i in batch]), strict=True))
    rows = [found[i] for i in range(len(ids))]
    names = list(dict.fromkeys(key for piece in pieces for key in piece.columns))
    columns: dict[str, list] = {
        "name": [piece.name for piece in pieces],
        **{name: [piece.columns.get(name, "") for piece in pieces] for name in names},
        "length": [len(row) for row in whole],
        "unknown_letters": [int(np.count_nonzero(row == VOCABULARY["N"])) for row in whole],
    }
    if truncate:
        columns["truncated"] = [len(a) < len(b) for a, b in zip(ids, whole, strict=True)]
    if embedder.layer != HEAD and embedder.pool == NONE:
        columns = {key: np.repeat(values, [len(row) for row in rows]) for key, values in columns.items()}  # type: ignore[misc]
        columns["position"] = np.concatenate([np.arange(len(row)) for row in rows])  # type: ignore[assignment]
    return np.concatenate(rows), columns


def batches(lengths: list[int], batch_size: int | None) -> Iterator[list[int]]:
    """Indices of sequences of like length; without a size, up to 65,536 tokens and 128 sequences."""
    batch: list[int] = []
    for i in np.argsort(lengths, kind="stable").tolist():
        most = batch_size or max(1, min(LARGEST_BATCH, TOKENS_PER_BATCH // (lengths[i] + 1)))
        if len(batch) >= most:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def check_longest(pieces: Iterable[Piece], limit: int | None) -> None:
    """Raises InputError for the first piece that is longer than the model reads."""
    for piece in pieces:
        if limit is not None and piece.length > limit:
            raise InputError(
                f"{piece.name} has {piece.length:,} nucleotides, {piece.length - limit:,} more than the model"
                f" reads ({limit:,}): cut FASTA into windows (`window` {limit}), or read only the first"
                f" {limit:,} of each (`truncate`)"
            )


def count_shards(folder: Path) -> int:
    """How many shards are there."""
    return len(list(folder.glob("shard-*.h5ad")))


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05}.h5ad"
