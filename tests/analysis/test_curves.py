"""Curves against scikit-learn; reliability on probabilities whose truth is known."""

import numpy as np
import pytest

from crocuta.analysis.curves import mean_precision_recall, mean_roc, precision_recall, reliability, roc
from crocuta.analysis.scores import scores


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global oracle
    from sklearn import metrics as oracle


@pytest.fixture(params=[None, 1], ids=["distinct", "tied"])
def question(request):
    generator = np.random.default_rng(0)
    positive = generator.random(300) < 0.4
    score = 1 / (1 + np.exp(-generator.normal(size=300) - positive))
    return positive, score if request.param is None else score.round(request.param)


def two_classes(positive, score):
    return positive.astype(int), np.stack([1 - score, score], axis=1)


def test_roc_agrees_with_scikit_learn(question):
    x, y, _ = oracle.roc_curve(*question, drop_intermediate=False)
    found = roc(*question)
    np.testing.assert_allclose(found, (x, y))


def test_precision_recall_agrees_with_scikit_learn(question):
    precision, recall, _ = oracle.precision_recall_curve(*question)
    found = precision_recall(*question)
    np.testing.assert_allclose(found.x, recall[:-1][::-1])
    np.testing.assert_allclose(found.y, precision[:-1][::-1])


def test_areas_under_the_mean_curves_are_the_scores(question):
    labels, probabilities = two_classes(*question)
    seeds = [probabilities, probabilities**2 / (probabilities**2).sum(1, keepdims=True)]
    expected = scores(labels, probabilities)  # the second seed ranks the same
    assert oracle.auc(*mean_roc(labels, seeds, 2001)) == pytest.approx(expected["auroc"], abs=2e-3)
    area = mean_precision_recall(labels, seeds, 2001).y[1:].mean()
    assert area == pytest.approx(expected["auprc"], abs=2e-3)


def test_mean_roc_starts_and_ends_in_the_corners(question):
    curve = mean_roc(*two_classes(*question))
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.y) >= 0).all()


def test_a_class_without_examples_does_not_enter_the_mean():
    labels = np.array([[1, 0], [0, 0], [1, 0]])
    probabilities = np.array([[0.9, 0.5], [0.1, 0.2], [0.8, 0.9]])
    assert mean_roc(labels, probabilities).y.mean() == pytest.approx(1, abs=0.01)
    assert len(mean_roc(labels[:, 1:], probabilities[:, 1:]).x) == 0


def test_honest_probabilities_have_a_small_calibration_error():
    generator = np.random.default_rng(0)
    p = generator.random(50_000)
    labels = (generator.random(50_000) < p).astype(int)
    found = reliability(labels, np.stack([1 - p, p], axis=1))
    assert found.expected_calibration_error < 0.01
    np.testing.assert_allclose(found.observed, found.predicted, atol=0.03)


def test_overconfidence_is_the_error():
    probabilities = np.tile([0.1, 0.9], (10, 1))
    found = reliability(np.array([1] * 6 + [0] * 4), probabilities)
    assert found.expected_calibration_error == pytest.approx(0.3)
    np.testing.assert_allclose([found.predicted, found.observed, found.counts], [[0.9], [0.6], [10]])


def test_many_classes_judge_the_predicted_one_and_seeds_are_pooled():
    certain, unsure = np.tile([0.0, 1.0, 0.0], (4, 1)), np.tile([0.5, 0.25, 0.25], (4, 1))
    found = reliability(np.array([1, 1, 0, 0]), [certain, certain, unsure])
    np.testing.assert_allclose(found.predicted, [0.5, 1.0])
    np.testing.assert_allclose(found.observed, [0.5, 0.5])
    assert found.expected_calibration_error == pytest.approx(0.5 * 8 / 12)


def test_multi_label_counts_every_class():
    found = reliability(np.array([[1, 0], [0, 0]]), np.array([[0.9, 0.1], [0.1, 0.1]]))
    np.testing.assert_array_equal(found.counts, [3, 1])
    assert found.expected_calibration_error == pytest.approx(0.1)
