"""Embeddings of any number of sequences: written as shards by one process or several, then joined into one file.

```
emb.h5ad.parts/        while it is made
  request.json         what was asked: the same request goes on where it was interrupted
  about.json           what the file will say of itself
  shard-00000.h5ad     whole or absent; process i of n makes the shards i, i + n, ...
emb.h5ad               the shards in order
```
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from crocuta.data.encoding import VOCABULARY
from crocuta.data.pieces import Piece
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.train.embedding_file import join_shards, read_request, write_shard
from crocuta.train.features import HEAD, NONE, Embedder

SHARD_SEQUENCES = 4096
SHARD_LETTERS = 1 << 22
SHARD_ROWS = 1 << 18  # where each nucleotide is a row
TOKENS_PER_BATCH = 1 << 16
LARGEST_BATCH = 128


class Shard(NamedTuple):
    """Consecutive pieces that are written together."""

    number: int
    pieces: list[Piece]


def embed(
    embedder: Embedder,
    pieces: Iterable[Piece],
    output: str | PathLike,
    request: dict[str, Any],
    *,
    batch_size: int | None = None,
    truncate: bool = False,
    rank: int = 0,
    world: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Writes the shards of one process, those that an interrupted call left excepted; `finish` joins them.

    Memory holds one shard, whatever the number of sequences.

    Args:
        embedder: the model, its layer and pooling.
        pieces: sequences, in an order that does not change.
        output: the .h5ad file to be.
        request: names what is embedded and how (JSON); another request may not go on in the same place.
        batch_size: sequences of a batch; None: as many as hold 65,536 tokens, at most 128.
        truncate: of sequences longer than the model, read the first letters, and note it in the column `truncated`.
        rank, world: this process among how many.
        progress: called with the number of sequences just done.

    Returns:
        The number of shards of all processes.

    Raises:
        InputError: a sequence is longer than the model; the place holds something else; there are no sequences.
    """
    folder = claim(output, request)
    write_json(folder / "about.json", about(embedder, request))
    try:
        return _embed(embedder, pieces, folder, batch_size, truncate, rank, world, progress)
    except InputError:
        if world == 1 and not made(output):
            shutil.rmtree(folder)
        raise


def _embed(
    embedder: Embedder,
    pieces: Iterable[Piece],
    folder: Path,
    batch_size: int | None,
    truncate: bool,
    rank: int,
    world: int,
    progress: Callable[[int], None],
) -> int:
    limit, count = embedder.model.config.longest_sequence, 0
    for shard in shards(pieces, unpooled=embedder.layer != HEAD and embedder.pool == NONE):
        count += 1
        if shard.number % world != rank:
            continue
        if not shard_path(folder, shard.number).exists():
            if not truncate:
                check_longest(shard.pieces, limit)
            write_shard(
                shard_path(folder, shard.number), *embed_pieces(embedder, shard.pieces, batch_size, truncate)
            )
        progress(len(shard.pieces))
    if not count:
        raise InputError("no sequences to embed")
    return count


def about(embedder: Embedder, request: dict[str, Any]) -> dict[str, Any]:
    """What the file says of its embeddings, as `uns`."""
    c = embedder.manifold.c
    return {
        "model": request["model"],
        "layer": str(embedder.layer),
        "pooling": "model" if embedder.layer == HEAD else embedder.pool,
        "manifold": type(embedder.manifold).__name__.lower(),
        "curvature": c.item() if isinstance(c, Tensor) else float(c),
        "request": json.dumps(request),
    }


def finish(output: str | PathLike, count: int) -> None:
    """Joins `count` shards into `output`, whole or absent, and removes the parts."""
    output = Path(output)
    folder = parts_folder(output)
    said = json.loads((folder / "about.json").read_text())
    join_shards([shard_path(folder, i) for i in range(count)], output, said)
    shutil.rmtree(folder)


def shards(pieces: Iterable[Piece], unpooled: bool = False) -> Iterator[Shard]:
    """Pieces in groups that depend on nothing but their order and lengths."""
    most = SHARD_ROWS if unpooled else SHARD_LETTERS
    number, group, letters = 0, [], 0
    for piece in pieces:
        if group and (len(group) == SHARD_SEQUENCES or letters + piece.length > most):
            yield Shard(number, group)
            number, group, letters = number + 1, [], 0
        group.append(piece)
        letters += piece.length
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
                f" reads ({limit:,}): cut FASTA into windows with --window {limit}, or read only the first"
                f" {limit:,} of each with --truncate"
            )


def claim(output: str | PathLike, request: dict[str, Any]) -> Path:
    """The folder of parts, made this request's own or found to be; one without shards is anybody's.

    Raises:
        InputError: `output` or its shards belong to another request.
    """
    output, folder = Path(output), parts_folder(output)
    path = folder / "request.json"
    if made(output):
        found = json.loads(path.read_text())
        _check_same(found, request, folder, "repeat the first command to continue it, or remove the folder")
    elif output.exists():
        _check_same(read_request(output), request, output, "choose another with -o, or remove it")
    write_json(path, request)
    return folder


def is_done(output: str | PathLike, request: dict[str, Any]) -> bool:
    """Whether `output` is there already, from this very request; raises InputError if from another."""
    if not Path(output).exists():
        return False
    _check_same(read_request(output), request, output, "choose another with -o, or remove it")
    return not parts_folder(output).exists()


def _check_same(found: dict[str, Any], request: dict[str, Any], place: str | PathLike, way_out: str) -> None:
    wanted = json.loads(json.dumps(request))
    for key in sorted(wanted.keys() | found.keys()):
        if found.get(key) != wanted.get(key):
            raise InputError(
                f"{place}: holds other embeddings, {key} is {found.get(key)!r}, now asked {wanted.get(key)!r};"
                f" {way_out}"
            )


def parts_folder(output: str | PathLike) -> Path:
    """Where the shards of `output` are kept while it is made."""
    return Path(f"{output}.parts")


def made(output: str | PathLike) -> int:
    """How many shards of `output` are there."""
    return len(list(parts_folder(output).glob("shard-*.h5ad")))


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05}.h5ad"
