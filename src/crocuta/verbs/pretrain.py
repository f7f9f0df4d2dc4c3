"""The verb `pretrain`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from crocuta.errors import InputError
from crocuta.quiet import prepare

console = Console(highlight=False)


def pretrain(
    genome: Annotated[Path, typer.Argument(help="FASTA: plain, gzip or bgzip.")],
    bed: Annotated[
        Path | None, typer.Option(help="Stretches to use: contig, start, end[, train|valid|test].")
    ] = None,
    hold_out: Annotated[str, typer.Option(help="Contigs to test on, separated by commas.")] = "",
    valid_contigs: Annotated[str, typer.Option(help="Contigs to validate on, separated by commas.")] = "",
    size: Annotated[
        str, typer.Option(help="tiny-1k, tiny-1k-d256, tiny-16k-d128, small-32k, medium-160k, ...")
    ] = "tiny-1k",
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Go on with this model's weights.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")] = Path("pretraining"),
    length: Annotated[
        int | None, typer.Option(min=2, help="Letters of a window; default: the size's.")
    ] = None,
    warm_up: Annotated[str, typer.Option(help="Shorter lengths to begin with, e.g. 64,128,256,512.")] = "",
    warm_up_share: Annotated[float, typer.Option(min=0, max=1, help="Share of the steps they take.")] = 0.3,
    keep: Annotated[
        str, typer.Option(help="Shorter windows: same tokens in a step, or same batch.")
    ] = "tokens",
    epochs: Annotated[float, typer.Option(min=0, help="Passes over the training part.")] = 10,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the optimiser, in place of epochs.")
    ] = None,
    tokens_per_step: Annotated[
        int | None, typer.Option(min=1, help="Letters of a step, all processes; default: about 5,000 steps.")
    ] = None,
    tokens_at_once: Annotated[
        int, typer.Option(min=1, help="Letters computed together; sets the memory.")
    ] = 1 << 15,
    learning_rate: Annotated[float, typer.Option(min=0)] = 1e-3,
    filter_learning_rate: Annotated[
        float | None,
        typer.Option(min=0, help="Of the filter networks; default: less for windows over 1,024."),
    ] = None,
    weight_decay: Annotated[float, typer.Option(min=0)] = 0.1,
    initial_spread: Annotated[
        float | None, typer.Option(min=0, help="Standard deviation of new weights; default: 0.08.")
    ] = None,
    dropout: Annotated[float, typer.Option(min=0, max=0.99, help="Of the embeddings, new models.")] = 0.0,
    both_strands: Annotated[bool, typer.Option(help="Turn windows to their reverse complement.")] = True,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    markov_order: Annotated[
        int, typer.Option(min=-1, max=12, help="Highest order of the Markov models beside it; -1: none.")
    ] = 8,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Between checkpoints.")] = 5,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    cache: Annotated[Path | None, typer.Option(help="Folder for the genome's ids.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate time and memory, train nothing.")
    ] = False,
) -> None:
    """Pretrain a HyenaDNA on a genome: learn to foretell the next nucleotide.

    Examples:

    `crocuta pretrain yeast.fa.gz --hold-out IV --valid-contigs XIV --size tiny-1k -o run/`

    `crocuta pretrain hg38.fa --bed splits.bed --size small-32k --warm-up 64,256,1024,4096,16384 --epochs 4 -o run/`

    `accelerate launch --num_processes 8 -m crocuta pretrain hg38.fa --bed splits.bed --size medium-160k -o run/`

    `crocuta train labelled.csv --model run/model -o tuned/` fine-tunes it.
    """
    prepare()
    from crocuta.data.genome import Genome
    from crocuta.data.intervals import read_bed
    from crocuta.data.language import partition

    if size not in (sizes := _sizes()):
        raise InputError(f"no size {size!r}: expected {', '.join(sizes)}")
    read = Genome(genome, cache)
    parts = partition(
        read, read_bed(bed) if bed else None, valid=_names(valid_contigs), test=_names(hold_out)
    )
    length = length or _default_length(size, model)
    letters = int(parts["train"].lengths.sum())
    recipe = _recipe(
        letters, epochs, steps, tokens_per_step,
        length=length, warm_up=_lengths(warm_up), warm_up_share=warm_up_share, keep=keep,
        tokens_at_once=tokens_at_once, learning_rate=learning_rate,
        filter_learning_rate=filter_learning_rate, weight_decay=weight_decay,
        both_strands=both_strands, precision=precision, seed=seed, checkpoint_seconds=60 * checkpoint_minutes,
    )  # fmt: skip
    learner = model or _config(size, length, dropout, initial_spread)
    (_show_cost if dry_run else _run)(read, parts, learner, recipe, size, output, markov_order, resume)


def _sizes() -> list[str]:
    from crocuta.models.hyena import RELEASED

    return list(RELEASED)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _lengths(text: str) -> tuple[int, ...]:
    for part in (names := _names(text)):
        if not part.isdigit():
            raise InputError(f"--warm-up: expected lengths such as 64,128,256, found {part!r}")
    return tuple(map(int, names))


def _default_length(size: str, model: Path | None) -> int:
    from crocuta.models.hyena import RELEASED, HyenaConfig
    from crocuta.train.pretraining_run import model_folder

    if model is None:
        return RELEASED[size]["max_seq_len"] - 2
    return HyenaConfig.from_pretrained(model_folder(model)).max_seq_len - 2


def _config(size: str, length: int, dropout: float, spread: float | None):
    from crocuta.models.hyena import RELEASED, HyenaConfig
    from crocuta.presets import SCRATCH_INITIALIZER

    sizes: dict[str, Any] = RELEASED[size] | {"max_seq_len": length + 2}
    return HyenaConfig(**sizes, embed_dropout=dropout, initializer_range=spread or SCRATCH_INITIALIZER)


def _recipe(letters: int, epochs: float, steps: int | None, tokens: int | None, **settings: Any):
    from crocuta.runs.device import has_fast_bfloat16
    from crocuta.train.pretraining_recipe import PRECISIONS, Pretraining
    from crocuta.train.pretraining_run import step_size

    if settings["precision"] == "auto":
        settings["precision"] = "bfloat16" if has_fast_bfloat16() else "float32"
    if settings["precision"] not in PRECISIONS:
        raise InputError(
            f"--precision: expected auto, {', '.join(PRECISIONS)}, found {settings['precision']!r}"
        )
    if settings["filter_learning_rate"] is None:
        settings["filter_learning_rate"] = settings["learning_rate"] * min(1.0, 1024 / settings["length"])
    tokens = tokens or step_size(letters, epochs, settings["length"])
    steps = steps or max(1, round(letters * epochs / tokens))
    return Pretraining(steps=steps, tokens_per_step=tokens, **settings)


def _show_cost(genome, parts, learner, recipe, size, output, markov_order, resume) -> None:
    from crocuta.runs.progress import duration
    from crocuta.train.pretraining_cost import check_memory
    from crocuta.train.pretraining_run import cost

    found = cost(learner, recipe, parts)
    for part, intervals in parts.items():
        console.print(f"{part:5} {int(intervals.lengths.sum()):>15,} letters in {len(intervals):,} intervals")
    for stage in recipe.plan.stages:
        console.print(
            f"{stage.steps:,} steps of {stage.windows:,} windows of {stage.length:,},"
            f" {found.stages[stage.length]:.2f} s each"
        )
    console.print(
        f"{found.parameters:,} parameters, {recipe.precision}, {recipe.plan.tokens:,} letters: about"
        f" {duration(found.seconds)} and {found.memory_mb:,.0f} MB of {found.available_mb:,.0f} MB available.",
        soft_wrap=True,
    )
    check_memory(found, recipe)


def _run(genome, parts, learner, recipe, size, output, markov_order, resume) -> None:
    from accelerate import PartialState
    from rich.table import Table

    from crocuta.report.pretraining import read_pretraining, rows, write_pretraining
    from crocuta.train.pretraining_progress import PretrainingBar
    from crocuta.train.pretraining_run import run_pretraining

    title = f"HyenaDNA-{size}" if not isinstance(learner, Path) else learner.name
    main = PartialState().is_main_process
    if main and genome.others:
        console.print(f"{genome.others:,} letters other than ACGTN were read as N.")
    with PretrainingBar(console, recipe.plan.steps, shown=main) as watcher:
        run_pretraining(
            genome, parts, learner, recipe, output,
            markov_order=markov_order, resume=resume, watcher=watcher,
        )  # fmt: skip
    if not main:
        return
    page = write_pretraining(output, title)
    table = Table("model", "validation perplexity", "test perplexity", "bits of a letter")
    for row in rows(read_pretraining(output), title):
        table.add_row(*row)
    console.print(table)
    console.print(f"Model: [bold]{output / 'model'}[/]  Report: [bold]{page}[/]")
