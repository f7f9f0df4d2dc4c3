"""Normalisation of points on the hyperboloid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz, Manifold
from crocuta.manifolds.numerics import in_float32, widen
from crocuta.manifolds.radial import ExpMap0, Lift, LogMap0
from crocuta.nn.linear import at_least_float32, positive
from crocuta.nn.recentre import Recentre, Sums, centroid_of_sums
from crocuta.nn.standardise import Standardise

if TYPE_CHECKING:
    from jaxtyping import Float


class _LorentzBatchNorm(nn.Module):
    """Batch normalisation of points; subclasses say how many axes an input has. Of the manifold it uses `c`."""

    axes: tuple[int, ...]  # allowed numbers of axes

    def __init__(self, manifold: Manifold, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        positive(num_features=num_features)
        self.manifold, self.num_features, self.eps, self.momentum = manifold, num_features, eps, momentum
        self.gamma = nn.Parameter(torch.ones(()))
        self.beta = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_dispersion", torch.ones(()))
        self.running_mean: Tensor
        self.running_dispersion: Tensor

    @property
    def in_features(self) -> int:
        """Intrinsic dimensions: `num_features`."""
        return self.num_features

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Points to points; `mask` `(batch, *axes)`, nonzero = counts. Points masked out are mapped, not counted.

        Raises:
            ValueError: x has another number of axes or coordinates, or the mask another shape.
        """
        if x.ndim not in self.axes or x.shape[-1] != self.num_features + 1:
            raise ValueError(
                f"x must have {' or '.join(map(str, self.axes))} axes, the last of size {self.num_features + 1} "
                f"(features and time), got shape {tuple(x.shape)}"
            )
        if mask is not None and mask.shape != x.shape[:-1]:
            raise ValueError(f"mask must have shape {tuple(x.shape[:-1])}, got {tuple(mask.shape)}")
        return self._normalise(x, mask, self.beta, self.gamma)

    @in_float32
    def _normalise(self, x: Tensor, mask: Tensor | None, beta: Tensor, gamma: Tensor) -> Tensor:
        c, shape = self.manifold.c, x.shape
        weight = None if mask is None else (mask != 0).to(x.dtype).reshape(len(x), -1)
        points = x.reshape(len(x), -1, shape[-1])
        if self.training:
            mean, fixed = self._mean(points, weight), None
        else:
            mean, fixed = ExpMap0.apply(self.running_mean, c)[1:], self.running_dispersion
        flat_weight = None if weight is None else weight.flatten()
        y, dispersion = Recentre.apply(  # type: ignore[misc]
            points.reshape(-1, shape[-1]), mean.to(x.dtype), beta, gamma, fixed, flat_weight, self.eps, c
        )
        if self.training:
            self._remember(mean.detach(), dispersion)
        return y.reshape(shape)

    def _mean(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """Space part of the centroid of each sample's centroid, (num_features,)."""
        c = self.manifold.c
        total: Tensor = Sums.apply(x, weight, c)  # type: ignore[assignment]
        everywhere = x.new_ones(x.shape[:2]) if weight is None else weight
        count = widen(everywhere.sum(1, keepdim=True))
        centres = centroid_of_sums(total, count, c)
        present = (count > 0).to(centres.dtype)
        centres = torch.cat([(centres.square().sum(-1, keepdim=True) + 1 / c).sqrt(), centres], dim=-1)
        return centroid_of_sums((present * centres).sum(0), present.sum(0), c)

    @torch.no_grad()
    def _remember(self, mean: Tensor, dispersion: Tensor) -> None:
        """Move the running statistics: the mean as a centroid of points, kept as a tangent at the origin."""
        c, rate = self.manifold.c, self.momentum
        before: Tensor = ExpMap0.apply(widen(self.running_mean), c)  # type: ignore[assignment]
        now: Tensor = Lift.apply(widen(mean), c)  # type: ignore[assignment]
        after = centroid_of_sums((1 - rate) * before + rate * now, torch.ones_like(now[:1]), c)
        self.running_mean.copy_(LogMap0.apply(F.pad(after, (1, 0)), c))  # type: ignore[arg-type]
        self.running_dispersion.lerp_(dispersion.to(self.running_dispersion.dtype), rate)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class LorentzBatchNorm1d(_LorentzBatchNorm):
    """Move the batch's centroid to beta and scale distances from it by gamma over their mean.

    (Bdeir et al. 2023, arXiv 2303.15919, section 4.2.) The mean is the centroid over the batch of each sample's
    centroid; the dispersion is the mean distance (not squared). `beta` is a Euclidean vector, lifted; `gamma` a
    number. Running statistics serve in evaluation: the mean as a tangent vector at the origin, so that it stays
    meaningful while the curvature moves.

    Shapes: `(batch, n + 1)` or `(batch, length, n + 1)`, unchanged.

    >>> m = Lorentz()
    >>> LorentzBatchNorm1d(m, 4)(m.expmap0(torch.randn(2, 20, 4))).shape
    torch.Size([2, 20, 5])
    """

    axes = (2, 3)


class LorentzBatchNorm2d(_LorentzBatchNorm):
    """`LorentzBatchNorm1d` for images of points, `(batch, height, width, n + 1)`.

    >>> m = Lorentz()
    >>> LorentzBatchNorm2d(m, 4)(m.expmap0(torch.randn(2, 3, 3, 4))).shape
    torch.Size([2, 3, 3, 5])
    """

    axes = (4,)


class LorentzLayerNorm(nn.Module):
    """Layer normalisation of the space part, lifted again (Yang et al. 2024, arXiv 2407.01290, section 3).

    Shapes: `(..., n + 1)`, unchanged.

    >>> m = Lorentz()
    >>> LorentzLayerNorm(m, 64)(m.expmap0(torch.randn(5, 64))).shape
    torch.Size([5, 65])
    """

    def __init__(self, manifold: Lorentz, num_features: int, eps: float = 1e-5, bias: bool = True):
        super().__init__()
        positive(num_features=num_features)
        self.manifold, self.num_features, self.eps = manifold, num_features, eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features)) if bias else None

    @property
    def in_features(self) -> int:
        """Intrinsic dimensions: `num_features`."""
        return self.num_features

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch n+1"]:
        """Points to points of the same manifold."""
        return self._normalise(x, self.weight, self.bias)

    @in_float32
    def _normalise(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        bias = torch.zeros_like(weight) if bias is None else bias
        return Standardise.apply(x, weight, bias, self.eps, self.manifold.c)  # type: ignore[return-value]


class LorentzNormalize(nn.Module):
    """The space part divided by its Euclidean length and lifted: every point on one sphere around the origin.

    (HyperCore's `LorentzNormalization`.) The origin, which has no direction, stays.

    Shapes: `(..., n + 1)`, unchanged.

    >>> m = Lorentz()
    >>> m.dist0(LorentzNormalize(m)(m.expmap0(torch.randn(5, 64)))).allclose(torch.tensor(1.0).asinh())
    True
    """

    def __init__(self, manifold: Lorentz):
        super().__init__()
        self.manifold = manifold

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch n+1"]:
        """Points to points of the same manifold."""
        return self.manifold.lift(F.normalize(at_least_float32(x[..., 1:]), dim=-1))


class LorentzRMSNorm(nn.Module):
    """The space part divided by its root mean square, scaled and lifted (Zhang & Sennrich 2019, eq. 4).

    Shapes: `(..., n + 1)`, unchanged.

    >>> m = Lorentz()
    >>> LorentzRMSNorm(m, 64)(m.expmap0(torch.randn(5, 64))).shape
    torch.Size([5, 65])
    """

    def __init__(self, manifold: Lorentz, num_features: int, eps: float = 1e-4):
        super().__init__()
        positive(num_features=num_features)
        self.manifold, self.num_features, self.eps = manifold, num_features, eps
        self.weight = nn.Parameter(torch.ones(num_features))

    @property
    def in_features(self) -> int:
        """Intrinsic dimensions: `num_features`."""
        return self.num_features

    def forward(self, x: Float[Tensor, "*batch n+1"]) -> Float[Tensor, "*batch n+1"]:
        """Points to points of the same manifold."""
        return self._normalise(x, self.weight)

    @in_float32
    def _normalise(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.manifold.lift(F.rms_norm(x[..., 1:], (self.num_features,), weight, self.eps))
