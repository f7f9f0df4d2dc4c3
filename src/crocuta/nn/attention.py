"""Multi-head self-attention with rotary positions (Vaswani et al. 2017; Su et al. 2021, arXiv 2104.09864)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.nn.linear import ResidualLinear


def rotate(x: Tensor, base: float = 10_000.0) -> Tensor:
    """Rotary position embedding of x (..., L, D), D even: pair i of position t turns by `t * base^(-2 i / D)`."""
    length, width = x.shape[-2:]
    rate = base ** (-torch.arange(0, width, 2, device=x.device, dtype=torch.float32) / width)
    angle = torch.arange(length, device=x.device, dtype=torch.float32)[:, None] * rate
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class RotaryAttention(nn.Module):
    """Self-attention over (B, L, D) through `scaled_dot_product_attention`; `mask` (B, L), 1 = token."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0):
        super().__init__()
        if width % (2 * heads):
            raise ValueError(f"width must be a multiple of 2 * heads = {2 * heads}, got {width}")
        self.heads, self.dropout = heads, dropout
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = ResidualLinear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.in_proj(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        y = self.attend(rotate(q), rotate(k), v, None if mask is None else mask != 0, dropout)
        return self.out_proj(y.transpose(1, 2).flatten(2))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, dropout: float) -> Tensor:
        """Values (B, H, L, D / H) mixed by every query from the keys that are `seen` (B, L)."""
        visible = None if seen is None else seen[:, None, None]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, dropout_p=dropout)


class CausalRotaryAttention(RotaryAttention):
    """Each token attends to itself and to those before it; to itself even where the mask hides it."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, dropout: float) -> Tensor:
        if seen is None:
            return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        length = q.shape[-2]
        before = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=q.device)
        visible = (before & seen[:, None, None]) | itself
        return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, dropout_p=dropout)
