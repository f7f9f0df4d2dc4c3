"""What embedding a file would cost, from a few short sequences: neither time nor memory of the real ones is spent."""

import time
from collections.abc import Iterable
from threading import Event, Thread
from typing import NamedTuple

import numpy as np
import psutil
import torch

from crocuta.data.encoding import VOCABULARY
from crocuta.data.pieces import Piece
from crocuta.errors import InputError
from crocuta.train.embed import batches, check_longest
from crocuta.train.features import HEAD, NONE, Embedder

MEASURED = 4096  # letters of the sequences that are timed
MEASURED_TOKENS = 1 << 15


class Cost(NamedTuple):
    """Seconds in one process; the memory of one process, what is free of it now, and the file, in MB."""

    sequences: int
    letters: int
    longest: int
    seconds: float
    memory_mb: float
    available_mb: float
    file_mb: float


def estimate(
    embedder: Embedder, pieces: Iterable[Piece], batch_size: int | None = None, truncate: bool = False
) -> Cost:
    """Reads all lengths, times a batch of at most 4,096 letters each, and scales it to them.

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
    seconds, memory = measure(embedder, short, max(1, MEASURED_TOKENS // short))
    widest = max(len(batch) * read[batch[-1]] for batch in batches(read.tolist(), batch_size))
    growth = np.log2(2 * np.maximum(read, 2)) / np.log2(2 * short)  # of a long convolution's cost per letter
    unpooled = embedder.layer != HEAD and embedder.pool == NONE
    rows = int(read.sum()) if unpooled else len(read)
    return Cost(
        len(lengths),
        int(lengths.sum()),
        int(lengths.max()),
        float((read * np.maximum(growth, 1)).sum() * seconds),
        psutil.Process().memory_info().rss / 2**20 + float(widest) * memory / 2**20,
        psutil.virtual_memory().available / 2**20,
        rows * embedder.dimension * 4 / 2**20,
    )


def measure(embedder: Embedder, length: int, count: int) -> tuple[float, float]:
    """Seconds and bytes for each letter of a batch of random sequences."""
    generator = np.random.default_rng(0)
    letters = [VOCABULARY[letter] for letter in "ACGT"]
    ids = [generator.choice(letters, length).astype(np.uint8) for _ in range(count)]
    embedder(ids[:1])
    with PeakMemory() as memory:
        start = time.perf_counter()
        embedder(ids)
        seconds = time.perf_counter() - start
    return seconds / (length * count), memory.added / (length * count)


class PeakMemory:
    """The most memory, in bytes, that was held inside the block beyond what was held before it."""

    added: float = 0.0

    def __enter__(self) -> "PeakMemory":
        self._before = held()
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.added = max(self.added, held() - self._before)
            if self._ended.wait(0.002):
                return


def held() -> int:
    """Bytes of memory in use: of the accelerator, where there is one."""
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss
