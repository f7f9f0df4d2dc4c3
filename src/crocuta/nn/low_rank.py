"""Low-rank maps of vectors by way of the hyperboloid: what HypLoRA adds to a linear layer.

(Yang et al. 2024, arXiv 2410.04010, in the two forms of HyperCore, arXiv 2504.08912.) The down-projection A and the
up-projection B are Lorentz linear layers (`lift(W x)`, W acting on time and space) without bias; B starts at 0, and
the map with it. The wide point `[time, f x]` is never built: A reads x itself, then f and the time of each point.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz
from crocuta.manifolds.numerics import asinhc, norm, sinhc, sqrt
from crocuta.manifolds.radial import MAX_RADIUS
from crocuta.nn.linear import at_least_float32, fan_in_uniform, positive

if TYPE_CHECKING:
    from jaxtyping import Float

MEAN_SQUARE = 1e-6  # under the root of a norm that divides, as in RMSNorm: x = 0 is a point like any other


class LorentzLowRank(nn.Module):
    """Fully hyperbolic: space part of `lift(B lift(A lift(x)))`, x a space part.

    Args:
        manifold: the hyperboloid on which the map runs.
        in_features, out_features: sizes of the vectors.
        rank: intrinsic dimensions between A and B.

    Shapes: `(..., in_features)` to `(..., out_features)`. A is `down` `(rank, in_features)` for the space part and
    `down_time` `(rank,)`; B is `up` `(out_features, rank + 1)`, time first.

    >>> LorentzLowRank(Lorentz(), 64, 32, rank=4)(torch.randn(5, 64)).shape
    torch.Size([5, 32])
    """

    manifold_in = manifold_out = None

    def __init__(self, manifold: Lorentz, in_features: int, out_features: int, rank: int):
        super().__init__()
        positive(in_features=in_features, out_features=out_features, rank=rank)
        self.manifold = manifold
        self.in_features, self.out_features, self.rank = in_features, out_features, rank
        self.down = nn.Parameter(torch.empty(rank, in_features))
        self.down_time = nn.Parameter(torch.empty(rank))
        self.up = nn.Parameter(torch.empty(out_features, rank + 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw A as `nn.Linear` does; B starts at 0."""
        fan_in_uniform(self.in_features + 1, self.down, self.down_time)
        nn.init.zeros_(self.up)

    def forward(self, x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch m"]:
        """Vectors to vectors."""
        return self._up(self._down(x, norm(at_least_float32(x))))

    def _down(self, x: Tensor, length: Tensor, factor: Tensor | None = None) -> Tensor:
        """`lift(A [time, f x])` for x of a given length `(..., 1)`, f the `factor` `(..., 1)`, 1 by default."""
        space = at_least_float32(F.linear(x, self.down))
        if factor is not None:
            space, length = space * factor, length * factor
        time = (1 / self.manifold.c + length.square()).sqrt()
        return self.manifold.lift(space + time * self.down_time)

    def _up(self, point: Tensor) -> Tensor:
        """Space part of `lift(B point)`."""
        return at_least_float32(F.linear(point.to(self.up.dtype), self.up))

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, rank={self.rank}"


class TangentLowRank(LorentzLowRank):
    """Hybrid: `log0(lift(B lift(A exp0(exp(s) x / |x|))))`, from tangent vectors at the origin to such.

    Every input enters at the learned radius `exp(s)`, its direction kept: `|x|` stands for
    `sqrt(|x|^2 + 1e-6 in_features)`, so that the map is smooth at 0. The radius starts where the space part of a point
    has norm `sqrt(in_features)`, that of a normalised vector: A's outputs then start at the size that they have in
    LoRA.

    >>> TangentLowRank(Lorentz(), 64, 32, rank=4)(torch.randn(5, 64)).shape
    torch.Size([5, 32])
    """

    def __init__(self, manifold: Lorentz, in_features: int, out_features: int, rank: int):
        super().__init__(manifold, in_features, out_features, rank)
        root = math.sqrt(manifold.initial_c)
        self.log_radius = nn.Parameter(
            torch.tensor(math.log(math.asinh(root * math.sqrt(in_features)) / root))
        )

    def forward(self, x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch m"]:
        """Vectors to vectors."""
        root, length = sqrt(self.manifold.c), norm(at_least_float32(x))
        shrink = self.log_radius.exp() / (length.square() + MEAN_SQUARE * self.in_features).sqrt()
        # cosh and sinh stop where expmap0's do, with squares that the dtype still holds
        scaled = (root * shrink * length).clamp(max=MAX_RADIUS[length.dtype])
        z = self._up(self._down(x, length, sinhc(scaled) * shrink))
        return asinhc(root * norm(z)) * z
