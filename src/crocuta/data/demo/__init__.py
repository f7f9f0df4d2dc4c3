"""Real promoters that travel with the package: GUE prom_core_tata, Apache-2.0, see the README beside it."""

from dataclasses import replace
from importlib.resources import as_file, files

from crocuta.data.labelled import Splits, make_splits


def load_demo() -> Splits:
    """Human core promoters with a TATA box against other DNA, 70 bp; 4,904, 613 and 613 records."""
    folder = files(__name__)
    with (
        as_file(folder / "train.csv.gz") as train,
        as_file(folder / "dev.csv.gz") as valid,
        as_file(folder / "test.csv.gz") as test,
    ):
        splits = make_splits(train, valid, test)
    return replace(splits, policy="The published training, dev and test files of GUE prom_core_tata.")
