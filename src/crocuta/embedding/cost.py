"""What embedding a file would cost, from a few short sequences: neither time nor memory of the real ones is spent."""

import time
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from crocuta.data.encoding import VOCABULARY
from crocuta.embedding.features import HEAD, NONE, Embedder
from crocuta.embedding.pieces import Piece
from crocuta.embedding.shards import batches, check_longest
from crocuta.errors import InputError
from crocuta.runs.cost import Cost, PeakMemory
from crocuta.runs.device import available_mb, used_mb

MEASURED = 4096  # nucleotides of the sequences that are timed
MEASURED_TOKENS = 1 << 15


class EmbeddingCost(NamedTuple):
    """What is read (sequences, nucleotides of all and of the longest), its cost in one process, and the file in MB."""

    sequences: int
    nucleotides: int
    longest: int
    cost: Cost
    file_mb: float


def estimate_embedding(
    embedder: Embedder, pieces: Iterable[Piece], batch_size: int | None = None, truncate: bool = False
) -> EmbeddingCost:
    """Reads all lengths, times a batch of at most 4,096 nucleotides each, and scales it to them.

    Raises:
        InputError: a sequence is longer than the model; there are none.
    """
    limit = embedder.model.config.longest_sequence
    found = []
    for piece in pieces:
        if not truncate:
            check_longest([piece], limit)
        found.append(piece.length)
    if not found:
        raise InputError("no sequences to embed")
    lengths = np.array(found)
    read = np.minimum(lengths, limit or lengths.max())
    short = int(min(read.max(), MEASURED))
    seconds, memory = measure_rate(embedder, short, max(1, MEASURED_TOKENS // short))
    widest = max(len(batch) * read[batch[-1]] for batch in batches(read.tolist(), batch_size))
    growth = np.log2(2 * np.maximum(read, 2)) / np.log2(
        2 * short
    )  # of a long convolution's cost per nucleotide
    unpooled = embedder.layer != HEAD and embedder.pool == NONE
    rows = int(read.sum()) if unpooled else len(read)
    device = embedder.model.device
    cost = Cost(
        float((read * np.maximum(growth, 1)).sum() * seconds),
        used_mb(device) + float(widest) * memory / 2**20,
        available_mb(device),
    )
    file_mb = rows * embedder.dimension * 4 / 2**20
    return EmbeddingCost(len(lengths), int(lengths.sum()), int(lengths.max()), cost, file_mb)


def measure_rate(embedder: Embedder, length: int, count: int) -> tuple[float, float]:
    """Seconds and bytes for each nucleotide of a batch of random sequences."""
    generator = np.random.default_rng(0)
    nucleotides = [VOCABULARY[nucleotide] for nucleotide in "ACGT"]
    ids = [generator.choice(nucleotides, length).astype(np.uint8) for _ in range(count)]
    embedder(ids[:1])
    with PeakMemory(embedder.model.device) as memory:
        start = time.perf_counter()
        embedder(ids)
        seconds = time.perf_counter() - start
    return seconds / (length * count), memory.added / (length * count)
