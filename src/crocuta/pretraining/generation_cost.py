"""What a generation would cost: memory from the shapes of its arrays, time from a short one."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from crocuta.data.encoding import VOCABULARY
from crocuta.models.hyena.chunked import LEAN_FROM
from crocuta.models.hyena.generation import HyenaStream
from crocuta.runs.cost import Cost
from crocuta.runs.device import available_mb, used_mb

TRIAL_PROMPT, TRIAL_TOKENS = 1024, 64
SCRATCH = 60 << 20  # bytes of chunks and transforms
LEAN, PLAIN = 2, 12  # arrays of a prompt's size (float32) that are held while it is read


def estimate_memory(model: PreTrainedModel, prompts: Sequence[int], length: int, samples: int) -> Cost:
    """Of `prompts` by their nucleotides, each continued `samples` times by `length`; seconds are 0."""
    config: Any = model.config
    prompt = max(prompts)
    reading = (LEAN if prompt >= LEAN_FROM else PLAIN) * 4 * samples * prompt * config.d_model
    slots = config.n_layer * (config.hyena_order - 1)
    writing = (
        4 * slots * config.d_model * length * (3 + 2 * samples)
    )  # filter, its spectra; past and future values
    memory = used_mb(model.device) + (SCRATCH + reading + writing) / 2**20
    return Cost(0.0, memory, available_mb(model.device))


def estimate_generation(model: PreTrainedModel, prompts: Sequence[int], length: int, samples: int) -> Cost:
    """The same with the time, from the continuation of a short prompt: a token costs nearly the same anywhere."""
    nucleotides, tokens = min(max(prompts), TRIAL_PROMPT), min(length, TRIAL_TOKENS)
    ids = torch.full((samples, nucleotides), VOCABULARY["A"], device=model.device)
    HyenaStream(model, ids, tokens)
    start = time.perf_counter()
    stream = HyenaStream(model, ids, tokens)
    read = time.perf_counter()
    for _ in range(tokens):
        stream.step(ids[:, 0])
    stepped = time.perf_counter()
    seconds = (read - start) / nucleotides * sum(prompts) + (stepped - read) / tokens * length * len(prompts)
    return estimate_memory(model, prompts, length, samples)._replace(seconds=seconds)


def check_generation_memory(cost: Cost) -> None:
    """Raises InputError where a generation would not fit, with the options that make it smaller."""
    cost.check("lower `samples` or `length`, or shorten the prompts")
