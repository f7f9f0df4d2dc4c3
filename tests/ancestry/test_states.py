"""Test individuals of a run in a cohort, and what is said where they are not in it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from crocuta.errors import InputError
from crocuta.variants import Samples


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global held_out_individuals
    from crocuta.ancestry.states import held_out_individuals


RUN = SimpleNamespace(tested=("a", "c"), populations=("AFR", "EUR"), folder=Path("run"))


def cohort(names, population, group=None):
    columns = [np.array(column) for column in (names, population, group or [""] * len(names), names)]
    return SimpleNamespace(samples=Samples(*columns))


@pytest.mark.parametrize("by", ["population", "group"])
def test_labels_are_those_that_the_run_tells_apart(by):
    other, told = ["YRI", "GBR", "GBR"], ["AFR", "EUR", "EUR"]
    found = (
        cohort(["a", "b", "c"], told, other) if by == "population" else cohort(["a", "b", "c"], other, told)
    )
    index, labels = held_out_individuals(found, RUN)
    assert index.tolist() == [0, 2]
    assert labels.tolist() == [0, 1]


def test_another_cohort_is_told():
    with pytest.raises(
        InputError, match=r"none of the 2 test individuals of run is in the cohort .the first is a.; give"
    ):
        held_out_individuals(cohort(["x"], ["AFR"]), RUN)
    with pytest.raises(
        InputError, match=r"a of the cohort is YRI .group not known.; the run distinguishes AFR, EUR"
    ):
        held_out_individuals(cohort(["a"], ["YRI"]), RUN)
