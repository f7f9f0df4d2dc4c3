"""Distances of points of any kind, a few rows at a time: matrices, embeddings, sequences, trees."""

from typing import Any

import numpy as np

from crocuta.data.encoding import VOCABULARY
from crocuta.data.phylogeny.alignment import Alignment
from crocuta.data.phylogeny.tree import Tree
from crocuta.data.sequences import Sequences
from crocuta.errors import InputError


class Distances:
    """`n` points; `name` says of what in messages."""

    def __init__(self, name: str, n: int):
        self.name, self.n = name, n

    def matrix(self, chosen: np.ndarray) -> np.ndarray:
        """Distances between the chosen points, float64 (m, m)."""
        raise NotImplementedError

    def coordinates(self, chosen: np.ndarray) -> np.ndarray:
        """Euclidean coordinates (m, r): here by classical scaling, negative eigenvalues left out."""
        square = self.matrix(chosen) ** 2
        centred = square - square.mean(0) - square.mean(1)[:, None] + square.mean()
        values, vectors = np.linalg.eigh(-centred / 2)
        kept = values > 1e-12 * max(values[-1], 1e-300)
        return vectors[:, kept] * np.sqrt(values[kept])

    def of_coordinates(self, coordinates: np.ndarray) -> np.ndarray:
        """Distances between points that have such coordinates, (m, m)."""
        return euclidean(coordinates)


def euclidean(x: np.ndarray) -> np.ndarray:
    """Euclidean distances of the rows (m, d), (m, m)."""
    from scipy.spatial.distance import cdist

    return cdist(x, x)


class DistanceMatrix(Distances):
    """A matrix that is there already: checked to be square, symmetric, finite, not negative, 0 on the diagonal."""

    def __init__(self, D: np.ndarray, name: str = "distance matrix"):
        D = np.asarray(D, np.float64)
        if D.ndim != 2 or D.shape[0] != D.shape[1]:
            raise InputError(f"{name}: shape {D.shape}, expected a square matrix")
        faults = {
            "is not a finite number": ~np.isfinite(D),
            "is negative": D < 0,
            "on the diagonal is not 0": np.eye(len(D), dtype=bool) & (np.abs(D) > 1e-9),
            "differs from its mirror image": np.abs(D - D.T) > 1e-6 * np.nanmax(np.abs(D), initial=0),
        }  # fmt: skip
        for fault, where in faults.items():
            if where.any():
                i, j = np.argwhere(where)[0]
                raise InputError(f"{name}: entry ({i + 1}, {j + 1}), {D[i, j]:g}, {fault}")
        super().__init__(name, len(D))
        self.D = (D + D.T) / 2

    def matrix(self, chosen):
        return self.D[np.ix_(chosen, chosen)]


class Points(Distances):
    """Embeddings (n, d) in Euclidean space."""

    def __init__(self, x: np.ndarray, name: str = "points"):
        check_points(x, name)
        super().__init__(name, len(x))
        self.x = x

    def matrix(self, chosen):
        return euclidean(self.x[chosen])

    def coordinates(self, chosen):
        return np.asarray(self.x[chosen], np.float64)


