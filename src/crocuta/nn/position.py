"""Positions of points in a sequence: rotary, learned, sinusoidal, relative."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from crocuta.manifolds import Lorentz
from crocuta.manifolds.numerics import widen
from crocuta.nn.lorentz.linear import LorentzLinear
from crocuta.nn.lorentz.pointwise import LorentzResidual

if TYPE_CHECKING:
    from jaxtyping import Float


def angles(positions: Tensor, pairs: int, base: float, width: int) -> Tensor:
    """`position * base^(-2 i / width)` for pair i: shape `(*positions.shape, pairs)`, in float64 where there is.

    float32 would turn the fastest pair by 0.06 too much or too little at position 10^6.
    """
    rates = base ** (-2 * torch.arange(pairs, device=positions.device, dtype=torch.float32) / width)
    if positions.device.type != "mps":
        rates = base ** (-2 * torch.arange(pairs, device=positions.device, dtype=torch.float64) / width)
    return widen(positions)[..., None] * rates


class Rotary(nn.Module):
    """Turns neighbouring pairs of space coordinates by angles that grow with the position.

    A rotation about the origin, hence an isometry of the hyperboloid and of the ball: inner products of turned
    queries and keys depend on the difference of their positions only. Pair i of position t turns by
    `t base^(-2 i / head_dim)` (Su et al. 2021, arXiv 2104.09864, eq. 15); with odd head_dim the last coordinate
    stays.

    Shapes: space parts `(..., length, heads, head_dim)` to the same; position 0 is the first of the sequence, or
    `start`.

    >>> Rotary(4)(torch.randn(2, 6, 3, 4)).shape
    torch.Size([2, 6, 3, 4])
    """

    def __init__(self, head_dim: int, base: float = 10_000.0):
        super().__init__()
        if head_dim < 2 or not base > 1:
            raise ValueError(f"head_dim must be at least 2 and base above 1, got {head_dim} and {base}")
        self.head_dim, self.base = head_dim, base

    def forward(
        self, s: Float[Tensor, "*batch length heads n"], start: int = 0
    ) -> Float[Tensor, "*batch length heads n"]:
        """Space parts to turned space parts; raises `ValueError` for another head dimension."""
        if s.shape[-1] != self.head_dim:
            raise ValueError(f"s must have head_dim = {self.head_dim} space coordinates, got {s.shape[-1]}")
        pairs = self.head_dim // 2
        positions = torch.arange(start, start + s.shape[-3], device=s.device)
        angle = angles(positions, pairs, self.base, self.head_dim)[:, None]
        cos, sin = angle.cos().to(s.dtype), angle.sin().to(s.dtype)
        even, odd = s[..., : 2 * pairs : 2], s[..., 1 : 2 * pairs : 2]
        turned = torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2)
        return turned if self.head_dim % 2 == 0 else torch.cat([turned, s[..., -1:]], dim=-1)

    def extra_repr(self) -> str:
        return f"{self.head_dim}, base={self.base:g}"


class LorentzLearnedPosition(nn.Module):
    """Joins a learned point per position to the points of a sequence, by the weighted midpoint.

    (HyperCore's `LorentzEmbeddings` adds a linear layer: `LorentzPositionalEmbedding`.) The positions' points are kept
    as space vectors and lifted.

    Shapes: `(batch, length, n + 1)`, unchanged; position 0 is the first, or `start`.

    >>> m = Lorentz()
    >>> LorentzLearnedPosition(m, 100, 8)(m.random((2, 10, 8))).shape
    torch.Size([2, 10, 9])
    """

    def __init__(self, manifold: Lorentz, max_length: int, features: int, std: float = 0.02):
        super().__init__()
        self.manifold, self.max_length, self.in_features = manifold, max_length, features
        self.weight = nn.Parameter(torch.empty(max_length, features))
        self.residual = LorentzResidual(manifold)
        nn.init.normal_(self.weight, std=std)

    def forward(
        self, x: Float[Tensor, "batch length n+1"], start: int = 0
    ) -> Float[Tensor, "batch length n+1"]:
        """Points to points; raises `ValueError` beyond `max_length`."""
        end = start + x.shape[-2]
        if end > self.max_length:
            raise ValueError(f"x must end by position max_length = {self.max_length}, got {end}")
        return self.residual(x, self.manifold.lift(self.weight[start:end]).expand_as(x))


class LorentzSinusoidalPosition(nn.Module):
    """Joins a fixed point per position to the points of a sequence, by the weighted midpoint.

    Space part of position t: `sin(t base^(-2 i / n))` and `cos(t base^(-2 i / n))` in turn (Vaswani et al. 2017, sec.
    3.5) over `sqrt(n / 2)`, a vector of length 1; lifted.

    Shapes: `(batch, length, n + 1)`, unchanged; position 0 is the first, or `start`.

    >>> m = Lorentz()
    >>> LorentzSinusoidalPosition(m, 8)(m.random((2, 10, 8))).shape
    torch.Size([2, 10, 9])
    """

    def __init__(self, manifold: Lorentz, features: int, base: float = 10_000.0):
        super().__init__()
        if features < 2 or not base > 1:
            raise ValueError(f"features must be at least 2 and base above 1, got {features} and {base}")
        self.manifold, self.in_features, self.base = manifold, features, base
        self.residual = LorentzResidual(manifold)

    def forward(
        self, x: Float[Tensor, "batch length n+1"], start: int = 0
    ) -> Float[Tensor, "batch length n+1"]:
        """Points to points."""
        n = self.in_features
        positions = torch.arange(start, start + x.shape[-2], device=x.device)
        angle = angles(positions, (n + 1) // 2, self.base, n)
        wave = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)[..., :n] / (n / 2) ** 0.5
        return self.residual(x, self.manifold.lift(wave.to(x.dtype)).expand_as(x))


class LorentzRelativePosition(nn.Module):
    """A point joined with a linear map of itself: `x (+) e L(x)`, before attention takes queries and keys from it.

    (Yang et al. 2024, Hypformer, arXiv 2407.01290, sec. 4.3, which calls this relative positional encoding: where a
    point lies among the others stands in for an index, as in sets and graphs.) `(+)` is the weighted midpoint.

    Args:
        weight: initial e; learned.

    Shapes: `(..., n + 1)`, unchanged.

    >>> m = Lorentz()
    >>> LorentzRelativePosition(m, 8)(m.random((2, 10, 8))).shape
    torch.Size([2, 10, 9])
    """

    def __init__(self, manifold: Lorentz, features: int, weight: float = 1.0):
        super().__init__()
        self.manifold, self.in_features = manifold, features
        self.linear = LorentzLinear(manifold, features, features)
        self.residual = LorentzResidual(manifold, weight)

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch n+1"]:
        """Points to points."""
        return self.residual(x, self.linear(x))
