"""Graph layers through the tangent space at the origin: HGCN, HGNN, HGAT, GIL, on ball and hyperboloid; Q-GCN."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz, Manifold, PseudoHyperboloid, lorentz_to_poincare, poincare_to_lorentz
from crocuta.manifolds.numerics import in_float32, norm, sqrt
from crocuta.manifolds.poincare import project_to_ball
from crocuta.nn.graph.convolution import EdgeAttention, GATConv, GCNConv, head_width, propagate_heads
from crocuta.nn.graph.messages import Graph, at_source, at_target, propagate, segment_softmax, segment_sum
from crocuta.nn.tangent import PseudoHyperboloidLinear, TangentLinear

if TYPE_CHECKING:
    from jaxtyping import Float

Activation = Callable[[Tensor], Tensor]
LONGEST_STEP = 10.0


def identity(x: Tensor) -> Tensor:
    """x."""
    return x


class HGCNConv(nn.Module):
    """Hyperbolic graph convolution (Chami et al. 2019, arXiv 1910.12933, eqs. 6 to 10).

    `exp0(act(A log0(TangentLinear(x))))`, from the origin of `manifold` to that of `manifold_out`. With `attention`,
    weights come from `[log0 x_i, log0 x_j]` (eq. 8) and neighbours are averaged in the tangent space of each node
    (eq. 9) rather than the origin's.

    Args:
        manifold: of the inputs, `Lorentz` or `Poincare`; `manifold_out` of the outputs, by default the same.
        normalisation: of A: "row" (theirs), "symmetric" or "none".

    Shapes: points (N, ambient(in_features)) to (N, ambient(out_features)).

    >>> from crocuta.manifolds import Lorentz
    >>> m, graph = Lorentz(), Graph(torch.tensor([[0, 1], [1, 2]]))
    >>> HGCNConv(m, 8, 5)(m.expmap0(torch.randn(3, 8)), graph).shape
    torch.Size([3, 6])
    """

    def __init__(
        self,
        manifold: Manifold,
        in_features: int,
        out_features: int,
        *,
        manifold_out: Manifold | None = None,
        activation: Activation = torch.relu,
        attention: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        normalisation: str = "row",
    ):
        super().__init__()
        self.manifold_in, self.manifold_out = manifold, manifold_out or manifold
        self.in_features, self.out_features = in_features, out_features
        self.activation, self.dropout, self.normalisation = activation, dropout, normalisation
        self.linear = TangentLinear(manifold, in_features, out_features, bias)
        nn.init.xavier_uniform_(self.linear.weight, gain=2**0.5)
        self.attention = EdgeAttention(out_features, 1) if attention else None

    def forward(self, x: Float[Tensor, "N ambient_in"], graph: Graph) -> Float[Tensor, "N ambient_out"]:
        """Points of `manifold` to points of `manifold_out`."""
        m = self.manifold_in
        x = self.linear(_drop(x, m, self.dropout * self.training))
        u = m.logmap0(x)
        if self.attention is None:
            u = propagate(u, graph.weight(self.normalisation, u.dtype), graph)
        else:
            u = m.logmap0(self._mean_at_each(x, self.attention(u[:, None], graph), graph))
        return _to_points(self.activation(u), m, self.manifold_out)

    @in_float32
    def _mean_at_each(self, x: Tensor, weight: Tensor, graph: Graph) -> Tensor:
        seen = self.manifold_in.normal_coordinates(at_target(x, graph), at_source(x, graph))
        return self.manifold_in.from_normal_coordinates(x, segment_sum(seen * weight, graph))


class HGNNConv(nn.Module):
    """Hyperbolic graph neural network layer (Liu et al. 2019, arXiv 1910.12892, eqs. 4 and 5).

    `sigma(exp0(act(GCN(log0 x))))`: a Euclidean graph convolution at the origin, and a ReLU of the point's own
    coordinates (in the ball; on the hyperboloid, of those of the same point in the ball).

    Args:
        activation: act, inside the tangent space.
        rectify: apply the outer ReLU.

    Shapes: points (N, ambient(in_features)) to (N, ambient(out_features)).

    >>> from crocuta.manifolds import Poincare
    >>> m, graph = Poincare(), Graph(torch.tensor([[0, 1], [1, 2]]))
    >>> HGNNConv(m, 8, 5)(m.expmap0(torch.randn(3, 8) / 8), graph).shape
    torch.Size([3, 5])
    """

    def __init__(
        self,
        manifold: Manifold,
        in_features: int,
        out_features: int,
        *,
        manifold_out: Manifold | None = None,
        activation: Activation = identity,
        rectify: bool = True,
        bias: bool = True,
        dropout: float = 0.0,
        normalisation: str = "symmetric",
    ):
        super().__init__()
        self.manifold_in, self.manifold_out = manifold, manifold_out or manifold
        self.in_features, self.out_features = in_features, out_features
        self.activation, self.rectify = activation, rectify
        self.conv = GCNConv(
            in_features, out_features, bias=bias, dropout=dropout, normalisation=normalisation
        )

    def forward(self, x: Float[Tensor, "N ambient_in"], graph: Graph) -> Float[Tensor, "N ambient_out"]:
        """Points of `manifold` to points of `manifold_out`."""
        u = self.activation(self.conv(self.manifold_in.logmap0(x), graph))
        y = _to_points(u, self.manifold_in, self.manifold_out)
        return rectify_in_ball(y, self.manifold_out) if self.rectify else y


@in_float32
def rectify_in_ball(y: Tensor, manifold: Manifold, activation: Activation = torch.relu) -> Tensor:
    """An activation of a point's coordinates in the Poincare ball, whichever model it is given in."""
    if isinstance(manifold, Lorentz):
        inside = project_to_ball(activation(lorentz_to_poincare(y, manifold)), manifold.c)
        return poincare_to_lorentz(inside, manifold)
    return manifold.project(activation(y))