class HyperbolicPoints(Distances):
    """Embeddings on the hyperboloid (n, d + 1), time first, or in the ball (n, d), of curvature -c.

    Coordinates are the tangent vectors at the centroid; null points go back by the exponential map.
    """

    def __init__(self, x: np.ndarray, space: str, c: float = 1.0, name: str = "points"):
        import torch

        from crocuta.manifolds import Lorentz, Poincare, poincare_to_lorentz

        check_points(x, name)
        points = torch.from_numpy(np.asarray(x, np.float64))
        self.manifold = Lorentz(c)
        if space == "poincare":
            outside = points.norm(dim=-1) * c**0.5 >= 1
            expected = f"a norm below {c**-0.5:g}"
        else:
            outside = (self.manifold.violation(points) > 1e-3) | (points[:, 0] <= 0)
            expected = "time first, x_0 = sqrt(1/c + |x_s|^2)"
        if outside.any():
            row = int(outside.nonzero()[0])
            raise InputError(
                f"{name}, row {row + 1}: not a point of the {space} model with c = {c:g}; expected {expected}"
            )
        self.points: Any = (
            poincare_to_lorentz(Poincare(c).project(points), c) if space == "poincare" else points
        )
        super().__init__(name, len(x))

    def matrix(self, chosen):
        return self._between(self.points[chosen])

    def coordinates(self, chosen):
        x = self.points[chosen]
        centre = self.manifold.centroid(x)
        origin = self.manifold.origin(x.shape[-1] - 1, dtype=x.dtype)
        return self.manifold.transport(centre, origin, self.manifold.logmap(centre, x))[..., 1:].numpy()

    def of_coordinates(self, coordinates):
        import torch

        return self._between(self.manifold.expmap0(torch.from_numpy(coordinates)))

    def _between(self, x: Any) -> np.ndarray:
        return self.manifold.cdist(x, x).numpy()


class TreeDistances(Distances):
    """Path lengths between the tips of a tree."""

    def __init__(self, tree: Tree, name: str = "tree"):
        super().__init__(name, len(tree.tips))
        self.tree = tree

    def matrix(self, chosen):
        return self.tree.distances(self.tree.tips[chosen])


class AlignmentDistances(Distances):
    """Share of differing sites among those known in both, or its Jukes-Cantor correction.

    JC69, `-3/4 log(1 - 4/3 p)`, is in substitutions per site; it has no value at p >= 3/4, where p is taken to be
    one half site less.
    """

    def __init__(self, alignment: Alignment, correct: bool = False, name: str = "alignment"):
        super().__init__(name, len(alignment))
        self.alignment, self.correct = alignment, correct

    def matrix(self, chosen):
        bases = self.alignment.bases[chosen]
        known = (bases < 4).astype(np.float32)
        both = (known @ known.T).astype(np.float64)
        if not both.all():
            i, j = (self.alignment.names[chosen[k]] for k in np.argwhere(both == 0)[0])
            raise InputError(
                f"{self.name}: {i} and {j} have no site that is known in both; leave one of them out"
            )
        same = sum((bases == b).astype(np.float32) @ (bases == b).astype(np.float32).T for b in range(4))
        share = 1 - same / both
        if self.correct:
            share = -0.75 * np.log1p(-4 / 3 * np.minimum(share, 0.75 - 0.5 / both))
        np.fill_diagonal(share, 0)
        return np.maximum(share, 0)


def kmer_points(sequences: Sequences, k: int = 4, name: str = "sequences") -> Points:
    """Sequences by their k-mers: `sqrt(share / 2)` of each, whose Euclidean distance is Hellinger's, 0 to 1.

    Raises:
        InputError: a sequence without a k-mer of A, C, G, T.
    """
    x = np.empty((len(sequences), 4**k), np.float32)
    for i, ids in enumerate(sequences):
        base = ids.astype(np.int64) - VOCABULARY["A"]
        windows = (
            np.lib.stride_tricks.sliding_window_view(base, k)
            if len(base) >= k
            else np.empty((0, k), np.int64)
        )
        windows = windows[(windows >= 0).all(1) & (windows < 4).all(1)]
        if not len(windows):
            raise InputError(
                f"{name}, {sequences.names[i]}: no {k}-mer of A, C, G, T; drop it or choose a smaller k"
            )
        counts = np.bincount(windows @ 4 ** np.arange(k), minlength=4**k)
        x[i] = np.sqrt(counts / (2 * counts.sum()))
    return Points(x, name)


def check_points(x: np.ndarray, name: str) -> None:
    """Raises InputError unless x is a finite matrix of numbers."""
    if x.ndim != 2 or not np.issubdtype(x.dtype, np.number):
        raise InputError(
            f"{name}: shape {x.shape} of {x.dtype}, expected numbers of shape (points, coordinates)"
        )
    finite = np.isfinite(x).all(1)
    if not finite.all():
        raise InputError(f"{name}, row {int(finite.argmin()) + 1}: a coordinate is not finite; drop the row")
