"""What each process of `crocuta embed` is asked for, and its model."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crocuta.embedding.pieces import PieceSource
from crocuta.errors import InputError
from crocuta.quiet import prepare


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
