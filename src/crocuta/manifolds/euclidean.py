"""Flat space, with the same API as the curved ones."""

from __future__ import annotations

import torch
from torch import Tensor

from crocuta.manifolds.base import Manifold
from crocuta.manifolds.numerics import euclidean_cdist, in_float32


class Euclidean(Manifold):
    """Flat R^n: `c` is 0.0 and every map is the obvious one.

    >>> Euclidean().dist(torch.zeros(2), torch.tensor([3.0, 4.0]))
    tensor(5.)
    """

    def __init__(self):
        super().__init__()

    @property
    def c(self) -> float:
        """0.0: flat."""
        return 0.0

    @in_float32
    def expmap0(self, s):
        return s

    @in_float32
    def logmap0(self, x):
        return x

    @in_float32
    def expmap(self, x, u):
        return x + u

    retract = expmap

    @in_float32
    def logmap(self, x, y):
        return y - x

    def normal_coordinates(self, x, y):
        return self.logmap(x, y)

    def from_normal_coordinates(self, x, v):
        return self.expmap(x, v)

    @in_float32
    def transport(self, x, y, u):
        return u.expand(torch.broadcast_shapes(x.shape, y.shape, u.shape))

    @in_float32
    def inner(self, x, u, v):
        return (u * v).sum(-1)

    @in_float32
    def dist(self, x, y):
        return torch.linalg.vector_norm(x - y, dim=-1)

    @in_float32
    def cdist(self, x, y):
        return euclidean_cdist(x, y)

    @in_float32
    def project(self, x):
        return x

    @in_float32
    def project_tangent(self, x, u):
        return u

    @in_float32
    def egrad2rgrad(self, x, g):
        return g

    @in_float32
    def centroid(self, x, weight=None):
        if weight is None:
            return x.mean(-2)
        return (weight.unsqueeze(-1) * x).sum(-2) / weight.sum(-1, keepdim=True)

    @in_float32
    def violation(self, x: Tensor):
        return torch.zeros_like(x[..., 0])
