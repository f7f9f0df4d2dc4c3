import itertools
from dataclasses import replace

import numpy as np
import pytest

from crocuta.ancestry.methods.calibration import fit_power, log_loss, sharpen
from crocuta.ancestry.methods.smoothing import (
    ChainSettings,
    estimate_chain,
    log_likelihood,
    smooth_haplotypes,
    smooth_individuals,
)

CM = np.array([0.0, 1.0, 4.0, 4.5, 9.0])
SETTINGS = ChainSettings(generations=15, phase_switches=0.08, temperature=1.5, floor=0.05)


def haplotype_step(settings, distance, populations):
    stay = np.exp(-settings.generations * distance / 100)
    return stay * np.eye(populations) + (1 - stay) / populations


def brute(evidence, settings):
    """Posterior (2, T, K) of a person and the likelihood, over all pairs of paths and all phase switches."""
    _, places, populations = evidence.shape
    pairs = list(itertools.product(range(populations), repeat=2))
    found, total = np.zeros((2, places, populations)), 0.0
    scaled = (np.exp(evidence - evidence.max(2, keepdims=True)) + settings.floor) ** (
        1 / settings.temperature
    )
    for path in itertools.product(pairs, repeat=places):
        weight = populations**-2.0
        for t, (a, b) in enumerate(path):
            if t:
                d = CM[t] - CM[t - 1]
                swap, step = (
                    (1 - np.exp(-2 * settings.phase_switches * d)) / 2,
                    haplotype_step(settings, d, populations),
                )
                before_a, before_b = path[t - 1]
                weight *= (1 - swap) * step[before_a, a] * step[before_b, b] + swap * step[
                    before_a, b
                ] * step[before_b, a]
            weight *= scaled[0, t, a] * scaled[1, t, b]
        total += weight
        for t, (a, b) in enumerate(path):
            found[0, t, a] += weight
            found[1, t, b] += weight
    return found / total, np.log(total)


@pytest.fixture(scope="module")
def evidence():
    return np.random.default_rng(0).normal(size=(4, 5, 2)) * 2


def test_pairs_are_the_sum_over_all_paths_and_switches(evidence):
    found = smooth_individuals(evidence, CM, SETTINGS)
    one, two = brute(evidence[:2], SETTINGS), brute(evidence[2:], SETTINGS)
    np.testing.assert_allclose(found, np.concatenate([one[0], two[0]]), rtol=1e-9)
    assert log_likelihood(evidence, CM, SETTINGS) == pytest.approx(one[1] + two[1], rel=1e-9)


def test_without_phase_switches_haplotypes_stand_alone(evidence):
    settings = replace(SETTINGS, phase_switches=0.0)
    alone = smooth_haplotypes(evidence, CM, settings)
    np.testing.assert_allclose(alone, smooth_individuals(evidence, CM, settings), rtol=1e-9)
    np.testing.assert_allclose(alone[:2], brute(evidence[:2], settings)[0], rtol=1e-9)


def test_a_prior_of_its_own_for_a_haplotype(evidence):
    prior = np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    found = smooth_haplotypes(evidence, CM, SETTINGS, prior)
    np.testing.assert_allclose(found[0, :, 0], 1)
    np.testing.assert_allclose(found[1:], smooth_haplotypes(evidence, CM, SETTINGS)[1:])


def simulated(generations, phase_switches, individuals=30, places=400):
    rng = np.random.default_rng(1)
    cm = np.linspace(0, 60, places)
    truth = np.empty((individuals, 2, places), int)
    for person in range(individuals):
        for haplotype in range(2):
            fresh = rng.random(places) > np.exp(-generations * np.diff(cm, prepend=0) / 100)
            values = rng.integers(0, 3, places)
            last = np.maximum.accumulate(np.where(fresh | (np.arange(places) == 0), np.arange(places), 0))
            truth[person, haplotype] = values[last]
        swapped = np.cumsum(rng.random(places) < phase_switches * 60 / places) % 2 == 1
        truth[person][:, swapped] = truth[person][::-1][:, swapped]
    truth = truth.reshape(-1, places)
    return rng.normal(size=(*truth.shape, 3)) + 2.0 * np.eye(3)[truth], truth, cm


@pytest.mark.parametrize(("generations", "switches"), [(8, 0.001), (32, 0.3)])
def test_rates_are_found_without_the_truth(generations, switches):
    evidence, _, cm = simulated(generations, switches)
    found = estimate_chain(2 * evidence, cm, ChainSettings())
    assert found.generations == generations
    assert found.phase_switches in ([0.001, 0.01] if switches == 0.001 else [0.3])


def test_allowing_for_phase_errors_pays_where_there_are_some():
    evidence, truth, cm = simulated(8, 0.3)
    right = [
        (smooth_individuals(evidence, cm, ChainSettings(8, rate)).argmax(2) == truth).mean()
        for rate in (0.0, 0.3)
    ]
    assert right[1] > right[0] + 0.01


def test_calibration_takes_back_what_made_posteriors_too_sure():
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.ones(3), 20_000)
    truth = (rng.random((20_000, 1)) > honest.cumsum(1)).sum(1)
    sure = sharpen(honest, 2.0)
    assert fit_power(sure, truth) == pytest.approx(0.5, rel=0.09)
    assert log_loss(sharpen(sure, 0.5), truth) < log_loss(sure, truth)
    np.testing.assert_allclose(sharpen(sure, 0.5), honest, atol=1e-3)
