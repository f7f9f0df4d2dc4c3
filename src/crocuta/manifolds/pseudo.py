"""The pseudo-hyperboloid: constant curvature with several time dimensions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from crocuta.manifolds.base import Manifold
from crocuta.manifolds.numerics import TINY, asinhc, dot, in_float32, norm, safe_sqrt, sinc, sinhc, sqrt


class PseudoHyperboloid(Manifold):
    """`-|x_t|^2 + |x_s|^2 = -1/c` in R^(time + space), time coordinates first; n = time + space - 1.

    With one time dimension it is `Lorentz`. With more, the metric is indefinite: tangents are space-like,
    time-like or null; `inner(x, u, u)` may be negative and no triangle inequality holds.

    `expmap0` and `logmap0` are the diffeomorphism with sphere x R^space of Xiong et al. 2022
    (Pseudo-Riemannian graph convolutional networks, theorem 1): the first `time - 1` intrinsic coordinates
    are an angle on the sphere, one-to-one for lengths below pi/sqrt(c). `expmap` and `logmap` follow
    geodesics; no geodesic joins x and y where `c <x, y> >= 1`: there `logmap` is NaN, and `dist` goes round
    by the antipode of x (their eq. 7).

    Args:
        signature: (time, space), both at least 1.
    """

    reach = 3.0  # an indefinite inner product cancels: for one time dimension Lorentz reaches 40

    def __init__(self, signature: tuple[int, int], c: float = 1.0, learnable: bool = False):
        super().__init__(c, learnable)
        time, space = signature
        if time < 1 or space < 1:
            raise ValueError(f"signature must be (time >= 1, space >= 1), got {signature}")
        self.time, self.space = time, space
        self.dimension: int = time + space - 1
        self.riemannian = time == 1

    def extra_repr(self) -> str:
        """`signature=(2, 3), c=1.0`."""
        return f"signature=({self.time}, {self.space}), {super().extra_repr()}"

    def ambient(self, n: int | None = None) -> int:
        """time + space, whatever n; `n` must be time + space - 1."""
        if n is not None and n != self.dimension:
            raise ValueError(f"n must be time + space - 1 = {self.dimension}, got {n}")
        return self.time + self.space

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Time and space coordinates."""
        return x[..., : self.time], x[..., self.time :]

    def product(self, x: Tensor, y: Tensor) -> Tensor:
        """`-<x_t, y_t> + <x_s, y_s>`, shape `(..., 1)`."""
        (time_x, space_x), (time_y, space_y) = self.split(x), self.split(y)
        return dot(space_x, space_y) - dot(time_x, time_y)

    @in_float32
    def expmap0(self, s):
        root = sqrt(self.c)
        turn, s = s[..., : self.time - 1], s[..., self.time - 1 :]
        rise, angle = root * norm(s), root * norm(turn)
        radius = torch.cosh(rise) / root
        pole = radius * torch.cos(angle)
        return torch.cat([pole, radius * root * sinc(angle) * turn, sinhc(rise) * s], dim=-1)

    @in_float32
    def logmap0(self, x):
        root = sqrt(self.c)
        time, s = self.split(x)
        length = norm(time)
        sine = norm(time[..., 1:])
        angle = torch.atan2(sine, time[..., :1])
        ratio = torch.where(sine > 0, angle / torch.where(sine > 0, sine, 1.0), 1 / length)
        return torch.cat([ratio * time[..., 1:] / root, asinhc(root * norm(s)) * s], dim=-1)

    @in_float32
    def expmap(self, x, u):
        c, square = self.c, self.product(u, u)
        t = sqrt(c) * safe_sqrt(square.abs())
        far = square > 0
        along = torch.where(far, torch.cosh(torch.where(far, t, 0.0)), torch.cos(t))
        out = torch.where(far, sinhc(torch.where(far, t, 0.0)), sinc(t))
        return self.project(along * x + out * u)

    @in_float32
    def logmap(self, x, y):
        c = self.c
        chord = c * self.product(y - x, y - x)  # 2 (cosh d - 1), negative when time-like
        root = safe_sqrt(chord.abs()) / 2
        far = chord > 0
        rise = torch.where(far, root, 0.0)
        turn = torch.where(far, 0.0, root)
        # d / sinh d or d / sin d, with sinh or sin of d / 2 = root; beyond 1 no geodesic joins them
        space_like = asinhc(rise) / (1 + rise.square()).sqrt()
        angle = torch.asin(turn)
        sine = turn * safe_sqrt(1 - turn.square())
        time_like = torch.where(turn < 1e-6, 1.0, angle / torch.where(turn < 1e-6, 1.0, sine))
        shrink = torch.where(far, space_like, time_like)
        return self.project_tangent(x, shrink * (y - x - chord / 2 * x))

    @in_float32
    def dist(self, x, y):
        """Length of the geodesic, `sqrt |<log, log>|`; where none exists, pi/sqrt(c) + dist(-x, y)."""
        c = self.c
        chord = c * self.product(y - x, y - x)
        apart = chord < -4
        chord = torch.where(apart, -4 - chord, chord)  # that of -x and y
        root = safe_sqrt(chord.abs()) / 2
        far = chord > 0
        space_like = torch.asinh(torch.where(far, root, 0.0))
        time_like = torch.asin(torch.where(far, 0.0, root))
        half = torch.where(far, space_like, time_like) + torch.where(apart, math.pi / 2, 0.0)
        return (2 / sqrt(c) * half).squeeze(-1)

    def dist0(self, x):
        """`dist` from the origin."""
        return self.dist(self.origin(self.time + self.space - 1, dtype=x.dtype, device=x.device), x)

    @in_float32
    def transport(self, x, y, u):
        """Along the geodesic from x to y; an isometry of the indefinite metric."""
        return self.project_tangent(
            y, u + self.c * self.product(y - x, u) / (1 - self.c * self.product(x, y)) * (x + y)
        )

    @in_float32
    def inner(self, x, u, v):
        return self.product(u, v).squeeze(-1)

    @in_float32
    def project(self, x):
        """Keep the space part and the direction of time, recompute time's length."""
        time, s = self.split(x)
        radius = (1 / self.c + norm(s).square()).sqrt()
        return torch.cat([time * (radius / norm(time).clamp_min(TINY)), s], dim=-1)

    @in_float32
    def project_tangent(self, x, u):
        """Change u along x's time direction alone, which keeps its space part."""
        time, _ = self.split(x)
        excess = self.product(x, u) / dot(time, time)
        time_u, space_u = self.split(u)
        return torch.cat([time_u + excess * time, space_u], dim=-1)

    @in_float32
    def egrad2rgrad(self, x, g):
        """Flip time's sign and project; for an indefinite metric this need not be a direction of ascent."""
        time, s = self.split(g)
        flipped = torch.cat([-time, s], dim=-1)
        return flipped + self.c * self.product(x, flipped) * x

    @in_float32
    def retract(self, x, u):
        return self.project(x + u)

    @in_float32
    def centroid(self, x, weight=None):
        """With one time dimension the normalised sum; with more, the mean in `logmap0`'s coordinates.

        (A sum of points with several time dimensions may be space-like and then has no place here.)
        """
        weight = torch.ones_like(x[..., 0]) if weight is None else weight
        weight = (weight / weight.sum(-1, keepdim=True)).unsqueeze(-1)
        if self.time > 1:
            return self.expmap0((weight * self.logmap0(x)).sum(-2))
        total = (weight * x).sum(-2)
        # -c <total, total> is at least 1, its value where all points agree
        return self.project(total / (-self.c * self.product(total, total)).clamp_min(1.0).sqrt())

    @in_float32
    def violation(self, x):
        time, s = self.split(x)
        radius = (1 / self.c + norm(s).square()).sqrt()
        return ((norm(time) - radius).abs() / radius).squeeze(-1)
