"""What a pretraining would cost in time and memory, from a few small steps of it."""

import copy
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psutil
import torch
from transformers import PreTrainedModel

from crocuta.data.encoding import VOCABULARY
from crocuta.errors import InputError
from crocuta.train.pretraining_recipe import PRECISIONS, Pretraining
from crocuta.train.recipe import Recipe
from crocuta.train.trainer import parameter_groups

TRIAL_TOKENS = 1 << 13  # of the larger of the two trials; what is larger is extrapolated
SAMPLE_SECONDS = 0.002


class PretrainingCost(NamedTuple):
    """Estimates. `stages`: seconds of a step by window length; memory of the process (or the accelerator)."""

    parameters: int
    seconds: float
    stages: dict[int, float]
    memory_mb: float
    available_mb: float


class _Trial(NamedTuple):
    seconds: float
    megabytes: float


def estimate(model: PreTrainedModel, recipe: Pretraining, processes: int = 1) -> PretrainingCost:
    """Trains a throw-away copy for a few small steps of each length.

    Memory grows in proportion to the letters that are computed together, and time nearly so (times the logarithm of
    the window, for the transforms): what is larger than the trials follows from that.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainee: Any = copy.deepcopy(model)
    trainee.to(device).train()
    optimizer = torch.optim.AdamW(parameter_groups(trainee, Recipe()), fused=True)
    base = _used(device)
    stages: dict[int, float] = {}
    memory = base
    for stage in recipe.plan.stages:
        together = stage.length * max(
            1, min(recipe.tokens_at_once // stage.length, stage.windows // processes)
        )
        sizes = [min(together, TRIAL_TOKENS // 2), min(together, TRIAL_TOKENS)]
        small, large = (_trial(trainee, optimizer, stage.length, size, recipe, device) for size in sizes)
        growth = max(large.megabytes - small.megabytes, 0) / max(sizes[1] - sizes[0], 1)
        memory = max(memory, large.megabytes + growth * (together - sizes[1]))
        length = min(stage.length, sizes[1])
        slower = math.log(2 * stage.length) / math.log(2 * length)
        stages[stage.length] = large.seconds / sizes[1] * slower * stage.tokens / processes
    seconds = sum(stages[stage.length] * stage.steps for stage in recipe.plan.stages)
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


def _trial(
    model: Any,
    optimizer: torch.optim.Optimizer,
    length: int,
    tokens: int,
    recipe: Pretraining,
    device: torch.device,
) -> _Trial:
    """The faster of two steps, and the most memory that was held."""
    width = min(length, tokens)
    ids = torch.randint(VOCABULARY["A"], VOCABULARY["N"], (max(1, tokens // width), width), device=device)
    half = PRECISIONS[recipe.precision] == "bf16"
    seconds = []
    with _peak(device) as peak:
        for _ in range(2):
            start = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    return _Trial(min(seconds), peak[0])


def _used(device: torch.device) -> float:
    used = torch.cuda.memory_allocated() if device.type == "cuda" else psutil.Process().memory_info().rss
    return used / 2**20


def _available(device: torch.device) -> float:
    """Megabytes that this process may hold in all."""
    if device.type == "cuda":
        return _used(device) + torch.cuda.mem_get_info()[0] / 2**20
    return _used(device) + psutil.virtual_memory().available / 2**20


@contextmanager
def _peak(device: torch.device) -> Iterator[list[float]]:
    """A list whose one value becomes the most megabytes held inside the block."""
    found = [0.0]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        yield found
        found[0] = torch.cuda.max_memory_allocated() / 2**20
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            found[0] = max(found[0], _used(device))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()
        found[0] = max(found[0], _used(device))
