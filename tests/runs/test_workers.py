"""Workers end with the command that started them, however it ends."""

import os
import signal
import subprocess
import sys
import time

PROGRAM = """
import os, sys, time
from crocuta.runs.workers import pool

def work(path):
    open(path, "w").write(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    with pool(2) as executor:
        list(executor.map(work, [sys.argv[1] + name for name in "ab"]))
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_of_a_killed_command_end(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = subprocess.Popen([sys.executable, program, f"{tmp_path}/"])
    files = [tmp_path / name for name in "ab"]
    until = time.monotonic() + 60
    while not all(path.exists() and path.read_text() for path in files):
        assert command.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    workers = [int(path.read_text()) for path in files]
    assert all(map(alive, workers))
    command.send_signal(signal.SIGKILL)
    command.wait()
    until = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, workers))
