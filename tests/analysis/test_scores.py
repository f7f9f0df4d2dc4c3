"""Scores against scikit-learn as oracle, and against cases whose answer is known."""

import numpy as np
import pytest

from crocuta.analysis.scores import METRICS, confusion, scores, statistic


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global oracle
    from sklearn import metrics as oracle


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def example(classes, n=400, seed=0, decimals=None):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    logits = generator.normal(size=(n, classes))
    logits[np.arange(n), labels] += 1.0
    probabilities = softmax(logits)
    return labels, probabilities if decimals is None else probabilities.round(decimals)


def multi_label_example(n=300, k=5, seed=1):
    generator = np.random.default_rng(seed)
    labels = (generator.random((n, k)) < 0.3).astype(int)
    return labels, np.clip(0.4 * labels + 0.7 * generator.random((n, k)), 0, 1)


@pytest.mark.parametrize("decimals", [None, 1], ids=["distinct", "tied"])
def test_two_classes_agree_with_scikit_learn(decimals):
    labels, probabilities = example(2, decimals=decimals)
    guess, score = probabilities.argmax(1), probabilities[:, 1]
    assert scores(labels, probabilities) == pytest.approx(
        {
            "mcc": oracle.matthews_corrcoef(labels, guess),
            "accuracy": oracle.accuracy_score(labels, guess),
            "f1": oracle.f1_score(labels, guess),
            "auroc": oracle.roc_auc_score(labels, score),
            "auprc": oracle.average_precision_score(labels, score),
        },
        abs=1e-12,
    )


@pytest.mark.parametrize("classes", [3, 9])
def test_many_classes_agree_with_scikit_learn(classes):
    labels, probabilities = example(classes, decimals=None)
    guess = probabilities.argmax(1)
    one_hot = np.eye(classes, dtype=int)[labels]
    assert scores(labels, probabilities) == pytest.approx(
        {
            "mcc": oracle.matthews_corrcoef(labels, guess),
            "accuracy": oracle.accuracy_score(labels, guess),
            "f1": oracle.f1_score(labels, guess, average="macro"),
            "auroc": oracle.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
            "auprc": oracle.average_precision_score(one_hot, probabilities, average="macro"),
        },
        abs=1e-12,
    )


def test_multi_label_is_the_mean_over_groups():
    labels, probabilities = multi_label_example()
    guess = (probabilities >= 0.5).astype(int)
    groups = range(labels.shape[1])
    assert scores(labels, probabilities) == pytest.approx(
        {
            "mcc": np.mean([oracle.matthews_corrcoef(labels[:, k], guess[:, k]) for k in groups]),
            "accuracy": (labels == guess).mean(),
            "f1": oracle.f1_score(labels, guess, average="macro"),
            "auroc": oracle.roc_auc_score(labels, probabilities),
            "auprc": oracle.average_precision_score(labels, probabilities),
        },
        abs=1e-12,
    )


def test_a_group_without_positives_is_left_out_and_counted():
    labels, probabilities = multi_label_example()
    without = scores(np.delete(labels, 2, axis=1), np.delete(probabilities, 2, axis=1))
    labels[:, 2], probabilities[:, 2] = 0, 0.1
    found = scores(labels, probabilities)
    for metric in ("mcc", "f1", "auroc", "auprc"):
        assert found[metric] == pytest.approx(without[metric], abs=1e-12)
        assert found.undefined[metric] == 1
    assert found.undefined["accuracy"] == 0


def test_perfect_reversed_and_constant_predictions():
    labels = np.array([0, 0, 1, 1])
    right = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]])
    assert scores(labels, right) == dict.fromkeys(METRICS, 1.0)
    wrong = scores(labels, right[:, ::-1])
    assert (wrong["mcc"], wrong["accuracy"], wrong["f1"], wrong["auroc"]) == (-1.0, 0.0, 0.0, 0.0)
    constant = scores(labels, np.tile([0.6, 0.4], (4, 1)))
    assert (constant["mcc"], constant["accuracy"], constant["auroc"]) == (0.0, 0.5, 0.5)
    assert constant["auprc"] == 0.5


def test_one_class_in_the_test_set_leaves_ranking_undefined():
    found = scores(np.zeros(3, dtype=int), np.tile([0.7, 0.3], (3, 1)))
    assert np.isnan(found["auroc"])
    assert np.isnan(found["mcc"])
    assert found["accuracy"] == 1.0
    assert found.undefined["auroc"] == 1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("make", [lambda: example(2), lambda: example(4, decimals=1), multi_label_example])
def test_weights_mean_repetition(metric, make):
    labels, probabilities = make()
    weights = np.random.default_rng(3).integers(0, 4, (len(labels), 3))
    found = statistic(labels, probabilities, metric)(weights.astype(float))
    for column in range(3):
        rows = np.repeat(np.arange(len(labels)), weights[:, column])
        assert found[column] == pytest.approx(scores(labels[rows], probabilities[rows])[metric], abs=1e-12)


def test_confusion_agrees_with_scikit_learn():
    labels, probabilities = example(4)
    guess = probabilities.argmax(1)
    assert (confusion(labels, probabilities)[0] == oracle.confusion_matrix(labels, guess)).all()
    labels, probabilities = multi_label_example()
    guess = probabilities >= 0.5
    assert (confusion(labels, probabilities) == oracle.multilabel_confusion_matrix(labels, guess)).all()


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [[0.5, 0.5]], "labels have shape"),
        ([], np.zeros((0, 2)), "labels have shape"),
        ([0, 2], [[0.5, 0.5]] * 2, "integers from 0 to 1"),
        ([0, -1], [[0.5, 0.5]] * 2, "integers from 0 to 1"),
        ([0, 1], [[0.5, np.nan]] * 2, "NaN"),
        ([0, 1], [[0.5], [0.5]], "expected .examples, classes."),
    ],
)
def test_what_does_not_fit_is_named(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        scores(np.asarray(labels), np.asarray(probabilities))


def test_unknown_metric_lists_the_known_ones():
    with pytest.raises(ValueError, match="mcc, accuracy, f1, auroc, auprc"):
        statistic(np.array([0, 1]), np.array([[0.5, 0.5]] * 2), "r2")
