"""Layers that act on each point alone, or join points: activation, dropout, residuals, concatenation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz
from crocuta.manifolds.numerics import Scalar, dot, in_float32, norm, sqrt
from crocuta.manifolds.radial import sum_to_scalar

if TYPE_CHECKING:
    from jaxtyping import Float


def concatenate(manifold: Lorentz, points: Sequence[Tensor]) -> Tensor:
    """One point whose space part is those of `points` `(..., n_i + 1)`, end to end: `(..., sum n_i + 1)`.

    Its time is `sqrt(sum t_i^2 - (N - 1) / c)`, at every curvature (Qu & Zou 2022, arXiv 2206.03213, eq. 9).
    """
    return manifold.lift(torch.cat([x[..., 1:] for x in points], dim=-1))


def split(manifold: Lorentz, x: Tensor, sizes: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Inverse of `concatenate`: points of `sizes` intrinsic dimensions (an integer: all of that many)."""
    parts = torch.split(x[..., 1:], sizes if isinstance(sizes, int) else list(sizes), dim=-1)
    return tuple(manifold.lift(s) for s in parts)


class LorentzFlatten(nn.Module):
    """All points of a sample concatenated into one; see `concatenate`.

    Shapes: `(batch, *axes, n + 1)` to `(batch, N n + 1)`, position-major, N the product of the axes.

    >>> m = Lorentz(0.5)
    >>> LorentzFlatten(m)(m.expmap0(torch.randn(2, 20, 4))).shape
    torch.Size([2, 81])
    """

    def __init__(self, manifold: Lorentz):
        super().__init__()
        self.manifold = manifold

    def forward(self, x: Float[Tensor, "batch *axes n+1"]) -> Float[Tensor, "batch m+1"]:
        """Points of a sample to one point."""
        return self.manifold.lift(x[..., 1:].flatten(1))


class LorentzActivation(nn.Module):
    """A Euclidean activation on the space part, lifted again.

    Args:
        activation: any function of tensors, elementwise or not, e.g. `torch.relu` or `nn.GELU()`.

    Shapes: `(..., n + 1)`, unchanged.

    >>> m = Lorentz()
    >>> LorentzActivation(m, torch.relu)(m.expmap0(torch.randn(5, 8))).shape
    torch.Size([5, 9])
    """

    def __init__(self, manifold: Lorentz, activation: Callable[[Tensor], Tensor] = torch.relu):
        super().__init__()
        self.manifold, self.activation = manifold, activation

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch n+1"]:
        """Points to points of the same manifold."""
        return self.manifold.lift(self.activation(x[..., 1:]))


class LorentzDropout(nn.Module):
    """Dropout of space coordinates, lifted again; nothing in evaluation mode.

    Shapes: `(..., n + 1)`, unchanged.

    >>> m = Lorentz()
    >>> LorentzDropout(m, 0.1)(m.expmap0(torch.randn(5, 8))).shape
    torch.Size([5, 9])
    """

    def __init__(self, manifold: Lorentz, p: float = 0.5):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p must be in [0, 1), got {p}")
        self.manifold, self.p = manifold, p

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch n+1"]:
        """Points to points of the same manifold."""
        if not self.training or self.p == 0:
            return x
        return self.manifold.lift(F.dropout(x[..., 1:], self.p, training=True))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class LorentzSpaceAddition(nn.Module):
    """Residual by adding space parts: `lift(x_s + y_s)` (Bdeir et al. 2023, arXiv 2303.15919, section 4.4).

    Shapes: x and y `(..., n + 1)`, unchanged.

    >>> m = Lorentz()
    >>> x, y = m.expmap0(torch.randn(2, 5, 8))
    >>> LorentzSpaceAddition(m)(x, y).shape
    torch.Size([5, 9])
    """

    def __init__(self, manifold: Lorentz):
        super().__init__()
        self.manifold = manifold

    def forward(
        self, x: Float[Tensor, "*batch n+1"], y: Float[Tensor, "*batch n+1"]
    ) -> Float[Tensor, "*batch n+1"]:
        """Two points to one."""
        return self.manifold.lift(x[..., 1:] + y[..., 1:])


