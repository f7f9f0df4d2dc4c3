"""How much of a test set was already in the training set."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crocuta.data.encoding import VOCABULARY, canonical, reverse_complement
from crocuta.data.sequences import Sequences

CHUNK = 1 << 22  # letters hashed at a time, which bounds memory


@dataclass(frozen=True)
class Leakage:
    """Test sequences that training has seen, whole or in part, on either strand.

    duplicates: also a training sequence, or the reverse complement of one.
    shared_kmer: hold at least one k-mer (of ACGT only) of the training set.
    shorter: too short to hold a k-mer.
    """

    n_test: int
    duplicates: int
    shared_kmer: int
    shorter: int
    k: int
    duplicate_fraction: float
    shared_kmer_fraction: float
    statement: str


def leakage(train: Sequences, test: Sequences, k: int = 50) -> Leakage:
    """Counts test sequences that are duplicates of training sequences or share a k-mer with them.

    k-mers are compared by 64-bit hashes, the smaller of the two strands'. With 10^6 k-mers on either side, a
    chance match anywhere has a probability of 10^-7.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, found {k}")
    n, whole = len(test), max(len(test), 1)
    known = {canonical(ids) for ids in train}
    duplicates = sum(canonical(ids) in known for ids in test)
    shared = int(sharing(train, test, k).sum())
    shorter = int((test.lengths < k).sum())
    statement = (
        f"Of {n:,} test sequences, {duplicates:,} ({duplicates / whole:.1%}) are also in the training set and"
        f" {shared:,} ({shared / whole:.1%}) share at least one {k}-mer with it, either strand counted"
        + (f"; {shorter:,} are shorter than {k}." if shorter else ".")
    )
    return Leakage(n, duplicates, shared, shorter, k, duplicates / whole, shared / whole, statement)


def sharing(train: Sequences, test: Sequences, k: int) -> np.ndarray:
    """Which test sequences share a k-mer with the training sequences, bool (n_test,)."""
    parts = list(kmer_hashes(test, k))
    owners = np.concatenate([owner for _, owner in parts] or [np.empty(0, np.int64)])
    distinct, member = np.unique(
        np.concatenate([hashes for hashes, _ in parts] or [np.empty(0, np.uint64)]), return_inverse=True
    )
    shared = np.zeros(len(test), bool)
    if not len(distinct):
        return shared
    seen = np.zeros(len(distinct), bool)
    for hashes, _ in kmer_hashes(train, k):
        hashes.sort()  # neighbours then search neighbouring places, which is what makes the search fast
        place = np.minimum(np.searchsorted(distinct, hashes), len(distinct) - 1)
        seen[place[distinct[place] == hashes]] = True
    shared[owners[seen[member]]] = True
    return shared


def kmer_hashes(sequences: Sequences, k: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Hashes of all k-mers without N, equal on both strands, uint64; and the sequence of each, int64."""
    first = 0
    while first < len(sequences):
        last = int(np.searchsorted(sequences.offsets, sequences.offsets[first] + CHUNK, "right")) - 1
        last = min(max(last, first + 1), len(sequences))
        offsets = sequences.offsets[first : last + 1]
        ids = sequences.ids[offsets[0] : offsets[-1]]
        if len(ids) >= k:
            owner = np.repeat(np.arange(first, last), np.diff(offsets))
            usable = _windows_inside(ids, owner, k)
            forward, backward = window_hash(ids, k), window_hash(reverse_complement(ids), k)[::-1]
            yield np.minimum(forward, backward)[usable], owner[: len(usable)][usable]
        first = last


def _windows_inside(ids: np.ndarray, owner: np.ndarray, k: int) -> np.ndarray:
    """Which windows of k letters are all ACGT and in one sequence, bool (length - k + 1,)."""
    other = np.concatenate([[0], np.cumsum((ids < VOCABULARY["A"]) | (ids > VOCABULARY["T"]))])
    return (other[k:] == other[:-k]) & (owner[k - 1 :] == owner[: len(owner) - k + 1])


def window_hash(ids: np.ndarray, k: int) -> np.ndarray:
    """64-bit hash of every window of k letters, uint64 (length - k + 1,).

    Windows of 1, 2, 4, ... letters are joined to windows of k by the binary digits of k: 2 log2(k) passes.
    """
    power, size = ids.astype(np.uint64), 1
    joined, length = None, 0
    while True:
        if k & size:
            joined = power if joined is None else _join(joined[: len(power) - length], power[length:])
            length += size
        if length == k:
            return joined[: len(ids) - k + 1] if joined is not None else power
        power, size = _join(power[: len(power) - size], power[size:]), size * 2


def _join(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Hash of a window from the hashes of its two halves; the multiplications wrap around."""
    mixed = left * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed += right
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return mixed
