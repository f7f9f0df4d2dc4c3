"""Linear maps between hyperboloids, and the classifier by distance to class points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz
from crocuta.manifolds.numerics import TINY, Scalar, dot, in_float32, norm, sqrt
from crocuta.manifolds.radial import sum_to_scalar
from crocuta.nn.linear import at_least_float32, fan_in_uniform, positive

if TYPE_CHECKING:
    from jaxtyping import Float


class LorentzLinear(nn.Module):
    """`lift(W x + b)`: W acts on all n + 1 coordinates, the result is a space part, time is recomputed.

    (Chen et al. 2022, arXiv 2105.14686, eq. 3, in the form of Yang et al. 2024, arXiv 2407.01290: rotations and
    boosts are among its values.) On another output curvature the space part is scaled by
    `sqrt(c_in / c_out)`, the similarity between the two.

    Args:
        manifold: the hyperboloid of the inputs.
        in_features, out_features: intrinsic dimensions.
        bias: add a learned space vector.
        manifold_out: the hyperboloid of the outputs; by default `manifold`.

    Shapes: `(..., in_features + 1)` to `(..., out_features + 1)`; `weight` is `(out_features, in_features + 1)`.

    >>> m = Lorentz()
    >>> LorentzLinear(m, 64, 32)(m.expmap0(torch.randn(5, 64))).shape
    torch.Size([5, 33])
    """

    def __init__(
        self,
        manifold: Lorentz,
        in_features: int,
        out_features: int,
        bias: bool = True,
        manifold_out: Lorentz | None = None,
    ):
        super().__init__()
        positive(in_features=in_features, out_features=out_features)
        self.manifold_in, self.manifold_out = manifold, manifold if manifold_out is None else manifold_out
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features + 1))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias as `nn.Linear` does."""
        fan_in_uniform(self.in_features + 1, self.weight, self.bias)

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch m+1"]:
        """Points of `manifold_in` to points of `manifold_out`."""
        s = F.linear(x, self.weight, self.bias)
        if self.manifold_out is not self.manifold_in:
            s = at_least_float32(s) * sqrt(self.manifold_in.c / self.manifold_out.c)
        return self.manifold_out.lift(s)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class LorentzBoostLinear(nn.Module):
    """HyboNet's linear layer: time `t = exp(s) sigmoid((W x)_0) + 1/sqrt(c) + 0.5`, space rescaled to fit.

    (Chen et al. 2022, arXiv 2105.14686, eq. 5.) The weight's first row predicts how far out the result lies
    (at most `exp(s)` beyond the margin), the others its direction.

    Shapes: `(..., in_features + 1)` to `(..., out_features + 1)`; `weight` is
    `(out_features + 1, in_features + 1)`, `log_scale` is s.

    >>> m = Lorentz()
    >>> LorentzBoostLinear(m, 64, 32)(m.expmap0(torch.randn(5, 64))).shape
    torch.Size([5, 33])
    """

    margin = 0.5

    def __init__(
        self, manifold: Lorentz, in_features: int, out_features: int, bias: bool = True, scale: float = 10.0
    ):
        super().__init__()
        positive(in_features=in_features, out_features=out_features)
        if not scale > 0:
            raise ValueError(f"scale must be positive, got {scale}")
        self.manifold = manifold
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features + 1, in_features + 1))
        self.bias = nn.Parameter(torch.empty(out_features + 1)) if bias else None
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        fan_in_uniform(in_features + 1, self.weight, self.bias)

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch m+1"]:
        """Points to points of the same manifold."""
        return self._place(F.linear(x, self.weight, self.bias), self.log_scale)

    @in_float32
    def _place(self, y: Tensor, log_scale: Tensor) -> Tensor:
        return _Place.apply(y, log_scale, self.manifold.c, self.margin)  # type: ignore[return-value]


class _Place(torch.autograd.Function):
    """`y` to the point in the direction of its space part, `exp(s) sigmoid(y_0) + margin` above the lowest time.

    In one function, because step by step each of its passes would keep a tensor for the gradient.
    """

    @staticmethod
    def forward(ctx, y: Tensor, log_scale: Tensor, c: Scalar, margin: float) -> Tensor:
        ctx.margin, ctx.c = margin, None if isinstance(c, Tensor) else c
        ctx.save_for_backward(y, log_scale, *((c,) if isinstance(c, Tensor) else ()))
        radius = 1 / sqrt(c)
        beyond = log_scale.exp() * torch.sigmoid(y[..., :1]) + margin  # t - 1/sqrt(c)
        length = (beyond * (beyond + 2 * radius)).sqrt()
        x = y * (length / norm(y[..., 1:]).clamp_min(TINY))
        x[..., 0] = (
            (norm(x[..., 1:]).square() + 1 / c).sqrt().squeeze(-1)
        )  # 1/sqrt(c) where there is no direction
        return x

    @staticmethod
    def backward(ctx, *grads):
        y, log_scale, *curvature = ctx.saved_tensors
        (g,), c = grads, curvature[0] if curvature else ctx.c
        radius, scale, share = 1 / sqrt(c), log_scale.exp(), torch.sigmoid(y[..., :1])
        beyond = scale * share + ctx.margin
        length = (beyond * (beyond + 2 * radius)).sqrt()
        size = norm(y[..., 1:]).clamp_min(TINY)
        along = dot(g[..., 1:], y[..., 1:]) / size  # of the length
        by_beyond = g[..., :1] + along * (beyond + radius) / length
        grad_y = length / size * (g - along / size * y)
        grad_y[..., :1] = by_beyond * scale * share * (1 - share)
        grad_scale = (by_beyond * scale * share).sum().to(log_scale.dtype)
        grad_c = None
        if curvature and ctx.needs_input_grad[2]:
            by_radius = g[..., :1] + along * beyond / length
            grad_c = sum_to_scalar(by_radius * (-radius / (2 * c)), c)
        return grad_y, grad_scale, grad_c, None


class LorentzCentroidClassifier(nn.Module):
    """Logits by closeness to one point per class: `bias - d_L(x, p)`, `d_L = -2/c - 2 <x, p>_L`.

    d_L is the squared Lorentzian distance (Law et al. 2019), `4/c sinh^2(sqrt(c) d / 2)`. The class points are
    kept as space vectors and lifted, so any optimiser may move them.

    Shapes: `(..., in_features + 1)` to `(..., num_classes)`.

    >>> m = Lorentz()
    >>> LorentzCentroidClassifier(m, 64, 3)(m.expmap0(torch.randn(5, 64))).shape
    torch.Size([5, 3])
    """

    manifold_out = None

    def __init__(self, manifold: Lorentz, in_features: int, num_classes: int, bias: bool = True):
        super().__init__()
        positive(in_features=in_features, num_classes=num_classes)
        self.manifold_in = manifold
        self.in_features, self.num_classes = in_features, num_classes
        self.weight = nn.Parameter(torch.empty(num_classes, in_features))
        self.bias = nn.Parameter(torch.zeros(num_classes)) if bias else None
        nn.init.normal_(self.weight, std=1 / math.sqrt(in_features))

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch classes"]:
        """Points to logits."""
        return self._logits(x, self.weight, self.bias)

    @in_float32
    def _logits(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        p = self.manifold_in.lift(weight)
        inner = F.linear(x, torch.cat([-p[:, :1], p[:, 1:]], dim=-1))
        # never negative; rounding can take a point at its class's own to -1e-7 t^2
        distance = (-2 / self.manifold_in.c - 2 * inner).clamp_min(0.0)
        return -distance if bias is None else bias - distance
