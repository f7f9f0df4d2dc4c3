"""Normalisation and residual of points in the Poincare ball."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from crocuta.manifolds import Poincare, lorentz_to_poincare, poincare_to_lorentz
from crocuta.nn.lorentz.norm import LorentzBatchNorm1d, LorentzBatchNorm2d

if TYPE_CHECKING:
    from jaxtyping import Float


class _AsPoincare(nn.Module):
    """Mixed in before a Lorentz batch norm: carries points over by the isometry, and back."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Ball points to ball points; `mask` `(batch, *axes)`, nonzero = counts."""
        y = super().forward(poincare_to_lorentz(x, self.manifold.c), mask)  # type: ignore[misc]
        return lorentz_to_poincare(y, self.manifold.c)  # type: ignore[union-attr]


class PoincareBatchNorm1d(_AsPoincare, LorentzBatchNorm1d):
    """Move the batch's gyromidpoint to beta and scale distances from it by gamma over their mean.

    The ball's gyromidpoint is the image of the Lorentz centroid (Ungar 2010), so this is `LorentzBatchNorm1d`
    seen in the ball; beta is a space vector of the hyperboloid.

    Shapes: `(batch, n)` or `(batch, length, n)`, unchanged.

    >>> import torch
    >>> m = Poincare()
    >>> PoincareBatchNorm1d(m, 4)(m.expmap0(torch.randn(2, 20, 4) / 4)).shape
    torch.Size([2, 20, 4])
    """


class PoincareBatchNorm2d(_AsPoincare, LorentzBatchNorm2d):
    """`PoincareBatchNorm1d` for images of points, `(batch, height, width, n)`."""


class PoincareResidual(nn.Module):
    """Gyro-addition of a point and its branch: `x (+) y` (Ganea et al. 2018, arXiv 1805.09112, eq. 4).

    Shapes: x and y `(..., n)`, unchanged.

    >>> import torch
    >>> m = Poincare()
    >>> x, y = m.expmap0(torch.randn(2, 5, 8) / 8)
    >>> PoincareResidual(m)(x, y).shape
    torch.Size([5, 8])
    """

    def __init__(self, manifold: Poincare):
        super().__init__()
        self.manifold = manifold

    def forward(
        self, x: Float[Tensor, "*batch n"], y: Float[Tensor, "*batch n"]
    ) -> Float[Tensor, "*batch n"]:
        """Two points to one."""
        return self.manifold.mobius_add(x, y)
