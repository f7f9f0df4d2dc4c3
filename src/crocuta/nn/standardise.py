"""The map inside Lorentz layer normalisation: standardise a space part, scale and shift it, lift it.

Rows stay whole, without a copy of the space part. With the time coordinate replaced by the space part's mean, a row of
n + 1 has the same mean and n / (n + 1) of the variance; at weight 0 it takes no further part.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from crocuta.manifolds.numerics import Scalar, norm
from crocuta.manifolds.radial import sum_to_scalar


class Standardise(torch.autograd.Function):
    """`lift(w (s - mean(s)) / sqrt(var(s) + eps) + b)` of points `(..., n + 1)`; weight and bias `(n,)`.

    The backward pass folds the gradient of time into that of the space part, where torch's kernel takes over; it
    keeps the points, the result, and two numbers a row.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float, c: Scalar) -> Tensor:
        n, x = len(weight), x.contiguous()  # as the kernel wants it
        share = n / (n + 1)
        mean = x[..., 1:].mean(-1, keepdim=True)
        y = x - mean
        rate = torch.rsqrt(norm(y[..., 1:]).square() / (n + 1) + share * eps)
        weight = F.pad(weight * share**0.5, (1, 0))
        y = torch.addcmul(F.pad(bias, (1, 0)), y.mul_(rate), weight, out=y)
        y[..., :1] = (norm(y).square() + 1 / c).sqrt()
        ctx.save_for_backward(x, y, mean, rate, weight, *((c,) if isinstance(c, Tensor) else ()))
        return y

    @staticmethod
    def backward(ctx, *grads):
        g = grads[0]
        x, y, mean, rate, weight, *curvature = ctx.saved_tensors
        n = len(weight) - 1
        ratio = g[..., :1] / y[..., :1]
        gs = torch.addcmul(g, ratio, y)
        # of a bias the kernel asks no more than its shape
        by_x, by_weight, by_bias = torch.ops.aten.native_layer_norm_backward(
            gs, x, (n + 1,), mean, rate, weight, weight, [True, True, True]
        )
        by_x.sub_(by_x[..., 1:].mean(-1, keepdim=True))  # it sums to 0, as a shift of s changes nothing
        by_x[..., 0] = 0
        grad_c = None
        if curvature and ctx.needs_input_grad[4]:
            grad_c = sum_to_scalar(ratio, curvature[0]) * (-0.5 / curvature[0] ** 2)
        return by_x, by_weight[1:] * (n / (n + 1)) ** 0.5, by_bias[1:], None, grad_c
