"""How much of a test set was already in the training set."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from crocuta.data.encoding import VOCABULARY, canonical, reverse_complement
from crocuta.data.sequences import Sequences

CHUNK = 1 << 21  # nucleotides hashed at a time, which bounds memory
MOST_KMERS = 1 << 25  # of the test set that are held at a time; of more, a sample is
LARGEST_TABLE = 1 << 27


@dataclass(frozen=True)
class Leakage:
    """Test sequences that training has seen, whole or in part, on either strand.

    duplicates: also a training sequence, or the reverse complement of one.
    shared_kmer: hold at least one k-mer (of ACGT only) of the training set.
    shorter: too short to hold a k-mer.
    looked_at: share of the k-mers that were compared; below 1 for test sets of more than 33 million nucleotides.
    """

    n_test: int
    duplicates: int
    shared_kmer: int
    shorter: int
    k: int
    duplicate_fraction: float
    shared_kmer_fraction: float
    statement: str
    looked_at: float = 1.0


def leakage(train: Sequences, test: Sequences, k: int = 50) -> Leakage:
    """Counts test sequences that are duplicates of training sequences or share a k-mer with them.

    k-mers are compared by 64-bit hashes, the smaller of the two strands'. With 10^6 k-mers on either side, a
    chance match anywhere has a probability of 10^-7. Memory holds the hashes of the test set alone; where they are
    more than 33 million, those of one k-mer in 2, 4, 8, ... stand for all, the same on both sides (Irber et al. 2022,
    FracMinHash, 10.1101/2022.01.11.475838), and the statement says so.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, found {k}")
    n, whole = len(test), max(len(test), 1)
    known = {fingerprint(ids) for ids in train}
    duplicates = sum(fingerprint(ids) in known for ids in test)
    one_in = sampled(test)
    shared = int(sharing(train, test, k, one_in).sum())
    shorter = int((test.lengths < k).sum())
    statement = (
        f"Of {n:,} test sequences, {duplicates:,} ({duplicates / whole:.1%}) are also in the training set and"
        f" {shared:,} ({shared / whole:.1%}) share at least one {k}-mer with it, either strand counted"
        + (f"; {shorter:,} are shorter than {k}" if shorter else "")
        + (f" (estimated from one {k}-mer in {one_in})." if one_in > 1 else ".")
    )
    return Leakage(
        n, duplicates, shared, shorter, k, duplicates / whole, shared / whole, statement, 1 / one_in
    )


def similarity_groups(sequences: Sequences, k: int = 16, share: float = 0.05) -> np.ndarray:
    """Numbers of the groups that like sequences fall into, int64 (n,): what a split has to keep together.

    Two sequences are alike where they share at least `share` of the k-mers, on either strand, of the one that has
    fewer; groups are what such likeness connects. Memory grows with the pairs that share a k-mer.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    parts = list(kmer_hashes(sequences, k))
    hashes, owner = (np.concatenate(column) for column in zip(*parts, strict=True))
    distinct, column = np.unique(hashes, return_inverse=True)
    shape = (len(sequences), len(distinct))
    holds = csr_matrix((np.ones(len(owner), np.int32), (owner, column)), shape=shape)
    holds.data[:] = 1
    common, count = (holds @ holds.T).tocoo(), np.diff(holds.indptr)
    alike = common.data >= share * np.minimum(count[common.row], count[common.col])
    pairs = (common.row[alike], common.col[alike])
    links = csr_matrix((np.ones(len(pairs[0]), bool), pairs), shape=common.shape)
    return connected_components(links, directed=False)[1].astype(np.int64)


def fingerprint(ids: np.ndarray) -> bytes:
    """16 bytes that are equal for a sequence, its equals and their reverse complements."""
    return blake2b(canonical(ids), digest_size=16).digest()


def sampled(test: Sequences) -> int:
    """One k-mer in how many is compared: a power of two."""
    return 1 << max((len(test.ids) - 1) // MOST_KMERS, 0).bit_length()


def sharing(train: Sequences, test: Sequences, k: int, one_in: int = 1) -> np.ndarray:
    """Which test sequences share a k-mer with the training sequences, bool (n_test,)."""
    wanted = np.concatenate([hashes for hashes, _ in kmer_hashes(test, k, one_in)])
    wanted.sort()
    wanted = wanted[
        np.append(True, wanted[1:] != wanted[:-1])[: len(wanted)]
    ]  # np.unique hashes: 100 times slower
    shared = np.zeros(len(test), bool)
    if not len(wanted):
        return shared
    seen = np.zeros(len(wanted), bool)
    for _, place in _found(kmer_hashes(train, k, one_in), wanted):
        seen[place] = True
    if seen.any():
        for owner, _ in _found(kmer_hashes(test, k, one_in), wanted[seen]):
            shared[owner] = True
    return shared


def _found(
    parts: Iterator[tuple[np.ndarray, np.ndarray]], among: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of hashes with their owners, the owners of those that are in a sorted array, and their places there."""
    mask = np.uint64(min(LARGEST_TABLE, 1 << (16 * len(among)).bit_length()) - 1)
    table = np.zeros(int(mask) + 1, bool)  # by their last bits, most of the others are dropped at once
    table[among & mask] = True
    for hashes, owner in parts:
        likely = np.flatnonzero(table[hashes & mask])
        likely = likely[
            np.argsort(hashes[likely])
        ]  # neighbours search neighbouring places: ten times as fast
        place = np.minimum(np.searchsorted(among, hashes[likely]), len(among) - 1)
        there = among[place] == hashes[likely]
        yield owner[likely[there]], place[there]


