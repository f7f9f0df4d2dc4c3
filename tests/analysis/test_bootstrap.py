"""Intervals and paired tests: against textbook formulas, by coverage, and on closed cases."""

import json

import numpy as np
import pytest

from crocuta.analysis.bootstrap import bootstrap_interval, mean_sd, paired_difference
from crocuta.analysis.summary import summarise


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global stats
    from scipy import stats


def binary(n, right, seed=0):
    """Labels and probabilities of which a share `right` point at the true class."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    correct = generator.random(n) < right
    certainty = generator.uniform(0.5, 1.0, n)
    first = np.where((labels == 0) == correct, certainty, 1 - certainty)
    return labels, np.stack([first, 1 - first], axis=1)


def test_interval_of_accuracy_is_the_binomial_one():
    labels, probabilities = binary(2000, 0.8)
    found = bootstrap_interval(labels, probabilities, "accuracy", n=2000)
    low, high = stats.binom(2000, found.value).interval(0.95)
    assert found.low == pytest.approx(low / 2000, abs=0.003)
    assert found.high == pytest.approx(high / 2000, abs=0.003)


def test_intervals_cover_the_truth_as_often_as_they_say():
    inside = 0
    for seed in range(200):
        found = bootstrap_interval(*binary(200, 0.8, seed), "accuracy", n=200, level=0.8)
        inside += found.low <= 0.8 <= found.high
    assert 0.72 <= inside / 200 <= 0.88


@pytest.mark.parametrize("metric", ["mcc", "f1", "auroc", "auprc"])
def test_intervals_contain_their_value_and_shrink_with_the_level(metric):
    labels, probabilities = binary(300, 0.8)
    wide = bootstrap_interval(labels, probabilities, metric, n=300)
    narrow = bootstrap_interval(labels, probabilities, metric, n=300, level=0.5)
    assert wide.low < narrow.low < wide.value < narrow.high < wide.high


def test_several_seeds_are_averaged_on_the_same_resample():
    labels, first = binary(300, 0.8)
    second = first[:, ::-1]  # right where the first is wrong: on every resample the mean accuracy is 1/2
    found = bootstrap_interval(labels, [first, second], "accuracy", n=100)
    assert found == pytest.approx((0.5, 0.5, 0.5))


def test_resamples_are_reproducible_and_depend_on_the_seed():
    labels, probabilities = binary(200, 0.8)
    found = [bootstrap_interval(labels, probabilities, "mcc", n=100, seed=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_paired_difference_of_a_model_with_itself_is_zero():
    labels, probabilities = binary(200, 0.8)
    assert paired_difference(labels, probabilities, probabilities, "auroc", n=100) == (0.0, 0.0, 0.0, 1.0)


def test_paired_difference_sees_what_separate_intervals_do_not():
    labels, worse = binary(400, 0.7)
    better = worse.copy()
    fixed = np.flatnonzero(worse.argmax(1) != labels)[:12]
    better[fixed] = better[fixed, ::-1]
    apart = (
        bootstrap_interval(labels, better, "accuracy").low
        > bootstrap_interval(labels, worse, "accuracy").high
    )
    found = paired_difference(labels, better, worse, "accuracy")
    assert not apart
    assert found.value == pytest.approx(12 / 400)
    assert found.low > 0
    assert found.p < 0.01
    reverse = paired_difference(labels, worse, better, "accuracy")
    assert (reverse.value, reverse.low, reverse.high) == pytest.approx(
        (-found.value, -found.high, -found.low)
    )


def test_p_is_uniform_when_nothing_differs():
    values = [
        paired_difference(labels, a, binary(200, 0.7, 1000 + seed)[1], "accuracy", n=199).p
        for seed in range(150)
        for labels, a in [binary(200, 0.7, seed)]
    ]
    assert 0.35 < np.mean(values) < 0.65
    assert np.mean(np.array(values) < 0.1) < 0.2


def test_mean_sd():
    assert mean_sd([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert mean_sd([4.0]).mean == 4.0
    assert np.isnan(mean_sd([4.0]).sd)


def test_summary_is_json_and_compares_models_with_baselines_and_each_other():
    labels, a = binary(200, 0.9)
    models = {
        "hyena": [a, binary(200, 0.9, 1)[1]],
        "cnn": [binary(200, 0.85, 2)[1]] * 2,
        "kmer": [binary(200, 0.7, 3)[1]],
        "length": [np.full((200, 2), 0.5)],
    }
    found = json.loads(json.dumps(summarise(labels, models, "mcc", ["kmer", "length"]), allow_nan=False))
    pairs = [(row["model"], row["baseline"]) for row in found["paired"]]
    assert pairs == [
        ("hyena", "kmer"),
        ("hyena", "length"),
        ("cnn", "kmer"),
        ("cnn", "length"),
        ("hyena", "cnn"),
    ]
    assert {row["metric"] for row in found["paired"]} == {"mcc"}
    hyena, kmer = found["models"]["hyena"]["mcc"], found["models"]["kmer"]["mcc"]
    assert found["paired"][0]["difference"] == pytest.approx(hyena["mean"] - kmer["mean"])
    assert hyena["low"] < hyena["mean"] < hyena["high"]
    assert kmer["sd"] is None
    assert found["models"]["cnn"]["auroc"]["sd"] == 0.0
    assert found["resamples"] == 1000
