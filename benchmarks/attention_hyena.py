"""The same model with causal attention in the place of the Hyena operators."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class CausalAttention(nn.Module):
    """Multi-head attention of (B, L, D) by `F.scaled_dot_product_attention`."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self.in_proj(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A block of HyenaDNA around another mixer."""

    def __init__(self, block: nn.Module, mixer: nn.Module):
        super().__init__()
        self.norm1, self.norm2, self.mlp, self.mixer = block.norm1, block.norm2, block.mlp, mixer

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.mixer(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


def with_attention(model: nn.Module, heads: int) -> None:
    """Replaces the blocks of a `HyenaForCausalLM`."""
    backbone = model.hyena.backbone
    backbone.layers = nn.ModuleList(
        Block(block, CausalAttention(model.config.d_model, heads)) for block in backbone.layers
    )
