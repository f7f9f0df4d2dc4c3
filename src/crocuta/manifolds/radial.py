"""The hyperboloid's maps along rays with hand-written gradients: lift, exp and log at the origin.

They read only the space part of a point, which determines it: time is sqrt(1/c + |s|^2). Their gradient with
respect to time is therefore 0 and that of the space part is the gradient in the space chart.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from crocuta.manifolds.numerics import TINY, Scalar, asinhc, dot, norm, sinhc, sqrt

# Beyond this scaled radius squares of coordinates overflow, so exp at the origin stops there: e^82 / c <
# 3e38.
MAX_RADIUS = {torch.float32: 41.0, torch.float64: 340.0}


def with_zero_time(s: Tensor, factor: Tensor) -> Tensor:
    """`[0, factor * s]`: a gradient of the space part as one of the point."""
    if torch.compiler.is_compiling():
        return F.pad(factor * s, (1, 0))
    point = s.new_empty((*s.shape[:-1], s.shape[-1] + 1))
    point[..., 0] = 0
    torch.mul(s, factor, out=point[..., 1:])
    return point


def sum_to_scalar(grad: Tensor, c: Tensor) -> Tensor:
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
            grad_c = sum_to_scalar(ratio, c) * (-0.5 / c**2)
        return torch.addcmul(g[..., 1:], ratio, x[..., 1:]), grad_c


def second_order(inputs: tuple, function, g: Tensor):
    """Gradients of `function(*inputs)` as a graph, for a backward pass that is itself differentiated."""
    wanted = [value for value in inputs if isinstance(value, Tensor) and value.requires_grad]
    found = iter(torch.autograd.grad(function(*inputs), wanted, g, create_graph=True))
    return tuple(
        next(found) if isinstance(value, Tensor) and value.requires_grad else None for value in inputs
    )


def differentiating_backward() -> bool:
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
        if differentiating_backward():
            return second_order((s, c), expmap0_by_autograd, g)
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
            grad_c = sum_to_scalar(along * (square * bend) + g_time * rise / sqrt(c), c) / (2 * c)
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
        if differentiating_backward():
            return second_order((x, c), logmap0_by_autograd, g)
        u = x[..., 1:] * (sqrt(c) / a)  # of length 1: squares of far points overflow
        square = a.square()
        bend = torch.rsqrt(1 + square) - factor
        series = square * (0.3 - square * (15 / 56 - square * (35 / 144 - square * (315 / 1408))))
        bend = torch.where(a < 0.05, square * (series - 1 / 3), bend)
        along = bend * dot(g, u)
        grad_c = sum_to_scalar(along * a, c) / (2 * c * sqrt(c)) if ctx.needs_input_grad[1] else None
        return with_zero_time(factor * g + along * u, torch.ones_like(a)), grad_c


def remap_by_autograd(x: Tensor, c_in: Scalar, c_out: Scalar) -> Tensor:
    """`RemapOrigin` as a formula that autograd can differentiate any number of times."""
    return expmap0_by_autograd(logmap0_by_autograd(x, c_in), c_out)


class RemapOrigin(torch.autograd.Function):
    """`expmap0` on curvature `c_out` of `logmap0` on `c_in`: points to points at the same distance from the origin."""

    @staticmethod
    def forward(ctx, x: Tensor, c_in: Scalar, c_out: Scalar) -> Tensor:
        n, t, cosh, sinh = _remapped(x, c_in, c_out)
        y = x * (sinh / (sqrt(c_out) * n))
        y[..., :1] = cosh / sqrt(c_out)
        ctx.fixed = tuple(None if isinstance(c, Tensor) else c for c in (c_in, c_out))
        ctx.save_for_backward(x, n, t, cosh, sinh, *(c for c in (c_in, c_out) if isinstance(c, Tensor)))
        return y

    @staticmethod
    def backward(ctx, *grads):
        (g,) = grads
        x, n, t, cosh, sinh, *tensors = ctx.saved_tensors
        rest = iter(tensors)
        c_in, c_out = (next(rest) if c is None else c for c in ctx.fixed)
        if differentiating_backward():
            return second_order((x, c_in, c_out), remap_by_autograd, g)
        root, inside = sqrt(c_out), t < MAX_RADIUS[x.dtype]
        slope = torch.where(inside, torch.rsqrt(1 + c_in * n.square()), 0.0)  # of the distance r in n
        along = torch.einsum("...i,...i->...", g[..., 1:], x[..., 1:]).unsqueeze(-1) / n
        factor = sinh / (root * n)
        by_r = along * cosh + g[..., :1] * sinh
        # along the ray the result moves by_r * slope, across it by the factor
        grad_x = torch.addcmul(g * factor, (by_r * slope - along * factor) / n, x)
        grad_x[..., 0] = 0
        r = t / root
        by_c: list[Tensor | None] = [None, None]
        if isinstance(c_in, Tensor) and ctx.needs_input_grad[1]:
            by_c[0] = sum_to_scalar(by_r * torch.where(inside, n * slope - r, 0.0), c_in) / (2 * c_in)
        if isinstance(c_out, Tensor) and ctx.needs_input_grad[2]:
            moved = torch.where(inside, r, 0.0) * by_r
            by_c[1] = sum_to_scalar(moved - (along * sinh + g[..., :1] * cosh) / root, c_out) / (2 * c_out)
        return grad_x, *by_c


def _remapped(x: Tensor, c_in: Scalar, c_out: Scalar) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Length of the space part, scaled distance on `c_out` held at `MAX_RADIUS`, its cosh and sinh."""
    n = norm(x[..., 1:]).clamp_min(TINY)
    u = sqrt(c_in) * n
    t = torch.log1p(u + u.square() / (1 + (1 + u.square()).sqrt())) * sqrt(c_out / c_in)  # asinh, vectorised
    t = t.clamp(max=MAX_RADIUS[x.dtype])
    return n, t, torch.cosh(t), torch.sinh(t)
