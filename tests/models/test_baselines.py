"""Features of the linear baselines against plain counting."""

from itertools import product

import pytest
import torch

from crocuta.data.batch import pad_batch
from crocuta.data.encoding import encode


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global KmerConfig, KmerForSequenceClassification, LengthConfig, LengthForSequenceClassification
    from crocuta.models.baselines import (
        KmerConfig,
        KmerForSequenceClassification,
        LengthConfig,
        LengthForSequenceClassification,
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_kmers_are_counted(side):
    sequences = ["ACGTNACG", "TT", "AAAAAAA"]
    model = KmerForSequenceClassification(KmerConfig(longest_kmer=3))
    ids, mask = pad_batch([encode(sequence) for sequence in sequences], side)
    features = model.features(torch.from_numpy(ids), torch.from_numpy(mask)) ** 2
    words = ["".join(nucleotides) for k in (1, 2, 3) for nucleotides in product("ACGT", repeat=k)]
    for row, sequence in enumerate(sequences):
        expected = [sum(sequence[i:].startswith(word) for i in range(len(sequence))) for word in words]
        torch.testing.assert_close(features[row], torch.tensor(expected, dtype=torch.float32))


def test_sequence_shorter_than_the_longest_kmer():
    model = KmerForSequenceClassification(KmerConfig())
    assert model(torch.tensor([[7, 8]])).logits.shape == (1, 2)


def test_length_baseline_sees_length_alone():
    torch.manual_seed(0)
    model = LengthForSequenceClassification(LengthConfig(features=4))
    model.adapt(torch.tensor([10, 20, 30, 40]))
    torch.nn.init.normal_(model.score.weight)
    same = model.predict(["A" * 12, "CGT" * 4]).probabilities
    other = model.predict(["A" * 39]).probabilities
    assert (same[0] == same[1]).all()
    assert (same[0] != other[0]).any()


def test_predictions_keep_the_order_of_the_sequences():
    """Batches hold sequences of like length; what they tell goes back to where its sequence stood."""
    torch.manual_seed(0)
    model = LengthForSequenceClassification(LengthConfig(features=4))
    model.adapt(torch.tensor([10, 20, 30, 40]))
    torch.nn.init.normal_(model.score.weight)
    sequences = ["A" * n for n in (39, 8, 25, 12, 33)]
    together = model.predict(sequences).probabilities
    for row, sequence in zip(together, sequences, strict=True):
        assert row.tolist() == pytest.approx(model.predict([sequence]).probabilities[0].tolist(), abs=1e-6)


def test_baselines_survive_a_round_trip(tmp_path):
    model = LengthForSequenceClassification(LengthConfig())
    model.adapt(torch.arange(100))
    model.save_pretrained(tmp_path)
    again = LengthForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(again.edges, model.edges)
    assert model.edges.std() > 1
