"""Nearest neighbours in hyperbolic space, exact, by the inner products that libraries for flat vectors are fast at.

On the hyperboloid `cosh(sqrt(c) d(q, x)) = c (q_0 x_0 - <q_s, x_s>)`, so the nearest points have the largest inner
product with the query whose time coordinate is negated. Far from the origin that product cancels: at radius 10
float32 leaves an error of several units in `cosh d`. Candidates are therefore ranked again by the manifold's own
distance, and a bound on the error of the product (`gamma_n |q| |x|`, Higham 2002, eq. 3.5) says whether a point that
is no candidate could be nearer. Queries for which it could are searched again in float64, then by distance alone.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from crocuta.errors import InputError
from crocuta.files import replacing
from crocuta.manifolds import Euclidean, Lorentz, Manifold, Poincare, lorentz_to_poincare, poincare_to_lorentz

BACKENDS = ("auto", "faiss", "torch")
SCORES = 2**24  # scores held at a time: 64 MB in float32
SPARE = 24  # candidates beyond the k that are asked for
DISTANCE_ROUNDING = 1e-5  # relative; distances closer than that are ties


class Neighbours(NamedTuple):
    """Of each query, the nearest points first: distances (Q, k) and the points' numbers (Q, k)."""

    distances: Tensor
    indices: Tensor


