"""The verb `generate`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated

import typer

from crocuta.errors import InputError
from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.console import wrote
from crocuta.runs.options import DEVICE, DRY_RUN, OVERWRITE, check_file

console = make_console()


def generate(
    model: Annotated[
        str, typer.Argument(help="Folder of a pretrained causal model, or hyenadna-tiny-1k, ...")
    ],
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="DNA to go on from.")] = None,
    prompt_file: Annotated[Path | None, typer.Option(help="FASTA, CSV or TSV of prompts.")] = None,
    length: Annotated[int, typer.Option(min=1, help="Nucleotides to draw.")] = 1000,
    samples: Annotated[int, typer.Option("--continuations", min=1, help="Continuations of each prompt.")] = 1,
    temperature: Annotated[
        float, typer.Option(help="0: always the most probable nucleotide; 1: as the model predicts.")
    ] = 1.0,
    top_k: Annotated[
        int | None, typer.Option(help="Draw among this many of the most probable nucleotides.")
    ] = None,
    nucleotides: Annotated[str, typer.Option("--nucleotides", help="Nucleotides to draw from.")] = "ACGT",
    with_prompt: Annotated[
        bool, typer.Option("--with-prompt", help="Write prompts before continuations.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws; prompt i, from 0, uses seed + i.")] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="FASTA file to write.")] = Path(
        "generated.fa"
    ),
    overwrite: OVERWRITE = False,
    device: DEVICE = "auto",
    dry_run: DRY_RUN = False,
) -> None:
    """Draw DNA from a causal model, nucleotide by nucleotide; long continuations cost no more per nucleotide.

    Examples:

    `crocuta generate pretrained/ --prompt ACGTTGCA --length 10000 -o out.fa`

    `crocuta generate pretrained/ --prompt-file genes.fa --length 500 --samples 20 --temperature 0.8 -o out.fa`
    """
    prepare()
    from crocuta.data.records import Record, check_nucleotides, read_records
    from crocuta.models.hyena import HyenaForCausalLM
    from crocuta.pretraining.generation import write_continuations
    from crocuta.runs.device import choose_device
    from crocuta.runs.load import load
    from crocuta.runs.progress import shown

    if not dry_run:
        check_file(output, overwrite)
    if (prompt is None) == (prompt_file is None):
        raise InputError("give either `prompt` with nucleotides or `prompt_file` with a file of sequences")
    if prompt:
        check_nucleotides(prompt, Path("--prompt"), 1)
    prompts = list(read_records(prompt_file)) if prompt_file else [Record("prompt", prompt or "")]
    generator = load(model)
    if not isinstance(generator, HyenaForCausalLM):
        raise InputError(
            f"{model}: holds no causal language model; expected one that `crocuta pretrain` made"
        )
    generator.to(choose_device(device))  # pyright: ignore[reportArgumentType]
    if dry_run:
        show_cost(generator, prompts, length, samples)
        return
    with shown(console) as progress:
        count = write_continuations(
            generator, prompts, output, length, samples=samples, temperature=temperature, top_k=top_k,
            nucleotides=nucleotides, seed=seed, with_prompt=with_prompt, progress=progress,
        )  # fmt: skip
    console.print(wrote(f"{count:,} sequences of {length:,} new nucleotides", output))


def show_cost(generator, prompts, length: int, samples: int) -> None:
    """Prints what the generation would take."""
    from crocuta.pretraining.generation import check_prompts
    from crocuta.pretraining.generation_cost import check_generation_memory, estimate_generation

    check_prompts(generator, prompts, length)
    cost = estimate_generation(generator, [len(prompt.sequence) for prompt in prompts], length, samples)
    count = len(prompts) * samples
    console.print(f"{count:,} sequences of {length:,} new nucleotides: {cost.sentence()}.")
    check_generation_memory(cost)
