"""Spaces of constant curvature and the maps between them; the contract is `Manifold`."""

from crocuta.manifolds.base import Manifold
from crocuta.manifolds.euclidean import Euclidean
from crocuta.manifolds.horospheres import busemann
from crocuta.manifolds.lorentz import Lorentz
from crocuta.manifolds.maps import Remap, Rescale, lorentz_to_poincare, poincare_to_lorentz
from crocuta.manifolds.normal import WrappedNormal
from crocuta.manifolds.poincare import Poincare
from crocuta.manifolds.product import Product
from crocuta.manifolds.pseudo import PseudoHyperboloid

__all__ = [
    "Euclidean",
    "Lorentz",
    "Manifold",
    "Poincare",
    "Product",
    "PseudoHyperboloid",
    "Remap",
    "Rescale",
    "WrappedNormal",
    "busemann",
    "lorentz_to_poincare",
    "poincare_to_lorentz",
]