class HyperbolicIndex:
    """Exact nearest neighbours of points at a fixed curvature.

    Args:
        manifold: Lorentz or Poincare of fixed curvature; Euclidean for comparisons.
        dimension: intrinsic dimensions of the points.
        backend: "faiss" (extra `retrieval`), "torch", or "auto": faiss where it is installed.
        device: of the torch backend.

    Raises:
        ValueError: the manifold's curvature is learnable or it is of another kind; there is no such backend.

    >>> m = Lorentz()
    >>> index = HyperbolicIndex(m, 2, backend="torch")
    >>> index.add(m.expmap0(torch.tensor([[0.0, 1.0], [3.0, 0.0], [0.0, -2.0]])))
    >>> index.search(m.expmap0(torch.tensor([[2.5, 0.5]])), k=1).indices
    tensor([[1]])
    """

    def __init__(
        self,
        manifold: Manifold,
        dimension: int,
        backend: str = "auto",
        device: torch.device | str | None = None,
    ):
        if not isinstance(manifold, Lorentz | Poincare | Euclidean):
            raise ValueError(f"manifold must be Lorentz, Poincare or Euclidean, got {manifold}")
        if manifold.learnable:
            raise ValueError(
                f"manifold must have a fixed curvature, got {manifold}; after training give "
                f"{type(manifold).__name__}(c={torch.as_tensor(manifold.c).item():.6g})"
            )
        if backend not in BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        if backend == "auto":
            backend = "faiss" if importlib.util.find_spec("faiss") else "torch"
        self.manifold, self.dimension, self.backend = manifold, dimension, backend
        self._flat = isinstance(manifold, Euclidean)
        self._space = manifold if self._flat else Lorentz(float(manifold.c))
        self._points = torch.empty(0, self._space.ambient(dimension), device=device)
        self._keys = torch.empty(0, dimension + 1, device=device)
        self._reach = 0.0  # largest norm of a key
        self._faiss: Any = None
        if backend == "faiss":
            self._faiss = importlib.import_module("faiss").IndexFlatIP(dimension + 1)

    def __len__(self) -> int:
        return len(self._points)

    @property
    def points(self) -> Tensor:
        """All points (N, ambient), on `manifold`, in the order in which they came."""
        if isinstance(self.manifold, Poincare):
            return lorentz_to_poincare(self._points, self.manifold)
        return self._points

    def add(self, points: Tensor) -> None:
        """Takes in points (n, ambient); they are numbered on from those before.

        Raises:
            ValueError: another dimension, or points that are not finite or lie off the manifold.
        """
        points = self._checked(points, "points")
        keys = self._key(points.double()).float()
        self._points = torch.cat([self._points, points])
        if len(points):
            self._reach = max(self._reach, float(torch.linalg.vector_norm(keys.double(), dim=-1).max()))
        if self._faiss is None:
            self._keys = torch.cat([self._keys, keys])
        else:
            self._faiss.add(keys.numpy())

    def search(self, queries: Tensor, k: int = 1) -> Neighbours:
        """The `k` nearest points of each query (Q, ambient), exact up to the rounding of `manifold.dist`.

        Raises:
            ValueError: queries of another dimension, or `k` is not between 1 and the number of points.
        """
        if not 1 <= k <= len(self):
            raise ValueError(f"k must be between 1 and the {len(self)} points of the index, got {k}")
        queries = self._checked(queries, "queries")
        width = max(len(self), (k + SPARE) * (self.dimension + 1))
        found = [self._search(part, k) for part in queries.split(max(1, SCORES // width))]
        if not found:
            nothing = torch.empty(0, k, device=queries.device)
            return Neighbours(nothing, nothing.long())
        return Neighbours(
            torch.cat([part.distances for part in found]), torch.cat([p.indices for p in found])
        )

    def save(self, path: str | PathLike) -> None:
        """Writes the points to a safetensors file that `load` reads."""
        from safetensors.torch import save

        about = {"manifold": type(self.manifold).__name__, "c": repr(float(self.manifold.c))}
        with replacing(path, "wb") as file:
            file.write(save({"points": self._points.cpu().contiguous()}, {"index": json.dumps(about)}))

    @classmethod
    def load(
        cls, path: str | PathLike, backend: str = "auto", device: torch.device | str | None = None
    ) -> HyperbolicIndex:
        """An index that `save` wrote.

        Raises:
            InputError: the file is missing, torn, or no index.
        """
        points, about = _read(Path(path))
        kinds = {"Lorentz": Lorentz, "Poincare": Poincare}
        kind = about["manifold"]
        manifold = Euclidean() if kind == "Euclidean" else kinds[kind](float(about["c"]))
        index = cls(manifold, points.shape[1] - (kind != "Euclidean"), backend, device)
        index._add_own(points.to(index._points.device))
        return index

    def _add_own(self, points: Tensor) -> None:
        kept, self.manifold = self.manifold, self._space
        self.add(points)
        self.manifold = kept

    def _checked(self, points: Tensor, name: str) -> Tensor:
        """Points as the index holds them: float32, on the hyperboloid (or flat)."""
        expected = self.manifold.ambient(self.dimension)
        if points.ndim != 2 or points.shape[1] != expected:
            raise ValueError(
                f"{name} must be (n, {expected}), {self.dimension} dimensions on {self.manifold}, "
                f"got {tuple(points.shape)}"
            )
        points = points.detach().to(self._points.device)
        self.manifold.check(points, name)
        if isinstance(self.manifold, Poincare):
            points = poincare_to_lorentz(points.double(), self.manifold)
        return points.float()

    def _key(self, points: Tensor) -> Tensor:
        """What a point's inner product with a query is taken of."""
        if self._flat:
            return torch.cat([points, -points.square().sum(-1, keepdim=True) / 2], dim=-1)
        return self._space.project(points)

    def _query(self, points: Tensor) -> Tensor:
        if self._flat:
            return torch.cat([points, torch.ones_like(points[:, :1])], dim=-1)
        points = self._space.project(points)
        return torch.cat([-points[:, :1], points[:, 1:]], dim=-1)

    def _search(self, queries: Tensor, k: int) -> Neighbours:
        distances = torch.empty(len(queries), k, device=queries.device)
        indices = torch.empty(len(queries), k, dtype=torch.long, device=queries.device)
        left = torch.arange(len(queries), device=queries.device)
        steps: list[Callable[[Tensor, int], tuple[Neighbours, Tensor]]] = [
            self._by_products,
            self._by_double_products,
            self._by_distance,
        ]
        for step in steps:
            found, certain = step(queries[left], k)
            distances[left[certain]] = found.distances[certain]
            indices[left[certain]] = found.indices[certain]
            left = left[~certain]
            if not len(left):
                break
        return Neighbours(distances, indices)

    def _by_products(self, queries: Tensor, k: int) -> tuple[Neighbours, Tensor]:
        wide = self._query(queries.double())
        count = min(len(self), k + SPARE)
        if self._faiss is not None:
            scores, candidates = map(torch.from_numpy, self._faiss.search(wide.float().numpy(), count))
        else:
            scores, candidates = torch.topk(wide.float() @ self._keys.T, count)
        return self._ranked(queries, wide, scores.double(), candidates, k, torch.finfo(torch.float32).eps)

    def _by_double_products(self, queries: Tensor, k: int) -> tuple[Neighbours, Tensor]:
        wide = self._query(queries.double())
        count = min(len(self), k + SPARE)
        best, places = wide.new_full((len(queries), 0), 0), torch.empty(len(queries), 0, dtype=torch.long)
        places = places.to(queries.device)
        for start, points in self._blocks(len(queries)):
            scores = wide @ self._key(points.double()).T
            here = torch.arange(start, start + len(points), device=queries.device).expand_as(scores)
            best, chosen = torch.topk(torch.cat([best, scores], dim=1), min(count, start + len(points)))
            places = torch.cat([places, here], dim=1).gather(1, chosen)
        return self._ranked(queries, wide, best, places, k, torch.finfo(torch.float64).eps)

    def _by_distance(self, queries: Tensor, k: int) -> tuple[Neighbours, Tensor]:
        best, places = (
            queries.new_empty(len(queries), 0),
            torch.empty(len(queries), 0, dtype=torch.long, device=queries.device),
        )
        for start, points in self._blocks(len(queries) * (self.dimension + 1)):
            distances = self._space.dist(queries[:, None], points)
            here = torch.arange(start, start + len(points), device=queries.device).expand_as(distances)
            joined = torch.cat([best, distances], dim=1)
            best, chosen = torch.topk(joined, min(k, joined.shape[1]), largest=False)
            places = torch.cat([places, here], dim=1).gather(1, chosen)
        return Neighbours(best, places), torch.ones(len(queries), dtype=torch.bool, device=queries.device)

    def _blocks(self, width: int) -> Iterator[tuple[int, Tensor]]:
        size = max(1, SCORES // max(1, width))
        for start in range(0, len(self), size):
            yield start, self._points[start : start + size]

    def _ranked(
        self, queries: Tensor, wide: Tensor, scores: Tensor, candidates: Tensor, k: int, eps: float
    ) -> tuple[Neighbours, Tensor]:
        """The k nearest candidates, and of which queries it is certain that no other point is nearer."""
        distances = self._space.dist(queries[:, None], self._points[candidates])
        nearest, order = torch.topk(distances, k, largest=False)
        found = Neighbours(nearest, candidates.gather(1, order))
        if candidates.shape[1] == len(self):
            return found, torch.ones(len(queries), dtype=torch.bool, device=queries.device)
        error = (self.dimension + 4) * eps * torch.linalg.vector_norm(wide, dim=-1) * self._reach
        bound = self._distance_of(scores[:, -1] + error, queries.double())
        return found, nearest[:, -1] * (1 - DISTANCE_ROUNDING) <= bound

    def _distance_of(self, scores: Tensor, queries: Tensor) -> Tensor:
        """Distance at which an inner product has that value."""
        if self._flat:
            return (queries.square().sum(-1) - 2 * scores).clamp_min(0).sqrt()
        c = float(self._space.c)
        return torch.acosh((-c * scores).clamp_min(1)) / math.sqrt(c)


def _read(path: Path) -> tuple[Tensor, dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.get_tensor("points"), json.loads((file.metadata() or {})["index"])
    except (OSError, KeyError, SafetensorError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); expected an index that HyperbolicIndex.save wrote"
        ) from error
