"""Windows of a genome for a language model: which to learn from and which to evaluate on, as functions of a seed.

Nothing here keeps a state: the windows of a training step follow from the seed and the step's number, so that an
interrupted training goes on with the same windows, and so do several processes together.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from crocuta.data.batch import PADDING
from crocuta.data.encoding import VOCABULARY, reverse_complement
from crocuta.data.genome import Genome
from crocuta.data.intervals import Intervals, check_intervals
from crocuta.errors import InputError

UNLABELLED = -100  # torch's cross-entropy leaves these out
PARTS = ("train", "valid", "test")


class Batch(NamedTuple):
    """Token ids, int64 (n, length), padded on the right, and what is to be predicted: ids, or -100 (N, padding)."""

    input_ids: np.ndarray
    labels: np.ndarray

    @property
    def predicted(self) -> int:
        """Nucleotides that are predicted; the first of a window never is."""
        return int(np.count_nonzero(self.labels[:, 1:] != UNLABELLED))


def partition(
    genome: Genome,
    intervals: Intervals | None = None,
    *,
    valid: Sequence[str] = (),
    test: Sequence[str] = (),
) -> dict[str, Intervals]:
    """The stretches of a genome to train on, to validate on and to test on: "train", "valid", "test".

    Args:
        genome: whole contigs are taken where there are no intervals.
        intervals: with a column `split`, which then decides, or without.
        valid, test: contigs held out, where no column `split` decides.

    Raises:
        InputError: a contig or an interval is not in the genome; training overlaps with what is held out; nothing is
            left to train on or to validate on.
    """
    for contig in (*valid, *test):
        genome.length(contig)
    if both := set(valid) & set(test):
        raise InputError(f"contig {min(both)!r} is held out for validation and for test; choose one")
    if intervals is None:
        lengths = list(genome.lengths.values())
        intervals = Intervals.build(genome.names, np.zeros(len(lengths), np.int64), lengths)
    check_intervals(intervals, genome)
    if "split" in intervals.columns:
        if valid or test:
            raise InputError(f"{intervals.path}: has a split of its own; give no contigs to hold out")
        parts = {part: intervals.split(part) for part in PARTS}
    else:
        split = [("valid" if c in valid else "test" if c in test else "train") for c in intervals.contig]
        parts = {part: intervals.take(np.array(split) == part) for part in PARTS}
    for part in ("train", "valid"):
        if not len(parts[part]):
            raise InputError(
                f"{genome.path}: nothing left for {'training' if part == 'train' else 'validation'};"
                " hold out other contigs, or give a BED file whose split has train and valid"
            )
    _check_apart(parts)
    return parts


def _check_apart(parts: Mapping[str, Intervals]) -> None:
    """Raises InputError where an interval for training overlaps one that is held out."""
    train = parts["train"]
    for part in ("valid", "test"):
        for contig in sorted(set(parts[part].contig) & set(train.contig)):
            inside = np.flatnonzero(train.contig == contig)
            inside = inside[np.argsort(train.start[inside], kind="stable")]
            start, reach = train.start[inside], np.maximum.accumulate(train.end[inside])
            held = parts[part].take(parts[part].contig == contig)
            before = np.searchsorted(start, held.end) - 1  # the last that begins before the end
            overlaps = np.flatnonzero((before >= 0) & (reach[before] > held.start))
            if len(overlaps):
                i = int(overlaps[0])
                raise InputError(
                    f"{held.where(i)}: {contig}:{held.start[i]:,}-{held.end[i]:,} ({part}) overlaps an interval for"
                    " training; make the parts disjoint"
                )


def without_n_runs(genome: Genome, intervals: Intervals, shortest_run: int, shortest: int = 2) -> Intervals:
    """Cuts runs of at least `shortest_run` N out of intervals, and drops what is shorter than `shortest` then."""
    contig, starts, ends = [], [], []
    for name, start, end, *_ in intervals:
        unknown = np.concatenate([[False], genome.fetch(name, start, end) == VOCABULARY["N"], [False]])
        edges = np.flatnonzero(unknown[1:] != unknown[:-1]).reshape(-1, 2)
        runs = edges[edges[:, 1] - edges[:, 0] >= shortest_run]
        pieces = np.concatenate([[0], runs.ravel(), [end - start]]).reshape(-1, 2) + start
        pieces = pieces[pieces[:, 1] - pieces[:, 0] >= shortest]
        contig += [name] * len(pieces)
        starts.append(pieces[:, 0])
        ends.append(pieces[:, 1])
    empty = [np.empty(0, np.int64)]
    return Intervals.build(contig, np.concatenate(starts or empty), np.concatenate(ends or empty))


class TrainingWindows:
    """Windows of one length, shuffled in each epoch, as a function of the seed.

    A region gives as many windows side by side as fit; where the first begins is drawn in each epoch. A region shorter
    than a window gives one, padded on the right.

    Args:
        genome: where the nucleotides are.
        regions: stretches to learn from.
        length: nucleotides of a window.
        seed: draws the order, the places and the strands.
        both_strands: turn each window to its reverse complement at even odds.
    """

    def __init__(self, genome: Genome, regions: Intervals, length: int, seed: int, both_strands: bool = True):
        self.genome, self.regions, self.length = genome, regions, length
        self.seed, self.both_strands = seed, both_strands
        self._counts = np.maximum(regions.lengths // length, 1)
        self._slack = np.maximum(regions.lengths - self._counts * length, 0)
        self._first = np.concatenate([[0], np.cumsum(self._counts)])
        self._epoch = lru_cache(maxsize=2)(self._draw)

    def __len__(self) -> int:
        return int(self._first[-1])

    def batch(self, indices: np.ndarray) -> Batch:
        """Windows by their number, counted through all epochs; see `step_indices`."""
        return make_batch([self._ids(*divmod(int(index), len(self))) for index in indices])

    def _draw(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of one epoch: the order of the windows, the first start in each region, and who is turned."""
        generator = np.random.default_rng([self.seed, self.length, epoch])
        order = generator.permutation(len(self))
        offsets = generator.integers(0, self._slack + 1)
        return order, offsets, generator.random(len(self)) < 0.5 * self.both_strands

    def _ids(self, epoch: int, place: int) -> np.ndarray:
        order, offsets, turned = self._epoch(epoch)
        window = int(order[place])
        region = int(np.searchsorted(self._first, window, "right")) - 1
        contig, region_start, region_end, *_ = self.regions[region]
        start = region_start + int(offsets[region]) + (window - int(self._first[region])) * self.length
        ids = self.genome.fetch(contig, start, min(start + self.length, region_end))
        return reverse_complement(ids) if turned[place] else ids


