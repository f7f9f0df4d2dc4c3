"""Boosted trees and the majority: scikit-learn's answers, from tensors alone."""

from dataclasses import replace

import numpy as np
import pytest


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global HistGradientBoostingClassifier, Ensemble, MajorityConfig, BoostedConfig, boosted, fit_baseline
    global kmers, train_boosted, CONFIG
    from sklearn.ensemble import HistGradientBoostingClassifier

    from crocuta.classification import boosted
    from crocuta.classification.baselines import fit_baseline
    from crocuta.classification.boosted import kmers, train_boosted
    from crocuta.models.baselines import MajorityConfig
    from crocuta.models.boosted import BoostedConfig
    from crocuta.models.ensemble import Ensemble

    CONFIG = BoostedConfig(longest_kmer=3, leaves=7)


OPTIONS = {"seed": 0, "metric": "mcc", "both_strands": False}


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(boosted, "ROUNDS", 20)


def test_trees_find_the_box_and_survive_saving(splits, tmp_path):
    fit = train_boosted(BoostedConfig(), splits, tmp_path, **OPTIONS | {"both_strands": True})
    assert fit.valid["auroc"] > 0.9
    assert fit.parameters > 0
    labels, probabilities = Ensemble.load([tmp_path]).predict(
        ["GGGCCCTATAAAAGGGCCGGGC", "GCGCGGCGCCGACGCGGCGACGCG"]
    )
    assert labels == ["promoter", "other"]
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_equal_those_of_scikit_learn(splits, tmp_path, classes):
    names = tuple("abc"[:classes])
    parts = {
        part: replace(getattr(splits, part), labels=np.arange(len(getattr(splits, part))) % classes, classes=names)
        for part in ("train", "valid", "test")
    }  # fmt: skip
    mixed = replace(splits, **parts)
    fit = train_boosted(CONFIG, mixed, tmp_path, **OPTIONS)
    forest = HistGradientBoostingClassifier(
        max_iter=fit.best_epoch, max_leaf_nodes=7, early_stopping=False, random_state=0
    )
    forest.fit(kmers(mixed.train.sequences, CONFIG, False), mixed.train.labels)
    theirs = forest.predict_proba(kmers(mixed.test.sequences, CONFIG, False))
    ours = Ensemble.load([tmp_path]).probabilities(mixed.test.sequences)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_several_labels_are_separate_questions(splits, tmp_path):
    def both(part):
        return replace(part, labels=np.stack([part.labels, 1 - part.labels], axis=1))

    twofold = replace(splits, **{name: both(getattr(splits, name)) for name in ("train", "valid", "test")})
    train_boosted(CONFIG, twofold, tmp_path, **OPTIONS | {"metric": "auroc"})
    probabilities = Ensemble.load([tmp_path]).probabilities(twofold.test.sequences)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert ((probabilities > 0.5) == twofold.test.labels).mean() > 0.8


def test_the_majority_knows_shares_and_nothing_else(splits, tmp_path):
    fit = fit_baseline(MajorityConfig(), splits, tmp_path)
    assert fit.valid["mcc"] == 0
    assert fit.valid["auroc"] == 0.5
    shares = Ensemble.load([tmp_path]).probabilities(splits.test.sequences)
    np.testing.assert_allclose(shares[:, 1], splits.train.labels.mean(), atol=0.01)
