"""Layers through the tangent space at the origin, on any manifold: exact where they touch it, costly elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Manifold, PseudoHyperboloid
from crocuta.nn.linear import IntrinsicLinear

if TYPE_CHECKING:
    from jaxtyping import Float


class TangentLinear(IntrinsicLinear):
    """`exp0(W log0(x))`, then moved by a bias transported from the origin; on any manifold.

    (Ganea et al. 2018, arXiv 1805.09112, eqs. 27 and 28: Mobius matrix product and bias addition, which on the
    ball are this.) `LorentzLinear` does the same work at a quarter of the cost. Followed by `TangentActivation`, it is
    a layer of their hyperbolic neural network.

    Shapes: `(..., ambient(in_features))` to `(..., ambient(out_features))`; `weight` is
    `(out_features, in_features)`, `bias` a tangent at the origin.

    >>> from crocuta.manifolds import Lorentz
    >>> m = Lorentz()
    >>> TangentLinear(m, 64, 32)(m.expmap0(torch.randn(5, 64))).shape
    torch.Size([5, 33])
    """

    def forward(self, x: Float[Tensor, "*batch ambient_in"]) -> Float[Tensor, "*batch ambient_out"]:
        """Points to points of the same manifold."""
        y = self.manifold.expmap0(F.linear(self.manifold.logmap0(x), self.weight))
        # the bias moved from the origin to y along the geodesic between them, and followed from there
        return y if self.bias is None else self.manifold.from_normal_coordinates(y, self.bias)


class TangentActivation(nn.Module):
    """`exp0(f(log0(x)))`: a Euclidean activation of intrinsic vectors (Ganea et al. 2018, section 3.2).

    Args:
        activation: any function of tensors, e.g. `torch.relu` or `nn.GELU()`.
        manifold_out: where the results live, by default `manifold`; vectors keep their length in between.

    Shapes: `(..., ambient(n))`, unchanged.

    >>> from crocuta.manifolds import Lorentz
    >>> m = Lorentz()
    >>> TangentActivation(m, torch.relu)(m.expmap0(torch.randn(2, 5, 8))).shape
    torch.Size([2, 5, 9])
    """

    def __init__(
        self,
        manifold: Manifold,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        manifold_out: Manifold | None = None,
    ):
        super().__init__()
        self.manifold_in, self.manifold_out = manifold, manifold if manifold_out is None else manifold_out
        self.activation = activation

    def forward(self, x: Float[Tensor, "*batch ambient"]) -> Float[Tensor, "*batch ambient"]:
        """Points of `manifold_in` to points of `manifold_out`."""
        ratio = self.manifold_in.scale0 / self.manifold_out.scale0
        return self.manifold_out.expmap0(self.activation(self.manifold_in.logmap0(x)) * ratio)


class TangentResidual(nn.Module):
    """`exp0(log0(x) + log0(y))`: a residual by adding intrinsic vectors (HyperCore's `HypResidual`).

    Shapes: x and y `(..., ambient(n))`, unchanged.

    >>> from crocuta.manifolds import Lorentz
    >>> m = Lorentz()
    >>> x, y = m.expmap0(torch.randn(2, 5, 8))
    >>> TangentResidual(m)(x, y).shape
    torch.Size([5, 9])
    """

    def __init__(self, manifold: Manifold):
        super().__init__()
        self.manifold = manifold

    def forward(
        self, x: Float[Tensor, "*batch ambient"], y: Float[Tensor, "*batch ambient"]
    ) -> Float[Tensor, "*batch ambient"]:
        """Point and branch to one point."""
        return self.manifold.expmap0(self.manifold.logmap0(x) + self.manifold.logmap0(y))


class PseudoHyperboloidLinear(nn.Module):
    """`exp0(W log0(x) + b)` between pseudo-hyperboloids, through their diffeomorphism with sphere x R^space.

    (Xiong et al. 2022, Pseudo-Riemannian graph convolutional networks, arXiv 2106.03134, section 4.2. Their bias is
    transported from the origin, which has no meaning where no geodesic leads there; ours is added before `exp0`,
    which has one everywhere.) A signature fixes the dimension, so the manifolds give the numbers of features.

    Args:
        manifold_in, manifold_out: of any signatures; curvatures may differ.

    Shapes: `(..., time_in + space_in)` to `(..., time_out + space_out)`; `weight` is `(n_out, n_in)`, n = time +
    space - 1.

    >>> a, b = PseudoHyperboloid((2, 3)), PseudoHyperboloid((3, 5), c=0.5)
    >>> PseudoHyperboloidLinear(a, b)(a.random((7, 4))).shape
    torch.Size([7, 8])
    """

    def __init__(self, manifold_in: PseudoHyperboloid, manifold_out: PseudoHyperboloid, bias: bool = True):
        super().__init__()
        self.manifold_in, self.manifold_out = manifold_in, manifold_out
        self.in_features: int = manifold_in.dimension
        self.out_features: int = manifold_out.dimension
        self.linear = nn.Linear(self.in_features, self.out_features, bias=bias)

    def forward(self, x: Float[Tensor, "*batch ambient_in"]) -> Float[Tensor, "*batch ambient_out"]:
        """Points of `manifold_in` to points of `manifold_out`."""
        return self.manifold_out.expmap0(self.linear(self.manifold_in.logmap0(x)))
