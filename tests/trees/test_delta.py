"""Gromov's delta against brute force, and p-values that mean what they say."""

import itertools

import numpy as np
import pytest

from crocuta.analysis.distances import DistanceMatrix, Points, TreeDistances, euclidean
from crocuta.data.phylogeny import birth_death_tree
from crocuta.errors import InputError
from crocuta.trees.delta import (
    base_deltas,
    four_point,
    max_min_product,
    mean_interval,
    measure,
    random_quadruples,
    worst,
)
from crocuta.trees.nulls import NULLS, Cloud


def cloud(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def tree_metric(n, seed=0):
    return birth_death_tree(n, np.random.default_rng(seed), death=0.5).distances()


def cycle(n):
    steps = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return np.minimum(steps, n - steps).astype(float)


MATRICES = {
    "points": lambda: euclidean(cloud(30, 3)),
    "many dimensions": lambda: euclidean(cloud(25, 300)),
    "not a metric": lambda: np.abs(np.add.outer(cloud(20, 1)[:, 0], cloud(20, 1)[:, 0])) * (1 - np.eye(20)),
    "large numbers": lambda: 1e6 * euclidean(cloud(20, 2)),
    "tree": lambda: tree_metric(24),
    "cycle": lambda: cycle(12),
    "4 points": lambda: euclidean(cloud(4, 2)),
}  # made by the tests: scipy takes long to import


@pytest.mark.parametrize("name", MATRICES)
def test_exact_delta_is_that_of_all_quadruples_and_of_all_base_points(name):
    D = MATRICES[name]()
    quadruples = np.array(list(itertools.combinations(range(len(D)), 4))).T
    truth = four_point(D, quadruples).max()
    found = worst(D)
    assert abs(found.delta - truth) <= 1e-6 * D.max()
    assert abs(base_deltas(D, np.arange(len(D))).max() - truth) <= 1e-9 * D.max()
    assert len(set(found.quadruple)) == 4
    np.testing.assert_array_equal(four_point(D, np.array(found.quadruple)[:, None]), found.delta)


def tied(D):
    """D with its third part moved onto its first: many distances of 0."""
    place = np.arange(len(D))
    place[-(len(D) // 3) :] = place[: len(D) // 3]
    return D[np.ix_(place, place)]


def noisy(D, seed, direction):
    """D with each distance up, down, or either way by a few units in the last place, symmetric."""
    steps = np.random.default_rng(seed).integers(0, 4, D.shape) * direction
    if direction == 0:
        steps = np.random.default_rng(seed).integers(-3, 4, D.shape)
    moved = np.triu(D * (1 + np.finfo(float).eps * steps), 1)
    return moved + moved.T


WITHOUT_DELTA = {
    "tree": tree_metric(24),
    "another tree": tree_metric(17, seed=3),
    "small tree": tree_metric(4, seed=1),
    "star": (lambda legs: np.add.outer(legs, legs) * (1 - np.eye(15)))(np.linspace(0.1, 1, 15)),
    "line": (lambda x: np.abs(np.subtract.outer(x, x)))(np.random.default_rng(0).random(20)),
    "ultrametric": 1.0 - np.eye(9),
    "tree with duplicates": tied(tree_metric(18)),
    "one place": np.zeros((7, 7)),
    "two places": np.kron([[0.0, 0.3], [0.3, 0.0]], np.ones((4, 4))),
}


@pytest.mark.parametrize("direction", [0, 1, -1])
@pytest.mark.parametrize("D", WITHOUT_DELTA.values(), ids=WITHOUT_DELTA)
def test_worst_is_four_different_points_where_only_rounding_tells_them_apart(D, direction):
    """Three points and one of them twice have delta 0: as much as any quadruple of these."""
    for seed in range(10):
        moved = D if seed == 0 else noisy(D, seed, direction)
        found = worst(moved)
        assert len(set(found.quadruple)) == 4
        np.testing.assert_array_equal(four_point(moved, np.array(found.quadruple)[:, None]), found.delta)
        assert 0 <= found.delta <= four_point(moved, all_quadruples(len(D))).max() <= 1e-14


def test_worst_is_four_different_points_without_the_triangle_inequality():
    """A point twice may then have a larger delta than any four points."""
    D = 1.0 - np.eye(8)
    D[2, 5] = D[5, 2] = 10
    found = worst(D)
    assert len(set(found.quadruple)) == 4
    assert found.delta == four_point(D, all_quadruples(8)).max() == 4.5


@pytest.mark.parametrize("tile", [1, 7, 10**6])
def test_tiles_never_find_a_point_twice(monkeypatch, tile):
    monkeypatch.setattr("crocuta.trees.delta.TILE", tile)
    for seed in range(5):
        assert len(set(worst(tree_metric(20, seed)).quadruple)) == 4


def test_known_values():
    assert worst(tree_metric(40)).delta < 1e-12
    assert worst(cycle(4)).delta == 1  # a square of side 1
    assert worst(cycle(12)).delta == 3
    square = euclidean(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float))
    assert worst(square).delta == pytest.approx(2**0.5 - 1)


def test_tiles_cover_everything(monkeypatch):
    """The same delta whatever the tile, the worst quadruple planted at the end of the order."""
    D = tree_metric(40)
    place = [3, 37, 38, 39]
    D[np.ix_(place, place)] = 5 * cycle(4)
    for tile in (1, 100, 1000, 10**6):
        monkeypatch.setattr("crocuta.trees.delta.TILE", tile)
        assert worst(D).delta == pytest.approx(four_point(D, all_quadruples(40)).max())


def all_quadruples(n):
    return np.array(list(itertools.combinations(range(n), 4))).T


def test_one_base_point_may_give_half():
    """Gromov: delta_p <= delta <= 2 delta_p."""
    D = euclidean(cloud(40, 2))
    by_base = base_deltas(D, np.arange(40)).max((1, 2))
    assert by_base.max() == pytest.approx(worst(D).delta)
    assert by_base.min() < 0.95 * by_base.max() <= 2 * by_base.min()


def test_max_min_product_is_batched():
    A, B = np.random.default_rng(0).random((2, 3, 4)), np.random.default_rng(1).random((2, 4, 5))
    truth = np.minimum(A[..., :, :, None], B[..., None, :, :]).max(-2)
    np.testing.assert_array_equal(max_min_product(A, B), truth)


def test_random_quadruples_are_different_and_uniform():
    drawn = random_quadruples(5, 20_000, np.random.default_rng(0))
    assert all(len(set(column)) == 4 for column in drawn[:, :500].T)
    np.testing.assert_allclose([np.bincount(row) / 20_000 for row in drawn], 0.2, atol=0.015)


def test_intervals_hold_the_mean_over_all_subsets():
    points = Points(cloud(60, 4))
    whole = 2 * four_point(points.matrix(np.arange(60)), all_quadruples(60)).mean()
    found = measure(points, subset=59, subsets=20, nulls=0)
    assert found.average.low <= whole / found.diameter * 1.02
    assert found.average.high >= whole / found.diameter * 0.98
    assert found.relative == pytest.approx(2 * found.exact.delta / found.diameter)
    assert mean_interval(np.array([1.0, 2.0, 3.0])).high == pytest.approx(2 + 4.302653 / 3**0.5)
    single = measure(points, subset=60, nulls=0)
    assert single.worst.low == single.worst.value == single.relative


def test_large_sets_are_sampled_and_the_seed_decides():
    points = Points(cloud(20_000, 8).astype(np.float32))
    one, two, other = (
        measure(points, subset=40, subsets=5, quadruples=500, nulls=3, seed=s) for s in (0, 0, 1)
    )
    assert one.exact is None
    assert one.worst == two.worst != other.worst
    assert one.subsets == 5


@pytest.mark.parametrize("name", ["gaussian", "permuted"])
def test_nulls_keep_size_mean_and_spectrum(name):
    points = Points(cloud(40, 6) * [5, 3, 2, 1, 1, 0])
    source = Cloud(points, np.arange(40))
    drawn = NULLS[name](source, np.random.default_rng(0))
    assert drawn.shape == (40, 5)
    np.testing.assert_allclose(drawn.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(drawn.T @ drawn, np.diag(source.values**2), atol=1e-9)
    original = source.left * source.values
    np.testing.assert_allclose(euclidean(original), points.matrix(np.arange(40)), atol=1e-9)
    assert not np.allclose(drawn, original)


def test_spherical_keeps_radii_and_axes():
    x = cloud(4000, 3) * [3, 2, 1] / np.sqrt(np.random.default_rng(1).chisquare(3, (4000, 1)))
    source = Cloud(Points(x), np.arange(4000))
    drawn = NULLS["spherical"](source, np.random.default_rng(2))
    radius = np.linalg.norm(drawn / np.sqrt(source.shares), axis=1)
    np.testing.assert_allclose(radius, source.radius)
    size = np.linalg.norm(source.left * source.values, axis=1)
    assert np.corrcoef(size, np.linalg.norm(drawn, axis=1))[0, 1] > 0.9
    wide = np.median(np.abs(drawn), axis=0)
    np.testing.assert_allclose(wide / wide[2], [3, 2, 1], rtol=0.25)


@pytest.mark.parametrize("null", ["gaussian", "spherical"])
@pytest.mark.parametrize("scale", [np.ones(20), 1 / np.arange(1, 21)], ids=["round", "long"])
def test_p_values_are_calibrated(scale, null):
    """p-values of normal clouds are uniform: the mean of 60 is 0.5 to 4 standard errors (0.55 with 9 nulls)."""
    generator = np.random.default_rng(0)
    p = []
    for i in range(60):
        x = generator.standard_normal((20, 20)) * scale
        p.append(measure(Points(x), nulls=9, quadruples=500, seed=i).tests[null])
    for values in ([t.p_average for t in p], [t.p_worst for t in p]):
        assert np.mean(values) == pytest.approx(0.55, abs=4 * 0.29 / 60**0.5)


def test_trees_are_found_and_circles_are_not():
    tree = measure(TreeDistances(birth_death_tree(60, np.random.default_rng(0))), nulls=39, quadruples=2000)
    assert all(test.p_average == test.p_worst == 1 / 40 for test in tree.tests.values())
    ring = measure(DistanceMatrix(cycle(60)), nulls=39, quadruples=2000)
    assert ring.tests["gaussian"].p_average > 0.5


def test_effective_dimension():
    """Hardly moved by the number of points, where the sample's own participation ratio is."""
    for n, d in ((1000, 12), (60, 12), (60, 200)):
        source = Cloud(Points(cloud(n, d)), np.arange(n))
        assert source.shares.sum() == pytest.approx(1)
        assert source.dimension == pytest.approx(d, rel=0.15)


def test_heavy_tails_are_a_star_and_no_tree():
    """Student t: more tree-like than a normal cloud, not than one with its tails. Mean p over clouds."""
    generator = np.random.default_rng(0)
    p = {"gaussian": [], "spherical": []}
    for i in range(20):
        x = generator.standard_normal((40, 10)) / np.sqrt(generator.chisquare(4, (40, 1)) / 4)
        tests = measure(Points(x), nulls=19, quadruples=1000, seed=i).tests
        for name, values in p.items():
            values.append(tests[name].p_average)
    assert np.mean(p["gaussian"]) < 0.1
    assert 0.35 < np.mean(p["spherical"]) < 0.75


def test_too_little_to_measure():
    with pytest.raises(InputError, match="3 points, expected at least 4"):
        measure(Points(cloud(3, 2)))
    with pytest.raises(InputError, match="lie in one place"):
        measure(Points(np.ones((10, 2))))
    with pytest.raises(ValueError, match="at least 4"):
        worst(np.zeros((3, 3)))
