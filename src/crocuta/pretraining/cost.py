"""What a pretraining would cost in time and memory, from a few small steps of it."""

import copy
import math
import time
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from crocuta.data.encoding import VOCABULARY
from crocuta.pretraining.recipe import Pretraining
from crocuta.runs.cost import ALLOWANCE, Cost, LiveBytes
from crocuta.runs.device import available_mb, choose_device, used_mb
from crocuta.runs.optimisation import parameter_groups
from crocuta.runs.recipe import Recipe

TRIAL_TOKENS = 1 << 13  # of the larger of the two trials; what is larger is extrapolated


class PretrainingCost(NamedTuple):
    """Estimates of the whole, and seconds of a step by window length."""

    total: Cost
    stages: dict[int, float]


class _Trial(NamedTuple):
    seconds: float
    megabytes: float


def estimate_pretraining(
    model: PreTrainedModel, recipe: Pretraining, processes: int = 1, evaluated: int = 0
) -> PretrainingCost:
    """Trains a throw-away copy for a few small steps of each length.

    Memory grows in proportion to the nucleotides that are computed together, and time nearly so (times the logarithm
    of the window, for the transforms): what is larger than the trials follows from that. Evaluations read `evaluated`
    nucleotides, at a third of the time.
    """
    device = choose_device(recipe.device)
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
    seconds += stages[last.length] / last.tokens * evaluated / 3
    memory = used_mb(device) + ALLOWANCE * most
    return PretrainingCost(Cost(seconds, memory, available_mb(device), model.num_parameters()), stages)


def check_pretraining_memory(cost: PretrainingCost, recipe: Pretraining) -> None:
    """Raises InputError where a pretraining would not fit, with the settings that make it smaller."""
    if recipe.tokens_at_once > recipe.length:
        smaller = f"lower `tokens_at_once` (now {recipe.tokens_at_once:,})"
    else:
        smaller = f"a window of `length` {recipe.length:,} is the smallest portion: shorten it"
    cost.total.check(f"{smaller}, or choose a smaller model")


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
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
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
