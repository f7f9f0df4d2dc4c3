"""The verb `pretrain`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated, Any

import typer

from crocuta.errors import InputError
from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe
from crocuta.runs.options import DEVICE, DRY_RUN, RESUME

console = make_console()


def pretrain(
    genome: Annotated[Path, typer.Argument(help="FASTA: plain, gzip or bgzip.")],
    bed: Annotated[
        Path | None, typer.Option(help="Stretches to use: contig, start, end[, train|valid|test].")
    ] = None,
    hold_out: Annotated[
        list[str] | None, typer.Option("--test-contig", help="Contig to hold out for the test; repeat.")
    ] = None,
    valid_contigs: Annotated[
        list[str] | None,
        typer.Option("--valid-contig", help="Contig to hold out for validation; repeat."),
    ] = None,
    size: Annotated[
        str, typer.Option(help="tiny-1k, tiny-1k-d256, tiny-16k-d128, small-32k, medium-160k, ...")
    ] = "tiny-1k",
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Go on with this model's weights.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")] = Path("pretraining"),
    length: Annotated[
        int | None, typer.Option(min=2, help="Nucleotides of a window; default: the size's.")
    ] = None,
    warm_up: Annotated[str, typer.Option(help="Shorter lengths to begin with, e.g. 64,128,256,512.")] = "",
    warm_up_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the steps that they take.")
    ] = 0.3,
    keep: Annotated[
        str,
        typer.Option(
            help="What steps of shorter windows keep: tokens (nucleotides of a step) or batch (windows)."
        ),
    ] = "tokens",
    epochs: Annotated[float, typer.Option(min=0, help="Passes over the training part.")] = 10,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the optimiser, in place of epochs.")
    ] = None,
    tokens_per_step: Annotated[
        int | None,
        typer.Option(min=1, help="Nucleotides of a step, all processes; default: about 5,000 steps."),
    ] = None,
    tokens_at_once: Annotated[
        int, typer.Option(min=1, help="Nucleotides that are computed together; sets the memory.")
    ] = 1 << 15,
    learning_rate: Annotated[float, typer.Option(min=0, help="At its peak, after the warm-up.")] = 1e-3,
    filter_learning_rate: Annotated[
        float | None,
        typer.Option(
            min=0, help="Learning rate of the filter networks; default: less for windows over 1,024."
        ),
    ] = None,
    weight_decay: Annotated[
        float, typer.Option(min=0, help="Decay of the weights of matrices, as AdamW has it.")
    ] = 0.1,
    initial_spread: Annotated[
        float | None, typer.Option(min=0, help="Standard deviation of new weights; default: 0.08.")
    ] = None,
    dropout: Annotated[
        float, typer.Option(min=0, max=0.99, help="Dropout of the embeddings of new models.")
    ] = 0.0,
    both_strands: Annotated[bool, typer.Option(help="Turn windows to their reverse complement.")] = True,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    markov_order: Annotated[
        int, typer.Option(min=-1, max=12, help="Also fit Markov models, up to this order; -1: none.")
    ] = 8,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Minutes between checkpoints.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Draws new weights, windows and dropout.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Folder for the genome's ids.")] = None,
    device: DEVICE = "auto",
    resume: RESUME = False,
    dry_run: DRY_RUN = False,
) -> None:
    """Pretrain a HyenaDNA on a genome: learn to predict the next nucleotide.

    Examples:

    `crocuta pretrain yeast.fa.gz --test-contig IV --valid-contig XIV --size tiny-1k -o run/`

    `crocuta pretrain hg38.fa --bed splits.bed --size small-32k --warm-up 64,256,1024,4096,16384 --epochs 4 -o run/`

    `accelerate launch --num_processes 8 -m crocuta pretrain hg38.fa --bed splits.bed --size medium-160k -o run/`

    `crocuta train labelled.csv --model run/model -o tuned/` fine-tunes it.
    """
    prepare()
    from crocuta.data.genome import Genome
    from crocuta.data.intervals import read_bed
    from crocuta.data.language import partition

    if size not in (sizes := _sizes()):
        raise InputError(f"`size` {size}: expected {', '.join(sizes)}")
    read = Genome(genome, cache, keep=not dry_run)
    parts = partition(read, read_bed(bed) if bed else None, valid=valid_contigs or (), test=hold_out or ())
    length = length or _default_length(size, model)
    nucleotides = int(parts["train"].lengths.sum())
    recipe = _recipe(
        nucleotides, epochs, steps, tokens_per_step,
        length=length, warm_up=_lengths(warm_up), warm_up_share=warm_up_share, keep=keep,
        tokens_at_once=tokens_at_once, learning_rate=learning_rate,
        filter_learning_rate=filter_learning_rate, weight_decay=weight_decay,
        both_strands=both_strands, precision=precision, seed=seed, device=device,
        checkpoint_seconds=60 * checkpoint_minutes,
    )  # fmt: skip
    learner = model or _config(size, length, dropout, initial_spread)
    if dry_run:
        _show_cost(parts, learner, recipe)
        return
    options = {"inputs": {"bed": bed}, "markov_order": markov_order, "resume": resume}
    _run(read, parts, learner, recipe, output, options, f"HyenaDNA-{size}" if model is None else model.name)


def _sizes() -> list[str]:
    from crocuta.models.hyena import RELEASED

    return list(RELEASED)


def _lengths(text: str) -> tuple[int, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for part in names:
        if not part.isdigit():
            raise InputError(f"`warm_up`: expected lengths such as 64,128,256, found {part!r}")
    return tuple(map(int, names))


def _default_length(size: str, model: Path | None) -> int:
    from crocuta.models.hyena import RELEASED, HyenaConfig
    from crocuta.pretraining.run import model_folder

    if model is None:
        return RELEASED[size]["max_seq_len"] - 2
    return HyenaConfig.from_pretrained(model_folder(model)).max_seq_len - 2


def _config(size: str, length: int, dropout: float, spread: float | None):
    from crocuta.models.hyena import RELEASED, HyenaConfig
    from crocuta.presets import SCRATCH_INITIALIZER

    sizes: dict[str, Any] = RELEASED[size] | {"max_seq_len": length + 2}
    return HyenaConfig(**sizes, embed_dropout=dropout, initializer_range=spread or SCRATCH_INITIALIZER)


def _recipe(nucleotides: int, epochs: float, steps: int | None, tokens: int | None, **settings: Any):
    from crocuta.pretraining.recipe import Pretraining
    from crocuta.pretraining.run import step_size
    from crocuta.runs.device import choose_device, has_fast_bfloat16
    from crocuta.runs.loop import PRECISIONS

    fast = has_fast_bfloat16(choose_device(settings["device"]))
    if settings["precision"] == "auto":
        settings["precision"] = "bfloat16" if fast else "float32"
    if settings["precision"] not in PRECISIONS:
        raise InputError(f"`precision` {settings['precision']}: expected auto, {', '.join(PRECISIONS)}")
    if settings["filter_learning_rate"] is None:
        settings["filter_learning_rate"] = settings["learning_rate"] * min(1.0, 1024 / settings["length"])
    tokens = tokens or step_size(nucleotides, epochs, settings["length"])
    steps = steps or max(1, round(nucleotides * epochs / tokens))
    return Pretraining(steps=steps, tokens_per_step=tokens, **settings)


def _show_cost(parts, learner, recipe) -> None:
    from crocuta.pretraining.cost import check_pretraining_memory
    from crocuta.pretraining.run import cost

    found = cost(learner, recipe, parts)
    for part, intervals in parts.items():
        console.print(
            f"{part:5} {int(intervals.lengths.sum()):>15,} nucleotides in {len(intervals):,} intervals"
        )
    for stage in recipe.plan.stages:
        console.print(
            f"{stage.steps:,} steps of {stage.windows:,} windows of {stage.length:,},"
            f" {found.stages[stage.length]:.2f} s each"
        )
    console.print(
        f"{found.total.parameters:,} parameters, {recipe.precision}, {recipe.plan.tokens:,} nucleotides:"
        f" {found.total.sentence()}."
    )
    check_pretraining_memory(found, recipe)


def _run(genome, parts, learner, recipe, output: Path, options: dict[str, Any], title: str) -> None:
    from crocuta.pretraining.run import run_pretraining
    from crocuta.runs.processes import processes
    from crocuta.runs.progress import SILENT, shown

    main = processes(recipe.device).is_main_process
    if main and genome.others:
        console.print(f"{genome.others:,} nucleotides other than ACGTN were read as N.")
    try:
        with shown(console) if main else SILENT as progress:
            run_pretraining(genome, parts, learner, recipe, output, progress=progress, **options)
    except InputError:
        if main:
            raise
        raise typer.Exit(2) from None  # the first process says why
    if main:
        _show(output, title)


def _show(output: Path, title: str) -> None:
    from rich.table import Table

    from crocuta.pretraining.page import read_pretraining, rows, write_pretraining

    page = write_pretraining(output, title)
    table = Table("model", "validation perplexity", "test perplexity", "bits of a nucleotide")
    for row in rows(read_pretraining(output), title):
        table.add_row(safe(row[0]), *row[1:])
    console.print(table)
    console.print(f"Model: [bold]{safe(output / 'model')}[/]  Report: [bold]{safe(page)}[/]")
