"""Windows of consecutive sites, and what every baseline gives of them."""

from typing import Protocol

import numpy as np


class WindowEvidence(Protocol):
    """What tells the population of a haplotype from a window of its alleles."""

    def window_log_probability(self, alleles: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Log-probability of each population, float32 (haplotypes, windows, populations).

        `alleles` uint8 (haplotypes, n), 2 where missing; windows [first, last) of sites in `edges` (windows, 2).
        """
        ...


def window_edges(sites: int, size: int, step: int | None = None) -> np.ndarray:
    """Windows [first, last) of `size` sites every `step` (default: `size`), int64 (windows, 2).

    The last window ends at the last site, and overlaps the one before it where the division leaves a rest.

    >>> window_edges(10, 4).tolist()
    [[0, 4], [4, 8], [6, 10]]
    """
    if sites <= size:
        return np.array([[0, sites]])
    first = np.arange(0, sites - size + 1, step or size)
    if first[-1] + size < sites:
        first = np.append(first, sites - size)
    return np.stack([first, first + size], 1)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Normalised over the last axis."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
