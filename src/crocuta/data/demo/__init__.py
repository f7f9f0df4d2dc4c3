"""Real promoters that travel with the package: GUE prom_core_tata, Apache-2.0, see the README beside it."""

from dataclasses import replace
from pathlib import Path

from crocuta.data.labelled import Splits, make_splits


def demo_files() -> dict[str, Path]:
    """The bundled files, by what they are for."""
    names = {"data": "train", "valid": "dev", "test": "test"}
    return {role: Path(__file__).with_name(f"{name}.csv.gz") for role, name in names.items()}


def load_demo() -> Splits:
    """Human core promoters with a TATA box against other DNA, 70 bp; 4,904, 613 and 613 records."""
    files = demo_files()
    splits = make_splits(files["data"], files["valid"], files["test"])
    return replace(splits, policy="The published training, dev and test files of GUE prom_core_tata.")
