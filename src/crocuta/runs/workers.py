"""Worker processes that end with the command that started them, however it ends."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def follow_parent(parent: int | None = None) -> None:
    """Ends this process when the one that started it has gone: a killed command leaves nobody who goes on writing."""
    parent = os.getppid() if parent is None else parent
    if sys.platform == "linux":
        import ctypes
        import signal

        set_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
    Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def threads_each(jobs: int) -> int:
    """Threads of each of some processes that share the processor."""
    return max(1, (os.cpu_count() or 1) // jobs)


def _begin(parent: int) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command that started us is told, and ends us
    follow_parent(parent)


@contextmanager
def pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes side by side, which share the processor's threads; an error or an interruption ends them at once."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault("OMP_NUM_THREADS", str(threads_each(jobs)))  # of the processes that start now
    executor = ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (os.getpid(),))
    try:
        yield executor
    except BaseException:
        for process in list((executor._processes or {}).values()):
            process.terminate()
        executor.shutdown(wait=True, cancel_futures=True)
        raise
    finally:
        executor.shutdown(wait=True)
        if before is None:
            os.environ.pop("OMP_NUM_THREADS", None)


@contextmanager
def done(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int
) -> Iterator[Iterator[tuple[Item, Result]]]:
    """Items with what `function` makes of them, as they are done; in this process if `jobs` is 1, else in a pool."""
    if min(jobs, len(items)) <= 1:
        yield ((item, function(item)) for item in items)
        return
    with pool(min(jobs, len(items))) as executor:
        waiting = {executor.submit(function, item): item for item in items}
        yield ((waiting[future], future.result()) for future in as_completed(waiting))
