"""Maps from one manifold to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from crocuta.manifolds.base import Manifold
from crocuta.manifolds.lorentz import Lorentz
from crocuta.manifolds.numerics import Scalar, in_float32, norm, sqrt
from crocuta.manifolds.poincare import Poincare, project_to_ball, rim_gap
from crocuta.manifolds.radial import Lift, RemapOrigin

if TYPE_CHECKING:
    from jaxtyping import Float


@in_float32
def lorentz_to_poincare(
    x: Float[Tensor, "*batch n+1"], c: Scalar | Manifold = 1.0
) -> Float[Tensor, "*batch n"]:
    """Stereographic isometry `x_s / (1 + sqrt(c) x_0)` to the ball of the same curvature.

    `c` may be given as a manifold that has it. Inverse: `poincare_to_lorentz`.
    """
    c = c.c if isinstance(c, Manifold) else c
    s = x[..., 1:]
    return project_to_ball(s / (1 + (1 + c * norm(s).square()).sqrt()), c)


@in_float32
def poincare_to_lorentz(
    x: Float[Tensor, "*batch n"], c: Scalar | Manifold = 1.0
) -> Float[Tensor, "*batch n+1"]:
    """Isometry to the hyperboloid of the same curvature: space part `2 x / (1 - c|x|^2)`."""
    c = c.c if isinstance(c, Manifold) else c
    return Lift.apply(2 * x / rim_gap(x, c), c)  # type: ignore[return-value]


class Rescale(nn.Module):
    """The similarity between two curvatures of one model: coordinates times `sqrt(c_in / c_out)`.

    Angles and ratios of distances stay; distances change by the same factor. `Remap` keeps distances from the
    origin instead.

    Raises:
        ValueError: the manifolds are of different kinds, or not Lorentz or Poincare.
    """

    def __init__(self, manifold_in: Manifold, manifold_out: Manifold):
        super().__init__()
        if type(manifold_in) is not type(manifold_out) or not isinstance(manifold_in, Lorentz | Poincare):
            raise ValueError(
                "manifold_in and manifold_out must both be Lorentz or both Poincare, got "
                f"{type(manifold_in).__name__} and {type(manifold_out).__name__}; "
                "convert with lorentz_to_poincare or use Remap"
            )
        self.manifold_in, self.manifold_out = manifold_in, manifold_out

    def forward(self, x: Float[Tensor, "*batch ambient"]) -> Float[Tensor, "*batch ambient"]:
        """Points of `manifold_in` to points of `manifold_out`."""
        ratio = sqrt(self.manifold_in.c / self.manifold_out.c)
        return self.manifold_out.project(_widened(x) * ratio)


class Remap(nn.Module):
    """Log at the origin of one manifold, then exp at the origin of another.

    Keeps distances from the origin and angles at it; `Rescale` keeps ratios of distances instead.
    The manifolds may be of different kinds, e.g. Lorentz to Euclidean.
    """

    def __init__(self, manifold_in: Manifold, manifold_out: Manifold):
        super().__init__()
        self.manifold_in, self.manifold_out = manifold_in, manifold_out

    def forward(self, x: Float[Tensor, "*batch ambient_in"]) -> Float[Tensor, "*batch ambient_out"]:
        """Points of `manifold_in` to points of `manifold_out`."""
        if isinstance(self.manifold_in, Lorentz) and isinstance(self.manifold_out, Lorentz):
            return _remap(x, self.manifold_in.c, self.manifold_out.c)
        ratio = self.manifold_in.scale0 / self.manifold_out.scale0
        return self.manifold_out.expmap0(self.manifold_in.logmap0(x) * ratio)


@in_float32
def _remap(x: Tensor, c_in: Scalar, c_out: Scalar) -> Tensor:
    return RemapOrigin.apply(x, c_in, c_out)  # type: ignore[return-value]


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
