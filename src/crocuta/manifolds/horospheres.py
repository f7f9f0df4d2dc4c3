"""Busemann coordinates: signed distances along rays to infinity, for plots and projections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crocuta.manifolds.lorentz import Lorentz
from crocuta.manifolds.numerics import TINY, in_float32, norm, sqrt
from crocuta.manifolds.poincare import Poincare

if TYPE_CHECKING:
    from jaxtyping import Float


@in_float32
def busemann(
    manifold: Lorentz | Poincare, x: Float[Tensor, "*batch ambient"], ideal: Float[Tensor, "*batch n"]
) -> Float[Tensor, "*batch"]:
    """Busemann function of the ideal point in direction `ideal` (normalised here): 0 at the origin, minus the
    geodesic distance on the ray towards it; level sets are horospheres. Shapes broadcast.

    (Chami et al. 2021, HoroPCA, eq. 4.) `log(sqrt(c) (x_0 - <x_s, ideal>)) / sqrt(c)`, as a sum of positive
    terms.
    """
    root = sqrt(manifold.c)
    ideal = ideal / norm(ideal).clamp_min(TINY)
    s = x[..., 1:] if isinstance(manifold, Lorentz) else 2 * x / manifold.rim_gap(x)
    length = root * norm(s)
    apart = s / norm(s).clamp_min(TINY) - ideal
    # cosh r - sinh r cos = e^-r + sinh r |x/|x| - ideal|^2 / 2
    level = 1 / (length + (1 + length.square()).sqrt()) + length * norm(apart).square() / 2
    return (torch.log(level) / root).squeeze(-1)