def step_indices(step: int, windows: int, process: int = 0, processes: int = 1) -> np.ndarray:
    """Numbers of the windows that one of several processes takes in a step of `windows` windows together."""
    return np.arange(step * windows + process, (step + 1) * windows, processes)


def make_batch(rows: Sequence[np.ndarray], skip: int = 1) -> Batch:
    """Pads token ids on the right; a causal model is not changed by that. The first `skip` of a row are context."""
    input_ids = np.full((len(rows), max(map(len, rows))), PADDING, np.int64)
    for row, ids in zip(input_ids, rows, strict=True):
        row[: len(ids)] = ids
    known = (input_ids >= VOCABULARY["A"]) & (input_ids < VOCABULARY["N"])
    known[:, :skip] = False
    return Batch(input_ids, np.where(known, input_ids, UNLABELLED))


def tiles(regions: Intervals, length: int, context: int = 1) -> Intervals:
    """Windows that overlap by `context`, so that all nucleotides but a region's first `context` are predicted once."""
    if not 1 <= context < length:
        raise ValueError(f"context must lie in 1..{length - 1} (length - 1), got {context}")
    contig, starts, ends = [], [], []
    for name, start, end, *_ in regions:
        at = np.arange(start, max(end - context, start + 1), length - context, dtype=np.int64)
        contig += [name] * len(at)
        starts.append(at)
        ends.append(np.minimum(at + length, end))
    empty = [np.empty(0, np.int64)]
    return Intervals.build(contig, np.concatenate(starts or empty), np.concatenate(ends or empty))


def thinned(windows: Intervals, nucleotides: int | None) -> Intervals:
    """Evenly spaced ones among windows that hold about this many nucleotides together; None: all."""
    total = int(windows.lengths.sum())
    if nucleotides is None or total <= nucleotides:
        return windows
    count = max(1, round(len(windows) * nucleotides / total))
    return windows.take(np.linspace(0, len(windows) - 1, count).round().astype(int))
