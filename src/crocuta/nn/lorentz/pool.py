"""Pooling of points by their centroid: over everything, or over windows of a sequence or an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz
from crocuta.manifolds.numerics import Scalar, dot, in_float32, norm, sqrt, widen
from crocuta.manifolds.radial import Lift, sum_to_scalar

if TYPE_CHECKING:
    from jaxtyping import Float


def centroid_from_sum(total: Tensor, weight: float | Tensor, c: Scalar) -> Tensor:
    """The centroid of points whose weighted coordinates sum to `total` (..., n + 1); all sums 0: the origin.

    `total / (sqrt(c) |total|_L)` (Law et al. 2019, eq. 14), `|total|_L^2 = (t - |s|)(t + |s|)` held at its
    lower bound `weight^2 / c`, which it reaches where all points agree; `weight` is the sum of the weights,
    broadcastable to (..., 1). Where points at scaled radius r agree, float32 knows the square to about
    `2e-8 e^(2 r)` of its size: 4% at r = 7, while float64 is as good up to r = 18. `Lorentz.centroid` has no
    such limit, but has to see the points.
    """
    if not isinstance(weight, Tensor):
        return CentroidOfSum.apply(total, weight, c)  # type: ignore[return-value]
    time, s = total[..., :1], total[..., 1:]
    length = norm(s)
    square = (time - length) * (time + length)
    # the floor serves sums without any point; a dropped-out attention row is one
    bound = (weight.square() / c).clamp_min(torch.finfo(total.dtype).tiny)
    size = torch.maximum(square, bound.to(total.dtype)).sqrt()
    return Lift.apply(s / (sqrt(c) * size), c)  # type: ignore[return-value]


class CentroidOfSum(torch.autograd.Function):
    """`a s` of sums `(t, s)`, lifted, `a = 1 / (sqrt(c) |(t, s)|_L)`, for a fixed weight; gradient written by hand."""

    @staticmethod
    def forward(ctx, total: Tensor, weight: float, c: Scalar) -> Tensor:
        time, length = total[..., :1], norm(total[..., 1:])
        square = (time - length) * (time + length)
        above = square > weight**2 / c  # at the bound the norm does not depend on the sum
        a = torch.where(
            above, torch.rsqrt(square.clamp_min(torch.finfo(total.dtype).tiny)) / sqrt(c), 1 / weight
        )
        x = total * a
        x[..., :1] = (norm(x[..., 1:]).square() + 1 / c).sqrt()
        ctx.fixed_c = None if isinstance(c, Tensor) else c
        ctx.save_for_backward(total, x, a, above, *((c,) if isinstance(c, Tensor) else ()))
        return x

    @staticmethod
    def backward(ctx, *grads):
        (g,) = grads
        total, x, a, above, *curvature = ctx.saved_tensors
        c = curvature[0] if curvature else ctx.fixed_c
        ratio = g[..., :1] / x[..., :1]
        gs = torch.addcmul(g[..., 1:], ratio, x[..., 1:])
        along = dot(gs, x[..., 1:]).where(above, 0.0)
        fall = along * a.square() * c  # over |(t, s)|_L^2 = 1 / (c a^2)
        by_total = torch.cat([-fall * total[..., :1], (gs * a).addcmul_(fall, total[..., 1:])], dim=-1)
        by_c = None
        if curvature and ctx.needs_input_grad[2]:
            by_c = sum_to_scalar(along, c) / (-2 * c) + sum_to_scalar(ratio, c) * (-0.5 / c**2)
        return by_total, None, by_c


class LorentzGlobalPool(nn.Module):
    """Centroid over all axes between the first and the last.

    Shapes: `(batch, ..., n + 1)` and a mask `(batch, ...)`, 1 = counts, to `(batch, n + 1)`. A row whose mask
    is all 0 gives the origin. (Law et al. 2019, eq. 14; HyperCore's global average pooling.)

    >>> m = Lorentz()
    >>> LorentzGlobalPool(m)(m.random((2, 5, 5, 8))).shape
    torch.Size([2, 9])
    """

    def __init__(self, manifold: Lorentz):
        super().__init__()
        self.manifold = manifold

    def forward(self, x: Float[Tensor, "batch ... n+1"], mask: Tensor | None = None) -> Tensor:
        """Points to one point per row; raises `ValueError` where the mask's shape is not that of the points."""
        if mask is not None:
            if mask.shape != x.shape[:-1]:
                raise ValueError(
                    f"mask must have the points' shape {tuple(x.shape[:-1])}, got {tuple(mask.shape)}"
                )
            mask = (mask != 0).to(x.dtype).flatten(1)
        return self.manifold.centroid(x.flatten(1, -2), mask)


class _WindowPool(nn.Module):
    """Centroid over sliding windows; subclasses say over how many axes."""

    axes: int

    def __init__(
        self,
        manifold: Lorentz,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
    ):
        super().__init__()
        self.manifold = manifold
        self.kernel_size = self._each("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else self._each("stride", stride)
        self.padding = self._each("padding", padding)
        if min(*self.kernel_size, *self.stride) < 1:
            raise ValueError(f"kernel_size and stride must be positive, got {kernel_size}, {stride}")
        if any(2 * p > k or p < 0 for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(f"padding must be between 0 and half of kernel_size, got {padding}")

    def _each(self, name: str, value: int | tuple[int, ...]) -> tuple[int, ...]:
        values = (value,) * self.axes if isinstance(value, int) else tuple(value)
        if len(values) != self.axes:
            raise ValueError(f"{name} must be one number or {self.axes}, got {value}")
        return values

    def _mean(self, x: Tensor) -> Tensor:
        """Sums over windows divided by the window's full size, channels first."""
        if self.axes == 1:
            return F.avg_pool1d(x, self.kernel_size, self.stride, self.padding)
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)  # type: ignore[arg-type]

    @in_float32
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Points to the centroids of their windows; padding and masked points do not count."""
        dtype, c, s = x.dtype, self.manifold.c, widen(x[..., 1:])
        counts = torch.ones_like(s[..., 0]) if mask is None else (mask != 0).to(s.dtype)
        x = torch.cat([(1 / c + norm(s).square()).sqrt(), s], dim=-1)
        total = self._mean((x if mask is None else x * counts.unsqueeze(-1)).movedim(-1, 1)).movedim(1, -1)
        weight = self._mean(counts.unsqueeze(1)).movedim(1, -1)
        return centroid_from_sum(total, weight, c).to(dtype)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class LorentzAvgPool1d(_WindowPool):
    """Centroid over windows of a sequence; arguments as `nn.AvgPool1d`.

    Shapes: `(batch, length, n + 1)` and a mask `(batch, length)`, 1 = counts, to `(batch, windows, n + 1)`. A
    window without any point that counts gives the origin. (Law et al. 2019, eq. 14.)

    >>> m = Lorentz()
    >>> LorentzAvgPool1d(m, 2)(m.random((3, 8, 4))).shape
    torch.Size([3, 4, 5])
    """

    axes = 1


class LorentzAvgPool2d(_WindowPool):
    """Centroid over windows of an image; arguments as `nn.AvgPool2d`.

    Shapes: `(batch, height, width, n + 1)` and a mask `(batch, height, width)`, 1 = counts, to the same with
    fewer rows and columns. A window without any point that counts gives the origin. (Law et al. 2019, eq. 14.)

    >>> m = Lorentz()
    >>> LorentzAvgPool2d(m, 2)(m.random((3, 8, 6, 4))).shape
    torch.Size([3, 4, 3, 5])
    """

    axes = 2
