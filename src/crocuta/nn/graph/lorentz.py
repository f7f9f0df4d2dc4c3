"""Graph layers that stay on the hyperboloid: neighbours meet in their Lorentz centroid."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from crocuta.manifolds import Lorentz, Rescale
from crocuta.manifolds.numerics import TINY, Scalar, dot, in_float32, sqrt, widen
from crocuta.nn.graph.messages import Graph, at_source, at_target, propagate, segment_sum
from crocuta.nn.graph.tangent import rectify_in_ball
from crocuta.nn.linear import fan_in_uniform, positive
from crocuta.nn.lorentz.linear import LorentzBoostLinear
from crocuta.nn.lorentz.pointwise import LorentzActivation, LorentzDropout

if TYPE_CHECKING:
    from jaxtyping import Float

Activation = Callable[[Tensor], Tensor]
NEAR = 12.0  # times sqrt(c) t up to which `t^2 - |s|^2` keeps its digits well enough in float32


class LorentzAggregation(nn.Module):
    """Each node goes to the weighted Lorentz centroid of its neighbours: `sum_j w x_j / (sqrt(c) |sum_j w x_j|_L)`.

    (Chen et al. 2022, HyboNet, arXiv 2105.14686, eq. 9; Law et al. 2019, eq. 14.) Also the Einstein midpoint of
    H2H-GCN, which is the same point. Where points lie beyond a scaled radius of 3.2, sums are in float64; `-<m, m>` is
    kept above its exact lower bound `(sum w)^2 / c`: four digits or more up to a radius of 10, three at 15, finite
    beyond.

    Args:
        normalisation: of the weights; a common factor of a node's weights changes nothing.

    Shapes: points (N, n + 1), weights of edges (E,) to points (N, n + 1).

    >>> m = Lorentz()
    >>> LorentzAggregation(m)(m.expmap0(torch.randn(3, 8)), Graph(torch.tensor([[0, 1], [1, 2]]))).shape
    torch.Size([3, 9])
    """

    def __init__(self, manifold: Lorentz, normalisation: str = "row"):
        super().__init__()
        self.manifold, self.normalisation = manifold, normalisation

    def forward(
        self, x: Float[Tensor, "N n+1"], graph: Graph, weight: Float[Tensor, " E"] | None = None
    ) -> Float[Tensor, "N n+1"]:
        """Points to points of the same manifold; `weight` (E,) >= 0 in place of the graph's own."""
        return self._centroid(x, graph, weight)

    @in_float32
    def _centroid(self, x: Tensor, graph: Graph, weight: Tensor | None) -> Tensor:
        c, dtype = self.manifold.c, x.dtype
        if dtype != torch.float64 and float((x[:, 0].amax() * sqrt(c)).detach()) > NEAR:
            x = self.manifold.lift(widen(x[:, 1:]))
        if weight is None:
            weight = graph.weight(self.normalisation, x.dtype)
            total_weight = graph.weight_sum(self.normalisation, x.dtype)
        else:
            weight = weight.to(x.dtype)
            total_weight = segment_sum(weight[:, None], graph)
        total = propagate(x, weight, graph)
        # attention far apart gives weights of 1e-12 to all of a node's neighbours: their squares are below TINY
        size = total_weight.detach().clamp_min(torch.finfo(total.dtype).tiny)
        total, total_weight = total / size, total_weight / size
        return _Normalise.apply(total, total_weight, c).to(dtype)  # type: ignore[union-attr]


class _Normalise(torch.autograd.Function):
    """Sums `m` (N, n + 1) of points to `m / (sqrt(c) |m|_L)`, `-<m, m>` being at least `(sum w)^2 / c`."""

    @staticmethod
    def forward(ctx, total: Tensor, total_weight: Tensor, c: Scalar) -> Tensor:
        square = total[:, :1].square() - dot(total[:, 1:], total[:, 1:])
        bound = total_weight.square() / c
        scale = (c * torch.maximum(square, bound).clamp_min(TINY)).rsqrt()
        y = total * scale
        y[:, :1] = (dot(y[:, 1:], y[:, 1:]) + 1 / c).sqrt()
        ctx.save_for_backward(
            total, total_weight, scale, square > bound, y[:, :1], *((c,) if isinstance(c, Tensor) else ())
        )
        ctx.c = None if isinstance(c, Tensor) else c
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        total, total_weight, scale, free, time, *curvature = ctx.saved_tensors
        c, g = curvature[0] if curvature else ctx.c, grads[0]
        ratio = g[:, :1] / time
        along = torch.addcmul(g, ratio * scale, total)  # gradient of the space part
        along[:, 0] = 0
        slope = dot(along, total)  # of the scale
        by_square = slope * scale**3 * (-c / 2)
        inside = by_square * (2 * free)
        grad_total = torch.addcmul(along.mul_(scale), inside, total, value=-1)
        grad_total[:, 0].neg_()
        held = by_square * ~free
        grad_weight = grad_c = None
        if ctx.needs_input_grad[1]:
            grad_weight = held * 2 * total_weight / c
        if curvature and ctx.needs_input_grad[2]:
            by_c = slope * scale / (-2 * c) - held * total_weight.square() / c**2 - ratio / (2 * c**2)
            grad_c = by_c.sum().to(c.dtype).reshape(c.shape)
        return grad_total, grad_weight, grad_c


