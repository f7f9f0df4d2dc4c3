"""Spaces of constant curvature and the maps between them; the contract is `Manifold`."""

from crocuta.manifolds.base import Manifold
from crocuta.manifolds.euclidean import Euclidean
from crocuta.manifolds.lorentz import Lorentz
from crocuta.manifolds.poincare import Poincare

__all__ = ["Euclidean", "Lorentz", "Manifold", "Poincare"]
