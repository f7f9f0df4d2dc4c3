"""Positions of points in a sequence: rotary, learned, sinusoidal, relative."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from crocuta.manifolds.numerics import widen

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
