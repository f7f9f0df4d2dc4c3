"""Stores and runs of ancestry that 0.1.0 made: read, inferred with and painted as before."""

import json

import numpy as np
import pytest

from crocuta.errors import InputError
from crocuta.runs.saved import SavedRun
from crocuta.variants.store import Cohort
from crocuta.variants.tracts import read_fb, read_msp


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global read_individuals, infer_ancestry, train_local
    from crocuta.ancestry.infer import infer_ancestry
    from crocuta.ancestry.karyogram import read_individuals
    from crocuta.ancestry.local.training import train_local


def posterior(folder):
    return np.stack([values for *_, values in read_fb(folder / "local.fb.tsv")])


@pytest.mark.parametrize("run", ["ancestry-local", "ancestry-windows"])
def test_inference_with_a_run_of_the_first_version(old_runs, tmp_path, run):
    told = infer_ancestry(old_runs / "data" / "cohort.vcf", old_runs / run, tmp_path / "out", device="cpu")
    assert told["chromosomes"]["22"]["overlap"] == 1
    before = json.loads((old_runs / "ancestry-infer" / "summary.json").read_text())
    if before["task"] == told["task"]:
        assert told["chromosomes"]["22"] == pytest.approx(before["chromosomes"]["22"])
        np.testing.assert_allclose(
            posterior(tmp_path / "out"), posterior(old_runs / "ancestry-infer"), atol=1e-3
        )
    assert SavedRun(old_runs / run).kind == "ancestry train"


def test_what_the_first_version_inferred_is_painted(old_runs):
    individuals = read_individuals(old_runs / "ancestry-infer")
    (calls,) = read_msp(old_runs / "ancestry-infer" / "local.msp.tsv")
    assert [person.name for person in individuals] == list(calls.samples)
    assert all(person.tracts for person in individuals)


def test_a_store_of_the_first_version_is_learnt_from_and_its_runs_are_not_touched(old_runs, tmp_path):
    assert Cohort(old_runs / "cohort.h5").panel("22").allele.shape[0] == len(
        Cohort(old_runs / "cohort.h5").samples
    )
    found = train_local(old_runs / "cohort.h5", tmp_path / "run", by="population")
    assert found["chain"]["accuracy"] > 0.6
    for resume in (False, True):
        with pytest.raises(InputError, match=r"holds a run that crocuta 0\.1\.0 or another program made"):
            train_local(old_runs / "cohort.h5", old_runs / "ancestry-local", by="population", resume=resume)
