"""Embeddings from AnnData files: points, what is known of them, and the space that they lie in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.analysis.distances import HyperbolicPoints
from crocuta.errors import InputError

HYPERBOLIC = ("lorentz", "poincare")


@dataclass(frozen=True)
class Embeddings:
    """Points x (n, coordinates) with one row of the table `obs` each, of a manifold of curvature -c.

    manifold: "euclidean", "lorentz" (time first) or "poincare"; `about` says how they were made.
    """

    x: np.ndarray
    obs: Any
    manifold: str = "euclidean"
    c: float = 1.0
    about: Mapping[str, Any] | None = None
    name: str = "points"

    def __len__(self) -> int:
        return len(self.x)

    @property
    def hyperbolic(self) -> bool:
        return self.manifold in HYPERBOLIC

    def select(self, chosen: np.ndarray) -> "Embeddings":
        """The rows at indices, or where a mask is true."""
        return replace(self, x=self.x[chosen], obs=self.obs.iloc[np.arange(len(self))[chosen]])

    def points(self) -> HyperbolicPoints:
        """Hyperbolic embeddings, checked to lie on their manifold."""
        return HyperbolicPoints(self.x, self.manifold, self.c, self.name)

    def tangents(self) -> np.ndarray:
        """Coordinates (n, d) in which lengths from the centroid are distances: of flat space, x less its mean."""
        if not self.hyperbolic:
            return self.x - self.x.mean(0)
        return self.points().coordinates(np.arange(len(self)))

    def column(self, name: str) -> np.ndarray:
        """A column of `obs`.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.obs.columns:
            raise InputError(f"{self.name}: no column {name!r}; it has {', '.join(self.obs.columns)}")
        return np.asarray(self.obs[name])


def read_embeddings(path: str | PathLike, most: int | None = None, seed: int = 0) -> Embeddings:
    """Reads X, obs and the manifold of an .h5ad file; one that names no manifold is taken for Euclidean.

    Args:
        path: a file of `crocuta embed`, or another AnnData file with a dense or sparse X.
        most: a random subset of this many rows, where there are more; the others are not read.
        seed: of that subset.

    Raises:
        InputError: no such file, no AnnData, no X, or fewer than 3 rows.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    import h5py
    from anndata.io import read_elem, sparse_dataset

    try:
        with h5py.File(path) as store:
            parts: Any = store  # h5py's stubs do not know what an entry is
            obs: Any = read_elem(parts["obs"])
            uns: Any = read_elem(parts["uns"]) if "uns" in store else {}
            if "X" not in store:
                raise InputError(f"{path}: X is empty; expected embeddings (rows, dimensions)")
            rows = np.arange(len(obs))
            if most is not None and len(rows) > most:
                rows = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
            x: Any = parts["X"] if isinstance(parts["X"], h5py.Dataset) else sparse_dataset(parts["X"])
            x = x[rows]
            x = x if isinstance(x, np.ndarray) else x.toarray()
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: not an .h5ad file that can be read ({error})") from None
    if len(x) < 3:
        raise InputError(f"{path}: {len(x)} rows, expected at least 3")
    c = float(uns.get("curvature", 1.0)) or 1.0
    return Embeddings(
        np.asarray(x, np.float64), obs.iloc[rows], str(uns.get("manifold", "euclidean")), c, uns, str(path)
    )
