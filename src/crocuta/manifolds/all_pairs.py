"""Distances between all of two sets of points of the hyperboloid, by one product of matrices.

`cosh(d sqrt(c)) = A_x A_y - c <x, y>` in float64 keeps d's digits unless two points are far nearer to each other than
to the origin; those few pairs go one by one through `distance`. Memory is that of the distances, not of the pairs'
coordinates.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from crocuta.manifolds.distance import BLOCK, careful, cosh, curvature_slope, dist_by_autograd
from crocuta.manifolds.numerics import TINY, Scalar, sqrt, widen
from crocuta.manifolds.radial import differentiating_backward, second_order, sum_to_scalar

# sinh^2(d / 2) over A_x A_y below which the product has lost digits that the points' own dtype has
NEAR = {torch.float32: 1e-9, torch.float64: 1e-6}
NEAR_IN_FLOAT32 = 1 / 16


class AllPairs(torch.autograd.Function):
    """Geodesic distances (R, S) of points (R, n + 1) and (S, n + 1); 0 with gradient 0 where two agree."""

    @staticmethod
    def forward(ctx, x: Tensor, y: Tensor, c: Scalar) -> Tensor:
        square, cosh_xy = _half_sinh_squared(x, y, c)
        limit = NEAR[x.dtype] if square.dtype == torch.float64 else NEAR_IN_FLOAT32
        near = (square < limit * cosh_xy).nonzero()
        distance = _asinh_of_root(square, c).to(x.dtype)
        mended = [
            careful(x[rows], y[columns], c) for rows, columns in (b.unbind(-1) for b in near.split(BLOCK))
        ]
        parts = [torch.cat(part) for part in zip(*mended, strict=True)]
        distance[near.unbind(-1)] = parts[0].squeeze(-1)
        ctx.fixed_c = None if isinstance(c, Tensor) else c
        ctx.save_for_backward(x, y, near, *parts[1:], *((c,) if isinstance(c, Tensor) else ()))
        return distance

    @staticmethod
    def backward(ctx, *grads):
        (g,) = grads
        x, y, near, direction, near_cosh_x, near_cosh_y, near_by_c, *curvature = ctx.saved_tensors
        c = curvature[0] if curvature else ctx.fixed_c
        if differentiating_backward():
            return second_order((x, y, c), _by_autograd, g)
        rows, columns = near.unbind(-1)
        near_g = g[rows, columns].unsqueeze(-1)
        square, cosh_xy = _half_sinh_squared(x, y, c)
        inverse = 0.5 / (square.clamp_min(TINY) * (1 + square)).sqrt()
        weight = g.to(square.dtype).index_put((rows, columns), square.new_zeros(()))
        grad_c = None
        if curvature and ctx.needs_input_grad[2]:
            distance = _asinh_of_root(square, c)
            difference = cosh(widen(x), c) - cosh(widen(y), c).mT
            grad_c = (weight * curvature_slope(distance, inverse, square, difference, cosh_xy, c)).sum()
            grad_c = sum_to_scalar(grad_c + (near_g * near_by_c).sum(), c)
        weight = weight * inverse * sqrt(c)
        grad_x = grad_y = None
        if ctx.needs_input_grad[0]:
            grad_x = _gradient(x, y, weight, c).index_add_(0, rows, direction * (near_g / near_cosh_x))
        if ctx.needs_input_grad[1]:
            grad_y = _gradient(y, x, weight.mT, c).index_add_(0, columns, direction * (near_g / -near_cosh_y))
        return grad_x, grad_y, grad_c


def _half_sinh_squared(x: Tensor, y: Tensor, c: Scalar) -> tuple[Tensor, Tensor]:
    """`sinh^2(d sqrt(c) / 2)` and `A_x A_y`, (R, S); near 0 the first may be below."""
    x, y = widen(x), widen(y)
    cosh_xy = cosh(x, c) * cosh(y, c).mT
    return (cosh_xy - (x[:, 1:] * c) @ y[:, 1:].mT).sub_(1).div_(2), cosh_xy


def _asinh_of_root(square: Tensor, c: Scalar) -> Tensor:
    """Distance from `sinh^2(d sqrt(c) / 2)`, by the function that torch vectorises."""
    square = square.clamp_min(0.0)
    return (square / ((1 + square).sqrt() + 1)).add_(square.sqrt()).log1p_() * (2 / sqrt(c))


def _gradient(x: Tensor, y: Tensor, weight: Tensor, c: Scalar) -> Tensor:
    """`sum_j w_ij (A_yj / A_xi x_i - y_j)` as a gradient of points, time 0."""
    wide_x, wide_y = widen(x), widen(y)
    pull = weight @ cosh(wide_y, c) / cosh(wide_x, c)
    return F.pad(torch.addcmul(-(weight @ wide_y[:, 1:]), pull, wide_x[:, 1:]), (1, 0)).to(x.dtype)


def _by_autograd(x: Tensor, y: Tensor, c: Scalar) -> Tensor:
    return dist_by_autograd(x[:, None], y, c)
