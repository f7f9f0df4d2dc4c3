"""Multinomial logistic regression on the hyperboloid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz, Manifold
from crocuta.manifolds.numerics import TINY, Scalar, in_float32, norm, sqrt
from crocuta.nn.linear import fan_in_uniform, positive

if TYPE_CHECKING:
    from jaxtyping import Float

MAX_OFFSET = 40.0  # scaled; cosh of more overflows in products with coordinates of the same radius


@in_float32
def hyperplane_logits(x: Tensor, offset: Tensor, normal: Tensor, c: Scalar) -> Tensor:
    """`|z| d(x, H)`, signed, for the hyperplanes H orthogonal to z at distance `offset` from the origin.

    x (..., n + 1), offset (classes,), normal z (classes, n); (..., classes). (Bdeir et al. 2024, arXiv
    2303.15919, eq. 10.) `d = asinh(sqrt(c) <x, w>_L) / sqrt(c)` with the unit Lorentz normal
    `w = [sinh(a), cosh(a) z/|z|]`, a = sqrt(c) offset: their `beta`, the Lorentz norm of the unnormalised w, is
    `|z|` at every offset, whereas its difference of squares is NaN in float32 from a = 10.
    """
    root = sqrt(c)
    a = (root * offset).clamp(-MAX_OFFSET, MAX_OFFSET).to(x.dtype)
    size = norm(normal)
    direction = normal / size.clamp_min(TINY)
    unit = torch.cat([-torch.sinh(a)[:, None], torch.cosh(a)[:, None] * direction], dim=-1)
    return size.squeeze(-1) / root * torch.asinh(root * F.linear(x, unit))


class HyperplaneClassifier(nn.Module):
    """What the hyperplane heads share: a normal and an offset per class, on the manifold of the inputs."""

    manifold_out = None

    def __init__(self, manifold: Manifold, in_features: int, num_classes: int):
        super().__init__()
        positive(in_features=in_features, num_classes=num_classes)
        self.manifold_in, self.in_features, self.num_classes = manifold, in_features, num_classes
        self.weight = nn.Parameter(torch.empty(num_classes, in_features))
        self.offset = nn.Parameter(torch.empty(num_classes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw normals and offsets from U(-1/sqrt(n), 1/sqrt(n)), as HGE does."""
        fan_in_uniform(self.in_features, self.weight, self.offset)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.num_classes}"


class LorentzMLR(HyperplaneClassifier):
    """Logits are signed distances to one hyperplane per class, times the length of its normal.

    Args:
        manifold: the hyperboloid of the inputs.
        in_features: intrinsic dimensions.
        num_classes: number of hyperplanes.

    Shapes: `(..., in_features + 1)` to `(..., num_classes)`; `weight` (normals) is `(num_classes, in_features)`,
    `offset` (distances of the hyperplanes from the origin) is `(num_classes,)`. Source: `hyperplane_logits`.

    >>> m = Lorentz()
    >>> LorentzMLR(m, 64, 3)(m.random((5, 64))).shape
    torch.Size([5, 3])
    """

    manifold_in: Lorentz

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch classes"]:
        """Points to logits."""
        return hyperplane_logits(x, self.offset, self.weight, self.manifold_in.c)
