"""Several gloo processes that share a sequence or a batch give one process's numbers; checks are in processes.py."""

import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("processes.py")


@pytest.mark.distributed
@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_are_one(processes, tmp_path):
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", WORKER, str(rank), str(processes), tmp_path / "meeting"],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        errors = [worker.communicate(timeout=600)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [worker.returncode for worker in workers] == [0] * processes, "\n".join(errors)
