"""Mean ranks against the worked example of Demšar 2006, table 6 (four classifiers, 14 data sets)."""

import numpy as np
import pytest


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global friedmanchisquare, Ranks, cliques, mean_ranks
    from scipy.stats import friedmanchisquare

    from crocuta.analysis.ranks import Ranks, cliques, mean_ranks


DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
    ]
)  # fmt: skip


def test_the_worked_example():
    found = mean_ranks(DEMSAR)
    np.testing.assert_allclose(found.mean, [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert found.p == pytest.approx(friedmanchisquare(*DEMSAR.T).pvalue)


def test_critical_values_of_the_published_table():
    for models, quantile in ((2, 1.960), (5, 2.728), (10, 3.164)):
        found = mean_ranks(np.random.default_rng(0).normal(size=(6, models)))
        unit = np.sqrt(models * (models + 1) / 36)
        assert found.critical_difference / unit == pytest.approx(quantile, abs=2e-3)


def test_cliques_are_the_largest_groups_within_the_difference():
    assert cliques(Ranks(np.array([3.0, 1.0, 2.0, 4.0]), 1.2, 0.01)) == [(1, 2), (2, 0), (0, 3)]
    assert cliques(Ranks(np.array([1.0, 2.0, 3.0]), 5.0, 0.5)) == [(0, 1, 2)]
    assert cliques(Ranks(np.array([1.0, 3.0]), 1.0, 0.01)) == []


def test_equal_scores_have_no_p():
    assert np.isnan(mean_ranks(np.ones((3, 3))).p)


@pytest.mark.parametrize("scores", [np.ones((1, 3)), np.ones((3, 1)), [[1.0, np.nan], [1.0, 2.0]]])
def test_gaps_are_refused(scores):
    with pytest.raises(ValueError, match="at least two tasks and models"):
        mean_ranks(scores)
