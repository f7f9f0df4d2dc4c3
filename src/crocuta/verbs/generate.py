"""The verb `generate`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crocuta.errors import InputError
from crocuta.quiet import prepare

console = Console(highlight=False)


def generate(
    model: Annotated[
        str, typer.Argument(help="Folder of a pretrained causal model, or hyenadna-tiny-1k, ...")
    ],
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="DNA to go on from.")] = None,
    prompt_file: Annotated[Path | None, typer.Option(help="FASTA, CSV or TSV of prompts.")] = None,
    length: Annotated[int, typer.Option(min=1, help="Nucleotides to draw.")] = 1000,
    samples: Annotated[int, typer.Option(min=1, help="Continuations of each prompt.")] = 1,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest; 1: as the model says.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw among so many likeliest letters.")] = None,
    letters: Annotated[str, typer.Option(help="Letters to draw from.")] = "ACGT",
    with_prompt: Annotated[
        bool, typer.Option("--with-prompt", help="Write prompts before continuations.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="FASTA file to write.")] = Path(
        "generated.fa"
    ),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate time and memory, draw nothing.")
    ] = False,
) -> None:
    """Draw DNA from a causal model, nucleotide by nucleotide; long continuations cost no more per letter.

    Examples:

    `crocuta generate pretrained/ --prompt ACGTTGCA --length 10000 -o out.fa`

    `crocuta generate pretrained/ --prompt-file genes.fa --length 500 --samples 20 --temperature 0.8 -o out.fa`
    """
    prepare()
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from crocuta import presets
    from crocuta.data.records import Record, check_letters, read_records
    from crocuta.models.hyena import HyenaForCausalLM
    from crocuta.models.hyena_continue import write_continuations

    if (prompt is None) == (prompt_file is None):
        raise InputError("give either --prompt with letters or --prompt-file with a file of sequences")
    if prompt:
        check_letters(prompt, Path("--prompt"), 1)
    prompts = list(read_records(prompt_file)) if prompt_file else [Record("prompt", prompt or "")]
    generator = presets.load(model)
    if not isinstance(generator, HyenaForCausalLM):
        raise InputError(
            f"{model}: holds no causal language model; expected one that `crocuta pretrain` made"
        )
    if dry_run:
        show_cost(generator, prompts, length, samples)
        return
    columns = BarColumn(bar_width=24), TextColumn("{task.completed:,}/{task.total:,} letters")
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task("", total=len(prompts) * samples * length)
        count = write_continuations(
            generator, prompts, output, length, samples=samples, temperature=temperature, top_k=top_k,
            letters=letters, seed=seed, with_prompt=with_prompt,
            progress=lambda drawn: bar.update(task, advance=drawn),
        )  # fmt: skip
    console.print(f"{count:,} sequences of {length:,} new letters → [bold]{output}[/]", soft_wrap=True)


def show_cost(generator, prompts, length: int, samples: int) -> None:
    """Prints what the generation would take."""
    from crocuta.models.hyena_continue import check_prompts
    from crocuta.models.hyena_generate_cost import check_memory, estimate
    from crocuta.runs.progress import duration

    check_prompts(generator, prompts, length)
    cost = estimate(generator, [len(prompt.sequence) for prompt in prompts], length, samples)
    console.print(
        f"{len(prompts) * samples:,} sequences of {length:,} new letters: about {duration(cost.seconds)} and"
        f" {cost.memory_mb:,.0f} MB of {cost.available_mb:,.0f} MB available.",
        soft_wrap=True,
    )
    check_memory(cost)
