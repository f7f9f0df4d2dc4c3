"""Attention between points of the ball."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from crocuta.manifolds import Poincare, lorentz_to_poincare, poincare_to_lorentz
from crocuta.nn.lorentz_attention import _Attention, lift_at

if TYPE_CHECKING:
    from jaxtyping import Float

    from crocuta.nn.position import Rotary


class PoincareMultiheadAttention(_Attention):
    """Multi-head attention on the ball: scores fall with the distance, values meet in their gyromidpoint.

    (Gulcehre et al. 2019, arXiv 1805.09786, sec. 3, and Shimizu et al. 2021, HNN++, sec. 3.5, with scores that are
    linear in `cosh(sqrt(c) d(q, k))` instead of d.) In that form the isometry to the hyperboloid makes it
    `lorentz_attention`: the gyromidpoint is the image of the Lorentz centroid, and no score matrix is kept. Arguments
    as `LorentzMultiheadAttention`.

    Shapes: `(B, L, embed_dim)` to the same.

    >>> m = Poincare()
    >>> PoincareMultiheadAttention(m, 64, 4)(m.random((2, 10, 64))).shape
    torch.Size([2, 10, 64])
    """

    def __init__(
        self,
        manifold: Poincare,
        embed_dim: int,
        num_heads: int,
        *,
        dropout: float = 0.0,
        bias: bool = True,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        rotary: Rotary | None = None,
    ):
        super().__init__(
            embed_dim,
            num_heads,
            dropout=dropout,
            bias=bias,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            rotary=rotary,
        )
        self.manifold = manifold
        self.out_proj = nn.Linear(num_heads * (self.head_dim + 1), embed_dim, bias=bias)

    def forward(
        self,
        x: Float[Tensor, "B L n"],
        context: Float[Tensor, "B S n"] | None = None,
        *,
        mask: Tensor | None = None,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Float[Tensor, "B L n"]:
        """Attend from x to `context` (by default x itself); masks as in `lorentz_attention`."""
        c = self.manifold.c
        start = poincare_to_lorentz(x, c)
        seen = start if context is None else poincare_to_lorentz(context, c)
        heads = self._attend(start, seen, c, mask=mask, attn_mask=attn_mask, is_causal=is_causal)
        return lorentz_to_poincare(lift_at(self.out_proj(heads.flatten(-2)), c), c)