class HyboNetConv(nn.Module):
    """HyboNet's layer: `LorentzBoostLinear`, then the centroid of the neighbours (Chen et al. 2022, eqs. 5 and 9).

    With `attention`, the weight of edge ij is times `sigmoid((2/c + 2 <q_i, k_j>_L) / scale + bias)`, q and k linear
    maps of the points.

    Args:
        manifold: of the inputs; on another `manifold_out` points are rescaled first.
        activation: of the inputs' space parts, None for none (of a first layer).
        dropout: of the inputs' space parts.
        scale: how far beyond the margin a point may lie, at first (see `LorentzBoostLinear`).

    Shapes: points (N, in_features + 1) to (N, out_features + 1).

    >>> m = Lorentz()
    >>> HyboNetConv(m, 8, 5)(m.expmap0(torch.randn(3, 8)), Graph(torch.tensor([[0, 1], [1, 2]]))).shape
    torch.Size([3, 6])
    """

    def __init__(
        self,
        manifold: Lorentz,
        in_features: int,
        out_features: int,
        *,
        manifold_out: Lorentz | None = None,
        activation: Activation | None = None,
        attention: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        scale: float = 10.0,
        normalisation: str = "row",
    ):
        super().__init__()
        m = manifold_out or manifold
        self.manifold_in, self.manifold_out = manifold, m
        self.in_features, self.out_features = in_features, out_features
        self.rescale = None if m is manifold else Rescale(manifold, m)
        self.activation = None if activation is None else LorentzActivation(m, activation)
        self.dropout = LorentzDropout(m, dropout) if dropout else None
        self.linear = LorentzBoostLinear(m, in_features, out_features, bias, scale)
        self.attention = LorentzEdgeAttention(m, out_features) if attention else None
        self.aggregate = LorentzAggregation(m, normalisation)

    def forward(self, x: Float[Tensor, "N n+1"], graph: Graph) -> Float[Tensor, "N m+1"]:
        """Points of `manifold` to points of `manifold_out`."""
        for step in (self.rescale, self.activation, self.dropout, self.linear):
            x = x if step is None else step(x)
        if self.attention is None:
            return self.aggregate(x, graph)
        weight = graph.weight(self.aggregate.normalisation, x.dtype) * self.attention(x, graph)
        return self.aggregate(x, graph, weight)


class LorentzEdgeAttention(nn.Module):
    """Weights of edges in (0, 1): a sigmoid of minus the squared Lorentzian distance of query and key.

    Shapes: points (N, n + 1) to (E,).
    """

    def __init__(self, manifold: Lorentz, features: int):
        super().__init__()
        self.manifold = manifold
        self.query = LorentzBoostLinear(manifold, features, features)
        self.key = LorentzBoostLinear(manifold, features, features)
        self.bias = nn.Parameter(torch.tensor(20.0))
        self.scale = nn.Parameter(torch.tensor(math.sqrt(features + 1)))

    def forward(self, x: Float[Tensor, "N n+1"], graph: Graph) -> Float[Tensor, " E"]:
        """One weight for each edge."""
        return self._weight(self.query(x), self.key(x), self.scale, self.bias, graph)

    @in_float32
    def _weight(self, query: Tensor, key: Tensor, scale: Tensor, bias: Tensor, graph: Graph) -> Tensor:
        apart = at_target(self._lifted(query), graph) - at_source(self._lifted(key), graph)
        squared = dot(apart[:, 1:], apart[:, 1:]) - apart[:, :1].square()
        return torch.sigmoid(bias - squared.squeeze(-1) / scale).to(query.dtype)

    def _lifted(self, x: Tensor) -> Tensor:
        return self.manifold.lift(widen(x[..., 1:]))


