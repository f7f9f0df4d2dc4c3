"""Simulated trees and sequences against what theory says of them."""

import numpy as np
import pytest

from crocuta.data.phylogeny import GTR, HKY, Tree, birth_death_tree, evolve


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global stats, expm
    from scipy import stats
    from scipy.linalg import expm


FREQUENCIES = (0.1, 0.2, 0.3, 0.4)
MODELS = {
    "HKY": HKY(4.0, FREQUENCIES),
    "GTR": GTR((1, 2, 3, 4, 5, 6), FREQUENCIES),
    "HKY+G": HKY(4.0, FREQUENCIES, gamma=0.5),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_model_is_a_reversible_process_of_rate_one(model):
    pi = model.frequencies
    np.testing.assert_allclose(pi @ model.Q, 0, atol=1e-14)
    np.testing.assert_allclose(pi[:, None] * model.Q, (pi[:, None] * model.Q).T, atol=1e-14)
    assert -(pi * model.Q.diagonal()).sum() == pytest.approx(1)
    for time in (0.0, 0.01, 0.7, 5.0):
        np.testing.assert_allclose(model.transition(time), expm(model.Q * time), atol=1e-12)


def test_kappa_is_transitions_over_transversions():
    Q = HKY(5.0, FREQUENCIES).Q / np.array(FREQUENCIES)
    assert Q[0, 2] / Q[0, 1] == pytest.approx(5)  # A to G over A to C
    assert Q[1, 3] / Q[1, 2] == pytest.approx(5)


def test_jukes_cantor_and_gamma_in_closed_form():
    assert HKY(1.0).expected_difference(0.3) == pytest.approx(0.75 * (1 - np.exp(-4 / 3 * 0.3)))
    a = 0.5
    truth = 0.75 * (1 - (1 + 4 / 3 * 0.3 / a) ** -a)
    assert HKY(1.0, gamma=a).expected_difference(0.3) == pytest.approx(truth)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_sequences_differ_as_the_transition_matrix_says(model):
    """Two tips: joint counts of bases against pi P(t), for equal rates; differences for all; composition."""
    sites = 200_000
    tree = Tree.from_parents([-1, 0, 0], [0, 0.3, 0.2], ["", "a", "b"])
    a, b = evolve(tree, model, sites, np.random.default_rng(0))
    expected = model.expected_difference(0.5)
    assert np.mean(a != b) == pytest.approx(expected, abs=4 * (expected / sites) ** 0.5)
    for tip in (a, b):
        np.testing.assert_allclose(np.bincount(tip) / sites, FREQUENCIES, atol=0.006)
    if model.gamma is None:
        joint = np.bincount(4 * a.astype(int) + b, minlength=16)
        truth = (model.frequencies[:, None] * expm(model.Q * 0.5)).ravel() * sites
        assert stats.chisquare(joint, truth * joint.sum() / truth.sum()).pvalue > 1e-4


def test_evolution_stays_stationary_down_a_deep_tree():
    tree = birth_death_tree(64, np.random.default_rng(1)).scaled(0.5)
    tips = np.stack(evolve(tree, MODELS["GTR"], 2000, np.random.default_rng(2)))
    np.testing.assert_allclose(np.bincount(tips.ravel()) / tips.size, FREQUENCIES, atol=0.02)


def test_birth_death_sizes_are_geometric():
    """P(N = n | N >= 1) = (1 - 1/W)^(n-1) / W with W the mean; here conditioned on N >= 2."""
    birth, death, age = 1.0, 0.4, 1.5
    rate = birth - death
    size = 1 + birth * np.expm1(rate * age) / rate
    generator = np.random.default_rng(0)
    n = np.array([len(birth_death_tree(None, generator, birth, death, age).tips) for _ in range(4000)])
    assert n.min() == 2
    observed = np.bincount(np.minimum(n, 9), minlength=10)[2:]
    shares = stats.geom.pmf(np.arange(1, 8), 1 / size)
    truth = len(n) * np.append(shares, 1 - shares.sum())
    assert stats.chisquare(observed, truth).pvalue > 1e-3


def test_splits_of_a_yule_tree_follow_their_law():
    """Pure birth: split depths below the age are exponential, truncated at the age."""
    age, depths = 2.0, []
    generator = np.random.default_rng(3)
    for _ in range(300):
        tree = birth_death_tree(8, generator, 1.0, 0.0, age)
        inner = np.setdiff1d(np.arange(len(tree)), tree.tips)
        depths.append(tree.depth.max() - tree.depth[inner])
    law = stats.truncexpon(age).cdf
    assert stats.kstest(np.concatenate(depths), law).pvalue > 1e-3


def grow(age, birth, death, generator):
    """Survivors of a lineage after `age`, and the depths of the splits between them, one event at a time."""
    age -= generator.exponential(1 / (birth + death))
    if age < 0:
        return 1, []
    if generator.random() < death / (birth + death):
        return 0, []
    (left, before), (right, after) = (grow(age, birth, death, generator) for _ in range(2))
    return left + right, before + after + [age] * (left > 0 and right > 0)


def test_trees_with_extinction_are_those_of_the_process_itself():
    """Splits between survivors, against a simulation of every birth and death."""
    age, birth, death = 2.5, 1.0, 0.7
    generator = np.random.default_rng(5)
    grown = [splits for n, splits in (grow(age, birth, death, generator) for _ in range(3000)) if n > 1]
    drawn = []
    for _ in range(len(grown)):
        tree = birth_death_tree(None, generator, birth, death, age)
        inner = np.setdiff1d(np.arange(len(tree)), tree.tips)
        drawn.append(tree.depth.max() - tree.depth[inner])
    assert stats.ks_2samp(np.concatenate(grown), np.concatenate(drawn)).pvalue > 1e-3
    assert stats.ks_2samp([len(s) for s in grown], [len(s) for s in drawn]).pvalue > 1e-3


def test_trees_are_ultrametric_binary_and_deterministic():
    tree = birth_death_tree(50, np.random.default_rng(0), death=0.9)
    assert len(tree) == 99
    assert (np.bincount(tree.parent[1:])[np.unique(tree.parent[1:])] == 2).all()
    np.testing.assert_allclose(tree.depth[tree.tips], tree.depth.max(), rtol=1e-12)
    again = birth_death_tree(50, np.random.default_rng(0), death=0.9)
    np.testing.assert_array_equal(tree.length, again.length)
    D = tree.distances()
    ultra = np.minimum.reduce([np.maximum(D[:, z, None], D[z]) for z in range(50)])
    np.testing.assert_allclose(np.minimum(ultra, D), D, atol=1e-9)


def test_indels_change_lengths_and_nothing_else():
    tree = birth_death_tree(200, np.random.default_rng(0)).scaled(0.1)
    tips = evolve(tree, MODELS["HKY"], 300, np.random.default_rng(1), indel_rate=0.2, indel_length=3)
    sizes = np.array([len(tip) for tip in tips])
    assert len(set(sizes)) > 5
    assert abs(sizes.mean() - 300) < 30
    np.testing.assert_allclose(np.bincount(np.concatenate(tips)) / sizes.sum(), FREQUENCIES, atol=0.06)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: HKY(0.0),
        lambda: HKY(frequencies=(0.5, 0.5, 0, 0)),
        lambda: GTR((1, 2, 3)),
        lambda: HKY(gamma=-1.0),
        lambda: birth_death_tree(5, np.random.default_rng(0), 1.0, 1.0),
        lambda: birth_death_tree(1, np.random.default_rng(0)),
        lambda: birth_death_tree(None, np.random.default_rng(0)),
        lambda: evolve(Tree.from_parents([-1], [0], [""]), HKY(), 0, np.random.default_rng(0)),
    ],
)
def test_values_out_of_range(wrong):
    with pytest.raises(ValueError, match=r"got|give"):
        wrong()
