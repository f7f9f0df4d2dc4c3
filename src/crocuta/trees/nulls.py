"""Is a delta small? Point clouds without a tree, as alike the data as can be, and a p-value.

All nulls have as many points as the data, and are drawn from their *principal coordinates*: for Euclidean points
the scores on the principal axes, for other distances the classical scaling of the distance matrix, for hyperbolic
points the tangent vectors at the centroid, from which null points go back onto the manifold.

- **gaussian**: a random rotation of the coordinates' columns (Haar, among those that keep the mean). The spectrum
  stays exactly as it is, and with it size, dimension and concentration. If the rows are independent draws from any
  normal distribution, this is the exact conditional law of the data, so the test is exact (Langsrud 2005, Stat
  Comput 15:53, rotation tests).
- **spherical**: once the axes are made equally long, each point keeps its radius and gets a new direction, uniformly;
  then the axes get their lengths back (`scatter`). For clouds with heavy tails: a few points far out in all
  directions are a star, which is a tree, and of the three only this null is one too.
- **permuted**: each coordinate's values are dealt out anew among the points, then made orthogonal again, so that
  spectrum and (nearly) the marginal distributions stay while what binds coordinates together is lost.

No single null answers "is this a tree?"; who wants one number takes the largest of the three p-values.

`p = (1 + nulls at or below the data) / (1 + nulls)`, one-sided: small means more tree-like than the null.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crocuta.analysis.distances import Distances

TYLER_STEPS = 15  # more change the axes by less than their sampling error
NullStatistic = Callable[[np.ndarray, np.ndarray], tuple[float, float]]


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
        self.shares, self.radius = scatter(self.left * self.values)
        self.dimension = float(1 / (self.shares**2).sum())

    def gaussian(self, generator: np.random.Generator) -> np.ndarray:
        drawn = generator.standard_normal(self.left.shape)
        return np.linalg.qr(drawn - drawn.mean(0))[0] * self.values

    def spherical(self, generator: np.random.Generator) -> np.ndarray:
        drawn = generator.standard_normal((len(self.left), len(self.shares)))
        return drawn * (self.radius / np.linalg.norm(drawn, axis=1))[:, None] * np.sqrt(self.shares)

    def permuted(self, generator: np.random.Generator) -> np.ndarray:
        return _orthogonal(generator.permuted(self.left, axis=0)) * self.values


def _orthogonal(x: np.ndarray) -> np.ndarray:
    """The nearest matrix with orthonormal columns."""
    left, _, right = np.linalg.svd(x, full_matrices=False)
    return left @ right


NULLS = {"gaussian": Cloud.gaussian, "spherical": Cloud.spherical, "permuted": Cloud.permuted}


def scatter(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances along the axes of points (m, r) of mean 0, as shares, and the points' radii once axes are equal.

    Tyler's estimator, which does not depend on how far out the points lie, shrunk towards equal axes so that few
    points in many dimensions do (Chen, Wiesel and Hero 2011, IEEE Trans Signal Process 59:4097). m points span no
    more than m - 1 axes; where angles between them say that there are more, that many equal axes are returned
    (the variance of the cosine of two directions estimates the sum of the squared shares).
    """
    x = x[np.linalg.norm(x, axis=1) > 0]
    m, r = x.shape
    norms = np.linalg.norm(x, axis=1)
    units = x / norms[:, None]
    unseen = 1 / max(float((units @ units.T)[np.triu_indices(m, 1)].var()), 0.1 / m)
    if unseen > r >= m - 1:
        return np.full(round(unseen), 1 / round(unseen)), norms
    square = r * r * float(((units.T @ units / m) ** 2).sum())
    below = r * r - m * r - 2 * m + (m + 1 + 2 * (m - 1) / r) * square
    shrinkage = np.clip((r * r + (1 - 2 / r) * square) / below, 0.01, 1) if below > 0 else 1.0
    values, axes = np.ones(r), np.eye(r)
    for _ in range(TYLER_STEPS):
        radius = np.linalg.norm(units @ axes / np.sqrt(values), axis=1)
        y = units / radius[:, None]
        values, axes = np.linalg.eigh((1 - shrinkage) * r / m * (y.T @ y) + shrinkage * np.eye(r))
        values *= r / values.sum()
    return values[::-1] / r, np.linalg.norm(x @ axes / np.sqrt(values), axis=1)


def against_nulls(
    distances: Distances,
    chosen: np.ndarray,
    statistic: NullStatistic,
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
