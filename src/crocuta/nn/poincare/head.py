"""Multinomial logistic regression on the ball."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from crocuta.manifolds import Poincare, poincare_to_lorentz
from crocuta.nn.lorentz.head import HyperplaneClassifier, hyperplane_logits

if TYPE_CHECKING:
    from jaxtyping import Float


class PoincareMLR(HyperplaneClassifier):
    """Logits are signed distances to one hyperplane per class, times the length of its normal in the metric.

    `2 |z| / sqrt(c) asinh(sqrt(c) lambda_x <x, z/|z|> cosh(2 sqrt(c) r) - (lambda_x - 1) sinh(2 sqrt(c) r))`
    (Shimizu et al. 2021, HNN++, eq. 6), `lambda_x = 2 / (1 - c|x|^2)`: evaluated on the hyperboloid, whose
    coordinates `[(lambda_x - 1) / sqrt(c), lambda_x x]` are those in the formula.

    Shapes: `(..., in_features)` to `(..., num_classes)`; `weight` (normals z) is `(num_classes, in_features)`,
    `offset` (r, in ball coordinates of `expmap0`: the hyperplane lies at distance 2 r) is `(num_classes,)`.

    >>> m = Poincare()
    >>> PoincareMLR(m, 64, 3)(m.random((5, 64))).shape
    torch.Size([5, 3])
    """

    manifold_in: Poincare

    def reset_parameters(self) -> None:
        """Draw normals from N(0, 1 / (2 n)), as HNN++ does; hyperplanes start at the origin."""
        nn.init.normal_(self.weight, std=(2 * self.in_features) ** -0.5)
        nn.init.zeros_(self.offset)

    def forward(self, x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch classes"]:
        """Points to logits."""
        c = self.manifold_in.c
        return 2 * hyperplane_logits(poincare_to_lorentz(x, c), 2 * self.offset, self.weight, c)
