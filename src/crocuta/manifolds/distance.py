"""Geodesic distance on the hyperboloid, without cancellation, with a hand-written gradient.

Only space parts are read: `a = sqrt(c) |x|` is sinh of the scaled radius, `A = sqrt(1 + a^2)` its cosh.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from crocuta.manifolds.numerics import TINY, Scalar, dot, norm, sqrt, widen
from crocuta.manifolds.radial import differentiating_backward, second_order, sum_to_scalar

BLOCK = 2048  # rows mended at a time: float64 temporaries of that size stay in cache
SAMPLE = 16  # rows along each axis, or nearly, that decide which formula suits all of them


class Separation(NamedTuple):
    """What two points' distance is made of; every field but `pivot` and `w` has a last axis of size 1."""

    pivot: Tensor  # space part of the point nearer the origin
    w: Tensor  # max(|x|, |y|) (x/|x| - y/|y|)
    norm_x: Tensor
    norm_y: Tensor
    cosh_x: Tensor
    cosh_y: Tensor
    rise: Tensor  # sinh(r_x - r_y), radii scaled by sqrt(c)
    turn: Tensor  # (c / 4) |x| |y| |x/|x| - y/|y||^2

    @property
    def square(self) -> Tensor:
        """`sinh^2(d / 2) = sinh^2((r_x - r_y) / 2) + turn`, distances scaled: two non-negative terms."""
        square = self.rise.square()
        return square / (2 + 2 * (1 + square).sqrt()) + self.turn


def separate(x: Tensor, y: Tensor, c: Scalar) -> Separation:
    """Compare two space parts; every field keeps its digits where x and y nearly agree."""
    norm_x, norm_y = norm(x), norm(y)
    delta = x - y
    total = norm_x + norm_y
    # |x| - |y| from the difference vector: the norms may agree in most of their digits
    gain = dot(delta, x + y) / total.clamp_min(TINY)
    inner, outer = torch.minimum(norm_x, norm_y), torch.maximum(norm_x, norm_y)
    pivot = torch.where(norm_x < norm_y, x, y)
    w = delta - gain / inner.clamp_min(TINY) * pivot
    cosh_x, cosh_y = (1 + c * norm_x.square()).sqrt(), (1 + c * norm_y.square()).sqrt()
    rise = sqrt(c) * gain * ((total + TINY) / (norm_x * cosh_y + norm_y * cosh_x + TINY))
    turn = (c / 4) * (inner / outer.clamp_min(TINY)) * norm(w).square()
    return Separation(pivot, w, norm_x, norm_y, cosh_x, cosh_y, rise, turn)


def half_sinh(x: Tensor, y: Tensor, c: Scalar) -> Tensor:
    """`sinh(d sqrt(c) / 2)` of two space parts, shape `(..., 1)`; its gradient is 0 where they agree."""
    square = separate(x, y, c).square
    apart = square > 0
    return torch.where(apart, torch.where(apart, square, 1.0).sqrt(), 0.0)


def dist_by_autograd(x: Tensor, y: Tensor, c: Scalar) -> Tensor:
    """`Dist` as a formula that autograd can differentiate any number of times (away from x = y)."""
    return (2 / sqrt(c) * torch.asinh(half_sinh(x[..., 1:], y[..., 1:], c))).squeeze(-1)


class _Local(NamedTuple):
    """A distance and what its gradient needs."""

    distance: Tensor  # (..., 1)
    # [0, (A_y x - A_x y) sqrt(c) / sinh(d sqrt(c))]: A_x times dd/dx, and -A_y times dd/dy
    direction: Tensor
    cosh_x: Tensor
    cosh_y: Tensor
    by_c: Tensor | None  # derivative with respect to a learnable curvature, (..., 1)


def curvature_slope(
    distance: Tensor, inverse: Tensor, square: Tensor, difference: Tensor, cosh_xy: Tensor, c: Scalar
) -> Tensor:
    """dd/dc at fixed space parts; `difference` is A_x - A_y and `inverse` 1 / sinh(d sqrt(c))."""
    return ((4 * square - difference.square() / cosh_xy) * inverse / sqrt(c) - distance) / (2 * c)


def careful(x: Tensor, y: Tensor, c: Scalar) -> _Local:
    """For any pair: `A_y x - A_x y = rise pivot/|pivot| + A_pivot w`, both terms free of cancellation.

    In float64 inside: of x - y between near points, the radial part is cosh(r) times longer than it counts.
    """
    dtype = x.dtype
    parts = separate(widen(x[..., 1:]), widen(y[..., 1:]), c)
    square = parts.square
    root = square.sqrt()
    distance = 2 / sqrt(c) * torch.asinh(root)
    sinh = 2 * root * (1 + square).sqrt()
    inverse = torch.where(sinh > 0, 1 / torch.where(sinh > 0, sinh, 1.0), 0.0)
    along = inverse * parts.rise / torch.minimum(parts.norm_x, parts.norm_y).clamp_min(TINY)
    across = inverse * sqrt(c) * torch.minimum(parts.cosh_x, parts.cosh_y)
    direction = F.pad(along * parts.pivot + across * parts.w, (1, 0))
    cosh_x, cosh_y = parts.cosh_x, parts.cosh_y
    bridge = sqrt(c) * (parts.norm_x * cosh_y + parts.norm_y * cosh_x) / (cosh_x + cosh_y)
    by_c = curvature_slope(distance, inverse, square, parts.rise * bridge, cosh_x * cosh_y, c)
    parts = (distance, direction, cosh_x, cosh_y, by_c)
    return _Local(*(part if part is None else part.to(dtype) for part in parts))  # type: ignore[arg-type]


