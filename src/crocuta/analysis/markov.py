"""Markov models of DNA: what a language model of nucleotides must beat.

Order j predicts a nucleotide from the j before it. Each order leans on the one below where contexts are rare (MacKay
and Peto 1995, "A hierarchical Dirichlet language model"): P_j(x | c) = (n(c x) + a_j P_{j-1}(x | c without its first
nucleotide)) / (n(c) + a_j), P_{-1} = 1/4.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from crocuta.data.encoding import VOCABULARY, reverse_complement

HIGHEST_ORDER = 12  # 4^13 counts
CHUNK = 1 << 24
STRENGTHS = tuple(2.0**i for i in range(-1, 14))  # of the order below, in counts
HELD_OUT = 0.1

_FIRST = VOCABULARY["A"]


class Markov(NamedTuple):
    """Markov models of the orders 0 to `len(tables) - 1`, fitted together.

    `tables[j]`, float32 (4^j, 4): probabilities of A, C, G, T after each context of j nucleotides, read as a number in
    base 4, the earliest nucleotide first. `strengths[j]` is a_j above.
    """

    tables: list[np.ndarray]
    strengths: list[float]

    def log_likelihood(self, ids: np.ndarray, order: int) -> np.ndarray:
        """Natural logarithm of the probability of each nucleotide, float64 (length,); NaN for N.

        Nucleotides with fewer than `order` nucleotides before them, back to the last N, are predicted by a lower order.
        """
        parts = [_nucleotides(self.tables, piece, order) for piece in _pieces(ids, order)]
        return np.concatenate(parts) if parts else np.empty(0)

    def perplexity(self, sequences: Iterable[np.ndarray], order: int) -> float:
        """exp of the mean negative log likelihood over all nucleotides of all sequences, N left out."""
        total, count = 0.0, 0
        for ids in sequences:
            found = self.log_likelihood(ids, order)
            total += float(np.nansum(found))
            count += int(np.count_nonzero(~np.isnan(found)))
        return math.exp(-total / count) if count else math.nan


def fit_markov(sequences: Sequence[np.ndarray], order: int, both_strands: bool = False) -> Markov:
    """Fits the orders 0 to `order` on token ids.

    The strengths are chosen on the last tenth of each sequence with counts of the rest, then all is counted.

    Args:
        sequences: token ids (length,) each; N interrupts contexts.
        order: at most 12.
        both_strands: count the reverse complements as well.
    """
    if not 0 <= order <= HIGHEST_ORDER:
        raise ValueError(f"order must be 0 to {HIGHEST_ORDER}, got {order}")
    cuts = [int(len(ids) * (1 - HELD_OUT)) for ids in sequences]
    kept = [ids[:cut] for ids, cut in zip(sequences, cuts, strict=True)]
    held_out = [ids[cut:] for ids, cut in zip(sequences, cuts, strict=True)]
    strengths = _choose(_count(kept, order, both_strands), held_out)
    tables = _tables(_count(sequences, order, both_strands), strengths)
    return Markov(tables, strengths)


class _Piece(NamedTuple):
    """Part of a sequence with the nucleotides before it: nucleotides 0 to 3, or 4 for N; `skip` of them are context."""

    nucleotides: np.ndarray
    skip: int


def _pieces(ids: np.ndarray, order: int) -> Iterator[_Piece]:
    for start in range(0, len(ids), CHUNK):
        before = max(0, start - order)
        part = ids[before : start + CHUNK]
        yield _Piece(np.where(part < VOCABULARY["N"], part - _FIRST, 4).astype(np.int8), start - before)


def _words(piece: _Piece, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Each nucleotide with the `order` before it as a number in base 4, int64, and how many of them count."""
    nucleotides, skip = piece
    known = nucleotides < 4
    padded = np.concatenate([np.zeros(order, np.int64), np.where(known, nucleotides, 0)])
    words = np.zeros(len(nucleotides), np.int64)
    for back in range(order + 1):
        words += padded[order - back : len(padded) - back] << (2 * back)
    place = np.arange(len(nucleotides))
    last_unknown = np.maximum.accumulate(np.where(known, -1, place))
    context = np.minimum(place - last_unknown - 1, order)  # -1: the nucleotide itself is unknown
    return words[skip:], context[skip:]


def _count(sequences: Sequence[np.ndarray], order: int, both_strands: bool) -> list[np.ndarray]:
    """Occurrences of nucleotides after contexts, for each order up to `order`: (4^j, 4)."""
    strands = [*sequences, *(reverse_complement(ids) for ids in sequences if both_strands)]
    highest = np.zeros(4 ** (order + 1), np.int32)
    for ids in strands:
        for piece in _pieces(ids, order):
            words, context = _words(piece, order)
            highest += np.bincount(words[context == order], minlength=len(highest)).astype(np.int32)
    counts = [highest.reshape(-1, 4)]
    for j in range(order - 1, -1, -1):
        counts.append(counts[-1].reshape(4, 4**j, 4).sum(0, dtype=np.int32))
    return counts[::-1]


def _tables(counts: list[np.ndarray], strengths: Sequence[float]) -> list[np.ndarray]:
    tables: list[np.ndarray] = []
    for count, strength in zip(counts, strengths, strict=True):
        below = tables[-1] if tables else None
        tables.append(_table(count, below, strength))
    return tables


def _table(count: np.ndarray, below: np.ndarray | None, strength: float) -> np.ndarray:
    prior = np.full((1, 4), 0.25, np.float32) if below is None else below
    prior = np.tile(prior, (len(count) // len(prior), 1))
    return (count + np.float32(strength) * prior) / (count.sum(1, keepdims=True) + np.float32(strength))


def _choose(counts: list[np.ndarray], held_out: Sequence[np.ndarray]) -> list[float]:
    """The strength of each order that predicts the held-out nucleotides best, the lowest order first."""
    strengths: list[float] = []
    tables: list[np.ndarray] = []
    for order, count in enumerate(counts):
        pairs = [_words(piece, order) for ids in held_out for piece in _pieces(ids, order)]
        words = np.concatenate([words[context == order] for words, context in pairs] or [np.empty(0, int)])
        contexts, nucleotides = words >> 2, words & 3
        prior = tables[-1][contexts % 4 ** (order - 1), nucleotides] if tables else np.float32(0.25)
        seen, total = count[contexts, nucleotides], count.sum(1)[contexts]
        losses = [-np.log((seen + a * prior) / (total + a)).sum() for a in STRENGTHS]
        strengths.append(STRENGTHS[int(np.argmin(losses))])
        tables.append(_table(count, tables[-1] if tables else None, strengths[-1]))
    return strengths


def _nucleotides(tables: list[np.ndarray], piece: _Piece, order: int) -> np.ndarray:
    words, context = _words(piece, order)
    found = np.full(len(words), np.nan)
    for j in range(order + 1):
        here = np.flatnonzero(context == j)
        found[here] = np.log(tables[j].reshape(-1)[words[here] % 4 ** (j + 1)])
    return found
