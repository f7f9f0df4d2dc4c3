"""What follows a graph encoder: classes of nodes, probabilities of links, distances, summaries of whole graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from crocuta.manifolds import Lorentz, Manifold, Poincare
from crocuta.manifolds.numerics import in_float32
from crocuta.nn.linear import positive
from crocuta.nn.lorentz.head import LorentzMLR
from crocuta.nn.poincare.head import PoincareMLR

if TYPE_CHECKING:
    from jaxtyping import Float


class TangentDecoder(nn.Module):
    """Class logits `W log0(x) + b` (Chami et al. 2019, arXiv 1910.12933, section 4.4; HyperCore's linear decoder).

    Shapes: `(..., ambient(in_features))` to `(..., num_classes)`.

    >>> m = Lorentz()
    >>> TangentDecoder(m, 8, 3)(m.expmap0(torch.randn(5, 8))).shape
    torch.Size([5, 3])
    """

    manifold_out = None

    def __init__(self, manifold: Manifold, in_features: int, num_classes: int, bias: bool = True):
        super().__init__()
        self.manifold_in, self.in_features = manifold, in_features
        self.linear = nn.Linear(in_features, num_classes, bias)

    def forward(self, x: Float[Tensor, "*batch ambient"]) -> Float[Tensor, "*batch classes"]:
        """Points to logits."""
        return self.linear(self.manifold_in.logmap0(x))


class CentroidDistance(nn.Module):
    """Distances from learned points: `(..., ambient(in_features))` to `(..., num_centroids)`.

    (Liu et al. 2019, HGNN, arXiv 1910.12892, eq. 6.) The mean over nodes describes a whole graph; a linear layer on top
    is H2H-GCN's decoder. Centroids are tangents at the origin, so any optimiser may move them.

    >>> m = Lorentz()
    >>> CentroidDistance(m, 8, 20)(m.expmap0(torch.randn(5, 8))).shape
    torch.Size([5, 20])
    """

    manifold_out = None

    def __init__(self, manifold: Manifold, in_features: int, num_centroids: int):
        super().__init__()
        positive(in_features=in_features, num_centroids=num_centroids)
        self.manifold_in, self.in_features, self.num_centroids = manifold, in_features, num_centroids
        self.weight = nn.Parameter(torch.randn(num_centroids, in_features) / in_features**0.5)

    def forward(self, x: Float[Tensor, "*batch ambient"]) -> Float[Tensor, "*batch centroids"]:
        """Points to distances."""
        return self.manifold_in.cdist(x, self.manifold_in.expmap0(self.weight))


class CentroidDistanceClassifier(nn.Module):
    """Class logits from distances to learned points: `Linear(CentroidDistance(x))` (H2H-GCN's decoder).

    Shapes: `(..., ambient(in_features))` to `(..., num_classes)`.

    >>> m = Lorentz()
    >>> CentroidDistanceClassifier(m, 8, 3, num_centroids=20)(m.expmap0(torch.randn(5, 8))).shape
    torch.Size([5, 3])
    """

    manifold_out = None

    def __init__(self, manifold: Manifold, in_features: int, num_classes: int, num_centroids: int = 100):
        super().__init__()
        self.manifold_in, self.in_features = manifold, in_features
        self.distance = CentroidDistance(manifold, in_features, num_centroids)
        self.linear = nn.Linear(num_centroids, num_classes)

    def forward(self, x: Float[Tensor, "*batch ambient"]) -> Float[Tensor, "*batch classes"]:
        """Points to logits."""
        return self.linear(self.distance(x))


class DualDecoder(nn.Module):
    """GIL's decoder: logits in hyperbolic and in Euclidean space, mixed with weights of each node's own.

    (Zhu et al. 2020, arXiv 2010.12135, section 3.4.) Hyperbolic logits are signed distances to hyperplanes; weights
    are sigmoids of a linear map of either side, normalised to sum to 1. (Their code takes the last node's for all.)

    Shapes: points `(..., ambient(in_features))` and vectors `(..., in_features)` to `(..., num_classes)`.

    >>> m = Lorentz()
    >>> DualDecoder(m, 8, 3)(m.expmap0(torch.randn(5, 8)), torch.randn(5, 8)).shape
    torch.Size([5, 3])
    """

    manifold_out = None

    def __init__(self, manifold: Lorentz | Poincare, in_features: int, num_classes: int):
        super().__init__()
        self.manifold_in, self.in_features = manifold, in_features
        head = LorentzMLR if isinstance(manifold, Lorentz) else PoincareMLR
        self.hyperbolic = head(manifold, in_features, num_classes)
        self.euclidean = nn.Linear(in_features, num_classes)
        self.trust_hyperbolic = nn.Linear(in_features, 1)
        self.trust_euclidean = nn.Linear(in_features, 1)

    def forward(
        self, x: Float[Tensor, "*batch ambient"], z: Float[Tensor, "*batch n"]
    ) -> Float[Tensor, "*batch classes"]:
        """Points and vectors to logits."""
        hyperbolic = torch.sigmoid(self.trust_hyperbolic(self.manifold_in.logmap0(x)))
        share = hyperbolic / (hyperbolic + torch.sigmoid(self.trust_euclidean(z)))
        return share * self.hyperbolic(x) + (1 - share) * self.euclidean(z)


class FermiDiracDecoder(nn.Module):
    """Logits of links, `(radius - d^2(x, y)) / temperature`; their sigmoid is `1 / (exp((d^2 - r)/t) + 1)`.

    (Krioukov et al. 2010, arXiv 1006.5169, eq. 12, with squared distances as in Chami et al. 2019.)

    Args:
        chordal: on the hyperboloid, the squared Lorentzian distance `-2/c - 2 <x, y>_L`, which is cheaper than the
            squared geodesic one and grows faster.
        learnable: train radius and temperature.

    Shapes: x, y `(..., ambient)` to `(...)`.

    >>> m = Lorentz()
    >>> FermiDiracDecoder(m)(m.random((5, 8)), m.random((5, 8))).shape
    torch.Size([5])
    """

    manifold_out = None

    def __init__(
        self,
        manifold: Manifold,
        radius: float = 2.0,
        temperature: float = 1.0,
        *,
        chordal: bool = False,
        learnable: bool = False,
    ):
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        if chordal and not isinstance(manifold, Lorentz):
            raise ValueError(f"chordal distances need Lorentz, got {type(manifold).__name__}")
        self.manifold_in, self.chordal = manifold, chordal
        values = torch.tensor(float(radius)), torch.tensor(float(temperature)).log()
        self.radius = nn.Parameter(values[0], requires_grad=learnable)
        self.log_temperature = nn.Parameter(values[1], requires_grad=learnable)

    def forward(
        self, x: Float[Tensor, "*batch ambient"], y: Float[Tensor, "*batch ambient"]
    ) -> Float[Tensor, " *batch"]:
        """Pairs of points to logits."""
        squared = lorentzian_square(x, y) if self.chordal else self.manifold_in.dist(x, y).square()
        return (self.radius - squared) / self.log_temperature.exp()


@in_float32
def lorentzian_square(x: Tensor, y: Tensor) -> Tensor:
    """`<x - y, x - y>_L`, that is `-2/c - 2 <x, y>_L`: `(..., n + 1)` to `(...)`; exact where x equals y."""
    signature = x.new_ones(x.shape[-1])
    signature[0] = -1
    return (x - y).square() @ signature


def distortion_loss(
    distances: Float[Tensor, " *pairs"], targets: Float[Tensor, " *pairs"]
) -> Float[Tensor, ""]:
    """Mean of `|(d / D)^2 - 1|`, the minimum-distortion loss (Gu et al. 2019, ICLR, section 3.1)."""
    return ((distances / targets).square() - 1).abs().mean()
