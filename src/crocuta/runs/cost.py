"""What a work would cost in time and memory, from a few steps of it: what stands behind every `--dry-run`."""

import time
import weakref
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from crocuta.errors import InputError
from crocuta.runs.device import available_mb, choose_device, used_mb
from crocuta.runs.loop import Course, Learner, _Training
from crocuta.runs.progress import Stage, duration

ALLOWANCE = 1.25  # for scratch space inside operators and for what the allocator does not give back
TIMED = 3  # steps, after one that only memory is taken from


class Cost(NamedTuple):
    """Seconds of the whole, memory of the process (or on the accelerator) at most, and what is to be had, in MB."""

    seconds: float
    memory_mb: float
    available_mb: float
    parameters: int = 0

    def sentence(self) -> str:
        """`about 3 min 20 s and 640 MB of 21,000 MB available`."""
        return f"about {duration(self.seconds)} and {self.memory_mb:,.0f} MB of {self.available_mb:,.0f} MB available"

    def check(self, way_out: str) -> None:
        """Raises InputError where memory would not suffice, with the way out."""
        if self.memory_mb > self.available_mb:
            raise InputError(
                f"this would need about {self.memory_mb:,.0f} MB of memory, and {self.available_mb:,.0f} MB are"
                f" available; {way_out}"
            )


def estimate_training(
    make: Callable[[], tuple[nn.Module, torch.optim.Optimizer | Sequence[torch.optim.Optimizer], Learner]],
    course: Course,
    times: int = 1,
    clipped: Callable[[nn.Module], Sequence[nn.Parameter]] | None = None,
) -> Cost:
    """What `times` trainings of a course would cost, from a few steps and one evaluation of a throw-away model.

    Args:
        make: builds a model, its optimisers and its learner, as for `crocuta.runs.loop.fit`.
        course: of the training; early stopping is not counted on.
        clipped: as `fit`'s, of the model that `make` builds.
    """
    model, optimizers, learner = make()
    several = [optimizers] if isinstance(optimizers, torch.optim.Optimizer) else list(optimizers)
    nothing: Any = lambda *_: None  # noqa: E731
    training = _Training(
        model, several, learner, course, None, Stage(""), nothing, nothing, clipped and clipped(model)
    )
    device = training.accelerator.device
    with LiveBytes() as held:
        training.step()
    times_taken = []
    for _ in range(min(TIMED, course.steps)):
        start = time.perf_counter()
        training.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times_taken.append(time.perf_counter() - start)
    seconds = sorted(times_taken)[len(times_taken) // 2] * course.steps
    if course.evaluate:
        start = time.perf_counter()
        training.evaluate()
        seconds += (time.perf_counter() - start) * len(course.evaluate)
    memory = used_mb(device) + ALLOWANCE * held.peak / 2**20
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(seconds * times, memory, available_mb(device), parameters)


class LiveBytes(TorchDispatchMode):
    """Follows tensors as operators make them: `peak` is the most bytes that were held at once."""

    def __init__(self):
        super().__init__()
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if (
                isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided
            ):  # sparse ones are made of such
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class PeakMemory:
    """The most memory, in bytes, that was held inside the block beyond what was held before it."""

    added: float = 0.0

    def __init__(self, device: torch.device | None = None):
        self._device = device or choose_device()

    def __enter__(self) -> "PeakMemory":
        self._before = used_mb(self._device)
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.added = max(self.added, (used_mb(self._device) - self._before) * 2**20)
            if self._ended.wait(0.002):
                return