def _quick(x: Tensor, y: Tensor, c: Scalar, with_gradient: bool) -> tuple[_Local, Tensor]:
    """From one inner product, or from the difference if that suits a sample; and which pairs it fails.

    cosh(d) - 1 carries the rounding of A_x A_y, and 4 sinh^2(d / 2) = c |x - y|^2 - (A_x - A_y)^2 that of its
    first term: d keeps a relative error below 4e-7 where the result is at least 1/8, or 1/4, of what it is a
    difference of. In place and on whole points wherever possible: such a map spends its time on memory.
    """
    cosh_x, cosh_y = cosh(x, c), cosh(y, c)
    delta = fall = None
    if _are_close(x, y, c):
        delta = x - y
        chord = norm(delta[..., 1:]).square_().mul_(c)
        # |x|^2 - |y|^2 from the difference
        fall = _dot(delta, y).mul_(2 * c).add_(chord).div_(cosh_x + cosh_y)
        square = (chord - fall.square()).div_(4)
        failed = ~(square * 16 >= chord) | (chord == 0)
    else:
        cosh_xy = cosh_x * cosh_y
        square = (cosh_xy - _dot(x, y).mul_(c)).sub_(1).div_(2)
        failed = square * 16 < cosh_xy
    root = square.clamp_min(0.0).sqrt_()
    cosh_half = (square + 1).sqrt_()
    # asinh(root), by the function that torch vectorises
    distance = (square / (cosh_half + 1)).add_(root).log1p_().mul_(2 / sqrt(c))
    if not with_gradient:
        return _Local(distance, x, cosh_x, cosh_y, None), failed
    inverse = cosh_half.mul_(root.clamp_(min=TINY)).reciprocal_().div_(2)
    scaled = inverse * sqrt(c)
    if delta is not None and fall is not None:
        direction = delta.mul_(cosh_y * scaled).addcmul_(y, fall * scaled, value=-1)
    else:
        direction = (x * (cosh_y * scaled)).addcmul_(y, cosh_x * scaled, value=-1)
    direction[..., 0] = 0
    by_c = None
    if isinstance(c, Tensor):
        difference = fall if fall is not None else cosh_x - cosh_y
        by_c = curvature_slope(distance, inverse, square, difference, cosh_x * cosh_y, c)
    return _Local(distance, direction, cosh_x, cosh_y, by_c), failed


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """Inner product of space parts `(..., 1)` that leaves no array of products behind."""
    return torch.einsum("...i,...i->...", x[..., 1:], y[..., 1:]).unsqueeze(-1)


def cosh(x: Tensor, c: Scalar) -> Tensor:
    """Of the scaled radius, (..., 1)."""
    return norm(x[..., 1:]).square_().mul_(c).add_(1).sqrt_()


def _are_close(x: Tensor, y: Tensor, c: Scalar) -> bool:
    """Whether cosh(d) - 1 has lost its digits for more than a quarter of a sample of pairs."""
    sample = tuple(slice(None, None, max(1, size // SAMPLE)) for size in x.shape[:-1])
    x, y = x[sample], y[sample]
    cosh_xy = cosh(x, c) * cosh(y, c)
    close = (cosh_xy - c * _dot(x, y) - 1) * 8 < cosh_xy
    return 4 * int(close.sum()) > close.numel()


def _local(x: Tensor, y: Tensor, c: Scalar, with_gradient: bool) -> _Local:
    """The quick formulas with what they fail mended; where branching on data is dear, the careful one."""
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        return careful(x, y, c)
    quick, failed = _quick(x, y, c, with_gradient)
    for block in failed.squeeze(-1).nonzero().split(BLOCK):
        rows = block.unbind(-1)
        mended = careful(x[rows], y[rows], c)
        for whole, part in zip(quick if with_gradient else quick[:1], mended, strict=False):
            if whole is not None and part is not None:
                whole[rows] = part
    return quick


class Dist(torch.autograd.Function):
    """Geodesic distance of points `(..., n + 1)` of one shape; 0 with gradient 0 where they agree."""

    @staticmethod
    def forward(ctx, x: Tensor, y: Tensor, c: Scalar) -> Tensor:
        local = _local(x, y, c, any(ctx.needs_input_grad))
        ctx.fixed_c = None if isinstance(c, Tensor) else c
        curvature = (c, local.by_c) if isinstance(c, Tensor) and local.by_c is not None else ()
        ctx.save_for_backward(x, y, *local[1:4], *curvature)
        return local.distance.squeeze(-1)

    @staticmethod
    def backward(ctx, *grads):
        x, y, direction, cosh_x, cosh_y, *curvature = ctx.saved_tensors
        if differentiating_backward():
            return second_order(
                (x, y, curvature[0] if curvature else ctx.fixed_c), dist_by_autograd, grads[0]
            )
        g = grads[0].unsqueeze(-1)
        grad_x = direction * (g / cosh_x) if ctx.needs_input_grad[0] else None
        grad_y = direction * (g / -cosh_y) if ctx.needs_input_grad[1] else None
        grad_c = None
        if curvature and ctx.needs_input_grad[2]:
            grad_c = sum_to_scalar(g * curvature[1], curvature[0])
        return grad_x, grad_y, grad_c
