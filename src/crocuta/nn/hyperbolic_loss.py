"""Losses of embeddings: entailment cones and contrast by distance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz, Manifold
from crocuta.manifolds.numerics import in_float32
from crocuta.nn.gather import gather_rows

if TYPE_CHECKING:
    from jaxtyping import Float


class EntailmentConeLoss(nn.Module):
    """How far each point lies outside the cone of the one that should entail it, on average.

    `max(0, exterior_angle(x, y) - half_aperture(x))` (Desai et al. 2023, MERU, eq. 6), radians. With `negative`, pairs
    that must not entail are pushed out of the cone by a margin: `max(0, margin - that)` (Ganea et al. 2018, arXiv
    1804.01882, eq. 33).

    Args:
        manifold: the hyperboloid of the points.
        minimum_radius: of the cones, see `Lorentz.half_aperture`.
        margin: radians that a negative pair has to stay outside the cone.

    >>> m = Lorentz()
    >>> general, special = m.random((5, 8)), m.random((5, 8))
    >>> EntailmentConeLoss(m)(general, special).shape
    torch.Size([])
    """

    def __init__(self, manifold: Lorentz, minimum_radius: float = 0.1, margin: float = 0.1):
        super().__init__()
        if not (minimum_radius > 0 and margin >= 0):
            raise ValueError(
                f"minimum_radius must be positive and margin not negative, got {minimum_radius} and {margin}"
            )
        self.manifold, self.minimum_radius, self.margin = manifold, minimum_radius, margin

    def excess(
        self, x: Float[Tensor, "*batch n+1"], y: Float[Tensor, "*batch n+1"]
    ) -> Float[Tensor, "*batch"]:
        """Radians by which y lies outside x's cone; negative inside."""
        return self.manifold.exterior_angle(x, y) - self.manifold.half_aperture(x, self.minimum_radius)

    def forward(
        self,
        x: Float[Tensor, "*batch n+1"],
        y: Float[Tensor, "*batch n+1"],
        negative: Tensor | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over pairs (x general, y special); `negative` is true for pairs that must not entail."""
        excess = self.excess(x, y)
        loss = torch.relu(excess)
        if negative is not None:
            loss = torch.where(negative != 0, torch.relu(self.margin - excess), loss)
        return loss.mean()


class ContrastiveLoss(nn.Module):
    """Cross entropy of picking each row's partner among a batch by likeness over temperature, both ways.

    The temperature is learned through its logarithm and held at 0.01 or more, as in CLIP. Rows that share a group (one
    caption of several images) are partners of each other, all of equal weight (Khosla et al. 2020, arXiv 2004.11362,
    eq. 2). Where a process group runs, rows are compared with those of all processes; the loss is the mean over one's
    own, so that gradients averaged over processes, as `DistributedDataParallel` does, are those of one large batch.

    Shapes: x and y `(B, ambient)`, partners in the same row; `group` `(B,)` integers; a number.
    """

    minimum_temperature = 0.01

    def __init__(self, temperature: float = 0.07):
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    @property
    def temperature(self) -> Tensor:
        """The temperature in use."""
        return self.log_temperature.clamp_min(math.log(self.minimum_temperature)).exp()

    def likeness(
        self, x: Float[Tensor, "rows ambient"], y: Float[Tensor, "columns ambient"]
    ) -> Float[Tensor, "rows columns"]:
        """How near each x is to each y; subclasses say it."""
        raise NotImplementedError

    def logits(
        self, x: Float[Tensor, "rows ambient"], y: Float[Tensor, "columns ambient"]
    ) -> Float[Tensor, "rows columns"]:
        """`likeness / temperature`."""
        return self.likeness(x, y) / self.temperature

    def forward(
        self,
        x: Float[Tensor, "rows ambient"],
        y: Float[Tensor, "rows ambient"],
        group: Tensor | None = None,
    ) -> Float[Tensor, ""]:
        """Mean of both directions' cross entropies; raises `ValueError` where rows do not pair up."""
        if x.shape != y.shape:
            raise ValueError(f"x and y must pair up row by row, got {tuple(x.shape)} and {tuple(y.shape)}")
        (every_x, first), (every_y, _) = gather_rows(x), gather_rows(y)
        there, back = self.logits(x, every_y), self.logits(y, every_x)
        if group is None:
            target = torch.arange(first, first + len(x), device=x.device)
        else:
            target = (group[:, None] == gather_rows(group)[0]).to(there.dtype)
            target = target / target.sum(1, keepdim=True)
        return (F.cross_entropy(there, target) + F.cross_entropy(back, target)) / 2


class HyperbolicContrastiveLoss(ContrastiveLoss):
    """`ContrastiveLoss` by geodesic distance: logits are `-d(x_i, y_j) / temperature`.

    (Desai et al. 2023, MERU, sec. 3.2.) On any manifold that has distances.

    >>> m = Lorentz()
    >>> HyperbolicContrastiveLoss(m)(m.random((5, 8)), m.random((5, 8))).shape
    torch.Size([])
    """

    def __init__(self, manifold: Manifold, temperature: float = 0.07):
        super().__init__(temperature)
        self.manifold = manifold

    @in_float32
    def likeness(self, x: Tensor, y: Tensor) -> Tensor:
        """`-d(x_i, y_j)`."""
        return -self.manifold.cdist(x, y)


class CosineContrastiveLoss(ContrastiveLoss):
    """`ContrastiveLoss` by the cosine of the angle (Radford et al. 2021, CLIP, arXiv 2103.00020, fig. 3).

    >>> CosineContrastiveLoss()(torch.randn(5, 8), torch.randn(5, 8)).shape
    torch.Size([])
    """

    @in_float32
    def likeness(self, x: Tensor, y: Tensor) -> Tensor:
        """Cosines of the angles between x_i and y_j."""
        return F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).mT