def kmer_hashes(sequences: Sequences, k: int, one_in: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Hashes of k-mers without N, equal on both strands, uint64; and the sequence of each, int64.

    Of `one_in` (a power of two) equally likely groups of k-mers, one is given.
    """
    yield np.empty(0, np.uint64), np.empty(0, np.int64)
    first, group = 0, np.uint64(one_in - 1)
    while first < len(sequences):
        last = int(np.searchsorted(sequences.offsets, sequences.offsets[first] + CHUNK, "right")) - 1
        last = min(max(last, first + 1), len(sequences))
        offsets = sequences.offsets[first : last + 1]
        ids = sequences.ids[offsets[0] : offsets[-1]]
        if len(ids) >= k:
            owner = np.repeat(np.arange(first, last), np.diff(offsets))
            usable = _windows_inside(ids, owner, k)
            forward, backward = window_hash(ids, k), window_hash(reverse_complement(ids), k)[::-1]
            hashes = np.minimum(forward, backward)
            if one_in > 1:
                usable &= (hashes & group) == 0
            yield hashes[usable], owner[: len(usable)][usable]
        first = last


def _windows_inside(ids: np.ndarray, owner: np.ndarray, k: int) -> np.ndarray:
    """Which windows of k nucleotides are all ACGT and in one sequence, bool (length - k + 1,)."""
    other = np.concatenate([[0], np.cumsum((ids < VOCABULARY["A"]) | (ids > VOCABULARY["T"]))])
    return (other[k:] == other[:-k]) & (owner[k - 1 :] == owner[: len(owner) - k + 1])


def window_hash(ids: np.ndarray, k: int) -> np.ndarray:
    """64-bit hash of every window of k nucleotides, uint64 (length - k + 1,); N counts as A.

    Windows of 1, 2, 4, ... nucleotides are joined to windows of k by the binary digits of k: 2 log2(k) passes. Up to 32
    nucleotides are told apart exactly, by two bits each.
    """
    power, size = (ids - np.uint8(VOCABULARY["A"]) & 3).astype(np.uint64), 1
    joined, length = None, 0
    while True:
        if k & size:
            joined = (
                power
                if joined is None
                else _join(joined[: len(power) - length], power[length:], length, size)
            )
            length += size
        if length == k:
            assert joined is not None
            return _mix(joined[: len(ids) - k + 1])
        power, size = _join(power[: len(power) - size], power[size:], size, size), size * 2


def _join(left: np.ndarray, right: np.ndarray, before: int, after: int) -> np.ndarray:
    """A window of `before` nucleotides and the `after` nucleotides behind it, side by side or, beyond 32, as a hash."""
    if before + after <= 32:
        return (left << np.uint64(2 * after)) | right
    return _mix(_mix(left) + right)


def _mix(value: np.ndarray) -> np.ndarray:
    """A permutation of 64-bit numbers that spreads their bits; the multiplication wraps around."""
    mixed = value * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    return mixed
