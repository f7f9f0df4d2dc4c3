"""A pretraining from a FASTA file to judged perplexities: model, cost, training, and Markov models beside it."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from crocuta.analysis.markov import fit_markov
from crocuta.data.genome import Genome
from crocuta.data.intervals import Intervals
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
from crocuta.train.pretraining import check_new, pretrain
from crocuta.train.pretraining_cost import PretrainingCost, check_memory, estimate
from crocuta.train.pretraining_recipe import Pretraining, Watcher

LEAST_STEPS = 5_000  # a small genome is learnt in smaller steps, so that there are about as many
SMALLEST_STEP, LARGEST_STEP = 1 << 13, 1 << 18


def run_pretraining(
    genome: Genome,
    parts: Mapping[str, Intervals],
    model: HyenaConfig | str | PathLike,
    recipe: Pretraining,
    output: str | PathLike,
    *,
    markov_order: int = 8,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Pretrains, then fits Markov models of the orders 0 to `markov_order` on the same letters; see `pretrain`.

    Args:
        model: a configuration (new weights drawn from the recipe's seed), or the folder of a model to go on with.
        markov_order: -1 for none.

    Raises:
        InputError: as `pretrain`; the model reads no windows of this length; memory would not suffice.
    """
    output = Path(output)
    ended = resume and (output / "metrics.json").exists()
    if not resume:
        check_new(output)  # before any time is spent
    learner = build(model, recipe)
    if not ended:
        check_memory(estimate(learner, recipe, PartialState().num_processes), recipe)
    metrics = pretrain(learner, genome, parts, recipe, output, resume=resume, watcher=watcher)
    if PartialState().is_main_process and "markov" not in metrics:
        metrics["markov"] = markov_perplexities(genome, parts, markov_order, recipe.both_strands)
        write_json(output / "metrics.json", metrics)
    return metrics


def build(model: HyenaConfig | str | PathLike, recipe: Pretraining) -> PreTrainedModel:
    """New weights, or those of a folder."""
    torch.manual_seed(recipe.seed)
    if isinstance(model, HyenaConfig):
        learner = HyenaForCausalLM(model)
    else:
        learner = HyenaForCausalLM.from_pretrained(model_folder(model))
    if recipe.length > learner.config.max_seq_len:
        raise InputError(
            f"--length {recipe.length:,} is {recipe.length - learner.config.max_seq_len:,} longer than the"
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
    return estimate(build(model, recipe), recipe, judged=recipe.judged_letters(valid, test))


def step_size(letters: int, epochs: float, length: int) -> int:
    """Letters of a step: a power of two that leaves about 5,000 steps, 2^13 to 2^18, at least a window."""
    wanted = max(letters * epochs / LEAST_STEPS, 1)
    power = 1 << max(int(wanted).bit_length() - 1, 0)
    return max(min(max(power, SMALLEST_STEP), LARGEST_STEP), length)


def markov_perplexities(
    genome: Genome, parts: Mapping[str, Intervals], order: int, both_strands: bool
) -> dict[str, dict[str, float]]:
    """Perplexity of Markov models of the training part, on the parts held out: part -> order -> perplexity."""
    if order < 0:
        return {}
    train = [genome.sequence(interval) for interval in parts["train"]]
    fitted = fit_markov(train, order, both_strands)
    found: dict[str, dict[str, float]] = {}
    for part in ("valid", "test"):
        sequences = [genome.sequence(interval) for interval in parts[part]]
        if sequences:
            found[part] = {str(j): fitted.perplexity(sequences, j) for j in range(order + 1)}
    return found
