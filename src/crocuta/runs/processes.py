"""Several processes that a launcher (`accelerate launch`, `torchrun`, `srun`) started for one work."""

import atexit
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from crocuta.errors import InputError
from crocuta.runs._lock import lock_path
from crocuta.runs.claim import CONFIG, Claim, claim, sidecar
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.saved import read_json
from crocuta.runs.workers import follow_parent

PATIENCE = 600.0  # seconds: the first process reads all inputs for their digests before it begins


def processes(device: str = AUTO) -> PartialState:
    """Who this process is among how many (1 without a launcher), on the device of that name."""
    chosen = choose_device(device)
    state = PartialState(cpu=chosen.type == "cpu")
    if state.num_processes == 1:  # the state outlives a training, whose device may have been another
        state.device = chosen
    else:
        atexit.unregister(state.destroy_process_group)
        atexit.register(state.destroy_process_group)  # gloo's threads abort a process that ends without it
    return state


@contextmanager
def claim_together(device: str, *args: Any, **options: Any) -> Iterator[Claim]:
    """`crocuta.runs.claim.claim` by the first of several processes, for all; where it is refused, all of them fail.

    Args:
        device: of the training; the rest as in `claim`.

    Raises:
        InputError: the output may not be taken; in every process.
    """
    state = processes(device)
    follow_launcher()
    if not state.is_main_process:
        refused, finished = broadcast_object_list([None, None])
        if refused is not None:
            raise InputError(refused)
        with claim(*args, **options, main=False) as run:
            yield replace(run, finished=finished)
        return
    with ExitStack() as held:
        try:
            run = held.enter_context(claim(*args, **options))
        except Exception as error:
            broadcast_object_list([str(error), False])
            raise
        broadcast_object_list([None, run.finished])
        yield run


def wait_for_first(run: Claim) -> Claim:
    """In a process that shares files alone with the first: waits until that one has claimed the same output.

    Args:
        run: claimed with `main=False`.

    Raises:
        InputError: the first process has not begun in ten minutes, or the launcher has ended.
    """
    follow_launcher()
    until, launcher = time.monotonic() + PATIENCE, os.getppid()
    while time.monotonic() < until and os.getppid() == launcher:
        if lock_path(run.output).exists() and _holds(run.folder / CONFIG, run.asked):
            return run
        if run.output.exists() and _holds(sidecar(run.output), run.asked, "config"):
            return replace(run, finished=True)
        time.sleep(0.1)
    raise InputError(
        f"{run.output}: the first process does not write there; start all processes with the same command"
    )


def _holds(path: Path, asked: dict[str, Any], key: str | None = None) -> bool:
    found = read_json(path) if path.exists() else {}
    return (found.get(key) if key else found) == asked


def follow_launcher() -> None:
    """Ends this process when the launcher that started it has gone; a shell is none."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        follow_parent()