class LorentzResidual(nn.Module):
    """Weighted midpoint of a point and its branch: `(x + w y) / (sqrt(c) |x + w y|_L)`.

    (He et al. 2024, arXiv 2412.14695, eq. 4.) The weight is `exp(log_weight)`: it stays positive, so the result
    is always a point.

    Args:
        weight: initial weight w of the branch.
        learnable: whether w is a parameter.

    Shapes: x and y `(..., n + 1)`, unchanged.

    Raises:
        ValueError: the weight is not positive.

    >>> m = Lorentz()
    >>> x, y = m.expmap0(torch.randn(2, 5, 8))
    >>> LorentzResidual(m)(x, y).shape
    torch.Size([5, 9])
    """

    def __init__(self, manifold: Lorentz, weight: float = 1.0, learnable: bool = True):
        super().__init__()
        self.manifold = manifold
        self.log_weight = _log("weight", weight, self, learnable)

    @property
    def weight(self) -> Tensor:
        """Weight of the branch."""
        return self.log_weight.exp()

    def forward(
        self, x: Float[Tensor, "*batch n+1"], y: Float[Tensor, "*batch n+1"]
    ) -> Float[Tensor, "*batch n+1"]:
        """Point and branch to their midpoint."""
        return self._midpoint(x, y, self.weight)

    @in_float32
    def _midpoint(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        return Midpoint.apply(x, y, weight, None, self.manifold.c)  # type: ignore[return-value]


class LorentzScaledResidual(LorentzResidual):
    """`LorentzResidual` with the midpoint's space part multiplied by a scale and lifted.

    (The same paper, section 4.2: keeps deep networks' points from crowding around the origin.)

    Args:
        scale: initial factor.
        learn_scale: whether it is a parameter (its logarithm is).

    Raises:
        ValueError: weight or scale is not positive.
    """

    def __init__(
        self,
        manifold: Lorentz,
        weight: float = 1.0,
        learnable: bool = True,
        scale: float = 1.0,
        learn_scale: bool = True,
    ):
        super().__init__(manifold, weight, learnable)
        self.log_scale = _log("scale", scale, self, learn_scale)

    def forward(
        self, x: Float[Tensor, "*batch n+1"], y: Float[Tensor, "*batch n+1"]
    ) -> Float[Tensor, "*batch n+1"]:
        """Point and branch to their midpoint, scaled."""
        return self._scaled(x, y, self.weight, self.log_scale.exp())

    @in_float32
    def _scaled(self, x: Tensor, y: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        return Midpoint.apply(x, y, weight, scale, self.manifold.c)  # type: ignore[return-value]


def _log(name: str, value: float, module: nn.Module, learnable: bool) -> Tensor:
    """log(value) as a parameter, or as a buffer that a state dict keeps."""
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")
    tensor = torch.tensor(math.log(value))
    if learnable:
        return nn.Parameter(tensor)
    module.register_buffer(f"log_{name}", tensor)
    return tensor


class Midpoint(torch.autograd.Function):
    """`a (x_s + w y_s)`, lifted, `a = scale / (sqrt(c) |x + w y|_L)`, with a hand-written gradient.

    `|x + w y|_L^2 = (1 + w)^2 / c + w |x - y|_L^2`: from the difference, which has digits where x and y are near.
    """

    @staticmethod
    def forward(ctx, x: Tensor, y: Tensor, weight: Tensor, scale: Tensor | None, c: Scalar) -> Tensor:
        ctx.shapes = (x.shape, y.shape)
        weight = weight.to(x.dtype)
        delta = x - y
        rise = delta[..., :1].abs()
        chord = norm(delta[..., 1:])
        chord = ((chord - rise) * (chord + rise)).clamp_min(0.0)  # squared; below 0 by rounding only
        square = weight * chord + (1 + weight).square() / c
        a = torch.rsqrt(square) * ((1.0 if scale is None else scale) / sqrt(c))
        z = torch.addcmul(x, y, weight, out=None if torch.compiler.is_compiling() else delta)
        z = z.mul_(a)
        z[..., :1] = (norm(z[..., 1:]).square() + 1 / c).sqrt()
        optional = [t for t in (scale, c) if isinstance(t, Tensor)]
        ctx.given = (scale is not None, None if isinstance(c, Tensor) else c)
        ctx.save_for_backward(x, y, weight, z, a, square, *optional)
        return z

    @staticmethod
    def backward(ctx, *grads):
        (g,) = grads
        x, y, weight, out, a, square, *optional = ctx.saved_tensors
        rest = iter(optional)
        scale = next(rest) if ctx.given[0] else None
        c = next(rest) if ctx.given[1] is None else ctx.given[1]
        ratio = g[..., :1] / out[..., :1]
        gs = torch.addcmul(g[..., 1:], ratio, out[..., 1:])
        # out_s = a z_s, z = x + w y, and a falls with half of square = z_0^2 - |z_s|^2
        by_log_a = dot(gs, out[..., 1:])
        fall = by_log_a / square
        time = torch.addcmul(x[..., :1], y[..., :1], weight)
        gz = torch.cat([-fall * time, gs.mul_(a).addcmul_(out[..., 1:], fall / a)], dim=-1)
        by_weight = (gz * y).sum().to(weight.dtype).reshape(weight.shape)
        by_scale = None if scale is None else (by_log_a.sum() / scale).to(scale.dtype).reshape(scale.shape)
        by_c = None
        if isinstance(c, Tensor) and ctx.needs_input_grad[4]:
            by_c = sum_to_scalar(by_log_a, c) / (-2 * c) + sum_to_scalar(ratio, c) * (-0.5 / c**2)
        gy = (gz * weight).sum_to_size(ctx.shapes[1]) if ctx.needs_input_grad[1] else None
        return gz.sum_to_size(ctx.shapes[0]), gy, by_weight, by_scale, by_c
