"""Runs a script in several processes that meet, as a launcher would start them."""

import os
import runpy
import sys
from contextlib import suppress
from pathlib import Path
from socket import socket

from crocuta.runs.workers import processes_from


def run_together(script: Path, processes: int, *arguments: object, seconds: int = 300) -> list[int | None]:
    """Exit codes of so many processes of a script; a process finds its rank as under `torch.distributed.run`."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = processes_from()
    started = [
        context.Process(
            target=runpy.run_path,
            args=(__file__, {"GIVEN": (rank, processes, port, str(script), *map(str, arguments))}, "worker"),
        )
        for rank in range(processes)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(seconds)
    codes = [process.exitcode for process in started]
    for process in started:
        with suppress(ValueError):
            process.kill()
    return codes


def begin(rank: int, processes: int, port: int, script: str, *arguments: str) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true",
    }  # fmt: skip
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == "worker":
    begin(*GIVEN)  # pyright: ignore[reportUndefinedVariable]
