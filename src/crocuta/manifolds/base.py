"""The contract of a manifold, and its curvature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from crocuta.manifolds.numerics import widen

if TYPE_CHECKING:
    from jaxtyping import Float

# The learnable curvature stays within a factor of ten of its initial value; the 1e-6 keeps float32's
# rounding of exp() inside that interval.
LOG_RANGE = math.log(10.0) * (1 - 1e-6)
PAIRS = 1 << 22  # coordinates of pairs at a time: bounds temporaries


class Manifold(nn.Module):
    """A space of constant sectional curvature `-c`; points are plain tensors, coordinates last.

    A fixed curvature is a float and leaves nothing in the state dict. A learnable one is the parameter
    `log_c`: the curvature in use is `c0 * exp(L tanh((log_c - log c0) / L))`, `L = log 10`, which is smooth,
    equals `exp(log_c)` to second order around the initial value `c0`, and never leaves [c0 / 10, 10 c0].
    Modules share a curvature by holding the same manifold object.

    Raises:
        ValueError: the curvature is not a positive finite number.
    """

    riemannian = True  # the metric is positive definite: distances obey the triangle inequality
    reach = 40.0  # values and gradients are finite in float32 up to this radius times sqrt(c)
    dimension: int | None = None  # intrinsic dimensions, where the manifold itself fixes them
    scale0 = 1.0  # conformal factor of `expmap0`'s coordinates at the origin (2 on the Poincare ball)

    def __init__(self, c: float = 1.0, learnable: bool = False):
        super().__init__()
        if isinstance(c, Tensor):
            c = c.item()
        if not (c > 0 and math.isfinite(c)):
            raise ValueError(
                f"c must be a positive finite number (sectional curvature is -c), got c={c!r}; "
                "flat space is Euclidean()"
            )
        self.initial_c = float(c)
        self.log_c = nn.Parameter(torch.tensor(math.log(c), dtype=torch.float32)) if learnable else None

    @property
    def learnable(self) -> bool:
        """Whether the curvature is a parameter."""
        return self.log_c is not None

    @property
    def c(self) -> float | Tensor:
        """The curvature: a float when fixed, a 0-d tensor (with gradient) when learnable.

        The tensor is float64, as the float is: beside a tensor with axes it does not promote, and formulas
        that use it agree to the last digit. (Apple's GPU has float32 only.)
        """
        if self.log_c is None:
            return self.initial_c
        offset = widen(self.log_c) - math.log(self.initial_c)
        return self.initial_c * torch.exp(LOG_RANGE * torch.tanh(offset / LOG_RANGE))

    def _apply(self, fn, recurse: bool = True):
        """Move or convert, but never to 16 bits: `.half()` on one layer must not blunt a shared curvature."""
        before = self.log_c.detach().clone() if self.log_c is not None else None
        super()._apply(fn, recurse)
        if (
            self.log_c is not None
            and before is not None
            and self.log_c.dtype in (torch.float16, torch.bfloat16)
        ):
            self.log_c.data = before.to(self.log_c.device)
        return self

    def extra_repr(self) -> str:
        """`c=1.0, learnable=True`."""
        c = self.c.detach().item() if isinstance(self.c, Tensor) else self.c
        return f"c={c:.6g}" + (", learnable=True" if self.learnable else "")

    def check(self, x: Tensor, name: str = "x", tolerance: float | None = None) -> Tensor:
        """Return `x` if it is a finite point of this manifold.

        `tolerance` bounds `violation(x)`; the default allows for rounding in x's dtype. It reads the
        tensor, so it belongs at a program's boundary, not in a hot loop.

        Raises:
            ValueError: a coordinate is NaN or infinite, or x lies off the manifold; names argument and value.
        """
        bad = ~torch.isfinite(x)
        if bad.any():
            where = tuple(bad.nonzero()[0].tolist())
            raise ValueError(
                f"{name} must be finite, got {x[where].item()} at index {where} "
                f"({int(bad.sum())} of {x.numel()} coordinates)"
            )
        worst = self.violation(x).max().item() if x.numel() else 0.0
        limit = tolerance if tolerance is not None else 100 * torch.finfo(x.dtype).eps
        if worst > limit:
            raise ValueError(
                f"{name} must lie on {self}, got a point off it by {worst:.3g} (allowed {limit:.3g}); "
                "project(x) puts it back"
            )
        return x

    def random(
        self,
        shape: Sequence[int],
        std: float = 1.0,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch ambient"]:
        """Wrapped normal at the origin: shape `(..., n)` intrinsic gives points `(..., ambient(n))`.

        `std` is in geodesic units on every manifold.
        """
        s = torch.randn(*shape, dtype=dtype, device=device, generator=generator)
        return self.expmap0(s * (std / self.scale0))

    def dist0(self, x: Float[Tensor, "*batch ambient"]) -> Float[Tensor, "*batch"]:
        """Geodesic distance from the origin."""
        return torch.linalg.vector_norm(self.logmap0(x), dim=-1) * self.scale0

    def ambient(self, n: int) -> int:
        """Number of coordinates of a point with n intrinsic dimensions."""
        return n

    def origin(self, n: int, *, dtype=None, device=None) -> Float[Tensor, " ambient"]:
        """The base point, shape `(ambient(n),)`."""
        return self.expmap0(torch.zeros(n, dtype=dtype, device=device)).detach()

    def expmap0(self, s: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch ambient"]:
        """Exponential map at the origin: intrinsic vectors `(..., n)` to points `(..., ambient(n))`."""
        raise NotImplementedError

    def logmap0(self, x: Float[Tensor, "*batch ambient"]) -> Float[Tensor, "*batch n"]:
        """Inverse of `expmap0`."""
        raise NotImplementedError

    def expmap(
        self, x: Float[Tensor, "*batch ambient"], u: Float[Tensor, "*batch ambient"]
    ) -> Float[Tensor, "*batch ambient"]:
        """End of the geodesic that leaves x with velocity u after unit time."""
        raise NotImplementedError

    def logmap(
        self, x: Float[Tensor, "*batch ambient"], y: Float[Tensor, "*batch ambient"]
    ) -> Float[Tensor, "*batch ambient"]:
        """Tangent vector at x with `expmap(x, logmap(x, y)) == y`."""
        raise NotImplementedError

    def normal_coordinates(
        self, x: Float[Tensor, "*batch ambient"], y: Float[Tensor, "*batch ambient"]
    ) -> Float[Tensor, "*batch n"]:
        """`logmap(x, y)` carried to the origin: where y is in a frame at x, in `expmap0`'s coordinates.

        Its length is the distance from x; nothing of it grows with x's own distance from the origin, so it
        keeps digits that the ambient coordinates of `logmap` cannot hold. Inverse: `from_normal_coordinates`.
        """
        origin = self.expmap0(torch.zeros_like(self.logmap0(x)))
        return self.logmap0(self.expmap(origin, self.transport(x, origin, self.logmap(x, y))))

    def from_normal_coordinates(
        self, x: Float[Tensor, "*batch ambient"], v: Float[Tensor, "*batch n"]
    ) -> Float[Tensor, "*batch ambient"]:
        """The point whose `normal_coordinates` at x are v."""
        origin = self.expmap0(torch.zeros_like(v))
        return self.expmap(x, self.transport(origin, x, self.logmap(origin, self.expmap0(v))))

    def transport(
        self,
        x: Float[Tensor, "*batch ambient"],
        y: Float[Tensor, "*batch ambient"],
        u: Float[Tensor, "*batch ambient"],
    ) -> Float[Tensor, "*batch ambient"]:
        """Parallel transport of the tangent u along the geodesic from x to y; an isometry."""
        raise NotImplementedError

    def inner(
        self,
        x: Float[Tensor, "*batch ambient"],
        u: Float[Tensor, "*batch ambient"],
        v: Float[Tensor, "*batch ambient"],
    ) -> Float[Tensor, "*batch"]:
        """The metric at x applied to two tangents."""
        raise NotImplementedError

    def dist(
        self, x: Float[Tensor, "*batch ambient"], y: Float[Tensor, "*batch ambient"]
    ) -> Float[Tensor, "*batch"]:
        """Geodesic distance; exactly 0 with an exactly zero gradient where x equals y. Shapes broadcast."""
        raise NotImplementedError

    def cdist(
        self, x: Float[Tensor, "*batch ambient"], y: Float[Tensor, "points ambient"]
    ) -> Float[Tensor, "*batch points"]:
        """`dist` of every point of x from every one of y."""
        rows = max(1, PAIRS // max(1, y.numel()))
        parts = [self.dist(part[:, None], y) for part in x.reshape(-1, x.shape[-1]).split(rows)]
        return torch.cat(parts).reshape(*x.shape[:-1], len(y))

    def project(self, x: Float[Tensor, "*batch ambient"]) -> Float[Tensor, "*batch ambient"]:
        """Put a point that rounding or an update moved off the manifold back on it."""
        raise NotImplementedError

    def project_tangent(
        self, x: Float[Tensor, "*batch ambient"], u: Float[Tensor, "*batch ambient"]
    ) -> Float[Tensor, "*batch ambient"]:
        """The tangent vector at x nearest to u in the sense each manifold documents."""
        raise NotImplementedError

    def egrad2rgrad(
        self, x: Float[Tensor, "*batch ambient"], g: Float[Tensor, "*batch ambient"]
    ) -> Float[Tensor, "*batch ambient"]:
        """Riemannian gradient from the gradient that autograd gives for the coordinates."""
        raise NotImplementedError

    def retract(
        self, x: Float[Tensor, "*batch ambient"], u: Float[Tensor, "*batch ambient"]
    ) -> Float[Tensor, "*batch ambient"]:
        """A cheap curve's end: agrees with `expmap(x, u)` to first order and always lies on the manifold."""
        raise NotImplementedError

    def centroid(
        self, x: Float[Tensor, "*batch points ambient"], weight: Float[Tensor, "*batch points"] | None = None
    ) -> Float[Tensor, "*batch ambient"]:
        """Weighted mean over the second to last axis; weights `(..., points)` >= 0, default equal."""
        raise NotImplementedError

    def violation(self, x: Float[Tensor, "*batch ambient"]) -> Float[Tensor, "*batch"]:
        """How far x is off the manifold, relative to its size; 0 on it."""
        raise NotImplementedError
