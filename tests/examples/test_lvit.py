"""The example of LViT learns digits in a reduced run."""

import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(autouse=True)
def examples(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    yield
    sys.modules.pop("lvit", None)


def test_short_enough_to_read():
    assert len((EXAMPLES / "lvit.py").read_text().splitlines()) <= 120


def test_digits_are_told_apart():
    import lvit

    assert lvit.main(None, epochs=4, kinds=("LViT",))["LViT"] > 0.5


def test_reads_idx(shared_data):
    import lvit

    pixels, digits = lvit.load(shared_data("images", "mnist_t10k") / "t10k-images-idx3-ubyte.gz")
    assert pixels.shape == (10_000, 1, 28, 28)
    assert digits.bincount()[0] == 980
