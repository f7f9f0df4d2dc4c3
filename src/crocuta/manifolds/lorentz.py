"""The hyperboloid model of hyperbolic space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crocuta.manifolds import cones
from crocuta.manifolds.all_pairs import AllPairs
from crocuta.manifolds.base import Manifold
from crocuta.manifolds.distance import Dist, Separation, half_sinh, separate
from crocuta.manifolds.numerics import TINY, asinhc, dot, in_float32, norm, sinhc, sqrt, widen
from crocuta.manifolds.radial import MAX_RADIUS, ExpMap0, Lift, LogMap0

if TYPE_CHECKING:
    from jaxtyping import Float


class Lorentz(Manifold):
    """Hyperbolic space as `<x, x>_L = -x_0^2 + |x_s|^2 = -1/c`, time coordinate first: `(..., n + 1)`.

    Every method trusts the space part and recomputes time, `x_0 = sqrt(1/c + |x_s|^2)`, so rounding cannot
    carry a result off the hyperboloid; likewise a tangent is its space part, `u_0 = <x_s, u_s> / x_0`.
    Gradients with respect to the time coordinate are therefore 0; `egrad2rgrad` accepts these and any others.

    Values and gradients are finite in float32 for radii r sqrt(c) up to 40; `expmap0` stops at 41.

    >>> m = Lorentz(c=0.5)
    >>> x = m.expmap0(torch.tensor([3.0, 4.0]))
    >>> m.dist0(x)
    tensor(5.)
    """

    def ambient(self, n: int) -> int:
        """n + 1."""
        return n + 1

    @in_float32
    def lift(self, s: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n+1"]:
        """Space part to point: `[sqrt(1/c + |s|^2), s]`."""
        return Lift.apply(s, self.c)

    @in_float32
    def expmap0(self, s):
        return ExpMap0.apply(s, self.c)

    @in_float32
    def logmap0(self, x):
        return LogMap0.apply(x, self.c)

    @in_float32
    def dist(self, x, y):
        x, y = torch.broadcast_tensors(x, y)
        return Dist.apply(x, y, self.c)

    @in_float32
    def cdist(self, x, y):
        if torch.compiler.is_compiling():  # which pairs are near is not known before
            return super().cdist(x, y)
        return AllPairs.apply(x.reshape(-1, x.shape[-1]), y, self.c).reshape(*x.shape[:-1], len(y))

    @in_float32
    def dist0(self, x):
        c = self.c
        return (torch.asinh(sqrt(c) * norm(x[..., 1:])) / sqrt(c)).squeeze(-1)

    @in_float32
    def project(self, x):
        """Keep the space part, recompute time."""
        return self.lift(x[..., 1:])

    @in_float32
    def project_tangent(self, x, u):
        """The tangent with u's space part; the orthogonal projection would amplify rounding by cosh^2 r."""
        return self._tangent(self._time(x), x[..., 1:], u[..., 1:])

    @in_float32
    def egrad2rgrad(self, x, g):
        time, s = self._time(x), x[..., 1:]
        along = self.c * (time * g[..., :1] + dot(s, g[..., 1:]))
        return torch.cat([along * time - g[..., :1], torch.addcmul(g[..., 1:], along, s)], dim=-1)

    @in_float32
    def retract(self, x, u):
        """Add space parts and lift."""
        return self.lift(x[..., 1:] + u[..., 1:])

    @in_float32
    def inner(self, x, u, v):
        """Metric of the space chart, split into radial and transverse parts so that `inner(x, u, u) >= 0`."""
        s, u, v = x[..., 1:], u[..., 1:], v[..., 1:]
        direction = s / norm(s).clamp_min(TINY)
        radial_u, radial_v = dot(direction, u), dot(direction, v)
        transverse = dot(u - radial_u * direction, v - radial_v * direction)
        return (transverse + radial_u * radial_v / (1 + self.c * norm(s).square())).squeeze(-1)

    @in_float32
    def expmap(self, x, u):
        c, dtype = self.c, torch.promote_types(x.dtype, u.dtype)
        s, u = widen(x[..., 1:]), widen(u[..., 1:])
        reach = MAX_RADIUS[dtype]
        t = sqrt(c) * self._tangent_norm(s, u)
        t = t.clamp(max=2 * reach)  # the way right across the space; beyond it cosh would overflow
        return self._within_reach(torch.cosh(t) * s + sinhc(t) * u, dtype)

    def _within_reach(self, s, dtype):
        """Lifted; as in `expmap0`, points stop at the largest radius whose squares the dtype holds."""
        reach = math.sinh(MAX_RADIUS[dtype])
        return self.lift((s * (reach / (sqrt(self.c) * norm(s)).clamp_min(reach))).to(dtype))

    @in_float32
    def logmap(self, x, y):
        c, dtype = self.c, torch.promote_types(x.dtype, y.dtype)
        x, y = widen(x[..., 1:]), widen(y[..., 1:])
        root = half_sinh(x, y, c)
        # d / sinh(d), d the scaled distance, sinh(d / 2) = root
        shrink = asinhc(root) / (1 + root.square()).sqrt()
        return self._tangent(self._time_of(x), x, shrink * (y - x - 2 * root.square() * x)).to(dtype)

    @in_float32
    def normal_coordinates(self, x, y):
        dtype = torch.promote_types(x.dtype, y.dtype)
        x, y = torch.broadcast_tensors(widen(x[..., 1:]), widen(y[..., 1:]))
        direction = x / norm(x).clamp_min(TINY)
        radial, turned = self._seen_from(x, y, separate(x, y, self.c))
        across = norm(y) * (dot(turned, direction) * direction - turned)
        s = torch.where(norm(x) > 0, across - radial * direction, y)
        return (asinhc(sqrt(self.c) * norm(s)) * s).to(dtype)

    @in_float32
    def from_normal_coordinates(self, x, v):
        """The boost that takes the origin to x, applied to `expmap0(v)`."""
        dtype = torch.promote_types(x.dtype, v.dtype)
        c, x, v = self.c, widen(x[..., 1:]), widen(v)
        across = 2 * MAX_RADIUS[dtype]  # the way right across the space
        y = self.expmap0(v * (across / (sqrt(c) * norm(v)).clamp_min(across)))
        time, s = y[..., :1], y[..., 1:]
        along = c * dot(x, s) / (1 + sqrt(c) * self._time_of(x)) + sqrt(c) * time
        return self._within_reach(s + along * x, dtype)

    @in_float32
    def transport(self, x, y, u):
        dtype = torch.promote_types(x.dtype, y.dtype)
        x, y, u = torch.broadcast_tensors(widen(x[..., 1:]), widen(y[..., 1:]), widen(u[..., 1:]))
        c, parts = self.c, separate(x, y, self.c)
        # u = beta e_r + tau at x, so <y, u>_L = beta <y, e_r>_L + <y_s, tau>, each term as accurate as u
        # itself
        direction = x / parts.norm_x.clamp_min(TINY)
        radial = dot(direction, u)
        towards, turned = self._seen_from(x, y, parts)
        along = -radial / parts.cosh_x * towards
        along = along - parts.norm_y * dot(turned, u - radial * direction)
        moved = u + c * along / (2 + 2 * parts.square) * (x + y)
        return self._tangent(self._time_of(y), y, moved).to(dtype)

    @in_float32
    def centroid(self, x, weight=None):
        """`sum(w x) / (sqrt(c) |sum(w x)|_L)`, the minimiser of the weighted squared Lorentzian distance.

        (Law et al. 2019, eq. 14.) The norm is summed from positive terms: `t^2 - |s|^2` has no digits at r =
        10.
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

    def half_aperture(
        self, x: Float[Tensor, "*batch n+1"], minimum_radius: float = 0.1
    ) -> Float[Tensor, "*batch"]:
        """Half the opening of x's entailment cone, radians; see `cones.half_aperture`."""
        return cones.half_aperture(x, self.c, minimum_radius)

    def exterior_angle(
        self, x: Float[Tensor, "*batch n+1"], y: Float[Tensor, "*batch n+1"]
    ) -> Float[Tensor, "*batch"]:
        """Angle at x between the way on to y and the ray from the origin; y follows from x when it is below
        `half_aperture(x)`. See `cones.exterior_angle`.
        """
        return cones.exterior_angle(x, y, self.c)

    @in_float32
    def violation(self, x):
        time = self._time(x)
        return ((x[..., :1] - time).abs() / time).squeeze(-1)

    def _seen_from(self, x: Tensor, y: Tensor, parts: Separation) -> tuple[Tensor, Tensor]:
        """Radial coordinate of x less that of y in x's frame, a positive sum; and `x/|x| - y/|y|`."""
        turned = parts.w / torch.maximum(parts.norm_x, parts.norm_y).clamp_min(TINY)
        bent = parts.cosh_x * parts.norm_y * norm(turned).square() / 2
        return parts.rise / sqrt(self.c) + bent, turned

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