class LGCNConv(nn.Module):
    """Lorentzian graph convolution (Zhang et al. 2021, LGCN, arXiv 2104.07477, eqs. 8 to 12).

    `exp0(W log0(x) + b)`, the centroid of the neighbours, then `exp0(act(log0))`.

    Shapes: points (N, in_features + 1) to (N, out_features + 1).

    >>> m = Lorentz()
    >>> LGCNConv(m, 8, 5)(m.expmap0(torch.randn(3, 8)), Graph(torch.tensor([[0, 1], [1, 2]]))).shape
    torch.Size([3, 6])
    """

    def __init__(
        self,
        manifold: Lorentz,
        in_features: int,
        out_features: int,
        *,
        manifold_out: Lorentz | None = None,
        activation: Activation = torch.relu,
        bias: bool = True,
        dropout: float = 0.0,
        normalisation: str = "row",
    ):
        super().__init__()
        self.manifold_in, self.manifold_out = manifold, manifold_out or manifold
        self.in_features, self.out_features = in_features, out_features
        self.activation, self.dropout = activation, nn.Dropout(dropout)
        self.linear = nn.Linear(in_features, out_features, bias)
        nn.init.xavier_uniform_(self.linear.weight, gain=2**0.5)
        self.aggregate = LorentzAggregation(manifold, normalisation)

    def forward(self, x: Float[Tensor, "N n+1"], graph: Graph) -> Float[Tensor, "N m+1"]:
        """Points of `manifold` to points of `manifold_out`."""
        m = self.manifold_in
        x = m.expmap0(self.linear(self.dropout(m.logmap0(x))))
        return self.manifold_out.expmap0(self.activation(m.logmap0(self.aggregate(x, graph))))


class H2HGCNConv(nn.Module):
    """Hyperbolic-to-hyperbolic graph convolution (Dai et al. 2021, H2H-GCN, arXiv 2104.06942, eqs. 8 to 11).

    Space parts are rotated by an orthogonal W, which keeps points on the hyperboloid and distances as they are; then
    neighbours meet in their Einstein midpoint; then an activation of coordinates in the ball. W is the exponential of
    an antisymmetric matrix, so any optimiser may move it (theirs descends on the Stiefel manifold).

    Args:
        features: of inputs and outputs.

    Shapes: points (N, features + 1) to the same.

    >>> m = Lorentz()
    >>> H2HGCNConv(m, 8)(m.expmap0(torch.randn(3, 8)), Graph(torch.tensor([[0, 1], [1, 2]]))).shape
    torch.Size([3, 9])
    """

    def __init__(
        self,
        manifold: Lorentz,
        features: int,
        *,
        manifold_out: Lorentz | None = None,
        activation: Activation = torch.selu,
        dropout: float = 0.0,
        normalisation: str = "row",
    ):
        super().__init__()
        positive(features=features)
        m = manifold_out or manifold
        self.manifold_in, self.manifold_out = manifold, m
        self.in_features = self.out_features = features
        self.rescale = None if m is manifold else Rescale(manifold, m)
        self.dropout = LorentzDropout(m, dropout) if dropout else None
        self.activation = activation
        self.generator = nn.Parameter(torch.empty(features, features))
        fan_in_uniform(1, self.generator)
        self.aggregate = LorentzAggregation(m, normalisation)

    @property
    def rotation(self) -> Tensor:
        """W, orthogonal, (features, features)."""
        return _rotation(self.generator)

    def forward(self, x: Float[Tensor, "N n+1"], graph: Graph) -> Float[Tensor, "N n+1"]:
        """Points of `manifold` to points of `manifold_out`."""
        for step in (self.rescale, self.dropout):
            x = x if step is None else step(x)
        x = self.aggregate(self._rotated(x, self.generator), graph)
        return rectify_in_ball(x, self.manifold_out, self.activation)

    @in_float32
    def _rotated(self, x: Tensor, generator: Tensor) -> Tensor:
        return self.manifold_out.lift(x[..., 1:] @ _rotation(generator).to(x.dtype).T)


@in_float32
def _rotation(generator: Tensor) -> Tensor:
    return torch.linalg.matrix_exp(generator - generator.T)
