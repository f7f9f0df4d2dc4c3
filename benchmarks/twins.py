"""Euclidean layers that the hyperbolic ones are measured against, where torch has none of that shape."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Apply(nn.Module):
    """A function of tensors as a layer."""

    def __init__(self, function: Callable[..., Tensor]):
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.function(*tensors)


class Residual(nn.Module):
    """`x + branch(x)`."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class PositionalEmbedding(nn.Module):
    """Word and position, added, through a linear layer."""

    def __init__(self, words: int, width: int, length: int):
        super().__init__()
        self.word, self.position = nn.Embedding(words, width), nn.Embedding(length, width)
        self.linear = nn.Linear(width, width)

    def forward(self, ids: Tensor) -> Tensor:
        return self.linear(self.word(ids) + self.position.weight[: ids.shape[1]])


class LearnedPosition(nn.Module):
    """A vector per position, added."""

    def __init__(self, length: int, width: int):
        super().__init__()
        self.weight = nn.Embedding(length, width).weight

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight[: x.shape[1]]


class Attention(nn.Module):
    """Linear maps and scaled dot products."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, is_causal: bool = False) -> Tensor:
        q, k, v = (
            p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
        return self.out_proj(y.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """Gated feed-forward layer."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(width, hidden, False), nn.Linear(width, hidden, False)
        self.down_proj = nn.Linear(hidden, width, False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """Pre-norm attention and SwiGLU of equal hidden width."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention, self.feed_forward = Attention(width, heads), SwiGLU(width, hidden)

    def forward(self, x: Tensor, is_causal: bool = False) -> Tensor:
        x = x + self.attention(self.norm1(x), is_causal)
        return x + self.feed_forward(self.norm2(x))


class Rotary(nn.Module):
    """Rotary positions as transformers' Llama has them: halves turned, angles at hand."""

    def __init__(self, length: int, width: int):
        super().__init__()
        angle = torch.outer(torch.arange(length), 1e4 ** -torch.linspace(0, 1, width // 2)).repeat(1, 2)[
            :, None
        ]
        self.cos, self.sin = angle.cos(), angle.sin()

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat([-second, first], dim=-1) * self.sin


def normalised_conv(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """A convolution without bias, and batch normalisation."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def basic_block(width: int) -> nn.Sequential:
    """Two 3 x 3 convolutions beside a shortcut."""
    branch = nn.Sequential(normalised_conv(width, width, 3), nn.ReLU(), normalised_conv(width, width, 3))
    return nn.Sequential(Residual(branch), nn.ReLU())


def bottleneck_block(width: int, inside: int) -> nn.Sequential:
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut."""
    branch = nn.Sequential(
        normalised_conv(width, inside, 1),
        nn.ReLU(),
        normalised_conv(inside, inside, 3),
        nn.ReLU(),
        normalised_conv(inside, width, 1),
    )
    return nn.Sequential(Residual(branch), nn.ReLU())
