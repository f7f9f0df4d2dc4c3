"""A pretraining of HyenaDNA: its model, its cost, its training."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from crocuta.data.genome import Genome
from crocuta.data.intervals import Intervals
from crocuta.errors import InputError
from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
from crocuta.pretraining.cost import PretrainingCost, estimate_pretraining
from crocuta.pretraining.recipe import Pretraining
from crocuta.pretraining.training import pretrain
from crocuta.runs.manifest import Inputs

LEAST_STEPS = 5_000  # a small genome is learned in smaller steps, so that there are about as many
SMALLEST_STEP, LARGEST_STEP = 1 << 13, 1 << 18


def run_pretraining(
    genome: Genome,
    parts: Mapping[str, Intervals],
    model: HyenaConfig | str | PathLike,
    recipe: Pretraining,
    output: str | PathLike,
    *,
    inputs: Inputs | None = None,
    markov_order: int = 8,
    **options: Any,
) -> dict[str, Any]:
    """Pretrains a HyenaDNA, and Markov models to compare it with; see `crocuta.pretraining.training.pretrain`.

    Args:
        model: a configuration (new weights drawn from the recipe's seed), or the folder of a model to go on with.
        options: `resume` and `progress`.

    Raises:
        InputError: as `pretrain`; the model reads no windows of this length.
    """
    folder = None if isinstance(model, HyenaConfig) else model_folder(model)
    read = {"model": folder, **(inputs or {})}
    return pretrain(
        build(model, recipe), genome, parts, recipe, output, inputs=read, markov_order=markov_order, **options
    )


def build(model: HyenaConfig | str | PathLike, recipe: Pretraining) -> PreTrainedModel:
    """New weights, or those of a folder."""
    torch.manual_seed(recipe.seed)
    if isinstance(model, HyenaConfig):
        learner = HyenaForCausalLM(model)
    else:
        learner = HyenaForCausalLM.from_pretrained(model_folder(model))
    if recipe.length > learner.config.max_seq_len:
        raise InputError(
            f"`length` {recipe.length:,} is {recipe.length - learner.config.max_seq_len:,} longer than the"
            f" {learner.config.max_seq_len:,} tokens that the model reads"
        )
    return learner


def model_folder(path: str | PathLike) -> Path:
    """The path, if a model lies there.

    Raises:
        InputError: none does.
    """
    if not (Path(path) / "config.json").exists():
        raise InputError(f"{path}: no model folder (no config.json)")
    return Path(path)


def cost(
    model: HyenaConfig | str | PathLike, recipe: Pretraining, parts: Mapping[str, Intervals]
) -> PretrainingCost:
    """What `run_pretraining` would cost, without its Markov models; trains nothing that is kept."""
    valid, test = (int(parts[part].lengths.sum()) for part in ("valid", "test"))
    return estimate_pretraining(build(model, recipe), recipe, evaluated=recipe.evaluated_letters(valid, test))


def step_size(nucleotides: int, epochs: float, length: int) -> int:
    """Nucleotides of a step: a power of two that leaves about 5,000 steps, 2^13 to 2^18, at least a window."""
    wanted = max(nucleotides * epochs / LEAST_STEPS, 1)
    power = 1 << max(int(wanted).bit_length() - 1, 0)
    return max(min(max(power, SMALLEST_STEP), LARGEST_STEP), length)
