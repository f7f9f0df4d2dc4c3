"""Attention between points of the ball."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from crocuta.manifolds import Poincare, lorentz_to_poincare, poincare_to_lorentz
from crocuta.nn.lorentz.attention import LorentzMultiheadAttention

if TYPE_CHECKING:
    from jaxtyping import Float


class PoincareMultiheadAttention(LorentzMultiheadAttention):
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

    manifold: Poincare

    def forward(
        self, x: Float[Tensor, "B L n"], context: Float[Tensor, "B S n"] | None = None, **masks
    ) -> Float[Tensor, "B L n"]:
        """Attend from x to `context` (by default x itself); masks as in `lorentz_attention`."""
        c = self.manifold.c
        start = poincare_to_lorentz(x, c)
        seen = None if context is None else poincare_to_lorentz(context, c)
        return lorentz_to_poincare(super().forward(start, seen, **masks), c)
