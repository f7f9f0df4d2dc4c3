"""Products of manifolds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crocuta.manifolds.base import Manifold
from crocuta.manifolds.numerics import in_float32


class Product(Manifold):
    """Factors side by side: coordinates concatenated, squared distances added.

    >>> m = Product((Lorentz(c=1.0), 8), (Poincare(c=0.5), 4), (Euclidean(), 2))
    >>> m.expmap0(torch.zeros(14)).shape
    torch.Size([15])

    Args:
        factors: pairs (manifold, n), n intrinsic dimensions each. The same manifold object may stand in
        several
            pairs, which then share its curvature.
    """

    def __init__(self, *factors: tuple[Manifold, int]):
        super().__init__()
        if not factors:
            raise ValueError("factors must hold at least one pair (manifold, n), got none")
        unique = list(dict.fromkeys(manifold for manifold, _ in factors))
        self.manifolds = nn.ModuleList(unique)  # each once, so that a shared curvature is saved once
        self._order = [unique.index(manifold) for manifold, _ in factors]
        self.dims: list[int] = [n for _, n in factors]
        self.dimension = sum(self.dims)
        self._sizes = [manifold.ambient(n) for manifold, n in factors]
        self.riemannian = all(manifold.riemannian for manifold, _ in factors)

    @property
    def c(self):
        """A product has no single curvature."""
        raise TypeError("a Product has one curvature per factor: [m.c for m in product.factors]")

    def extra_repr(self) -> str:
        """`dims=[8, 4, 2]`."""
        return f"dims={self.dims}"

    def ambient(self, n: int | None = None) -> int:
        """Sum of the factors' coordinates; `n`, where given, must be the sum of their dimensions."""
        if n is not None and n != self.dimension:
            raise ValueError(f"n must be the sum of the factors' dimensions, {self.dimension}, got {n}")
        return sum(self._sizes)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """A point's or a tangent's part in each factor."""
        return x.split(self._sizes, dim=-1)

    @property
    def factors(self) -> list[Manifold]:
        """The manifold of each pair, in order."""
        return [self.manifolds[i] for i in self._order]  # type: ignore[misc]

    def _each(self, name: str, *tensors: Tensor) -> list[Tensor]:
        parts = zip(self.factors, *(self.split(tensor) for tensor in tensors), strict=True)
        return [getattr(manifold, name)(*part) for manifold, *part in parts]

    def _join(self, name: str, *tensors: Tensor) -> Tensor:
        return torch.cat(self._each(name, *tensors), dim=-1)

    def random(self, shape, std=1.0, *, dtype=None, device=None, generator=None):
        """Each factor's `random` with the same geodesic `std`."""
        lead = tuple(shape)[:-1]
        self.ambient(tuple(shape)[-1])
        parts = zip(self.factors, self.dims, strict=True)
        options = {"dtype": dtype, "device": device, "generator": generator}
        return torch.cat([m.random((*lead, n), std, **options) for m, n in parts], dim=-1)

    @in_float32
    def expmap0(self, s):
        parts = zip(self.factors, s.split(self.dims, dim=-1), strict=True)
        return torch.cat([manifold.expmap0(part) for manifold, part in parts], dim=-1)

    @in_float32
    def logmap0(self, x):
        return self._join("logmap0", x)

    @in_float32
    def expmap(self, x, u):
        return self._join("expmap", x, u)

    @in_float32
    def logmap(self, x, y):
        return self._join("logmap", *torch.broadcast_tensors(x, y))

    @in_float32
    def normal_coordinates(self, x, y):
        return self._join("normal_coordinates", *torch.broadcast_tensors(x, y))

    @in_float32
    def from_normal_coordinates(self, x, v):
        parts = zip(self.factors, self.split(x), v.split(self.dims, dim=-1), strict=True)
        return torch.cat([m.from_normal_coordinates(*part) for m, *part in parts], dim=-1)

    @in_float32
    def transport(self, x, y, u):
        return self._join("transport", *torch.broadcast_tensors(x, y, u))

    @in_float32
    def inner(self, x, u, v):
        return torch.stack(self._each("inner", x, u, v)).sum(0)

    @in_float32
    def dist(self, x, y):
        # vector_norm: its gradient at zero distance is zero
        return torch.linalg.vector_norm(torch.stack(self._each("dist", x, y)), dim=0)

    @in_float32
    def dist0(self, x):
        return torch.linalg.vector_norm(torch.stack(self._each("dist0", x)), dim=0)

    @in_float32
    def project(self, x):
        return self._join("project", x)

    @in_float32
    def project_tangent(self, x, u):
        return self._join("project_tangent", x, u)

    @in_float32
    def egrad2rgrad(self, x, g):
        return self._join("egrad2rgrad", x, g)

    @in_float32
    def retract(self, x, u):
        return self._join("retract", x, u)

    @in_float32
    def centroid(self, x, weight=None):
        parts = zip(self.factors, self.split(x), strict=True)
        return torch.cat([manifold.centroid(part, weight) for manifold, part in parts], dim=-1)

    @in_float32
    def violation(self, x):
        return torch.stack(self._each("violation", x)).amax(0)
