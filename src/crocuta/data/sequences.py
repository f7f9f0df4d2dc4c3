"""Encoded sequences of any length in two arrays."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crocuta.data.encoding import encode_joined


@dataclass(frozen=True)
class Sequences:
    """Encoded sequences of any length, one after the other.

    ids: uint8 (total nucleotides,), without special tokens.
    offsets: int64 (n + 1,), where each sequence begins and the last ends.
    others: int64 (n,), how many nucleotides of each were not ACGTN (None: none were).
    """

    names: list[str]
    ids: np.ndarray
    offsets: np.ndarray
    others: np.ndarray | None = None

    @classmethod
    def from_strings(
        cls, sequences: Iterable[str | bytes], names: Iterable[str] | None = None
    ) -> "Sequences":
        """Encodes sequences; without names they are called `row_1`, `row_2`, ...

        >>> Sequences.from_strings(["ACG", "TT"])[1].tolist()
        [10, 10]
        """
        ids, offsets, others = encode_joined(list(sequences))
        count = len(others)
        names = list(names) if names is not None else [f"row_{i}" for i in range(1, count + 1)]
        if len(names) != count:
            raise ValueError(f"{len(names)} names for {count} sequences; give one name each")
        return cls(names, ids, offsets, others)

    @classmethod
    def from_ids(
        cls, ids: Sequence[np.ndarray], names: list[str], others: Sequence[int] | None = None
    ) -> "Sequences":
        """Joins encoded sequences."""
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        joined = np.concatenate([*ids, np.empty(0, np.uint8)])
        return cls(names, joined, offsets, None if others is None else np.asarray(others, np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        """Ids of one sequence, uint8 (length,): a view."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"sequence {i} of {len(self)}")
        i %= len(self)
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    @property
    def lengths(self) -> np.ndarray:
        """Nucleotides of each sequence, int64 (n,)."""
        return np.diff(self.offsets)

    @property
    def other_nucleotides(self) -> int:
        """Nucleotides that were not ACGTN, kept as N."""
        return 0 if self.others is None else int(self.others.sum())

    def select(self, indices: np.ndarray | Sequence[int]) -> "Sequences":
        """The sequences at indices (or where a boolean mask is true), copied, in that order."""
        chosen = as_indices(indices, len(self))
        others = None if self.others is None else self.others[chosen]
        return Sequences.from_ids([self[i] for i in chosen], [self.names[i] for i in chosen], others)  # type: ignore[arg-type]


def as_indices(indices: np.ndarray | Sequence[int], n: int) -> np.ndarray:
    """Indices in 0..n-1 from indices, negative ones included, or from a boolean mask."""
    return np.arange(n)[np.asarray(indices) if len(indices) else np.empty(0, np.int64)]
