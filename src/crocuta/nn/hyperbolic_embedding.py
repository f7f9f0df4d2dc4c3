"""Embeddings whose rows are points: parameters that live on a manifold, for a Riemannian optimiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz, Manifold, Poincare
from crocuta.nn.linear import positive
from crocuta.nn.lorentz.linear import LorentzLinear
from crocuta.nn.lorentz.pointwise import LorentzScaledResidual

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class _PointEmbedding(nn.Module):
    """A table of points; `on_manifold` says so to `crocuta.optim`."""

    on_manifold = {"weight": "manifold"}  # noqa: RUF012
    manifold_in = None

    def __init__(self, manifold: Manifold, num_embeddings: int, embedding_dim: int, std: float = 0.1):
        super().__init__()
        positive(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.manifold = self.manifold_out = manifold
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        points = manifold.random((num_embeddings, embedding_dim), std=std / embedding_dim**0.5)
        self.weight = nn.Parameter(points.detach())

    def forward(self, ids: Int[Tensor, " *batch"]) -> Float[Tensor, "*batch ambient"]:
        """Indices to points. They are projected first: a row may lag behind a curvature that moved."""
        return self.manifold.project(F.embedding(ids, self.weight))

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class LorentzEmbedding(_PointEmbedding):
    """A table of points on the hyperboloid (Nickel & Kiela 2018, arXiv 1806.03417).

    Args:
        num_embeddings, embedding_dim: rows, and intrinsic dimensions of each.
        std: initial distance from the origin, root mean square.

    Shapes: indices `(...)` to `(..., embedding_dim + 1)`.

    >>> LorentzEmbedding(Lorentz(), 11, 8)(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 9])
    """

    def __init__(self, manifold: Lorentz, num_embeddings: int, embedding_dim: int, std: float = 0.1):
        super().__init__(manifold, num_embeddings, embedding_dim, std)


class PoincareEmbedding(_PointEmbedding):
    """A table of points in the ball (Nickel & Kiela 2017, arXiv 1705.08039); see `LorentzEmbedding`.

    Shapes: indices `(...)` to `(..., embedding_dim)`.

    >>> PoincareEmbedding(Poincare(), 11, 8)(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, manifold: Poincare, num_embeddings: int, embedding_dim: int, std: float = 0.1):
        super().__init__(manifold, num_embeddings, embedding_dim, std)


class LorentzPositionalEmbedding(nn.Module):
    """Word and position: the midpoint of the word's point and its position's, through a linear layer.

    `linear(residual(word, position))` (HyperCore's `LorentzEmbeddings`; the residual is that of He et al. 2024,
    arXiv 2412.14695, section 4.1, with learned weight and scale).

    Shapes: indices `(batch, length)` to `(batch, length, embedding_dim + 1)`.

    Raises:
        ValueError: a sequence is longer than `max_length`.

    >>> LorentzPositionalEmbedding(Lorentz(), 11, 8, max_length=20)(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 9])
    """

    manifold_in = None

    def __init__(self, manifold: Lorentz, num_embeddings: int, embedding_dim: int, max_length: int):
        super().__init__()
        self.manifold_out, self.max_length = manifold, max_length
        self.word = LorentzEmbedding(manifold, num_embeddings, embedding_dim)
        self.position = LorentzEmbedding(manifold, max_length, embedding_dim)
        self.linear = LorentzLinear(manifold, embedding_dim, embedding_dim)
        self.residual = LorentzScaledResidual(manifold)

    def forward(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length n+1"]:
        """Indices to points."""
        if ids.shape[1] > self.max_length:
            raise ValueError(f"ids must hold at most max_length={self.max_length} tokens, got {ids.shape[1]}")
        position = self.position(torch.arange(ids.shape[1], device=ids.device))
        word = self.word(ids)
        return self.linear(self.residual(word, position.expand_as(word)))
