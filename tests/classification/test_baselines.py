"""The linear baselines: fitted by scikit-learn, saved and used like any model."""

import numpy as np
import pytest


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global LogisticRegression, Ensemble, KmerConfig, LengthConfig, fit_baseline, fit_logistic
    from sklearn.linear_model import LogisticRegression

    from crocuta.classification.baselines import fit_baseline, fit_logistic
    from crocuta.models.baselines import KmerConfig, LengthConfig
    from crocuta.models.ensemble import Ensemble


def test_kmers_find_the_box(splits, tmp_path):
    fit = fit_baseline(KmerConfig(longest_kmer=4), splits, tmp_path)
    assert fit.valid["auroc"] > 0.9
    ensemble = Ensemble.load([tmp_path])
    labels, probabilities = ensemble.predict(["GGGCCCTATAAAAGGGCCGGGC", "GCGCGGCGCCGACGCGGCGACGCG"])
    assert labels == ["promoter", "other"]
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert fit_baseline(KmerConfig(longest_kmer=4), splits, tmp_path, resume=True) == fit


def test_length_tells_nothing_here(splits, tmp_path):
    assert abs(fit_baseline(LengthConfig(features=4), splits, tmp_path).valid["auroc"] - 0.5) < 0.25


@pytest.mark.parametrize("classes", [2, 3])
def test_logits_equal_those_of_scikit_learn(classes):
    draw = np.random.default_rng(0)
    features, labels = draw.normal(size=(60, 5)), np.arange(60) % classes
    weight, bias = fit_logistic(features, labels, 1.0)
    logits = features @ weight.T + bias
    ours = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    theirs = LogisticRegression(C=1.0, max_iter=200, tol=1e-3).fit(features, labels).predict_proba(features)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_multi_label_questions_are_separate():
    draw = np.random.default_rng(0)
    features = draw.normal(size=(60, 5))
    labels = (features[:, :3] > 0).astype(int)
    weight, bias = fit_logistic(features, labels, 1.0)
    assert weight.shape == (3, 5)
    assert bias.shape == (3,)
    assert (((features @ weight.T + bias) > 0) == labels).mean() > 0.9
