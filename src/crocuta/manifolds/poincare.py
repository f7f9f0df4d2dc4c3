"""The ball model of hyperbolic space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crocuta.manifolds.base import Manifold
from crocuta.manifolds.numerics import (
    TINY,
    Scalar,
    asinhc,
    dot,
    euclidean_cdist,
    in_float32,
    norm,
    sqrt,
    tanhc,
    widen,
)

if TYPE_CHECKING:
    from jaxtyping import Float

# Largest sqrt(c) |x|, a few float steps short of the rim: its radius is 15.9 (float32), 36.0 (float64).
RIM = {torch.float32: 1 - 2.0**-22, torch.float64: 1 - 2.0**-51}


def widen_curvature(c: Scalar, x: Tensor) -> Scalar:
    """The curvature in the precision of `widen(x)`."""
    return widen(c) if isinstance(c, Tensor) else c


def rim_gap(x: Tensor, c: Scalar) -> Tensor:
    """`1 - c|x|^2`, shape `(..., 1)`; summed in float64, since near the rim float32 has no digits of it."""
    wide = widen(x)
    gap = 1 - widen_curvature(c, x) * dot(wide, wide)
    return gap.clamp_min(2 * (1 - RIM[x.dtype])).to(x.dtype)


def project_to_ball(x: Tensor, c: Scalar) -> Tensor:
    """Pull points at or beyond the rim back to the outermost radius that the dtype resolves."""
    length, rim = sqrt(c) * norm(x), RIM[x.dtype]
    return torch.where(length > rim, x * (rim / length.clamp_min(rim)), x)


class Poincare(Manifold):
    """Hyperbolic space as the ball of radius `1/sqrt(c)`, metric `(2 / (1 - c|x|^2))^2`.

    `expmap0(u)` takes ball coordinates: length `|u|` lands at geodesic distance 2|u|.

    Near the rim the coordinates hold few digits of `1 - c|x|^2`; it is evaluated from them exactly (in
    float64), and nothing else here cancels. In float32 a point's radius r is known to about `2^-25 e^r / 2`:
    2.4e-3 at r = 12. Points stop at r = 15.9. Use `Lorentz` beyond that.

    >>> m = Poincare(c=1.0)
    >>> x = m.expmap0(torch.tensor([3.0, 4.0]))
    >>> m.dist(x, m.origin(2)).round(decimals=3)
    tensor(10.)
    """

    scale0 = 2.0

    def rim_gap(self, x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch 1"]:
        """`1 - c|x|^2` of the coordinates as they are, at least that of the outermost point."""
        return rim_gap(x, self.c)

    @in_float32
    def expmap0(self, s):
        wide = widen(s)  # near the rim every rounding costs e^r: leave only that of the result
        point = tanhc(sqrt(widen_curvature(self.c, s)) * norm(wide)) * wide
        return self.project(point.to(s.dtype))

    @in_float32
    def logmap0(self, x):
        root = self.rim_gap(x).sqrt()
        t = sqrt(self.c) * norm(x)
        # artanh(t) = asinh(t / sqrt(1 - t^2))
        return asinhc(t / root) / root * x

    @in_float32
    def dist(self, x, y):
        x, y = torch.broadcast_tensors(x, y)
        chord = norm(x - y) / (self.rim_gap(x).sqrt() * self.rim_gap(y).sqrt())
        return (2 / sqrt(self.c) * torch.asinh(sqrt(self.c) * chord)).squeeze(-1)

    @in_float32
    def cdist(self, x, y):
        chord = euclidean_cdist(x, y) / (self.rim_gap(x).sqrt() * self.rim_gap(y).sqrt().mT)
        return 2 / sqrt(self.c) * torch.asinh(sqrt(self.c) * chord)

    @in_float32
    def mobius_add(
        self, x: Float[Tensor, "*batch n"], y: Float[Tensor, "*batch n"]
    ) -> Float[Tensor, "*batch n"]:
        """Gyrovector addition `x + y` (Ganea et al. 2018, eq. 4), rearranged not to cancel near `y = -x`."""
        c, gap_x, gap_y = self.c, self.rim_gap(x), self.rim_gap(y)
        square = dot(x + y, x + y)
        step = gap_x * (y + c * dot(y, y) * x) / (gap_x * gap_y + c * square)
        return self.project(x + step)

    @in_float32
    def expmap(self, x, u):
        c, gap = self.c, self.rim_gap(x)
        t = sqrt(c) * norm(u) / gap
        w = tanhc(t) * u / gap
        gap_w = 1 / torch.cosh(t.clamp(max=40.0)).square()  # 1 - c|w|^2; below 1e-34 it no longer matters
        step = gap * (w + c * dot(w, w) * x) / (gap * gap_w + c * dot(x + w, x + w)).clamp_min(TINY)
        return self.project(x + step)

    @in_float32
    def logmap(self, x, y):
        c, gap_x, gap_y = self.c, self.rim_gap(x), self.rim_gap(y)
        z = y - x
        chord = sqrt(c) * norm(z) / (gap_x.sqrt() * gap_y.sqrt())
        shrink = asinhc(chord) / (1 + chord.square()).sqrt()
        return shrink * (gap_x * z - c * dot(z, z) * x) / gap_y

    def normal_coordinates(self, x, y):
        return self.logmap0(self.mobius_add(-x, y))

    def from_normal_coordinates(self, x, v):
        return self.mobius_add(x, self.expmap0(v))

    @in_float32
    def transport(self, x, y, u):
        """Gyration `gyr[y, -x]` times the ratio of conformal factors (Ungar 2008, eq. 1.31, around y = x)."""
        c, gap_x, gap_y = self.c, self.rim_gap(x), self.rim_gap(y)
        z = y - x
        along_x, along_z, square = dot(x, u), dot(z, u), dot(z, z)
        on_z = c * (-gap_x * along_x - c * dot(x, x) * along_z + 2 * c * dot(x, z) * along_x)
        on_x = c * (gap_x * along_z - c * square * along_x)
        return gap_y / gap_x * (u + 2 * (on_z * z + on_x * x) / (gap_x * gap_y + c * square))

    @in_float32
    def inner(self, x, u, v):
        return (dot(u, v) * (2 / self.rim_gap(x)).square()).squeeze(-1)

    @in_float32
    def project(self, x):
        """Pull points at or beyond the rim back to the outermost radius that the dtype resolves."""
        return project_to_ball(x, self.c)

    @in_float32
    def project_tangent(self, x, u):
        """Every vector is tangent to the ball."""
        return u

    @in_float32
    def egrad2rgrad(self, x, g):
        return g * (self.rim_gap(x) / 2).square()

    @in_float32
    def retract(self, x, u):
        return self.project(x + u)

    @in_float32
    def centroid(self, x, weight=None):
        """The gyromidpoint (Ungar 2010, eq. 3.90): the image of the Lorentz centroid."""
        weight = torch.ones_like(x[..., 0]) if weight is None else weight
        weight, wide, gap, root = (
            widen(weight).unsqueeze(-1),
            widen(x),
            widen(self.rim_gap(x)),
            sqrt(widen_curvature(self.c, x)),
        )
        s = root * (weight * 2 * wide / gap).sum(-2, keepdim=True)
        lengths, length = norm(wide), norm(s)
        apart = wide / lengths.clamp_min(TINY) - s / length.clamp_min(TINY)
        spread = root * lengths * norm(apart).square()
        # time minus length of the sum, from positive terms: (1 - t)^2 / (1 - t^2) + ..., t = sqrt(c)|x|
        light = (weight * ((gap / (1 + root * lengths)).square() + spread) / gap).sum(-2, keepdim=True)
        size = (light * (light + 2 * length)).clamp_min(TINY).sqrt()
        size = torch.maximum(size, weight.sum(-2, keepdim=True))
        return self.project((s / (root * (size + light + length))).squeeze(-2).to(x.dtype))

    @in_float32
    def violation(self, x):
        return (sqrt(self.c) * norm(x) - RIM[x.dtype]).clamp_min(0.0).squeeze(-1)
