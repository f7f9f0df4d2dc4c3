"""The command line: each verb is a few lines over one library call."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from typer.core import TyperGroup

from crocuta.errors import InputError
from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.stops import (
    Terminated,
    about_file,
    command_named,
    complain,
    in_options,
    stopped_by_signals,
)
from crocuta.verbs.ancestry import ancestry
from crocuta.verbs.bench import bench
from crocuta.verbs.embed import embed
from crocuta.verbs.generate import generate
from crocuta.verbs.graph import graph
from crocuta.verbs.image import image
from crocuta.verbs.map import draw
from crocuta.verbs.pretrain import pretrain
from crocuta.verbs.probe import probe
from crocuta.verbs.rag import rag
from crocuta.verbs.tree import hyperbolicity, simulate
from crocuta.verbs.windows import windows
from crocuta.verbs.words import words

console = make_console()


class Verbs(TyperGroup):
    """Turns what goes wrong into one line and an exit code: 2 for bad input and outputs, 130 and 143 for a stop."""

    def invoke(self, ctx):
        command = command_named(self, [*ctx._protected_args, *ctx.args])
        with stopped_by_signals():
            try:
                return super().invoke(ctx)
            except InputError as error:
                complain(in_options(str(error), command))
                raise typer.Exit(2) from None
            except OSError as error:
                if (line := about_file(error)) is None:
                    raise
                complain(line)
                raise typer.Exit(2) from None
            except KeyboardInterrupt as stop:
                terminated = isinstance(stop, Terminated)
                make_console(stderr=True).print(
                    f"{'Terminated' if terminated else 'Interrupted'}; the same command, with --resume if it has that"
                    " option, goes on from what is kept."
                )
                raise typer.Exit(143 if terminated else 130) from None


app = typer.Typer(cls=Verbs, no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")

OUTPUT = Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")]
EXISTING_RUN = Annotated[Path, typer.Argument(help="Run folder that `crocuta train` made.")]
GENOME = Annotated[
    Path | None, typer.Option(help="FASTA, for tables of coordinates (`chrom,start,end,...`).")
]
WINDOW = Annotated[
    int | None, typer.Option(min=1, help="Nucleotides around each interval's centre; default the interval.")
]
RESUME = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")]


def version(wanted: bool) -> None:
    if wanted:
        from crocuta._version import __version__

        console.print(f"crocuta {__version__}")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Genome models that are long-range and hyperbolic: train, judge, predict.

    Start with `crocuta demo`, then `crocuta train your.csv`.
    """


def show(run) -> None:
    """The score table of a run, and where its report lies."""
    from rich.table import Table

    from crocuta.report.tables import size

    metrics = run.metrics
    headline = metrics["metric"]
    table = Table(title=f"Test set, {metrics['data']['test']['n']:,} sequences")
    for column in ("model", headline, "95% interval", "accuracy", "AUROC", "parameters", "time"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in metrics["models"].values():
        test = model["test"]
        value = test[headline]
        spread = f" ± {value['sd']:.3f}" if value["sd"] is not None else ""
        seconds = sum(seed["seconds"] for seed in model["seeds"]) / len(model["seeds"])
        table.add_row(
            model["title"],
            f"{number(value['mean'])}{spread}",
            f"{number(value['low'])} to {number(value['high'])}",
            number(test["accuracy"]["mean"]),
            number(test["auroc"]["mean"]),
            size(model),
            f"{seconds:.0f} s",
        )
    console.print(table)
    console.print(f"Report: [bold]{run.path / 'report.html'}[/]")


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def train_and_show(train: Callable, headline: str, **arguments) -> None:
    from crocuta.train.progress import ProgressWatcher

    with ProgressWatcher(console, headline) as watcher:
        run = train(watcher=watcher, **arguments)
    show(run)


@app.command()
def demo(output: OUTPUT = Path("crocuta-demo"), resume: RESUME = False) -> None:
    """Train on bundled real promoters and open the report: a few minutes on two cores.

    HyenaDNA-tiny, a CNN and k-mer logistic regression on GUE prom_core_tata, three seeds, a short schedule.
    """
    prepare()
    from crocuta import presets

    console.print("GUE prom_core_tata: is this 70 bp window of the human genome a TATA promoter?")
    train_and_show(presets.demo, "mcc", output=output, resume=resume)


@app.command()
def train(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="CSV/TSV (`sequence,label[,split]`; for several labels each `labels`, joined by `;`, or columns of"
            " 0 and 1) or FASTA (`label=` in headers), plain or .gz."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="hyenadna-tiny (default), cnn, cnn-max, transformer, hyenadna-small-32k, ..., or the folder of"
            " pretrained weights; repeat to compare.",
        ),
    ] = None,
    adapt: Annotated[
        list[str] | None,
        typer.Option(
            help="How pretrained weights are adapted: full (default), probe, lora:RANK, hyplora:RANK, prompt:TOKENS,"
            " label-prompt:TOKENS, in-context:SHOTS; repeat to compare."
        ),
    ] = None,
    output: OUTPUT = Path("run"),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each model.")] = 3,
    valid: Annotated[Path | None, typer.Option(help="Validation file; else a tenth is taken off.")] = None,
    test: Annotated[Path | None, typer.Option(help="Test file; else a tenth is taken off.")] = None,
    task: Annotated[
        str | None, typer.Option(help="Named task in place of a file, e.g. gue/prom_core_tata.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder that holds the task's files.")] = None,
    genome: GENOME = None,
    window: WINDOW = None,
    metric: Annotated[str | None, typer.Option(help="mcc, accuracy, f1, auroc or auprc.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training set, at most.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0)] = None,
    weight_decay: Annotated[float | None, typer.Option(min=0)] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Epochs without progress before stopping.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Longest sequence the model shall read.")
    ] = None,
    both_strands: Annotated[
        bool, typer.Option("--both-strands", help="Augment with reverse complements and average over them.")
    ] = False,
    baselines: Annotated[
        bool, typer.Option(help="Train the k-mer and length baselines beside the models.")
    ] = True,
    resume: RESUME = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate time and memory, train nothing.")
    ] = False,
) -> None:
    """Train and judge models on labelled sequences; ends with a report.

    Examples:

    `crocuta train data.csv --model hyenadna-tiny --seeds 3 -o run/`

    `crocuta train --task gue/prom_core_tata --data-root data/ -m hyenadna-tiny -m cnn -o run/`

    `crocuta train train.csv --valid dev.csv --test test.csv -m ./hyenadna-tiny-1k-seqlen-hf -o run/`

    `crocuta train data.csv -m ./pretrained --adapt full --adapt lora:8 --adapt prompt:16 -o run/`
    """
    prepare()
    from crocuta import presets

    models = model or ["hyenadna-tiny"]
    source = {"data": data, "valid": valid, "test": test, "task": task, "data_root": data_root}
    source |= {"genome": genome, "window": window}
    changes = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "patience": patience,
    }
    options = {key: value for key, value in changes.items() if value is not None}
    options |= {"max_length": max_length, "baselines": baselines, "adapt": adapt or ()}
    if dry_run:
        for line in presets.estimate(models, seeds, source, **options):
            console.print(line)
        return
    headline = presets.headline(metric, task)
    train_and_show(
        presets.train, headline, models=models, output=output, seeds=seeds, metric=metric,
        both_strands=both_strands, resume=resume,
        **source, **options,
    )  # fmt: skip


