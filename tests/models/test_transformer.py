"""The Transformer baseline: rotary positions, masks, round trip."""

import numpy as np
import pytest
import torch

from crocuta.nn.attention import rotate


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoModelForSequenceClassification, TransformerConfig, TransformerForSequenceClassification
    from transformers import AutoModelForSequenceClassification

    from crocuta.models.transformer import TransformerConfig, TransformerForSequenceClassification


SMALL = {"d_model": 16, "n_head": 2, "d_inner": 32}


def test_rotary_scores_depend_on_distance_only():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 8, dtype=torch.float64).expand(2, 30, 8)
    scores = rotate(q) @ rotate(k).T
    torch.testing.assert_close(scores[5, 9], scores[15, 19], rtol=1e-5, atol=1e-6)
    assert (scores[5, 9] - scores[5, 20]).abs() > 1e-3


def test_prediction_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    model = TransformerForSequenceClassification(TransformerConfig(**SMALL))
    alone = model.predict(["ACGTTGCA"]).probabilities[0]
    beside = model.predict(["ACGTTGCA", "ACGTACGTACGTACGTACGT"]).probabilities[0]
    np.testing.assert_allclose(beside, alone, atol=1e-6)


def test_order_of_letters_matters():
    torch.manual_seed(0)
    model = TransformerForSequenceClassification(TransformerConfig(**SMALL))
    first, second = model.predict(["AACCGGTT", "TTGGCCAA"]).probabilities
    assert np.abs(first - second).max() > 1e-6


def test_round_trip_through_auto_model(tmp_path):
    model = TransformerForSequenceClassification(TransformerConfig(**SMALL)).eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids = torch.randint(7, 12, (2, 20))
    assert torch.equal(again(ids).logits, model(ids).logits)
