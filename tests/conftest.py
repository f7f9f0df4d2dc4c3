"""Fixtures shared by all tests."""

import os
import runpy
import sys
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread a worker, set before torch and OpenMP are loaded
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

GOLDEN = Path(__file__).resolve().parent / "golden"
SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared_folder(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not beside this checkout (../shared)")
    return path


@pytest.fixture(scope="session")
def golden():
    """Folder of golden numbers by name (`tests/golden/README.md`)."""
    return lambda name: GOLDEN / name


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data by name; skips where the data are absent."""
    return lambda *parts: shared_folder("data", *parts)


@pytest.fixture(scope="session")
def run_together():
    """Runs a script in several processes (`side_by_side.py`)."""
    return runpy.run_path(str(Path(__file__).with_name("side_by_side.py")))["run_together"]


@pytest.fixture(scope="session")
def old_runs(tmp_path_factory):
    """Run folders, a store, and their inputs (`data/`), as 0.1.0 wrote them."""
    import tarfile

    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(Path(__file__).parent / "fixtures" / "runs-0.1.0.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def few_test_windows():
    """Judges runs of ancestry on 200 windows; 2,000 take longer than all else in a small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crocuta.ancestry.window_run.TEST_WINDOWS", 200)
        yield


@pytest.fixture(scope="session")
def random_panel():
    """Makes a small random panel; individuals of one of the populations `labels` share its allele frequencies."""
    return _random_panel


def _random_panel(individuals: int, n: int, seed: int = 0, labels=None, cm: float = 20.0):
    import numpy as np

    from crocuta.variants import Panel, Samples, Sites

    rng, fixed = (
        np.random.default_rng(seed),
        np.random.default_rng(99),
    )  # frequencies and sites do not vary by seed
    labels = np.zeros(individuals, int) if labels is None else labels
    frequency = fixed.beta(0.6, 0.6, (int(labels.max()) + 1, n))
    allele = (rng.random((individuals, 2, n)) < frequency[labels][:, None]).astype(np.uint8)
    names, population = (
        np.array([f"{first}{i}" for i in found])
        for first, found in (("s", range(individuals)), ("P", labels))
    )
    position = np.cumsum(np.random.default_rng(98).integers(1, 4000, n)).astype(np.int32)
    nucleotides = np.full(n, b"A", "S1")
    sites = Sites("1", position, nucleotides, nucleotides, np.linspace(0, cm, n))
    return Panel(Samples(names, population, population, names), sites, allele)


#: Not imported before a test runs; see CONTRIBUTING.md on `late_imports`.
LATE = ("accelerate", "anndata", "matplotlib", "pandas", "peft", "scipy", "sklearn", "transformers")


def pytest_collection_finish(session):
    """Notes what the collection of tests has imported, for `test_architecture.py`."""
    session.config.imported_early = [name for name in LATE if name in sys.modules]
