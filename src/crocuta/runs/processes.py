"""Several processes that a launcher (`accelerate launch`, `torchrun`) started for one training."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from crocuta.errors import InputError
from crocuta.runs.claim import Claim, claim
from crocuta.runs.device import AUTO, choose_device


def processes(device: str = AUTO) -> PartialState:
    """Who this process is among how many (1 without a launcher), on the device of that name."""
    chosen = choose_device(device)
    state = PartialState(cpu=chosen.type == "cpu")
    if state.num_processes == 1:  # the state outlives a training, whose device may have been another
        state.device = chosen
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
