"""Markov models: the formula nucleotide by nucleotide, and the entropy of a chain that is known."""

import math

import numpy as np
import pytest

from crocuta.analysis import markov
from crocuta.analysis.markov import fit_markov
from crocuta.data.encoding import encode, reverse_complement

GENERATOR = np.random.default_rng(0)


def random_ids(length, unknown=0.0):
    ids = GENERATOR.integers(7, 11, length).astype(np.uint8)
    ids[GENERATOR.random(length) < unknown] = 11
    return ids


def naive(train, strengths, context, nucleotide):
    """P_j of the module's docstring, by counting."""
    below = 0.25 if not context and len(strengths) == 0 else None
    probability = 0.25 if below is None else below
    for j in range(len(context) + 1):
        tail = context[len(context) - j :]
        seen = dict.fromkeys((7, 8, 9, 10), 0)
        for ids in train:
            # Lower orders count what the highest order counts, without its first nucleotides.
            for i in range(len(strengths) - 1, len(ids)):
                word = ids[i - len(strengths) + 1 : i + 1]
                if 11 not in word and tuple(word[len(word) - 1 - j : -1]) == tail:
                    seen[word[-1]] += 1
        total = sum(seen.values())
        probability = (seen[nucleotide] + strengths[j] * probability) / (total + strengths[j])
    return probability


@pytest.mark.parametrize("both", [False, True])
def test_formula_nucleotide_by_nucleotide(both):
    train = [random_ids(150, 0.03), random_ids(60)]
    fitted = fit_markov(train, 3, both)
    ids = encode("ACGNTTGACA")
    strands = [part.tolist() for part in [*train, *(reverse_complement(x) for x in train if both)]]
    found = fitted.log_likelihood(ids, 3)
    nucleotides = ids.tolist()
    for i, nucleotide in enumerate(nucleotides):
        before = nucleotides[max(0, i - 3) : i]
        context = tuple(before[len(before) - before[::-1].index(11) :] if 11 in before else before)
        if nucleotide == 11:
            assert math.isnan(found[i])
        else:
            assert math.exp(found[i]) == pytest.approx(
                naive(strands, fitted.strengths, context, nucleotide), rel=1e-5
            )


def test_probabilities_sum_to_one():
    fitted = fit_markov([random_ids(500)], 4)
    for order, table in enumerate(fitted.tables):
        assert table.shape == (4**order, 4)
        np.testing.assert_allclose(table.sum(1), 1, atol=1e-5)


def test_perplexity_of_a_known_chain():
    """A nucleotide repeats the one two before it with probability 0.7, else another of three."""
    ids = random_ids(60_000)
    change = GENERATOR.random(len(ids)) > 0.7
    for i in range(2, len(ids)):
        ids[i] = 7 + (ids[i - 2] - 7 + (GENERATOR.integers(1, 4) if change[i] else 0)) % 4
    entropy = -(0.7 * math.log(0.7) + 0.3 * math.log(0.1))
    fitted = fit_markov([ids[:50_000]], 5)
    assert fitted.perplexity([ids[50_000:]], 1) == pytest.approx(4, abs=0.02)
    for order in (2, 5):  # smoothing keeps the higher order from learning noise by heart
        assert fitted.perplexity([ids[50_000:]], order) == pytest.approx(math.exp(entropy), rel=0.02)


def test_long_sequences_are_read_in_pieces(monkeypatch):
    train, test = [random_ids(400, 0.02)], random_ids(300, 0.02)
    whole = fit_markov(train, 4)
    expected = whole.log_likelihood(test, 4)
    monkeypatch.setattr(markov, "CHUNK", 37)
    pieces = fit_markov(train, 4)
    assert pieces.strengths == whole.strengths
    np.testing.assert_allclose(pieces.log_likelihood(test, 4), expected, rtol=1e-6)


def test_refuses_tables_that_no_machine_holds():
    with pytest.raises(ValueError, match="0 to 12, got 13"):
        fit_markov([random_ids(10)], 13)
