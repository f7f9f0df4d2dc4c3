"""The hot maps of the hyperboloid with hand-written gradients: lift, exp and log at the origin, distance.

All of them read only the space part of a point, which is the point: time is sqrt(1/c + |s|^2). Their gradient with
respect to the time coordinate is therefore 0 and that of the space part is the gradient in the space chart.

Notation: `a = sqrt(c) |x_s|` is sinh of the scaled radius, `A = sqrt(1 + a^2)` its cosh; b and B those of y.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from crocuta.manifolds.numerics import TINY, Scalar, asinhc, dot, norm, sinhc, sqrt

# Beyond this scaled radius the squares of coordinates overflow; exp at the origin stops there (float32: e^82 / c < 3e38).
MAX_RADIUS = {torch.float32: 41.0, torch.float64: 340.0}


def with_zero_time(s: Tensor) -> Tensor:
    return F.pad(s, (1, 0))


def _sum_to_scalar(grad: Tensor, c: Tensor) -> Tensor:
    return grad.sum().to(c.dtype).reshape(c.shape)


class Lift(torch.autograd.Function):
    """Space part `(..., n)` to point `(..., n + 1)`."""

    @staticmethod
    def forward(ctx, s: Tensor, c: Scalar) -> Tensor:
        x = torch.cat([(norm(s).square() + 1 / c).sqrt(), s], dim=-1)
        ctx.save_for_backward(x, *((c,) if isinstance(c, Tensor) else ()))
        return x

    @staticmethod
    def backward(ctx, *grads):
        (g,) = grads
        x, *curvature = ctx.saved_tensors
        ratio = g[..., :1] / x[..., :1]
        grad_c = None
        if curvature and ctx.needs_input_grad[1]:
            (c,) = curvature
            grad_c = _sum_to_scalar(ratio, c) * (-0.5 / c**2)
        return torch.addcmul(g[..., 1:], ratio, x[..., 1:]), grad_c


def _second_order(ctx_inputs: tuple, function, g: Tensor):
    """Gradients of `function(*inputs)` as a differentiable graph, for a backward pass that is differentiated."""
    wanted = [value for value in ctx_inputs if isinstance(value, Tensor) and value.requires_grad]
    found = iter(torch.autograd.grad(function(*ctx_inputs), wanted, g, create_graph=True))
    return tuple(
        next(found) if isinstance(value, Tensor) and value.requires_grad else None for value in ctx_inputs
    )


def _differentiating_backward() -> bool:
    return torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _save(ctx, c: Scalar, *tensors: Tensor) -> None:
    ctx.fixed_c = None if isinstance(c, Tensor) else c
    ctx.save_for_backward(*tensors, *((c,) if isinstance(c, Tensor) else ()))


def _saved(ctx) -> tuple:
    return ctx.saved_tensors if ctx.fixed_c is None else (*ctx.saved_tensors, ctx.fixed_c)


def expmap0_by_autograd(s: Tensor, c: Scalar) -> Tensor:
    """`ExpMap0` as a formula that autograd can differentiate any number of times."""
    t = sqrt(c) * norm(s)
    clamped = t.clamp(max=MAX_RADIUS[s.dtype])
    ratio = torch.where(t > clamped, clamped / torch.where(t > 0, t, 1.0), 1.0)
    return torch.cat([torch.cosh(clamped) / sqrt(c), sinhc(clamped) * ratio * s], dim=-1)


class ExpMap0(torch.autograd.Function):
    """`s -> [cosh(t) / sqrt(c), sinh(t) / t s]`, t = sqrt(c) |s|, t held at `MAX_RADIUS`."""

    @staticmethod
    def forward(ctx, s: Tensor, c: Scalar) -> Tensor:
        t = (sqrt(c) * norm(s)).clamp_min(TINY)
        clamped = t.clamp(max=MAX_RADIUS[s.dtype])
        factor = torch.sinh(clamped) / t
        cosh = torch.cosh(clamped)
        _save(ctx, c, s, t, factor, cosh)
        return torch.cat([cosh / sqrt(c), factor * s], dim=-1)

    @staticmethod
    def backward(ctx, *grads):
        (g,) = grads
        s, t, factor, cosh, c = _saved(ctx)
        if _differentiating_backward():
            return _second_order((s, c), expmap0_by_autograd, g)
        inside = t <= MAX_RADIUS[s.dtype]
        square = t.square()
        bend = (torch.where(inside, cosh, 0.0) - factor) / square.clamp_min(TINY)
        bend = torch.where(t < 1e-2, 1 / 3 + square * (1 / 30 + square / 840), bend)
        g_time, g_space = g[..., :1], g[..., 1:]
        along = dot(g_space, s)
        grad_s = torch.addcmul(
            factor * g_space, c * bend * along + torch.where(inside, sqrt(c) * factor, 0.0) * g_time, s
        )
        grad_c = None
        if ctx.needs_input_grad[1]:
            rise = torch.where(inside, factor * square, 0.0) - cosh
            grad_c = _sum_to_scalar(along * square * bend + g_time * rise / sqrt(c), c) / (2 * c)
        return grad_s, grad_c


def logmap0_by_autograd(x: Tensor, c: Scalar) -> Tensor:
    """`LogMap0` as a formula that autograd can differentiate any number of times."""
    s = x[..., 1:]
    return asinhc(sqrt(c) * norm(s)) * s


class LogMap0(torch.autograd.Function):
    """`x -> asinh(a) / a x_s`: from the space part alone, so small and large radii keep every digit."""

    @staticmethod
    def forward(ctx, x: Tensor, c: Scalar) -> Tensor:
        s = x[..., 1:]
        a = (sqrt(c) * norm(s)).clamp_min(TINY)
        factor = torch.asinh(a) / a
        _save(ctx, c, x, a, factor)
        return factor * s

    @staticmethod
    def backward(ctx, *grads):
        (g,) = grads
        x, a, factor, c = _saved(ctx)
        if _differentiating_backward():
            return _second_order((x, c), logmap0_by_autograd, g)
        s = x[..., 1:]
        square = a.square()
        bend = (torch.rsqrt(1 + square) - factor) / square.clamp_min(TINY)
        bend = torch.where(a < 1e-2, -1 / 3 + square * (0.3 - square * 0.26785714285714285), bend)
        along = dot(g, s)
        grad_c = _sum_to_scalar(along * square * bend, c) / (2 * c) if ctx.needs_input_grad[1] else None
        return with_zero_time(factor * g + c * bend * along * s), grad_c


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


def separate(x: Tensor, y: Tensor, c: Scalar) -> Separation:
    """Compare two space parts without cancellation: all fields keep their digits where x and y nearly agree."""
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


def half_sinh_square(rise: Tensor, turn: Tensor) -> Tensor:
    """`sinh^2(d sqrt(c) / 2) = sinh^2((r_x - r_y) sqrt(c) / 2) + turn`; two non-negative terms."""
    square = rise.square()
    return square / (2 + 2 * (1 + square).sqrt()) + turn


def dist_by_autograd(x: Tensor, y: Tensor, c: Scalar) -> Tensor:
    """`Dist` as a formula that autograd can differentiate any number of times (away from x = y)."""
    parts = separate(x[..., 1:], y[..., 1:], c)
    square = half_sinh_square(parts.rise, parts.turn)
    apart = square > 0
    half = torch.where(apart, torch.asinh(torch.where(apart, square, 1.0).sqrt()), 0.0)
    return (2 / sqrt(c) * half).squeeze(-1)


class Dist(torch.autograd.Function):
    """Geodesic distance of points `(..., n + 1)` of one shape; 0 with gradient 0 where the space parts agree.

    Gradient: `dd/dx_s = V / (cosh_x sinh(d sqrt(c)))`, `dd/dy_s = -V / (cosh_y sinh(d sqrt(c)))`, where
    `V = cosh_y X - cosh_x Y = rise * pivot/|pivot| + cosh_pivot * W` in units of sqrt(c).
    """

    @staticmethod
    def forward(ctx, x: Tensor, y: Tensor, c: Scalar) -> Tensor:
        parts = separate(x[..., 1:], y[..., 1:], c)
        square = half_sinh_square(parts.rise, parts.turn)
        distance = 2 / sqrt(c) * torch.asinh(square.sqrt())
        _save(ctx, c, x, y, square, distance, *parts[:-1])
        return distance.squeeze(-1)

    @staticmethod
    def backward(ctx, *grads):
        g = grads[0].unsqueeze(-1)
        x, y, square, distance, pivot, w, norm_x, norm_y, cosh_x, cosh_y, rise, c = _saved(ctx)
        if _differentiating_backward():
            return _second_order((x, y, c), dist_by_autograd, grads[0])
        sinh = 2 * square.sqrt() * (1 + square).sqrt()
        scale = torch.where(sinh > 0, g / torch.where(sinh > 0, sinh, 1.0), 0.0)
        toward = scale * rise / torch.minimum(norm_x, norm_y).clamp_min(TINY)
        across = scale * sqrt(c) * torch.minimum(cosh_x, cosh_y)
        v = toward * pivot + across * w
        grad_c = None
        if ctx.needs_input_grad[2]:
            difference = rise * ((norm_x * cosh_y + norm_y * cosh_x) * sqrt(c) / (cosh_x + cosh_y))
            stretch = difference / cosh_x * (difference / cosh_y)
            change = scale * (4 * square - stretch) / sqrt(c) - g * distance
            grad_c = _sum_to_scalar(change, c) / (2 * c)
        return with_zero_time(v / cosh_x), with_zero_time(v / -cosh_y), grad_c
