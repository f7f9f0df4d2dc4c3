"""ReLU of points, with a residual: `lift(relu(x_s + y_s))` in one function."""

from __future__ import annotations

import torch
from torch import Tensor

from crocuta.manifolds import Lorentz
from crocuta.manifolds.numerics import Scalar, in_float32, norm
from crocuta.manifolds.radial import sum_to_scalar


@in_float32
def rectify(
    manifold: Lorentz, x: Tensor, residual: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """ReLU of the space parts of points `(..., n + 1)`, added to those of `residual` first.

    Positions that the mask `(...)` excludes go to the origin.
    """
    return _Rectify.apply(x, residual, mask, manifold.c)  # type: ignore[return-value]


class _Rectify(torch.autograd.Function):
    """Works on whole rows, time included, so that nothing is copied to leave it out; keeps its result alone."""

    @staticmethod
    def forward(ctx, x: Tensor, residual: Tensor | None, mask: Tensor | None, c: Scalar) -> Tensor:
        y = torch.relu(x) if residual is None else (x + residual).relu_()
        if mask is not None:
            y = y * mask.unsqueeze(-1)
        y[..., 0] = 0
        y[..., 0] = (norm(y).squeeze(-1).square() + 1 / c).sqrt()
        ctx.save_for_backward(y, *((c,) if isinstance(c, Tensor) else ()))
        return y

    @staticmethod
    def backward(ctx, *grads):
        g = grads[0]
        y, *curvature = ctx.saved_tensors
        ratio = g[..., :1] / y[..., :1]
        grad = torch.ops.aten.threshold_backward(torch.addcmul(g, ratio, y), y, 0)
        grad[..., 0] = 0
        grad_c = None
        if curvature and ctx.needs_input_grad[3]:
            grad_c = sum_to_scalar(ratio, curvature[0]) * (-0.5 / curvature[0] ** 2)
        return grad, grad if ctx.needs_input_grad[1] else None, None, grad_c
