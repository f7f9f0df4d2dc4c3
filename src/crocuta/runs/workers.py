"""Worker processes that end with the command that started them, however it ends."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.runs.progress import Stage

SECONDS_BETWEEN_WORDS = 0.5

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


class Relayed(Stage):
    """A stage in a worker, which tells of it in a file; `heard` reads it in the process that started the worker."""

    def __init__(self, path: Path):
        super().__init__("")
        self.path, self.kept, self.last = path, False, 0.0

    def keep(self) -> None:
        """Says that there is something to go on from."""
        self.kept, self.last = True, 0.0
        self.show()

    def show(self) -> None:
        if time.monotonic() - self.last >= SECONDS_BETWEEN_WORDS:
            self.last = time.monotonic()
            write_json(self.path, [self.done, self.total, self.note, self.kept])

    def end(self) -> None:
        self.path.unlink(missing_ok=True)


@contextmanager
def heard(stages: Mapping[Path, Stage], keep: Callable[[], object]) -> Iterator[None]:
    """Moves stages as workers tell of them (`Relayed`), while the block lasts."""
    ended = Event()

    def listen() -> None:
        while not ended.wait(SECONDS_BETWEEN_WORDS):
            for path, stage in stages.items():
                with suppress(OSError):  # not begun, or ended
                    done, total, note, kept = json.loads(path.read_text(encoding="utf-8"))
                    stage.update(done, total, note)
                    if kept:
                        keep()

    thread = Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def threads_each(jobs: int) -> int:
    """Threads of each of some processes that share the processor: `OMP_NUM_THREADS`, or an equal part."""
    asked, _, _ = os.environ.get("OMP_NUM_THREADS", "").partition(",")  # further numbers: nested levels
    return int(asked) if asked.isdigit() else max(1, (os.cpu_count() or 1) // jobs)


def processes_from() -> Any:
    """Where processes of ours come from: they begin with what this process has imported, or with nothing.

    On Linux a server without threads or device imports once, and forks them: sixteen workers wait for torch and
    transformers as long as one. It dies with us, and they with it.
    """
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    loaded = {module.__name__ for name, module in list(sys.modules.items()) if name.startswith("crocuta.")}
    context.set_forkserver_preload(sorted(loaded))
    return context


def begin_worker(threads: int) -> None:
    """What a process does first that `processes_from` made: it follows us, and shares the processor with others."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us is interrupted too, and ends us
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()
    torch.set_num_threads(threads)


def _end_with(starter: Any) -> None:
    """Ends this process when the one that asked for it has gone; our parent is the server, which lives while we do."""
    wait([starter.sentinel])
    os._exit(1)


@contextmanager
def pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes side by side, which share the processor's threads; an error or an interruption ends them at once."""
    executor = ProcessPoolExecutor(jobs, processes_from(), begin_worker, (threads_each(jobs),))
    try:
        yield executor
    except BaseException as error:
        for process in list((executor._processes or {}).values()):
            process.terminate()
        executor.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise InputError(
                "a worker was ended from outside, perhaps for want of memory; give fewer `jobs`"
            ) from None
        raise
    finally:
        executor.shutdown(wait=True)


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
