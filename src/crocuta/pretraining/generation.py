"""Continuations of many prompts, written as FASTA."""

from collections.abc import Iterable, Sequence
from os import PathLike

import torch
from transformers import PreTrainedModel

from crocuta.data.encoding import NUCLEOTIDES, decode
from crocuta.data.records import Record
from crocuta.errors import InputError
from crocuta.files import replacing
from crocuta.models.hyena.generation import check_room, stream_tokens
from crocuta.pretraining.generation_cost import check_generation_memory, estimate_memory
from crocuta.runs.progress import SILENT, Progress

LINE = 80  # nucleotides of a line of FASTA


def write_continuations(
    model: PreTrainedModel,
    prompts: Iterable[Record],
    output: str | PathLike,
    length: int,
    *,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    nucleotides: str = "ACGT",
    seed: int = 0,
    with_prompt: bool = False,
    progress: Progress = SILENT,
) -> int:
    """Draws `samples` continuations of each prompt and writes them to one FASTA file; returns how many.

    The samples of a prompt are drawn as one batch; prompt `i` (from 0) uses `seed + i`. `with_prompt` writes the prompt
    before its continuation. Other arguments as in `crocuta.models.hyena.generation.generate`.

    Raises:
        InputError: a prompt does not fit the model together with `length`, an option is out of range, or memory would
            not suffice.
    """
    prompts = list(prompts)
    check_options(temperature, top_k, nucleotides)
    check_prompts(model, prompts, length)
    check_generation_memory(
        estimate_memory(model, [len(prompt.sequence) for prompt in prompts], length, samples)
    )
    total = samples * len(prompts) * length
    with replacing(output) as file, progress.stage("generating", total, "nucleotides") as stage:
        for i, prompt in enumerate(prompts):
            tokens = stream_tokens(
                model, [prompt.sequence] * samples, length, temperature=temperature, top_k=top_k,
                nucleotides=nucleotides, seed=seed + i,
            )  # fmt: skip
            drawn = []
            for ids in tokens:
                drawn.append(ids)
                stage.advance(samples)
            start = prompt.sequence if with_prompt else ""
            for sample, ids in enumerate(torch.stack(drawn, dim=1).cpu().numpy(), start=1):
                file.write(f">{prompt.name}_{sample} temperature={temperature:g} seed={seed + i}\n")
                sequence = start + decode(ids)
                file.writelines(f"{sequence[at : at + LINE]}\n" for at in range(0, len(sequence), LINE))
    return samples * len(prompts)


def check_prompts(model: PreTrainedModel, prompts: Sequence[Record], length: int) -> None:
    """Raises InputError for no prompts, and for one that does not fit the model together with `length`."""
    if not prompts:
        raise InputError("no prompts to continue")
    for prompt in prompts:
        try:
            check_room(model, len(prompt.sequence), length)
        except ValueError as error:
            raise InputError(f"{prompt.name}: {error}; shorten the prompt or lower `length`") from error


def check_options(temperature: float, top_k: int | None, nucleotides: str) -> None:
    """Raises InputError for an option of sampling that is out of range."""
    if temperature < 0:
        raise InputError(f"`temperature` {temperature:g}: expected 0 (the most probable nucleotide) or more")
    if top_k is not None and top_k < 1:
        raise InputError(f"`top_k` {top_k}: expected 1 or more")
    if not nucleotides or set(nucleotides) - set(NUCLEOTIDES):
        raise InputError(f"`nucleotides` {nucleotides}: expected some of {NUCLEOTIDES}")
