"""The hyperboloid model of hyperbolic space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crocuta.manifolds import hyperboloid
from crocuta.manifolds.base import Manifold
from crocuta.manifolds.numerics import TINY, asinhc, dot, geometry, norm, sinhc, sqrt, widen

if TYPE_CHECKING:
    from jaxtyping import Float


class Lorentz(Manifold):
    """Hyperbolic space as `<x, x>_L = -x_0^2 + |x_s|^2 = -1/c`, time coordinate first: `(..., n + 1)`.

    Every method trusts the space part and recomputes time, `x_0 = sqrt(1/c + |x_s|^2)`, so rounding cannot carry a
    result off the hyperboloid; likewise a tangent is its space part, `u_0 = <x_s, u_s> / x_0`. Gradients with respect
    to the time coordinate are therefore 0; `egrad2rgrad` accepts these and any others.

    Values and gradients are finite in float32 for radii r sqrt(c) up to 40; `expmap0` stops at 41.

    >>> m = Lorentz(c=0.5)
    >>> x = m.expmap0(torch.tensor([3.0, 4.0]))
    >>> m.dist0(x)
    tensor(5.)
    """

    def ambient(self, n: int) -> int:
        """n + 1."""
        return n + 1

    @geometry
    def lift(self, s: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n+1"]:
        """Space part to point: `[sqrt(1/c + |s|^2), s]`."""
        return hyperboloid.Lift.apply(s, self.c)

    @geometry
    def expmap0(self, s):
        return hyperboloid.ExpMap0.apply(s, self.c)

    @geometry
    def logmap0(self, x):
        return hyperboloid.LogMap0.apply(x, self.c)

    @geometry
    def dist(self, x, y):
        x, y = torch.broadcast_tensors(x, y)
        return hyperboloid.Dist.apply(x, y, self.c)

    @geometry
    def dist0(self, x):
        c = self.c
        return (torch.asinh(sqrt(c) * norm(x[..., 1:])) / sqrt(c)).squeeze(-1)

    @geometry
    def project(self, x):
        """Keep the space part, recompute time."""
        return self.lift(x[..., 1:])

    @geometry
    def project_tangent(self, x, u):
        """The tangent with u's space part (not the orthogonal projection, which amplifies rounding by cosh^2 r)."""
        return self._tangent(self._time(x), x[..., 1:], u[..., 1:])

    @geometry
    def egrad2rgrad(self, x, g):
        time, s = self._time(x), x[..., 1:]
        along = self.c * (time * g[..., :1] + dot(s, g[..., 1:]))
        return torch.cat([along * time - g[..., :1], torch.addcmul(g[..., 1:], along, s)], dim=-1)

    @geometry
    def retract(self, x, u):
        """Add space parts and lift."""
        return self.lift(x[..., 1:] + u[..., 1:])

    @geometry
    def inner(self, x, u, v):
        """Metric of the space chart, split into radial and transverse parts so that `inner(x, u, u) >= 0`."""
        s, u, v = x[..., 1:], u[..., 1:], v[..., 1:]
        direction = s / norm(s).clamp_min(TINY)
        radial_u, radial_v = dot(direction, u), dot(direction, v)
        transverse = dot(u - radial_u * direction, v - radial_v * direction)
        return (transverse + radial_u * radial_v / (1 + self.c * norm(s).square())).squeeze(-1)

    @geometry
    def expmap(self, x, u):
        c, dtype = self.c, torch.promote_types(x.dtype, u.dtype)
        s, u = widen(x[..., 1:]), widen(u[..., 1:])
        t = sqrt(c) * self._tangent_norm(s, u)
        t = t.clamp(
            max=2 * hyperboloid.MAX_RADIUS[dtype]
        )  # beyond it even the way across the space overflows
        return self.lift((torch.cosh(t) * s + sinhc(t) * u).to(dtype))

    @geometry
    def logmap(self, x, y):
        c, dtype = self.c, torch.promote_types(x.dtype, y.dtype)
        x, y = widen(x[..., 1:]), widen(y[..., 1:])
        parts = hyperboloid.separate(x, y, c)
        root = _safe_sqrt(hyperboloid.half_sinh_square(parts.rise, parts.turn))
        # d / sinh(d), d the scaled distance, sinh(d / 2) = root
        shrink = asinhc(root) / (1 + root.square()).sqrt()
        return self._tangent(self._time_of(x), x, shrink * (y - x - 2 * root.square() * x)).to(dtype)

    @geometry
    def transport(self, x, y, u):
        dtype = torch.promote_types(x.dtype, y.dtype)
        x, y, u = widen(x[..., 1:]), widen(y[..., 1:]), widen(u[..., 1:])
        c, time_x, time_y = self.c, self._time_of(x), self._time_of(y)
        parts = hyperboloid.separate(x, y, c)
        root_square = hyperboloid.half_sinh_square(parts.rise, parts.turn)
        # <y, u>_L = <y - x, u>_L, since u is tangent at x
        delta = y - x
        later = dot(delta, x + y) / (time_x + time_y)
        along = dot(delta, u) - later * dot(x, u) / time_x
        return self._tangent(time_y, y, u + c * along / (2 + 2 * root_square) * (x + y)).to(dtype)

    @geometry
    def centroid(self, x, weight=None):
        """`sum(w x) / (sqrt(c) |sum(w x)|_L)`, the minimiser of the weighted squared Lorentzian distance.

        (Law et al. 2019, eq. 14.) The norm is summed from positive terms, since `t^2 - |s|^2` has no digits left at r = 10.
        """
        weight = torch.ones_like(x[..., 0]) if weight is None else weight
        weight, dtype = weight.unsqueeze(-1), torch.promote_types(x.dtype, weight.dtype)
        s, weight = widen(x[..., 1:]), widen(weight)
        total = (weight * s).sum(-2, keepdim=True)
        size, length = norm(s), norm(total)
        time = (1 / self.c + size.square()).sqrt()
        apart = s / size.clamp_min(TINY) - total / length.clamp_min(TINY)
        # sum of w (t - <s, direction of the total>): light-cone coordinate of the sum
        light = (weight * (1 / (self.c * (time + size)) + size * norm(apart).square() / 2)).sum(
            -2, keepdim=True
        )
        square = light * (light + 2 * length)
        bound = weight.sum(-2, keepdim=True).square() / self.c  # reached when all points agree
        scale = sqrt(self.c) * torch.maximum(square, bound).clamp_min(TINY).sqrt()
        return self.lift((total / scale).squeeze(-2).to(dtype))

    @geometry
    def violation(self, x):
        time = self._time(x)
        return ((x[..., :1] - time).abs() / time).squeeze(-1)

    def _time(self, x: Tensor) -> Tensor:
        return self._time_of(x[..., 1:])

    def _time_of(self, s: Tensor) -> Tensor:
        return (1 / self.c + norm(s).square()).sqrt()

    def _tangent(self, time: Tensor, s: Tensor, u: Tensor) -> Tensor:
        return torch.cat([dot(s, u) / time, u], dim=-1)

    def _tangent_norm(self, s: Tensor, u: Tensor) -> Tensor:
        direction = s / norm(s).clamp_min(TINY)
        radial = dot(direction, u)
        cosh = (1 + self.c * norm(s).square()).sqrt()
        return norm(torch.cat([radial / cosh, u - radial * direction], dim=-1))


def _safe_sqrt(square: Tensor) -> Tensor:
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)
