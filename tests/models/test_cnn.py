"""The CNN against the original's numbers and sizes."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoModelForSequenceClassification, CNNConfig, CNNForSequenceClassification, convert
    from transformers import AutoModelForSequenceClassification

    from crocuta.models.cnn import CNNConfig, CNNForSequenceClassification, convert


ORIGINAL_SYMBOLS = torch.tensor([7, 8, 10, 9, 11])  # A, C, T, G, N as our token ids


@pytest.fixture
def original(golden):
    folder = golden("hge")
    model = CNNForSequenceClassification(CNNConfig(max_length=20, hidden_features=48))
    model.load_state_dict(convert(load_file(folder / "CNN_fc48.state.safetensors")))
    return model.double(), np.load(folder / "CNN_fc48.io.npz")


def test_golden_evaluation(original):
    model, arrays = original
    ids = ORIGINAL_SYMBOLS[torch.from_numpy(arrays["in.token_ids"])]
    output = model.eval()(ids, labels=torch.from_numpy(arrays["in.labels"]))
    np.testing.assert_allclose(
        output.logits.detach(), arrays["out.eval_logits_initial_stats"], rtol=0, atol=1e-10
    )
    assert output.loss.item() == pytest.approx(float(arrays["out.eval_loss_initial_stats"]), abs=1e-10)


def test_golden_training_step(original):
    model, arrays = original
    ids = ORIGINAL_SYMBOLS[torch.from_numpy(arrays["in.token_ids"])]
    output = model.train()(ids, labels=torch.from_numpy(arrays["in.labels"]))
    np.testing.assert_allclose(output.logits.detach(), arrays["out.train_logits"], rtol=0, atol=1e-10)
    output.loss.backward()
    gradient = model.score.weight.grad.numpy()
    expected = arrays["grad.train_loss.mlr.weight"]
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(("length", "parameters"), [(70, 1_232_402), (300, 5_118_482)])
def test_original_number_of_parameters(length, parameters):
    assert CNNForSequenceClassification(CNNConfig(max_length=length)).num_parameters() == parameters


def test_short_sequences_are_padded_and_long_ones_refused():
    model = CNNForSequenceClassification(CNNConfig(max_length=20)).eval()
    alone = model.predict(["ACGTACGT"]).probabilities[0]
    beside = model.predict(["ACGTACGT", "ACGTACGTACGTACGTACGT"]).probabilities[0]
    np.testing.assert_allclose(beside, alone, atol=1e-6)
    with pytest.raises(ValueError, match="25 nucleotides is 5 longer than max_length = 20"):
        model(torch.full((1, 25), 7))


def test_round_trip_through_auto_model(tmp_path):
    model = CNNForSequenceClassification(CNNConfig(max_length=20, num_labels=3)).eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids = torch.randint(7, 12, (2, 20))
    assert torch.equal(again(ids).logits, model(ids).logits)


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_pooled_cnn_reads_any_length_and_ignores_padding(pool):
    torch.manual_seed(0)
    model = CNNForSequenceClassification(CNNConfig(max_length=20, pool=pool)).eval()
    alone = model.predict(["ACGTTGCATT"]).probabilities[0]
    beside = model.predict(["ACGTTGCATT", "ACGTACGTACGTACGTACGTACGTACGTACGT"]).probabilities[0]
    np.testing.assert_allclose(beside, alone, atol=1e-6)