class HGATConv(nn.Module):
    """Hyperbolic graph attention (Zhang et al. 2021, IEEE TBD, arXiv 1912.03046; in GIL's form, arXiv 2010.12135).

    `exp0(act(sum_j alpha_ij log0(h_j) + b))` with h a `TangentLinear` and alpha GAT's attention between tangent
    vectors; with `distance`, scores are multiplied by softmaxed distances d(h_i, h_j) (GIL, eq. 3).

    Args:
        out_features: of all heads together where they are concatenated, of each where they are averaged.

    Shapes: points (N, ambient(in_features)) to (N, ambient(out_features)).

    >>> from crocuta.manifolds import Poincare
    >>> m, graph = Poincare(), Graph(torch.tensor([[0, 1], [1, 2]]))
    >>> HGATConv(m, 8, 6, heads=2)(m.expmap0(torch.randn(3, 8) / 8), graph).shape
    torch.Size([3, 6])
    """

    def __init__(
        self,
        manifold: Manifold,
        in_features: int,
        out_features: int,
        *,
        manifold_out: Manifold | None = None,
        heads: int = 1,
        concatenate: bool = True,
        distance: bool = False,
        activation: Activation = F.elu,
        bias: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        width = head_width(out_features, heads, concatenate)
        self.manifold_in, self.manifold_out = manifold, manifold_out or manifold
        self.in_features, self.out_features, self.heads = in_features, out_features, heads
        self.concatenate, self.distance = concatenate, distance
        self.activation, self.dropout = activation, dropout
        self.linear = TangentLinear(manifold, in_features, heads * width, bias)
        nn.init.xavier_uniform_(self.linear.weight, gain=2**0.5)
        self.attention = EdgeAttention(width, heads, dropout)
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def forward(self, x: Float[Tensor, "N ambient_in"], graph: Graph) -> Float[Tensor, "N ambient_out"]:
        """Points of `manifold` to points of `manifold_out`."""
        m = self.manifold_in
        x = self.linear(_drop(x, m, self.dropout * self.training))
        h = m.logmap0(x).unflatten(-1, (self.heads, -1))
        scale = self._distances(x, graph) if self.distance else None
        h = propagate_heads(h, self.attention(h, graph, scale), graph)
        u = h.flatten(1) if self.concatenate else h.mean(1)
        return _to_points(self.activation(u if self.bias is None else u + self.bias), m, self.manifold_out)

    def _distances(self, x: Tensor, graph: Graph) -> Tensor:
        distance = self.manifold_in.dist(at_target(x, graph), at_source(x, graph))
        return segment_softmax(distance[:, None], graph)


class GILConv(nn.Module):
    """Geometry interaction: attention in hyperbolic and Euclidean space, each told what the other found.

    (Zhu et al. 2020, GIL, arXiv 2010.12135, eqs. 4 and 5.) `x' = x + exp0(a d(x, exp0(z)) z)` by Mobius addition, then
    `z' = z + b |log0(x') - z|^2 log0(x')`, a and b learned. Steps of x grow with the square of z's length; they end at
    `LONGEST_STEP` radii of curvature.

    Shapes: points (N, ambient(in_features)) and vectors (N, in_features), to the same of out_features.

    >>> from crocuta.manifolds import Poincare
    >>> m, graph, z = Poincare(), Graph(torch.tensor([[0, 1], [1, 2]])), torch.randn(3, 8) / 8
    >>> [y.shape for y in GILConv(m, 8, 6)(m.expmap0(z), z, graph)]
    [torch.Size([3, 6]), torch.Size([3, 6])]
    """

    def __init__(
        self,
        manifold: Manifold,
        in_features: int,
        out_features: int,
        *,
        manifold_out: Manifold | None = None,
        heads: int = 1,
        activation: Activation = F.elu,
        dropout: float = 0.0,
        fusion_dropout: float = 0.0,
    ):
        super().__init__()
        self.manifold_in, self.manifold_out = manifold, manifold_out or manifold
        self.in_features, self.out_features = in_features, out_features
        self.hyperbolic = HGATConv(
            manifold, in_features, out_features, manifold_out=manifold_out,
            heads=heads, distance=True, activation=activation, dropout=dropout,
        )  # fmt: skip
        self.euclidean = GATConv(in_features, out_features, heads=heads, dropout=dropout)
        self.activation, self.fusion_dropout = activation, fusion_dropout
        self.to_hyperbolic = nn.Parameter(torch.tensor(0.1))
        self.to_euclidean = nn.Parameter(torch.tensor(0.1))

    def forward(
        self, x: Float[Tensor, "N ambient_in"], z: Float[Tensor, "N n"], graph: Graph
    ) -> tuple[Float[Tensor, "N ambient_out"], Float[Tensor, "N m"]]:
        """Points and vectors to points of `manifold_out` and vectors."""
        x, z = self.hyperbolic(x, graph), self.activation(self.euclidean(z, graph))
        return self._fuse(x, z, self.to_hyperbolic, self.to_euclidean)

    @in_float32
    def _fuse(
        self, x: Tensor, z: Tensor, to_hyperbolic: Tensor, to_euclidean: Tensor
    ) -> tuple[Tensor, Tensor]:
        m = self.manifold_out
        step = to_hyperbolic * m.dist(x, m.expmap0(z))[:, None] * z
        length = m.scale0 * sqrt(m.c) * norm(step)
        step = step * (LONGEST_STEP / length.clamp_min(LONGEST_STEP))
        x = m.from_normal_coordinates(x, F.dropout(step, self.fusion_dropout, self.training))
        u = m.logmap0(x)
        step = to_euclidean * (u - z).square().sum(-1, keepdim=True) * u
        return x, z + F.dropout(step, self.fusion_dropout, self.training)


class QGCNConv(nn.Module):
    """Graph convolution on the pseudo-hyperboloid (Xiong et al. 2022, Q-GCN, arXiv 2106.03134, section 4).

    `exp0(act(A log0(linear(x))))`, exp0 and log0 being the diffeomorphism with sphere x R^space, which is defined
    everywhere; the manifolds give the numbers of features.

    Args:
        manifold, manifold_out: of any signatures; curvatures may differ.

    Shapes: points (N, time_in + space_in) to (N, time_out + space_out).

    >>> m, graph = PseudoHyperboloid((2, 3)), Graph(torch.tensor([[0, 1], [1, 2]]))
    >>> QGCNConv(m, m)(m.random((3, 4)), graph).shape
    torch.Size([3, 5])
    """

    def __init__(
        self,
        manifold: PseudoHyperboloid,
        manifold_out: PseudoHyperboloid,
        *,
        activation: Activation = torch.relu,
        bias: bool = True,
        dropout: float = 0.0,
        normalisation: str = "row",
    ):
        super().__init__()
        self.manifold_in, self.manifold_out = manifold, manifold_out
        self.in_features, self.out_features = manifold.dimension, manifold_out.dimension
        self.activation, self.dropout, self.normalisation = activation, dropout, normalisation
        self.linear = PseudoHyperboloidLinear(manifold, manifold_out, bias)

    def forward(self, x: Float[Tensor, "N ambient_in"], graph: Graph) -> Float[Tensor, "N ambient_out"]:
        """Points of `manifold` to points of `manifold_out`."""
        x = self.linear(_drop(x, self.manifold_in, self.dropout * self.training))
        u = self.manifold_out.logmap0(x)
        u = propagate(u, graph.weight(self.normalisation, u.dtype), graph)
        return self.manifold_out.expmap0(self.activation(u))


def _drop(x: Tensor, manifold: Manifold, rate: float) -> Tensor:
    """Dropout in the tangent space at the origin."""
    return manifold.expmap0(F.dropout(manifold.logmap0(x), rate)) if rate else x


def _to_points(u: Tensor, manifold_in: Manifold, manifold_out: Manifold) -> Tensor:
    """`exp0`, tangents keeping their length between manifolds whose origins have other metrics."""
    return manifold_out.expmap0(u * (manifold_in.scale0 / manifold_out.scale0))
