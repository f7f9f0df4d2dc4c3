import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from crocuta.ancestry.methods.copying import CopyingModel
from crocuta.ancestry.methods.windows import log_softmax, window_edges
from crocuta.variants import MISSING


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global minimize, FrequencyModel, RegressionModel, _principal, solve
    from scipy.optimize import minimize

    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    from window_rivals import FrequencyModel, RegressionModel, _principal, solve

    sys.path.pop(0)


LABELS = np.repeat([0, 1, 2], 20)


@pytest.fixture(scope="module")
def panels(random_panel):
    return random_panel(60, 130, labels=LABELS), random_panel(60, 130, seed=1, labels=LABELS)


def test_windows_reach_the_last_site():
    assert window_edges(10, 4).tolist() == [[0, 4], [4, 8], [6, 10]]
    assert window_edges(8, 4, 2).tolist() == [[0, 4], [2, 6], [4, 8]]
    assert window_edges(3, 4).tolist() == [[0, 3]]


def test_naive_bayes_multiplies_frequencies(panels):
    train, test = panels
    model = FrequencyModel.fit(train, LABELS)
    query = test.haplotypes[:5].copy()
    query[:, 7] = MISSING
    expected = np.zeros((5, 3))
    for h, k in np.ndindex(5, 3):
        for i in set(range(4, 30)) - {7}:
            p = model.frequency[k, i]
            expected[h, k] += np.log(p if query[h, i] else 1 - p)
    found = model.window_log_probability(query, np.array([[4, 30]]))
    np.testing.assert_allclose(found[:, 0], log_softmax(expected), rtol=1e-5, atol=1e-6)
    count = (train.allele[:20, :, 3] == 1).sum()
    assert model.frequency[0, 3] == pytest.approx((count + 0.5) / 41)


def test_the_solver_finds_the_optimum():
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(2, 40, 3))).float()
    target = torch.eye(3)[torch.from_numpy(rng.integers(0, 3, 40))]
    weight, bias = solve(features, target, penalty=2.0, steps=400)

    def loss(flat, x):
        w = flat.reshape(4, 3)
        score = log_softmax(x @ w[:3] + w[3])
        return -(score * target.numpy()).sum() + (w[:3] ** 2).sum()

    for i in range(2):
        best = minimize(loss, np.zeros(12), args=(features[i].double().numpy(),))
        np.testing.assert_allclose(weight[i], best.x.reshape(4, 3)[:3], atol=2e-3)
        found = torch.cat([weight[i], bias[i : i + 1]]).double().numpy()
        assert loss(found, features[i].double().numpy()) < best.fun + 1e-3


def test_principal_components_are_those_of_svd():
    features = torch.from_numpy(
        np.random.default_rng(0).normal(size=(2, 30, 12)) * np.geomspace(9, 1, 12)
    ).float()
    exact = torch.linalg.svd(features).Vh[:, :3].transpose(1, 2)
    overlap = (_principal(features, 3).transpose(1, 2) @ exact).abs()
    torch.testing.assert_close(overlap, torch.eye(3).repeat(2, 1, 1), atol=1e-3, rtol=0)


@pytest.mark.parametrize("method", ["frequency", "regression", "components", "copying"])
def test_every_method_tells_populations_of_people_it_never_saw(panels, method):
    train, test = panels
    edges = window_edges(130, 40)
    if method in ("regression", "components"):
        count = 10 if method == "components" else None
        found = RegressionModel.fit(train, LABELS, edges, components=count).log_probability(test.haplotypes)
    else:
        model = (FrequencyModel if method == "frequency" else CopyingModel).fit(train, LABELS)
        found = model.window_log_probability(test.haplotypes, edges)
    assert (found.shape, found.dtype) == ((120, 4, 3), np.float32)
    np.testing.assert_allclose(np.exp(found).sum(2), 1, atol=1e-5)
    assert (found.argmax(2) == np.repeat(LABELS, 2)[:, None]).mean() > 0.9


def test_missing_alleles_say_nothing(panels):
    train, test = panels
    edges = window_edges(130, 65)
    query = np.full_like(test.haplotypes[:2], MISSING)
    np.testing.assert_allclose(
        FrequencyModel.fit(train, LABELS).window_log_probability(query, edges), np.log(1 / 3)
    )
    found = RegressionModel.fit(train, LABELS, edges).log_probability(query)
    np.testing.assert_allclose(found[0], found[1])
