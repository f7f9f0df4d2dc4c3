"""The map inside Lorentz batch normalisation: boost a mean to the origin, scale, boost the origin to beta.

    y = boost(beta) exp0( a log0( boost(mean)^-1 x ) ),   a = gamma / (dispersion + eps)

Each boost changes a space part by a multiple of one vector, so all of it is `y_s = f P + A m + k b` with three
scalars per point, m the mean's direction, b = beta and P the part of x across m: two products with a vector and
one pass to write. The backward pass is written out; it keeps x, y and three scalars per point.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from crocuta.manifolds.numerics import TINY, Scalar, sqrt, widen
from crocuta.manifolds.radial import MAX_RADIUS

NEAR = 16.0  # cosh of the scaled radius: t^2 - |s|^2 then keeps 1 - 2^-24 * 4 * 16^2 = 1 - 6e-5


class _Scaled(NamedTuple):
    """Per point: what scaling by `a` at the origin and the boost to beta do; scaled distances throughout."""

    a: Tensor
    dispersion: Tensor  # mean distance from the mean
    distance: Tensor
    reach: Tensor  # a * distance, held where its cosh is finite
    sinh: Tensor
    cosh: Tensor
    f: Tensor  # sinh(reach) / sinh(distance)
    k: Tensor  # multiple of beta


def mean_distance(distance: Tensor, weight: Tensor | None) -> Tensor:
    """Weighted mean over all points; 0 where there is no weight at all."""
    if weight is None:
        return distance.mean()
    return (weight * distance).sum() / weight.sum().clamp_min(1.0)


def _scale(
    n: Tensor,
    v: Tensor,
    big: Tensor | float,
    gamma: Tensor,
    fixed: Tensor | None,
    weight,
    eps: float,
    c: Scalar,
) -> _Scaled:
    """From the length n of the recentred space part and its product v with beta; `big` = 1 + cosh of beta."""
    u = sqrt(c) * n
    distance = torch.log1p(u + u.square() / (1 + (1 + u.square()).sqrt()))  # asinh, vectorised
    dispersion = mean_distance(distance, weight) / sqrt(c) if fixed is None else fixed
    a = gamma / (dispersion + eps)
    bound = (
        MAX_RADIUS[n.dtype] / 2
    )  # squares of the result's coordinates must be finite, beta's boost included
    reach = (a * distance).clamp(-bound, bound)
    sinh, cosh = torch.sinh(reach), torch.cosh(reach)
    f = sinh / u
    return _Scaled(a, dispersion, distance, reach, sinh, cosh, f, c * f * v / big + cosh)


def _boost_cosh(b: Tensor, c: Scalar):
    return (1 + c * b.square().sum()).sqrt()


def _radial(along: Tensor, across: Tensor, time: Tensor, length: Tensor, c: Scalar) -> Tensor:
    """Component along the mean after the boost, `M along - sqrt(c) |m| t` with M = cosh of the mean.

    For points on the mean's side that difference loses a digit per digit of t^2, and the quotient has none to lose.
    """
    m = (1 + c * length.square()).sqrt()
    ahead, behind = m * along, sqrt(c) * length * time
    tall = m * (across.square() + 1 / c).sqrt()
    quotient = (time - tall) * (time + tall) / (ahead + behind).clamp_min(TINY)
    return torch.where(1.4 * ahead > time, quotient, ahead - behind)


class Recentre(torch.autograd.Function):
    """Points `(N, n + 1)`, mean and beta as space vectors `(n,)`; returns the new points and the dispersion.

    The dispersion is that of the points (their `weight` `(N,)` counts) unless `fixed` gives it. Its gradient is
    part of the points'; the second result has none. Inside, vectors and arrays keep a time column, mostly of
    zeros: rows without gaps are twice as fast to work on.
    """

    @staticmethod
    def forward(ctx, x, mean, beta, gamma, fixed, weight, eps: float, c: Scalar):
        # Split x into its part along the mean and the part across: the boost that brings the mean to the origin changes
        # the first alone, so that the second is never subtracted from anything of its own size.
        length = torch.linalg.vector_norm(mean)
        towards, beta_ = _with_time(mean / length.clamp_min(TINY)), _with_time(beta)
        along = x @ towards
        across = torch.addcmul(x, along.unsqueeze(-1), towards, value=-1)
        across[:, 0] = 0
        width = torch.linalg.vector_norm(across, dim=-1)
        radial = _radial(along, width, x[:, 0], length, c)
        # n: length of the recentred space part. With it a scaling at the origin is one factor f for each point, and the
        # boost to beta adds a multiple k of beta: no point is ever lifted to a tangent vector and back.
        n = torch.hypot(width, radial).clamp_min(TINY)
        v = torch.addmv(radial * (towards @ beta_), across, beta_)
        scaled = _scale(n, v, 1 + _boost_cosh(beta, c), gamma, fixed, weight, eps, c)
        y = _rank2(scaled.f * radial, towards, scaled.k, beta_).addcmul_(scaled.f.unsqueeze(-1), across)
        y[:, 0] = (torch.linalg.vector_norm(y, dim=-1).square() + 1 / c).sqrt()
        ctx.eps, ctx.fixed_c = eps, None if isinstance(c, Tensor) else c
        ctx.options = (fixed is not None, weight is not None)
        optional = [t for t in (fixed, weight, c) if isinstance(t, Tensor)]
        ctx.save_for_backward(x, mean, beta, gamma, y, n, v, radial - along, *optional)
        dispersion = scaled.dispersion.detach().clone()
        ctx.mark_non_differentiable(dispersion)
        return y, dispersion

    @staticmethod
    def backward(ctx, *grads):
        g = grads[0]
        x, mean, beta, gamma, y, n, v, shift, *optional = ctx.saved_tensors
        rest = iter(optional)
        fixed = next(rest) if ctx.options[0] else None
        weight = next(rest) if ctx.options[1] else None
        c = next(rest) if ctx.fixed_c is None else ctx.fixed_c
        # The time of y follows from its space part (t^2 = |s|^2 + 1 / c): its gradient joins that of the space part.
        ratio = g[:, 0] / y[:, 0]
        gs = torch.addcmul(g, ratio.unsqueeze(-1), y)
        gs[:, 0] = 0
        length = torch.linalg.vector_norm(mean)
        axes = torch.stack([_with_time(mean / length.clamp_min(TINY)), _with_time(beta)])
        # Computed again from three numbers a point: cheaper than to read eight kept ones from memory.
        scaled = _scale(n, v, 1 + _boost_cosh(beta, c), gamma, fixed, weight, ctx.eps, c)
        # the recentred space part is z = s + shift e, e = mean / |mean|: products with z come from those with s
        along, time = x @ axes[0], x[:, 0]
        by_e, by_k = (gs @ axes.T).unbind(-1)
        by_f = torch.einsum("pi,pi->p", gs, x) + shift * by_e
        by_n, by_v, by_gamma, by_beta, by_c = _scale_backward(
            scaled, by_f, by_k, n, v, beta, fixed, weight, ctx.eps, c
        )
        # the gradient of z is f gs + q z + by_v beta. With h = c <mean, s> / (1 + M) - sqrt(c) t, M = cosh of the
        # mean, z = s + h mean: no direction to divide by
        m, q, inner = _boost_cosh(mean, c), by_n / n, length * along
        by_h = length * (scaled.f * by_e + q * (along + shift) + by_v * (axes[0] @ axes[1]))
        by_inner = by_h * (c / (1 + m))
        by_m = -(by_inner @ inner) / (1 + m)
        h = c * inner / (1 + m) - sqrt(c) * time
        from_gs = torch.stack([scaled.k, h * scaled.f]) @ gs
        from_x = torch.stack([by_v, h * q + by_inner]) @ x
        onto = torch.stack(
            [torch.stack([by_v @ shift, by_v.new_zeros(())]), torch.stack([(h * q) @ shift, h @ by_v])]
        )
        grad_beta, grad_mean = (from_gs + from_x + onto @ axes)[:, 1:]
        grad_beta, grad_mean = grad_beta + by_beta, grad_mean + by_m * (c / m) * mean
        grad_x = _rank2(q * shift + length * by_inner, axes[0], by_v, axes[1])
        grad_x = grad_x.addcmul_(scaled.f.unsqueeze(-1), gs).addcmul_(q.unsqueeze(-1), x)
        grad_x[:, 0] = -sqrt(c) * by_h
        grad_c = None
        if ctx.fixed_c is None and ctx.needs_input_grad[7]:
            by_c = by_c + (by_h @ inner) / (1 + m) - (by_h @ time) / (2 * sqrt(c))
            by_c = by_c + by_m * mean.square().sum() / (2 * m) - ratio.sum() / (2 * c**2)
            grad_c = by_c.to(c.dtype).reshape(c.shape)
        by_gamma = by_gamma.to(gamma.dtype).reshape(gamma.shape)
        return grad_x, grad_mean.to(mean.dtype), grad_beta.to(beta.dtype), by_gamma, None, None, None, grad_c


def _rank2(a: Tensor, u: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """`a u^T + b v^T`; several times as fast as a product of matrices of inner size 2."""
    return (a.unsqueeze(-1) * u).addcmul_(b.unsqueeze(-1), v)


def _with_time(vector: Tensor) -> Tensor:
    return torch.nn.functional.pad(vector, (1, 0))


def _scale_backward(scaled: _Scaled, by_f, by_k, n, v, beta, fixed, weight, eps: float, c: Scalar):
    """Gradients of n, v, gamma, beta (through its cosh) and c from those of f and k."""
    root, cosh_beta = sqrt(c), _boost_cosh(beta, c)
    big, u = 1 + cosh_beta, sqrt(c) * n
    by_f = torch.addcmul(by_f, by_k, v * (c / big))
    by_reach = (by_f * scaled.cosh / u + by_k * scaled.sinh) * (scaled.reach == scaled.a * scaled.distance)
    by_a = (by_reach * scaled.distance).sum()
    by_distance = by_reach * scaled.a
    by_root = 0.0
    if fixed is None:
        by_dispersion = -by_a * scaled.a / (scaled.dispersion + eps)
        by_root = -(by_dispersion * scaled.dispersion).sum() / root
        share = 1 / n.numel() if weight is None else weight / weight.sum().clamp_min(1.0)
        by_distance = by_distance + by_dispersion * share / root
    by_u = by_distance * torch.rsqrt(1 + u.square()) - by_f * scaled.f / u
    part = (by_k * scaled.f) @ v
    by_cosh = -part * c / big.square() if isinstance(big, Tensor) else 0.0
    by_c = part / big + by_cosh * beta.square().sum() / (2 * cosh_beta)
    by_c = by_c + (by_root + by_u @ n) / (2 * root)
    by_v = by_k * scaled.f * (c / big)
    return by_u * root, by_v, by_a / (scaled.dispersion + eps), by_cosh * c / cosh_beta * beta, by_c


class Sums(torch.autograd.Function):
    """Weighted sums of points `(B, L, n + 1)` over L, `(B, n + 1)`, as float64.

    Summed in float64, times taken from the space parts, unless all points are so near the origin that float32
    keeps four digits of the sum's Lorentz norm.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor | None, c: Scalar) -> Tensor:
        ctx.shape, ctx.dtype = x.shape, x.dtype
        ctx.save_for_backward(*(() if weight is None else (weight,)))
        total = _weighted(x, weight)
        # on an accelerator the question would cost more than the answer
        ask = x.device.type == "cpu" and not torch.compiler.is_compiling()
        if x.dtype == torch.float64 or (ask and bool(x[..., 0].amax() * sqrt(c) < NEAR)):
            return widen(total)
        x = widen(x)
        time = (torch.linalg.vector_norm(x[..., 1:], dim=-1, keepdim=True).square() + 1 / c).sqrt()
        return _weighted(torch.cat([time, x[..., 1:]], dim=-1), None if weight is None else widen(weight))

    @staticmethod
    def backward(ctx, *grads):
        g = grads[0].to(ctx.dtype).unsqueeze(1)
        weighted = g * ctx.saved_tensors[0].unsqueeze(-1) if ctx.saved_tensors else g
        return weighted.expand(ctx.shape), None, None


def _weighted(x: Tensor, weight: Tensor | None) -> Tensor:
    return x.sum(1) if weight is None else torch.einsum("bl,bln->bn", weight, x)


def centroid_of_sums(total: Tensor, count: Tensor, c: Scalar) -> Tensor:
    """Space part of the centroid from a weighted sum of points `(..., n + 1)` and its weights' sum `(..., 1)`."""
    s, time = total[..., 1:], total[..., :1]
    length = torch.linalg.vector_norm(s, dim=-1, keepdim=True)
    # time^2 - length^2 cancels; as a product it does not, and it can never be less than where all points agree.
    square = (time - length) * (time + length)
    bound = count.square() / c  # reached when all points agree
    return s / (sqrt(c) * torch.maximum(square, bound).clamp_min(TINY).sqrt())
