import itertools
from dataclasses import replace

import numpy as np
import pytest

from crocuta.ancestry.methods import copying
from crocuta.ancestry.methods.copying import CopyingModel, CopyingSettings, make_blocks
from crocuta.variants import MISSING

SETTINGS = CopyingSettings(mismatch=0.1, redraws=0.3, generations=12.0)


def enumerated(panel, labels, query, settings, size):
    """Posterior of populations by summing over every path of copied haplotypes, in float64."""
    blocks = make_blocks(panel.sites.position, panel.sites.cm, size)
    reference, of = panel.haplotypes, np.repeat(labels, 2)
    counts = np.bincount(of)
    members, populations = range(len(of)), len(counts)

    def emission(t, r):
        sites = slice(blocks.start[t], blocks.start[t] + size)
        known = query[sites] != MISSING
        return settings.mismatch ** (known & (query[sites] != reference[r, sites])).sum()

    def transition(t, r, s):
        d = blocks.cm[t] - blocks.cm[t - 1]
        stay, same = np.exp(-settings.generations * d / 100), np.exp(-settings.redraws * d)
        within = stay * (1 - same) / counts[of[s]] * (of[r] == of[s])
        return stay * same * (r == s) + within + (1 - stay) / populations / counts[of[s]]

    found = np.zeros((len(blocks), populations))
    for path in itertools.product(members, repeat=len(blocks)):
        weight = emission(0, path[0]) / counts[of[path[0]]]
        for t in range(1, len(blocks)):
            weight *= transition(t, path[t - 1], path[t]) * emission(t, path[t])
        for t, r in enumerate(path):
            found[t, of[r]] += weight
    return found / found.sum(1, keepdims=True)


@pytest.mark.parametrize("chunk", [2, 32])
def test_posterior_is_the_sum_over_all_paths(random_panel, monkeypatch, chunk):
    monkeypatch.setattr(copying, "CHUNK", chunk)
    labels = np.array([1, 0, 1])
    panel, query = random_panel(3, 9), random_panel(2, 9, seed=5).haplotypes.copy()
    query[0, 3:5] = MISSING
    model = CopyingModel.fit(panel, labels, SETTINGS, block_sites=2)
    expected = np.stack([enumerated(panel, labels, row, SETTINGS, 2) for row in query])
    np.testing.assert_allclose(model.posterior(query), expected, atol=2e-6)


def test_window_is_the_likelihood_of_each_population_alone(random_panel):
    labels = np.array([0, 1, 1])
    panel, query = random_panel(3, 8), random_panel(1, 8, seed=6).haplotypes
    settings = replace(SETTINGS, generations=0.0)
    model = CopyingModel.fit(panel, labels, settings, block_sites=2)
    found = model.window_log_probability(query, np.array([[0, 8]]))
    # without change of ancestry, the posterior of any block is that of the whole window
    expected = np.stack([enumerated(panel, labels, row, settings, 2)[:1] for row in query])
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-6)


def test_long_chromosomes_neither_underflow_nor_forget(random_panel):
    labels = np.repeat([0, 1, 2], 4)
    panel = random_panel(12, 4000, labels=labels, cm=50)
    query = random_panel(1, 4000, seed=7, labels=np.array([2])).haplotypes
    found = CopyingModel.fit(panel, labels).posterior(query)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-5)
    assert (found.argmax(2) == 2).mean() > 0.99


def test_evidence_of_blocks_adds_up_to_that_of_the_window(random_panel):
    labels = np.array([0, 1, 1])
    panel, query = random_panel(3, 80), random_panel(2, 80, seed=6).haplotypes
    model = CopyingModel.fit(panel, labels, SETTINGS, block_sites=2)
    total = model.evidence(query).sum(1)
    expected = model.window_log_probability(query, np.array([[0, 80]]))[:, 0]
    np.testing.assert_allclose(total - np.logaddexp.reduce(total, 1, keepdims=True), expected, atol=1e-4)


def test_evidence_is_the_same_from_either_end(random_panel):
    labels = np.array([0, 1, 1])
    panel, query = random_panel(3, 90), random_panel(2, 90, seed=6).haplotypes
    turned = replace(panel.at(slice(None, None, -1)))
    turned = replace(
        turned, sites=replace(turned.sites, cm=20 - turned.sites.cm, position=panel.sites.position)
    )
    there, back = (CopyingModel.fit(found, labels, SETTINGS, block_sites=2) for found in (panel, turned))
    np.testing.assert_allclose(there.evidence(query), back.evidence(query[:, ::-1])[:, ::-1], atol=1e-4)


def test_missing_reference_alleles_weigh_as_their_population_does(random_panel):
    labels = np.array([0, 0, 1, 1])
    panel = random_panel(4, 60, labels=labels, cm=2)
    holes = panel.allele.copy()
    holes[np.random.default_rng(0).random(holes.shape) < 0.1] = MISSING
    query = random_panel(2, 60, seed=8, labels=np.array([0, 1])).haplotypes
    full, holed = (
        CopyingModel.fit(replace(panel, allele=a), labels).posterior(query) for a in (panel.allele, holes)
    )
    assert (full.argmax(2) == holed.argmax(2)).mean() > 0.9


def test_blocks_hold_what_lies_in_eight_kilobases():
    position = np.arange(1, 400_001, 1000)
    blocks = make_blocks(position, position / 1e6)
    assert (blocks.size, len(blocks)) == (8, 50)
    assert blocks.of_sites()[8] == 1
    assert make_blocks(position * 100, position / 1e6).size == 1
