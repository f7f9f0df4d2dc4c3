"""Euclidean graph convolution and attention, and the attention that hyperbolic layers share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.nn.graph.messages import Graph, at_source, at_target, propagate, segment_softmax
from crocuta.nn.linear import positive

if TYPE_CHECKING:
    from jaxtyping import Float


class GCNConv(nn.Module):
    """Graph convolution `A (W x) + b` (Kipf & Welling 2017, arXiv 1609.02907, eq. 2).

    Args:
        normalisation: of A: "symmetric" (theirs), "row" or "none".
        dropout: of the inputs.

    Shapes: x (N, in_features) to (N, out_features).

    >>> GCNConv(8, 5)(torch.randn(3, 8), Graph(torch.tensor([[0, 1], [1, 2]]))).shape
    torch.Size([3, 5])
    """

    manifold_in = manifold_out = None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        normalisation: str = "symmetric",
    ):
        super().__init__()
        positive(in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.dropout, self.normalisation = dropout, normalisation
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Float[Tensor, "N n"], graph: Graph) -> Float[Tensor, "N m"]:
        """Node features to node features."""
        x = F.linear(F.dropout(x, self.dropout, self.training), self.weight)
        y = propagate(x, graph.weight(self.normalisation, x.dtype), graph)
        return y if self.bias is None else y + self.bias


class EdgeAttention(nn.Module):
    """GAT's weights: softmax over a node's edges of `LeakyReLU(<a, [h_i, h_j]> scale_ij)`, for each head.

    (Velickovic et al. 2018, arXiv 1710.10903, eq. 3; the factor is GIL's distance, Zhu et al. 2020, arXiv
    2010.12135, eq. 3.)

    Shapes: h (N, heads, features), scale (E, 1) to weights (E, heads).
    """

    slope = 0.2

    def __init__(self, features: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.to_target = nn.Parameter(torch.empty(heads, features))
        self.to_source = nn.Parameter(torch.empty(heads, features))
        self.dropout = dropout
        for vector in (self.to_target, self.to_source):
            nn.init.uniform_(vector, -1 / math.sqrt(features), 1 / math.sqrt(features))

    def forward(
        self, h: Float[Tensor, "N H D"], graph: Graph, scale: Float[Tensor, "E 1"] | None = None
    ) -> Float[Tensor, "E H"]:
        """Node features by head to edge weights by head."""
        scores = at_target((h * self.to_target).sum(-1), graph) + at_source(
            (h * self.to_source).sum(-1), graph
        )
        if scale is not None:
            scores = scores * scale
        weight = segment_softmax(F.leaky_relu(scores, self.slope), graph)
        return F.dropout(weight, self.dropout, self.training)


def propagate_heads(
    h: Float[Tensor, "N H D"], weight: Float[Tensor, "E H"], graph: Graph
) -> Float[Tensor, "N H D"]:
    """`propagate` with weights of each head's own."""
    heads = h.shape[1]
    if heads == 1:
        return propagate(h[:, 0], weight[:, 0], graph)[:, None]
    copies, order = graph.copies(heads)
    return propagate(h.reshape(-1, h.shape[-1]), weight.reshape(-1)[order], copies).view_as(h)


class GATConv(nn.Module):
    """Graph attention (Velickovic et al. 2018, arXiv 1710.10903, eqs. 1 to 6).

    Args:
        out_features: of all heads together where they are concatenated, of each where they are averaged.
        concatenate: join the heads end to end, or average them.
        dropout: of inputs and of attention weights.

    Shapes: x (N, in_features) to (N, out_features).

    >>> GATConv(8, 6, heads=2)(torch.randn(3, 8), Graph(torch.tensor([[0, 1], [1, 2]]))).shape
    torch.Size([3, 6])
    """

    manifold_in = manifold_out = None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        heads: int = 1,
        concatenate: bool = True,
        bias: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        width = head_width(out_features, heads, concatenate)
        self.in_features, self.out_features, self.heads = in_features, out_features, heads
        self.concatenate, self.dropout = concatenate, dropout
        self.weight = nn.Parameter(torch.empty(heads * width, in_features))
        self.attention = EdgeAttention(width, heads, dropout)
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Float[Tensor, "N n"], graph: Graph) -> Float[Tensor, "N m"]:
        """Node features to node features."""
        x = F.linear(F.dropout(x, self.dropout, self.training), self.weight)
        h = x.unflatten(-1, (self.heads, -1))
        h = propagate_heads(h, self.attention(h, graph), graph)
        y = h.flatten(1) if self.concatenate else h.mean(1)
        return y if self.bias is None else y + self.bias


def head_width(out_features: int, heads: int, concatenate: bool) -> int:
    """Features of one head.

    Raises:
        ValueError: concatenated heads do not divide the features.
    """
    positive(out_features=out_features, heads=heads)
    if not concatenate:
        return out_features
    if out_features % heads:
        raise ValueError(f"heads must divide out_features, got {heads} heads for {out_features} features")
    return out_features // heads
