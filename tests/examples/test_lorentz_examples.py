"""The two Lorentz examples keep what the documentation says of them."""

import sys
from pathlib import Path

import pytest
import torch

from crocuta.analysis.scores import scores
from crocuta.data.demo import load_demo

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(autouse=True)
def examples(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    yield
    for name in ("lorentz_digits", "lorentz_transformer_dna", "dna"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["lorentz_digits", "lorentz_transformer_dna"])
def test_short_enough_to_read(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 60


def test_digits_are_told_apart():
    import lorentz_digits

    assert lorentz_digits.accuracy(lorentz_digits.LorentzClassifier, seed=0, epochs=40) >= 0.97


@pytest.mark.slow
def test_promoters_are_told_apart_better_than_by_kmers():
    import lorentz_transformer_dna as example

    splits = load_demo()
    torch.manual_seed(0)
    model = example.LorentzTransformer(70, 2)
    example.train(model, *example.tensors(splits.train), epochs=6)
    logits = model.eval()(*example.tensors(splits.test)[:2])
    mcc = scores(splits.test.labels, logits.softmax(1).detach().numpy())["mcc"]
    assert mcc > 0.6  # k-mers: 0.51
