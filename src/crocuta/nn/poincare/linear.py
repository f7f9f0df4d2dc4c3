"""Fully connected layers of the Poincare ball (HNN++), evaluated on the hyperboloid, where they are linear maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Poincare, lorentz_to_poincare, poincare_to_lorentz
from crocuta.manifolds.numerics import TINY, Scalar, in_float32, norm, sqrt
from crocuta.nn.linear import IntrinsicLinear

if TYPE_CHECKING:
    from jaxtyping import Float

FARTHEST = 17.0  # scaled distance of one output coordinate; the ball's rim in float32 is at 15.9


def from_hyperplanes(along: Tensor, time: Tensor, length: Tensor, bias: Tensor, c: Scalar) -> Tensor:
    """Signed distances from hyperplanes to the point at those coordinates, as a space part on the hyperboloid.

    Shimizu et al. 2021 (arXiv 2006.08210), eqs. 6 and 7: `v_k = 2 |z_k| / sqrt(c) asinh(a_k)` with
    `a_k = sqrt(c) (cosh(2 sqrt(c) r_k) <z_k/|z_k|, x_s> - sinh(2 sqrt(c) r_k) x_0)` for the point x of the
    hyperboloid, since `lambda x = x_s` and `lambda - 1 = sqrt(c) x_0`; the layer's result is the point whose
    coordinates are `sinh(sqrt(c) v_k) / sqrt(c)`.

    Args:
        along: products of unit normals with x_s, `(..., out)`.
        time: x_0, `(..., 1)`.
        length: |z_k|, `(out,)`; bias: r_k, `(out,)`.
    """
    root = sqrt(c)
    shift = 2 * root * bias
    signed = root * (torch.cosh(shift) * along - torch.sinh(shift) * time)
    v = 2 * length * torch.asinh(signed)
    return torch.sinh(v.clamp(-FARTHEST, FARTHEST)) / root


class PoincareLinear(IntrinsicLinear):
    """Fully connected layer of the ball: each output coordinate measures the distance to a hyperplane.

    (HNN++, Shimizu et al. 2021, arXiv 2006.08210, section 3.2.) Row k of `weight` is the hyperplane's normal
    z_k, `bias` its signed distance from the origin r_k in ball coordinates.

    Shapes: `(..., in_features)` to `(..., out_features)`.

    >>> m = Poincare()
    >>> PoincareLinear(m, 64, 32)(m.expmap0(torch.randn(5, 64) / 8)).shape
    torch.Size([5, 32])
    """

    manifold: Poincare

    def reset_parameters(self) -> None:
        """Draw the weight from N(0, 1 / (2 in out)), as section 3.2 says; the bias starts at 0."""
        super().reset_parameters()
        nn.init.normal_(self.weight, std=(2 * self.in_features * self.out_features) ** -0.5)

    def forward(self, x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch m"]:
        """Points to points of the same ball."""
        return self._map(x, self.weight, self.bias)

    @in_float32
    def _map(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        c = self.manifold.c
        x = poincare_to_lorentz(x, c)
        length = norm(weight)
        along = F.linear(x[..., 1:], weight / length.clamp_min(TINY))
        bias = torch.zeros_like(length[:, 0]) if bias is None else bias
        s = from_hyperplanes(along, x[..., :1], length[:, 0], bias, c)
        return lorentz_to_poincare(F.pad(s, (1, 0)), c)
