"""A step along a geodesic that carries a second tangent with it: the inner loop of a Riemannian optimiser."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crocuta.manifolds import Lorentz, Manifold
from crocuta.manifolds.numerics import TINY, dot, norm, sinhc, widen

if TYPE_CHECKING:
    from jaxtyping import Float

MAX_STEP = 80.0  # in units of 1 / sqrt(c): far beyond any optimiser's step, and cosh of it still fits float32


@functools.singledispatch
def expmap_transport(
    manifold: Manifold,
    x: Float[Tensor, "*batch ambient"],
    u: Float[Tensor, "*batch ambient"],
    v: Float[Tensor, "*batch ambient"],
) -> tuple[Float[Tensor, "*batch ambient"], Float[Tensor, "*batch ambient"]]:
    """`y = expmap(x, u)` and `transport(x, y, v)`: where u leads, and v carried there in parallel.

    A manifold for which the pair is cheaper or more accurate than its parts registers its own version.
    """
    y = manifold.expmap(x, u)
    return y, manifold.transport(x, y, v)


@expmap_transport.register
def _(manifold: Lorentz, x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """In closed form, with t = sqrt(c) |u|:

    y = cosh(t) x + sinhc(t) u  and  v + c <u, v> (sinhc(t) x + (cosh(t) - 1) / t^2 u).

    The direction is known here, where `transport` must recover it from two nearby points. Only space parts
    enter, in float64: far from the origin those of a tangent are up to cosh(r) times its length.
    """
    dtype, c = x.dtype, manifold.c
    s, u, v = widen(x[..., 1:]), widen(u[..., 1:]), widen(v[..., 1:])
    length = norm(s)
    direction = s / length.clamp_min(TINY)
    radial = dot(direction, u)
    across = u - radial * direction
    shrunk = radial / (1 + c * length.square())  # the metric shrinks the radial direction by cosh^2 r
    t = (c * (norm(across).square() + shrunk * radial)).sqrt().clamp(max=MAX_STEP)
    along = c * (dot(across, v) + shrunk * dot(direction, v))
    ratio = sinhc(t)
    y = torch.cosh(t) * s + ratio * u
    carried = v + (along * ratio) * s + (along * sinhc(t / 2).square() / 2) * u
    time = (1 / c + norm(y).square()).sqrt()
    return torch.cat([time, y], -1).to(dtype), torch.cat([dot(y, carried) / time, carried], -1).to(dtype)
