"""Feed-forward layers and the pre-norm transformer block on the hyperboloid."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.attention import LorentzMultiheadAttention
from crocuta.nn.lorentz.norm import LorentzRMSNorm
from crocuta.nn.lorentz.pointwise import LorentzDropout, LorentzScaledResidual

if TYPE_CHECKING:
    from jaxtyping import Float

    from crocuta.nn.lorentz.attention import KeyValues
    from crocuta.nn.position import Rotary


doubled_midpoint = partial(LorentzScaledResidual, scale=2.0)


class LorentzFeedForward(nn.Module):
    """Linear map, activation, linear map: `lift(W_2 lift(f(W_1 x + b_1)) + b_2)`.

    Two `LorentzLinear`s with a `LorentzActivation` between them (Chen et al. 2022, arXiv 2105.14686, sec. 3.3), less
    the point between the first map and the activation, which nothing reads.

    Args:
        hidden_features: intrinsic dimensions inside; by default four times `in_features`.
        activation: a function of tensors, e.g. `F.gelu`.

    Shapes: `(..., in_features + 1)`, unchanged.

    >>> m = Lorentz()
    >>> LorentzFeedForward(m, 64)(m.random((2, 10, 64))).shape
    torch.Size([2, 10, 65])
    """

    def __init__(
        self,
        manifold: Lorentz,
        in_features: int,
        hidden_features: int | None = None,
        *,
        activation: Callable[[Tensor], Tensor] = F.gelu,
        bias: bool = True,
    ):
        super().__init__()
        hidden = 4 * in_features if hidden_features is None else hidden_features
        self.manifold, self.in_features, self.hidden_features = manifold, in_features, hidden
        self.activation = activation
        self.up_proj = nn.Linear(in_features + 1, hidden, bias=bias)
        self.down_proj = nn.Linear(hidden + 1, in_features, bias=bias)

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch n+1"]:
        """Points to points of the same manifold."""
        hidden = self.manifold.lift(self.activation(self.up_proj(x)))
        return self.manifold.lift(self.down_proj(hidden))


class LorentzSwiGLU(nn.Module):
    """Gated feed-forward: `lift(W_2 lift(silu(W_1 x) * W_3 x))` (Shazeer 2020, arXiv 2002.05202, eq. 6, lifted).

    Args:
        hidden_features: intrinsic dimensions inside; by default 8/3 of `in_features`, rounded up to a multiple of 8,
            less the time coordinate, so that matrix products meet even sizes.

    Shapes: `(..., in_features + 1)`, unchanged.

    >>> m = Lorentz()
    >>> LorentzSwiGLU(m, 64)(m.random((2, 10, 64))).shape
    torch.Size([2, 10, 65])
    """

    def __init__(
        self, manifold: Lorentz, in_features: int, hidden_features: int | None = None, *, bias: bool = False
    ):
        super().__init__()
        hidden = -(-in_features // 3) * 8 - 1 if hidden_features is None else hidden_features
        self.manifold, self.in_features, self.hidden_features = manifold, in_features, hidden
        self.gate_proj = nn.Linear(in_features + 1, hidden, bias=bias)
        self.up_proj = nn.Linear(in_features + 1, hidden, bias=bias)
        self.down_proj = nn.Linear(hidden + 1, in_features, bias=bias)

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch n+1"]:
        """Points to points of the same manifold."""
        hidden = self.manifold.lift(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return self.manifold.lift(self.down_proj(hidden))


class LorentzTransformerBlock(nn.Module):
    """Pre-norm block: `y = x (+) attention(norm(x))`, then `y (+) feed_forward(norm(y))`.

    `(+)` is by default the scaled midpoint residual (He et al. 2024, arXiv 2412.14695) at weight 1 and scale 2,
    which near the origin is `x + y`. (HyperCore's block has layer norms, a GELU feed-forward and scale 50.)

    Args:
        manifold: the hyperboloid of everything in the block.
        embed_dim, num_heads, num_kv_heads, head_dim, rotary: as in `LorentzMultiheadAttention`.
        dropout: share of attention weights, and of space coordinates of each branch's result, dropped in training.
        feed_forward: any layer of points of `embed_dim` dimensions; by default `LorentzSwiGLU`.
        norm: makes a norm from manifold and features.
        residual: makes a residual from the manifold.

    Shapes: `(B, L, embed_dim + 1)`, unchanged.

    >>> m = Lorentz()
    >>> LorentzTransformerBlock(m, 64, 4)(m.random((2, 10, 64)), is_causal=True).shape
    torch.Size([2, 10, 65])
    """

    def __init__(
        self,
        manifold: Lorentz,
        embed_dim: int,
        num_heads: int,
        *,
        dropout: float = 0.0,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        rotary: Rotary | None = None,
        feed_forward: nn.Module | None = None,
        norm: Callable[[Lorentz, int], nn.Module] = LorentzRMSNorm,
        residual: Callable[[Lorentz], nn.Module] = doubled_midpoint,
    ):
        super().__init__()
        self.manifold, self.in_features = manifold, embed_dim
        self.attention_norm, self.feed_forward_norm = norm(manifold, embed_dim), norm(manifold, embed_dim)
        self.attention = LorentzMultiheadAttention(
            manifold,
            embed_dim,
            num_heads,
            dropout=dropout,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            rotary=rotary,
        )
        self.feed_forward = LorentzSwiGLU(manifold, embed_dim) if feed_forward is None else feed_forward
        self.attention_residual, self.feed_forward_residual = residual(manifold), residual(manifold)
        self.dropout = LorentzDropout(manifold, dropout)

    def forward(
        self,
        x: Float[Tensor, "B L n+1"],
        *,
        mask: Tensor | None = None,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        past: KeyValues | None = None,
    ) -> Float[Tensor, "B L n+1"]:
        """Points to points; masks as in `lorentz_attention`, `past` as in `LorentzMultiheadAttention`."""
        branch = self.attention(
            self.attention_norm(x), mask=mask, attn_mask=attn_mask, is_causal=is_causal, past=past
        )
        x = self.attention_residual(x, self.dropout(branch))
        branch = self.feed_forward(self.feed_forward_norm(x))
        return self.feed_forward_residual(x, self.dropout(branch))
