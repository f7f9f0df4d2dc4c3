"""The wrapped normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crocuta.manifolds.lorentz import Lorentz
from crocuta.manifolds.numerics import in_float32, log_sinhc, sqrt
from crocuta.manifolds.poincare import Poincare

if TYPE_CHECKING:
    from jaxtyping import Float


class WrappedNormal:
    """A normal distribution at the origin's tangent space, carried to `loc` and wrapped onto the manifold.

    (Nagano et al. 2019, algorithms 1 and 2.) The density is with respect to the Riemannian volume, so Lorentz
    and Poincare give equal numbers at corresponding points.

    Args:
        manifold: Lorentz or Poincare.
        loc: points `(..., ambient(n))`.
        scale: standard deviations in geodesic units, broadcastable to `(..., n)`.

    Raises:
        ValueError: another manifold, or a scale that is not positive.
    """

    def __init__(
        self,
        manifold: Lorentz | Poincare,
        loc: Float[Tensor, "*batch ambient"],
        scale: Float[Tensor, "*batch n"] | float,
    ):
        if not isinstance(manifold, Lorentz | Poincare):
            raise ValueError(f"manifold must be Lorentz or Poincare, got {type(manifold).__name__}")
        scale = torch.as_tensor(scale, dtype=loc.dtype, device=loc.device)
        if not bool((scale > 0).all()):
            raise ValueError(f"scale must be positive, got {scale[~(scale > 0)].flatten()[0].item()}")
        self.manifold, self.loc = manifold, loc
        self.n = loc.shape[-1] - (manifold.ambient(1) - 1)
        self.scale = scale.expand(torch.broadcast_shapes(scale.shape, (*loc.shape[:-1], self.n)))

    def rsample(
        self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None
    ) -> Float[Tensor, "*sample ambient"]:
        """Points `(*sample_shape, ..., ambient(n))`, differentiable in loc, scale and curvature."""
        shape = (*sample_shape, *self.scale.shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device, generator=generator)
        return self._wrap(noise * self.scale)

    @torch.no_grad()
    def sample(
        self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None
    ) -> Float[Tensor, "*sample ambient"]:
        """`rsample` without a graph."""
        return self.rsample(sample_shape, generator)

    def log_prob(self, x: Float[Tensor, "*sample ambient"]) -> Float[Tensor, "*sample"]:
        """Log density at points, natural logarithm, per unit of Riemannian volume."""
        return _log_prob(x, self)

    def _wrap(self, v: Tensor) -> Tensor:
        return self.manifold.from_normal_coordinates(self.loc, v / self.manifold.scale0)


@in_float32
def _log_prob(x: Tensor, normal: WrappedNormal) -> Tensor:
    m = normal.manifold
    v = m.normal_coordinates(normal.loc, x) * m.scale0
    gaussian = -0.5 * (v / normal.scale).square() - torch.log(normal.scale) - 0.5 * math.log(2 * math.pi)
    stretch = log_sinhc(sqrt(m.c) * torch.linalg.vector_norm(v, dim=-1))
    return gaussian.sum(-1) - (normal.n - 1) * stretch
