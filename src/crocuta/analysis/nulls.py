"""Is a delta small? Point clouds without a tree, as alike the data as can be, and a p-value.

All nulls have as many points as the data, and are drawn from their *principal coordinates*: for Euclidean points
the scores on the principal axes, for other distances the classical scaling of the distance matrix, for hyperbolic
points the tangent vectors at the centroid, from which null points go back onto the manifold.

- **gaussian**: a random rotation of the coordinates' columns (Haar, among those that keep the mean). The spectrum
  stays exactly as it is, and with it size, dimension and concentration. If the rows are independent draws from any
  normal distribution, this is the exact conditional law of the data, so the test is exact (Langsrud 2005, Stat
  Comput 15:53, rotation tests).
- **spherical**: scaled so that all axes are equally long, each point keeps its distance from the centre and gets a
  new direction, uniformly; then the axes get their lengths back. For any law with elliptical contours: points that
  lie far out stay far out, so that heavy tails, which lengthen the diameter, are not taken for a tree.
- **permuted**: each coordinate's values are dealt out anew among the points, then made orthogonal again, so that
  spectrum and (nearly) the marginal distributions stay while what binds coordinates together is lost.

`p = (1 + nulls at or below the data) / (1 + nulls)`, one-sided: small means more tree-like than the null.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crocuta.analysis.distances import Distances

Statistic = Callable[[np.ndarray, np.ndarray], tuple[float, float]]


@dataclass(frozen=True)
class Test:
    """One null: p-values of the largest and of the mean relative delta, the data's values and the null's draws."""

    p_worst: float
    p_average: float
    worst: float
    average: float
    null_worst: np.ndarray
    null_average: np.ndarray


class Cloud:
    """Coordinates (n, r) with orthogonal columns of mean 0, and the way from such coordinates to distances."""

    def __init__(self, distances: Distances, chosen: np.ndarray):
        self.to_distances = distances.of_coordinates
        coordinates = distances.coordinates(chosen)
        left, values, _ = np.linalg.svd(coordinates - coordinates.mean(0), full_matrices=False)
        kept = values > 1e-9 * max(values[0], 1e-300)
        self.left, self.values = left[:, kept], values[kept]

    @property
    def dimension(self) -> float:
        return effective_dimension(self.values**2, len(self.left))

    def gaussian(self, generator: np.random.Generator) -> np.ndarray:
        drawn = generator.standard_normal(self.left.shape)
        return np.linalg.qr(drawn - drawn.mean(0))[0] * self.values

    def spherical(self, generator: np.random.Generator) -> np.ndarray:
        drawn = generator.standard_normal(self.left.shape)
        drawn *= (np.linalg.norm(self.left, axis=1) / np.linalg.norm(drawn, axis=1))[:, None]
        return _orthogonal(drawn - drawn.mean(0)) * self.values

    def permuted(self, generator: np.random.Generator) -> np.ndarray:
        return _orthogonal(generator.permuted(self.left, axis=0)) * self.values


def _orthogonal(x: np.ndarray) -> np.ndarray:
    """The nearest matrix with orthonormal columns."""
    left, _, right = np.linalg.svd(x, full_matrices=False)
    return left @ right


NULLS = {"gaussian": Cloud.gaussian, "spherical": Cloud.spherical, "permuted": Cloud.permuted}


def effective_dimension(variances: np.ndarray, points: int) -> float:
    """Participation ratio `(sum v)^2 / sum v^2` of the axes' variances: their number, when all are equally long.

    Corrected for what `points` draws add to the sum of squares, `(sum v)^2 / (points - 1)`; at most points - 1.

    >>> round(effective_dimension(np.array([2.0, 2.0, 0.0]), 10_001), 2)
    2.0
    """
    square, points = float(variances.sum()) ** 2, points - 1
    return square / max(float((variances**2).sum()) - square / points, square / points)


def against_nulls(
    distances: Distances,
    chosen: np.ndarray,
    statistic: Statistic,
    quadruples: np.ndarray,
    draws: int,
    generator: np.random.Generator,
    step: Callable[[int], None] = lambda _: None,
) -> tuple[float, dict[str, Test]]:
    """Effective dimension of the chosen points, and a test against each null on the same quadruples' places."""
    cloud = Cloud(distances, chosen)
    if not draws:
        return cloud.dimension, {}
    observed = statistic(distances.matrix(chosen), quadruples)
    tests = {}
    for name, draw in NULLS.items():
        drawn = []
        for _ in range(draws):
            drawn.append(statistic(cloud.to_distances(draw(cloud, generator)), quadruples))
            step(1)
        null = np.array(drawn)
        p = (1 + (null <= np.array(observed) + 1e-12).sum(0)) / (1 + draws)
        tests[name] = Test(float(p[0]), float(p[1]), *observed, null[:, 0], null[:, 1])
    return cloud.dimension, tests
