"""What a pretraining would cost in time and memory, from a few small steps of it."""

import copy
import math
import time
import weakref
from typing import Any, NamedTuple

import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

from crocuta.data.encoding import VOCABULARY
from crocuta.errors import InputError
from crocuta.runs.optimisation import parameter_groups
from crocuta.runs.recipe import Recipe
from crocuta.train.pretraining_recipe import PRECISIONS, Pretraining

TRIAL_TOKENS = 1 << 13  # of the larger of the two trials; what is larger is extrapolated
ALLOWANCE = 1.25  # for scratch space inside operators and for what the allocator does not give back


class PretrainingCost(NamedTuple):
    """Estimates. `stages`: seconds of a step by window length; memory of the process (or on the accelerator)."""

    parameters: int
    seconds: float
    stages: dict[int, float]
    memory_mb: float
    available_mb: float


class _Trial(NamedTuple):
    seconds: float
    megabytes: float


def estimate(
    model: PreTrainedModel, recipe: Pretraining, processes: int = 1, judged: int = 0
) -> PretrainingCost:
    """Trains a throw-away copy for a few small steps of each length.

    Memory grows in proportion to the letters that are computed together, and time nearly so (times the logarithm of
    the window, for the transforms): what is larger than the trials follows from that. `judged` letters are also looked
    at without learning, at a third of the time.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainee: Any = copy.deepcopy(model)
    trainee.to(device).train()
    optimizer = torch.optim.AdamW(parameter_groups(trainee, Recipe()), fused=True)
    stages: dict[int, float] = {}
    most = 0.0
    for stage in recipe.plan.stages:
        together = stage.length * max(
            1, min(recipe.tokens_at_once // stage.length, stage.windows // processes)
        )
        sizes = [min(together, TRIAL_TOKENS // 2), min(together, TRIAL_TOKENS)]
        small, large = (_trial(trainee, optimizer, stage.length, size, recipe, device) for size in sizes)
        growth = max(large.megabytes - small.megabytes, 0) / max(sizes[1] - sizes[0], 1)
        most = max(most, large.megabytes + growth * (together - sizes[1]))
        length = min(stage.length, sizes[1])
        slower = math.log(2 * stage.length) / math.log(2 * length)
        stages[stage.length] = large.seconds / sizes[1] * slower * stage.tokens / processes
    seconds = sum(stages[stage.length] * stage.steps for stage in recipe.plan.stages)
    last = recipe.plan.stages[-1]
    seconds += stages[last.length] / last.tokens * judged / 3
    memory = _used(device) + ALLOWANCE * most
    return PretrainingCost(model.num_parameters(), seconds, stages, memory, _available(device))


def check_memory(cost: PretrainingCost, recipe: Pretraining) -> None:
    """Raises InputError where a pretraining would not fit, with the settings that make it smaller."""
    if cost.memory_mb > cost.available_mb:
        together = max(recipe.tokens_at_once, recipe.length)
        smaller = (
            f"lower --tokens-at-once (now {recipe.tokens_at_once:,})"
            if together > recipe.length
            else f"a window of --length {recipe.length:,} is the smallest portion: shorten it"
        )
        raise InputError(
            f"training would need about {cost.memory_mb:,.0f} MB for {together:,} letters at once, and"
            f" {cost.available_mb:,.0f} MB are available; {smaller}, or choose a smaller --size"
        )


class LiveBytes(TorchDispatchMode):
    """Follows tensors as operators make them: `peak` is the most bytes that were held at once."""

    def __init__(self):
        super().__init__()
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
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


def _trial(
    model: Any,
    optimizer: torch.optim.Optimizer,
    length: int,
    tokens: int,
    recipe: Pretraining,
    device: torch.device,
) -> _Trial:
    """The time of the second of two steps, and the most memory that the first held beside the model."""
    width = min(length, tokens)
    ids = torch.randint(VOCABULARY["A"], VOCABULARY["N"], (max(1, tokens // width), width), device=device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=PRECISIONS[recipe.precision] == "bf16"):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    with LiveBytes() as held:
        step()
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return _Trial(time.perf_counter() - start, held.peak / 2**20)


def _used(device: torch.device) -> float:
    used = torch.cuda.memory_allocated() if device.type == "cuda" else psutil.Process().memory_info().rss
    return used / 2**20


def _available(device: torch.device) -> float:
    """Megabytes that this process may hold in all."""
    if device.type == "cuda":
        return _used(device) + torch.cuda.mem_get_info()[0] / 2**20
    return _used(device) + psutil.virtual_memory().available / 2**20
