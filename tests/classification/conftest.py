"""A small learnable data set: class 1 carries a TATA box."""

import random

import pytest

from crocuta.data.labelled import make_splits
from crocuta.runs.progress import Progress, Stage


def write_promoters(path, n=240, seed=0, longest=40):
    draw = random.Random(seed)
    rows = ["sequence,label"]
    for i in range(n):
        nucleotides = draw.choices("ACGT", k=draw.randint(24, longest))
        if i % 2:
            start = draw.randrange(len(nucleotides) - 8)
            nucleotides[start : start + 8] = "TATAAAAG"
        rows.append(f"{''.join(nucleotides)},{'promoter' if i % 2 else 'other'}")
    path.write_text("\n".join(rows) + "\n")
    return path


class Kill(Progress, Stage):
    """Stops a training as a user's Ctrl-C would, in the middle of its second epoch."""

    def __init__(self):
        Stage.__init__(self, "")

    def stage(self, name, total=None, unit=""):
        return self

    def show(self):
        if self.total and self.done > 0.45 * self.total:
            raise KeyboardInterrupt


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    return write_promoters(tmp_path_factory.mktemp("promoters") / "data.csv")


@pytest.fixture(scope="session")
def splits(table):
    return make_splits(table)


@pytest.fixture(scope="session")
def config():
    from crocuta.models.hyena import HyenaConfig

    return HyenaConfig(d_model=16, n_layer=1, filter_order=16, max_seq_len=44)


@pytest.fixture(scope="session")
def recipe():
    from crocuta.classification import Recipe

    return Recipe(learning_rate=5e-3, batch_size=16, epochs=3)
