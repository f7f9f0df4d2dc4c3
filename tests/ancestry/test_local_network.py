import numpy as np
import pytest

from crocuta.ancestry.methods.copying import Blocks
from crocuta.ancestry.methods.smoothing import ChainSettings, smooth_individuals


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global network, Examples, LocalRecipe, score_posterior
    from crocuta.ancestry.local import network
    from crocuta.ancestry.local.examples import Examples, LocalRecipe, score_posterior


@pytest.fixture(scope="module")
def examples():
    """Two cohorts whose evidence is shifted: population 2 looks more probable than it is."""
    rng = np.random.default_rng(0)
    cm = np.linspace(0, 40, 200)
    made = []
    for _ in range(2):
        truth = np.repeat(rng.integers(0, 3, (16, 10)), 20, 1)
        evidence = rng.normal(size=(16, 200, 3)) + np.eye(3)[truth] + np.array([0, 0, 0.8])
        made.append(Examples(Blocks(np.arange(200), cm, 1, 200), evidence.astype(np.float32), truth))
    return made


def test_untrained_it_passes_the_chain_on(examples):
    evidence, cm = examples[0].evidence, examples[0].blocks.cm
    posterior = smooth_individuals(evidence, cm, ChainSettings())
    found = network._predict(network.make_network(3), network.channels(evidence, posterior))
    np.testing.assert_allclose(found, posterior, atol=1e-4)


def test_the_other_haplotype_stands_beside_its_own(examples):
    evidence = examples[0].evidence
    found = network.channels(evidence, np.full(evidence.shape, 1 / 3))
    np.testing.assert_array_equal(found[0, :, 6:], found[1, :, :6])
    np.testing.assert_array_equal(found[3, :, :6], found[2, :, 6:])


def test_stretches_join_without_a_seam(examples, monkeypatch):
    evidence = examples[0].evidence
    channels = network.channels(
        evidence, smooth_individuals(evidence, examples[0].blocks.cm, ChainSettings())
    )
    untrained = network.make_network(3)
    whole = network._predict(untrained, channels)
    monkeypatch.setattr(network, "LENGTH", 64)
    monkeypatch.setattr(network, "OVERLAP", 8)
    np.testing.assert_allclose(network._predict(untrained, channels), whole, atol=1e-5)


def test_examples_are_renamed_with_their_labels():
    """Evidence that names the truth still does once populations have other names; of three, some orders go round."""
    truth = np.random.default_rng(0).integers(0, 3, (8, 100))
    evidence = np.tile(np.eye(3, dtype=np.float32)[truth], 4)
    for seed in range(12):
        stretch, labels = network._batch([(evidence, truth)], np.random.default_rng(seed))
        for kind in stretch.split(3, dim=2):
            np.testing.assert_array_equal(kind.argmax(2), labels)


def test_training_mends_what_the_chain_gets_wrong(examples, tmp_path):
    chain = ChainSettings()
    scores = network.train_smoother(examples, chain, LocalRecipe(steps=80), tmp_path, device="cpu")
    made = examples[0]
    before = score_posterior(smooth_individuals(made.evidence, made.blocks.cm, chain), made.truth)
    found = network.read_smoother(tmp_path, "cpu").posterior(made.evidence, made.blocks.cm, chain)
    after = score_posterior(found, made.truth)
    assert after["log_loss"] < before["log_loss"]
    assert after["accuracy"] > before["accuracy"] + 0.05  # 74% before
    assert scores["log_loss"] < before["log_loss"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network"]
