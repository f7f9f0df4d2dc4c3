"""Several gloo processes that share a sequence or a batch give one process's numbers; checks are in processes.py."""

from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("processes.py")


@pytest.mark.distributed
@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_are_one(processes, run_together):
    assert run_together(WORKER, processes) == [0] * processes
