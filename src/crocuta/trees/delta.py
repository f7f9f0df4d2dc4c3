"""Gromov's delta: how far a set of distances is from those in a tree.

Of four points, let S1 >= S2 >= S3 be the sums of the distances of the three ways to pair them up. The *four-point
delta* of the quadruple is `(S1 - S2) / 2`, 0 in a tree. Over all base points p, that is the same as Gromov's

    delta = max over p, x, y, z of min((x|z)_p, (z|y)_p) - (x|y)_p,    (x|y)_p = (d(p,x) + d(p,y) - d(x,y)) / 2,

which "Hyperbolic Genome Embeddings" (arXiv 2507.21648) computes and we do: one fixed base point gives as little
as half of it. *Relative* delta is `2 delta / diameter`, between 0 and 1 where the triangle inequality holds. It
falls as dimensions or distances concentrate, tree or not, so that a single value says nothing without a null; see
`crocuta.trees.nulls`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from crocuta.analysis.bootstrap import ConfidenceInterval
from crocuta.analysis.distances import Distances
from crocuta.errors import InputError
from crocuta.trees.nulls import NULLS, Test, against_nulls

SUBSETS = 30  # random ones, where there are more points than in one
TILE = 32_768  # float32 entries of a tile: together with its partner it stays in a core's cache


class Worst(NamedTuple):
    """The largest four-point delta, and four points that have it."""

    delta: float
    quadruple: tuple[int, int, int, int]


@dataclass(frozen=True)
class Hyperbolicity:
    """What is known about one set of points; deltas are relative, `2 delta / diameter`, where not said otherwise.

    n: points. dimension: effective dimension of the tested subset, see `nulls.scatter`.
    exact: the largest four-point delta of all points, in units of distance; None above `exact_up_to` points.
    diameter, relative: of all points, with `exact`.
    subset: points of each random subset. worst: mean over subsets of the largest delta, each divided by its
    subset's diameter. average: mean over subsets of the mean delta of quadruples. Both with the 95% t interval
    of a mean over independent subsets, which has no width where one subset is all there is.
    tests: by null, see `nulls.against_nulls`.
    """

    n: int
    dimension: float
    exact: Worst | None
    diameter: float | None
    relative: float | None
    subset: int
    subsets: int
    worst: ConfidenceInterval
    average: ConfidenceInterval
    tests: dict[str, Test]


def max_min_product(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """`C_xy = max over z of min(A_xz, B_zy)`, batched: (..., m, k) and (..., k, n) to (..., m, n)."""
    product = np.minimum(A[..., :, 0, None], B[..., None, 0, :])
    low = np.empty_like(product)
    for z in range(1, A.shape[-1]):
        np.minimum(A[..., :, z, None], B[..., None, z, :], out=low)
        np.maximum(product, low, out=product)
    return product


def gromov_product(D: np.ndarray, base: int | np.ndarray = 0) -> np.ndarray:
    """`(x|y)_base` of all pairs, (n, n), or (b, n, n) for several base points."""
    row = D[base]
    return (row[..., :, None] + row[..., None, :] - D) / 2


def base_deltas(D: np.ndarray, base: int | np.ndarray = 0) -> np.ndarray:
    """`max over z of min((x|z), (z|y)) - (x|y)` of all pairs at base points: (n, n) or (b, n, n), all >= 0.

    All n^3 of them are what the paper plots; the largest of them is `worst(D).delta`.
    """
    G = gromov_product(D, base)
    return max_min_product(G, G) - G


def worst(D: np.ndarray) -> Worst:
    """The largest four-point delta of a distance matrix (n, n), n >= 4: exact, over all quadruples.

    Every quadruple is looked at from its first point p, so each product runs over the points behind p, and, being
    symmetric, over half of its entries: n^4 / 8 steps, tile by tile. The product is in float32; the quadruple it
    finds is evaluated in D's own precision, so the value is that of four different points and at most 1e-6 of the
    diameter below the largest.
    """
    n = len(D)
    if n < 4:
        raise ValueError(f"delta needs at least 4 points, got {n}")
    scale = D.max() or 1.0
    small = (D / scale).astype(np.float32)
    _, p, x, y = max(_worst_behind(small, p) for p in range(n - 3))
    G = _products_of_different(D[p:, p:])
    z = int(np.minimum(G[x], G[y]).argmax())
    a, b, c, d = p, p + 1 + x, p + 1 + y, p + 1 + z
    return Worst(float(four_point(D, np.array([[a], [b], [c], [d]]))[0]), (a, b, c, d))


def _worst_behind(D: np.ndarray, p: int) -> tuple[float, int, int, int]:
    """Largest delta at base p among the points behind it, with p, x and y (numbered from p + 1)."""
    G = _products_of_different(D[p:, p:])
    m, x, best = len(G), 0, (-np.inf, p, 0, 1)
    while x < m:
        rows = max(1, TILE // (m - x))
        deltas = max_min_product(np.asfortranarray(G[x : x + rows]), G[:, x:]) - G[x : x + rows, x:]
        np.fill_diagonal(deltas, -np.inf)  # x = y: the tile's columns start where its rows do
        i = int(deltas.argmax())
        best = max(best, (float(deltas.flat[i]), p, x + i // (m - x), x + i % (m - x)))
        x += rows
    return best


def _products_of_different(D: np.ndarray) -> np.ndarray:
    """`(x|y)` at the first point of the others, `-inf` on the diagonal: x or y is then never the z of the largest min.

    With the diagonal, three points and one of them twice have delta 0, which is as much as a tree's quadruples have:
    rounding would decide which of the two is found.
    """
    G = gromov_product(D)[1:, 1:]
    np.fill_diagonal(G, -np.inf)
    return G


def four_point(D: np.ndarray, quadruples: np.ndarray) -> np.ndarray:
    """Delta of quadruples (4, k) of indices, (k,)."""
    a, b, c, d = quadruples
    sums = np.stack([D[a, b] + D[c, d], D[a, c] + D[b, d], D[a, d] + D[b, c]])
    sums.sort(axis=0)
    return (sums[2] - sums[1]) / 2


def random_quadruples(n: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """Four different indices below n, `count` times independently, (4, count)."""
    drawn = np.empty((4, count), np.int64)
    for i in range(4):  # the i-th of those that are left, then step over those that are taken
        drawn[i] = generator.integers(0, n - i, count)
        for taken in np.sort(drawn[:i], axis=0):
            drawn[i] += drawn[i] >= taken
    return drawn


@threadpool_limits.wrap(limits=1)  # matrices are small: more threads wait for each other
def measure(
    distances: Distances,
    *,
    subset: int = 100,
    subsets: int = SUBSETS,
    quadruples: int = 20_000,
    exact_up_to: int = 500,
    nulls: int = 199,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Hyperbolicity:
    """Delta of all points where there are few, of random subsets where there are many, and its tests.

    Args:
        distances: the points, see `crocuta.analysis.distances`.
        subset: points of a subset, and of the set that is tested against the nulls.
        subsets: how many; their spread gives the intervals.
        quadruples: drawn per subset for `average`.
        exact_up_to: the largest number of points for which all quadruples are looked at; time grows as n^4.
        nulls: draws of each null; the smallest p-value is 1 / (nulls + 1). 0: no tests.
        progress: called with 1 after each of its `steps`.

    Raises:
        InputError: fewer than 4 points, or all in one place.
    """
    n = distances.n
    if n < 4:
        raise InputError(f"{distances.name}: {n} points, expected at least 4 for Gromov's delta")
    generator = np.random.default_rng(seed)
    step = progress or (lambda _: None)
    whole = None
    if n <= exact_up_to:
        D = distances.matrix(np.arange(n))
        whole = worst(D), float(D.max())
    size, found = min(subset, n), []
    for _ in range(subsets if size < n else 1):
        D = distances.matrix(np.sort(generator.choice(n, size, replace=False)))
        if not D.max() > 0:
            raise InputError(
                f"{distances.name}: all {size} points drawn lie in one place; delta needs distances"
            )
        found.append(relative_deltas(D, random_quadruples(size, quadruples, generator)))
        step(1)
    chosen = np.sort(generator.choice(n, size, replace=False))
    dimension, tests = against_nulls(
        distances, chosen, relative_deltas, random_quadruples(size, quadruples, generator),
        nulls, generator, step,
    )  # fmt: skip
    largest, average = np.transpose(found)
    return Hyperbolicity(
        n=n,
        dimension=dimension,
        exact=whole[0] if whole else None,
        diameter=whole[1] if whole else None,
        relative=2 * whole[0].delta / whole[1] if whole else None,
        subset=size,
        subsets=len(found),
        worst=mean_interval(largest),
        average=mean_interval(average),
        tests=tests,
    )


def steps(n: int, subset: int, nulls: int) -> int:
    """How many steps `measure` takes for n points: subsets, and draws of the nulls."""
    return (SUBSETS if subset < n else 1) + len(NULLS) * nulls


def relative_deltas(D: np.ndarray, quadruples: np.ndarray) -> tuple[float, float]:
    """`2 / diameter` times the largest delta, and times the mean delta of the quadruples."""
    diameter = D.max()
    return 2 * worst(D).delta / diameter, 2 * float(four_point(D, quadruples).mean()) / diameter


def mean_interval(values: np.ndarray) -> ConfidenceInterval:
    """Mean and its 95% t interval."""
    from scipy.stats import t

    mean = float(values.mean())
    half = (
        float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
        if len(values) > 1
        else 0.0
    )
    return ConfidenceInterval(mean, mean - half, mean + half)
