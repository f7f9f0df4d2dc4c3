"""How an optimiser handles tangents: gradients, lengths, and geodesic steps that carry momentum."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from crocuta.manifolds import Lorentz, Manifold, Product
from crocuta.manifolds.numerics import TINY, asinhc, dot, norm, sinhc, sqrt

MAX_STEP = 80.0  # in units of 1 / sqrt(c): the widest crossing of the space that the next line allows
MAX_SINH = math.sinh(40.0)  # points stop at radius 40 / sqrt(c), up to which all maps are finite in float32


class Tangents:
    """Tangents in the manifold's own coordinates. Points and tangents have shape `(..., ambient)`."""

    def __init__(self, manifold: Manifold):
        self.manifold = manifold

    def gradient(self, x: Tensor, g: Tensor) -> Tensor:
        """The Riemannian gradient, from the gradient g that autograd gives for x."""
        return self.manifold.egrad2rgrad(x, g)

    def square(self, x: Tensor, u: Tensor) -> Tensor:
        """Squared length, shape `(..., 1)`; that of the coordinates where the metric is indefinite."""
        if not self.manifold.riemannian:
            return dot(u, u)
        # a definite metric can still round to slightly below 0
        return self.manifold.inner(x, u, u).clamp_min(0).unsqueeze(-1)

    def to_origin(self, x: Tensor) -> Tensor:
        """The tangent that leads from x to the origin."""
        origin = self.manifold.expmap0(torch.zeros_like(self.manifold.logmap0(x)))
        return self.manifold.logmap(x, origin)

    def walk(self, x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Where u leads, and v carried there in parallel."""
        y = self.manifold.expmap(x, u)
        return y, self.manifold.transport(x, y, v)

    def coordinates(self, x: Tensor, u: Tensor) -> Tensor:
        """The tangent u, in this form, as the manifold's own methods take it."""
        return u

    def settle(self, x: Tensor, u: Tensor) -> Tensor:
        """The tangent u of a manifold that moved a little, as one of the manifold that holds x now."""
        return self.manifold.project_tangent(x, u)


class LorentzTangents(Tangents):
    """Tangents of the hyperboloid in an orthonormal frame: `[0, w]`, w the radial part and the part across.

    In coordinates, a unit tangent that points outward at radius r has length cosh(r): in float32, at r = 20,
    its rounding alone is 15 units across. In the frame, which is the tangent carried to the origin along the
    radius, lengths and products are Euclidean, float32 keeps them to 1e-7 anywhere, and a moving curvature
    leaves them alone. With C = cosh(r), the space part of the coordinates is `w + c / (C + 1) <x_s, w> x_s`.
    """

    manifold: Lorentz

    def gradient(self, x, g):
        c, s = self.manifold.c, _without_time(x)
        square = dot(s, s)
        cosh = (1 + c * square).sqrt()
        by_time = sqrt(c) / cosh * g[..., :1]  # time follows space: dx_0 = sqrt(c) <x_s, ds> / C
        u = torch.addcmul(g, by_time + c / (cosh + 1) * (dot(s, g) + by_time * square), s)
        u[..., 0] = 0
        return u

    def square(self, x, u):
        return dot(u, u)

    def to_origin(self, x):
        s = _without_time(x)
        return -asinhc(sqrt(self.manifold.c) * norm(s)) * s

    def walk(self, x, u, v):
        """In closed form, with t = sqrt(c) |u| and u, v in coordinates but their products from the frame:

        y = cosh(t) x + sinhc(t) u  and  v + c <u, v> (sinhc(t) x + (cosh(t) - 1) / t^2 u).

        `transport` would have to recover from two nearby points the direction that is known here.
        """
        c, s = self.manifold.c, _without_time(x)
        u = u * (MAX_STEP / (sqrt(c) * norm(u)).clamp_min(MAX_STEP))
        square, inner, length, size = dot(s, s), dot(s, u), norm(u), norm(v)
        outward = c / (1 + (1 + c * square).sqrt())  # from the frame to coordinates: + outward <s, w> s
        t, along, radial = sqrt(c) * length, c * dot(u, v), outward * inner
        ratio, bend = sinhc(t), along * sinhc(t / 2).square() / 2
        on_s = torch.cosh(t) + ratio * radial
        reach = on_s.square() * square + 2 * on_s * ratio * inner + (ratio * length).square()  # |y|^2
        stop = MAX_SINH / (c * reach).clamp_min(MAX_SINH**2).sqrt()
        y = torch.addcmul(stop * on_s * s, stop * ratio, u)
        v = torch.addcmul(torch.addcmul(v, outward * dot(s, v) + along * ratio + bend * radial, s), bend, u)
        cosh = (1 + c * dot(y, y)).sqrt()
        v = torch.addcmul(v, -c / (cosh * (cosh + 1)) * dot(y, v), y)  # and back, at y
        v = v * (size / norm(v).clamp_min(TINY))  # an isometry, where coordinates of cosh(r) round, too
        y[..., :1] = cosh / sqrt(c)
        return y, v

    def coordinates(self, x, u):
        s = _without_time(x)
        outward = self.manifold.c / (1 + (1 + self.manifold.c * dot(s, s)).sqrt())
        return self.manifold.project_tangent(x, u + outward * dot(s, u) * s)

    def settle(self, x, u):
        return u


class ProductTangents(Tangents):
    """Each factor's tangents in the form that suits it."""

    manifold: Product

    def _each(self, name: str, *tensors: Tensor) -> list:
        parts = zip(self.manifold.factors, *map(self.manifold.split, tensors), strict=True)
        return [getattr(tangents(manifold), name)(*part) for manifold, *part in parts]

    def gradient(self, x, g):
        return torch.cat(self._each("gradient", x, g), dim=-1)

    def square(self, x, u):
        return torch.stack(self._each("square", x, u)).sum(0)

    def to_origin(self, x):
        return torch.cat(self._each("to_origin", x), dim=-1)

    def walk(self, x, u, v):
        ends, carried = zip(*self._each("walk", x, u, v), strict=True)
        return torch.cat(ends, dim=-1), torch.cat(carried, dim=-1)

    def coordinates(self, x, u):
        return torch.cat(self._each("coordinates", x, u), dim=-1)

    def settle(self, x, u):
        return torch.cat(self._each("settle", x, u), dim=-1)


def tangents(manifold: Manifold) -> Tangents:
    """The form of tangents that suits a manifold."""
    for kind, form in ((Lorentz, LorentzTangents), (Product, ProductTangents)):
        if isinstance(manifold, kind):
            return form(manifold)
    return Tangents(manifold)


def _without_time(x: Tensor) -> Tensor:
    """`[0, x_s]`: products of space parts without slices, which break a row's alignment."""
    x = x.clone()
    x[..., 0] = 0
    return x