@app.command()
def evaluate(
    run: EXISTING_RUN,
    data: Annotated[Path, typer.Argument(help="Labelled sequences that the models have not seen.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for metrics and predictions.")
    ] = None,
    genome: GENOME = None,
    window: WINDOW = None,
) -> None:
    """Judge the models of a run on other labelled sequences.

    Example: `crocuta evaluate run/ test.csv`
    """
    prepare()
    from crocuta.presets import read_windows
    from crocuta.report import write_report
    from crocuta.train import evaluate

    result = evaluate(run, data, output, read_windows(genome, window))
    write_report([result.path], result.path / "report.html")
    show(result)


@app.command()
def predict(
    run: EXISTING_RUN,
    sequences: Annotated[Path, typer.Argument(help="FASTA, CSV or TSV, plain or .gz.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table to write.")] = Path("predictions.tsv"),
    model: Annotated[str | None, typer.Option("--model", "-m", help="Which of the run's models.")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 256,
    genome: GENOME = None,
    window: WINDOW = None,
) -> None:
    """Predict classes of sequences, streamed: the file may be of any size.

    Example: `crocuta predict run/ seqs.fa -o predictions.tsv`
    """
    prepare()
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from crocuta import train
    from crocuta.presets import read_windows

    with Progress(
        SpinnerColumn(), TextColumn("{task.completed:,} sequences"), console=console, transient=True
    ) as bar:
        task = bar.add_task("predicting", total=None)
        count, letters = train.predict(
            run,
            sequences,
            output,
            model=model,
            batch_size=batch_size,
            windows=read_windows(genome, window),
            progress=lambda done: bar.update(task, advance=done),
        )
    console.print(f"{count:,} sequences → [bold]{output}[/]")
    if letters:
        console.print(f"{letters:,} letters other than ACGTN were read as N.")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="One run folder, or several to compare.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="HTML file to write.")] = None,
) -> None:
    """Write the report of a run again, or compare several runs.

    Example: `crocuta report run/ other_run/ -o comparison.html`
    """
    prepare()
    from crocuta.report import write_report

    target = output or (runs[0] / "report.html" if len(runs) == 1 else Path("comparison") / "report.html")
    console.print(f"Report: [bold]{write_report(runs, target)}[/]")


@app.command()
def tasks(
    data_root: Annotated[Path | None, typer.Option(help="Folder to look for their files in.")] = None,
) -> None:
    """List the named tasks, and which of them are on disk.

    Example: `crocuta tasks --data-root data/`
    """
    from rich.table import Table

    from crocuta.data.tasks import TASKS, find_tasks

    found = find_tasks(data_root) if data_root else {}
    table = Table(title=f"{len(TASKS)} tasks")
    for column in ("task", "classes", "length", "metric", "on disk"):
        table.add_column(column)
    for name, record in TASKS.items():
        table.add_row(name, str(len(record.classes)), str(record.length), record.metric, found.get(name, ""))
    console.print(table)
    if not data_root:
        console.print("Give --data-root to see which are on disk.")


@app.command()
def doctor() -> None:
    """Show device, memory, versions, presets, and what is missing."""
    from rich.table import Table

    from crocuta.doctor import examine

    table = Table(show_header=False)
    for finding in examine():
        table.add_row(finding.what, finding.found, escape(finding.advice))
    console.print(table)


for verb in (pretrain, generate, embed, probe, windows, hyperbolicity, bench):
    app.command()(verb)
app.command("map")(draw)
app.add_typer(simulate, name="simulate")
app.add_typer(graph, name="graph")
app.add_typer(image, name="image")
app.add_typer(rag, name="rag")
app.add_typer(words, name="words")
app.add_typer(ancestry, name="ancestry")
