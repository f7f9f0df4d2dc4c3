"""The command line: each verb is a few lines over one library call."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from crocuta.ancestry.verbs import ancestry
from crocuta.ancestry.verbs.simulate import simulate as simulate_admixture
from crocuta.bench.verbs import bench
from crocuta.classification.verb_windows import windows
from crocuta.classification.verbs import GENOME, WINDOW, demo, train
from crocuta.embedding.verb_map import draw
from crocuta.embedding.verb_probe import probe
from crocuta.embedding.verbs import embed
from crocuta.errors import InputError
from crocuta.graphs.verbs import graph
from crocuta.pretraining.verb_generate import generate
from crocuta.pretraining.verbs import pretrain
from crocuta.quiet import prepare
from crocuta.retrieval.verbs import rag
from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe, wrote
from crocuta.runs.options import DEVICE, DRY_RUN, OVERWRITE, RESUME, check_file
from crocuta.runs.stops import (
    Terminated,
    about_file,
    command_named,
    complain,
    in_options,
    stopped_by_signals,
)
from crocuta.trees.verbs import delta, tree
from crocuta.trees.verbs import simulate as simulate_tree
from crocuta.vision.verbs import image
from crocuta.words.verbs import words

console = make_console()


class Verbs(TyperGroup):
    """Turns what goes wrong into one line and an exit code: 2 for bad input and outputs, 130 and 143 for a stop."""

    def invoke(self, ctx):
        words = [*ctx._protected_args, *ctx.args]
        command = command_named(self, words)
        if words and words[0] in RENAMED:
            make_console(stderr=True).print(
                f"`crocuta {words[0]}` is now `crocuta {RENAMED[words[0]]}`; the old name goes with the next release."
            )
        with stopped_by_signals():
            try:
                return super().invoke(ctx)
            except InputError as error:
                complain(in_options(str(error), command))
                raise typer.Exit(2) from None
            except OSError as error:
                if (line := about_file(error)) is None:
                    raise
                complain(in_options(line, command))
                raise typer.Exit(2) from None
            except KeyboardInterrupt as stop:
                terminated = isinstance(stop, Terminated)
                make_console(stderr=True).print(
                    f"{'Terminated' if terminated else 'Interrupted'}. Run the same command again, with --resume where"
                    " it has that option, to continue."
                )
                raise typer.Exit(143 if terminated else 130) from None


app = typer.Typer(cls=Verbs, no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")

EXISTING_RUN = Annotated[Path, typer.Argument(help="Run folder, such as `crocuta train` makes.")]


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
    """Genome models that are long-range and hyperbolic: train, evaluate, predict.

    Start with `crocuta demo`, then `crocuta train your.csv`.
    """


SEQUENCES, GENOMES, ANCESTRY = "Sequences", "Genomes", "Ancestry"
TREES, RETRIEVAL, RESEARCH = "Trees", "Retrieval", "Research"

for verb in (demo, train):
    app.command(rich_help_panel=SEQUENCES)(verb)


#: What a verb calls for a run of a kind.
REPORTS = {
    "train": "crocuta.report.write_report",
    "evaluate": "crocuta.report.write_report",
    "lab graph train": "crocuta.report.seeds.report_seeds",
    "lab image train": "crocuta.report.seeds.report_seeds",
    "pretrain": "crocuta.pretraining.page.report_pretraining",
    "words train": "crocuta.words.page.report_words",
    "rag train": "crocuta.retrieval.page.report_rag",
}
EVALUATES = {
    "train": "crocuta.classification.verbs.evaluate_sequences",
    "lab image train": "crocuta.vision.verbs.evaluate_classes",
}
PREDICTS = {
    "train": "crocuta.classification.verbs.predict_sequences",
    "lab graph train": "crocuta.graphs.verbs.predict_nodes",
    "lab image train": "crocuta.vision.verbs.predict_classes",
}


def for_kind(run: Path, verb: str, table: dict[str, str], **options: Any) -> Callable:
    """The function of a table for the kind of a run, with the options that were given.

    Raises:
        InputError: runs of that kind cannot do this, or have no such option.
    """
    from pkgutil import resolve_name

    from crocuta.runs.saved import SavedRun

    kind = SavedRun(run).kind
    if kind not in table:
        known = ", ".join(f"`crocuta {name}`" for name in table)
        raise InputError(f"{run}: made by `crocuta {kind}`; `crocuta {verb}` takes runs of {known}")
    function = resolve_name(table[kind])
    given = {name: value for name, value in options.items() if value not in (None, False)}
    for name in given.keys() - signature(function).parameters:
        raise InputError(f"`{name}` says nothing to a run of `crocuta {kind}`; leave it out")
    return partial(function, **given)


@app.command(rich_help_panel=SEQUENCES)
def evaluate(
    run: EXISTING_RUN,
    data: Annotated[Path, typer.Argument(help="Labelled data that the models have not seen.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for metrics and predictions; default inside the run."),
    ] = None,
    genome: GENOME = None,
    window: WINDOW = None,
    resume: RESUME = False,
    device: DEVICE = "auto",
    dry_run: DRY_RUN = False,
) -> None:
    """Score the models of a run on other labelled data.

    Example: `crocuta evaluate run/ test.csv`
    """
    prepare()
    options = {"genome": genome, "window": window, "resume": resume, "device": device, "dry_run": dry_run}
    for_kind(run, "evaluate", EVALUATES, **options)(run, data, output)


@app.command(rich_help_panel=SEQUENCES)
def predict(
    run: EXISTING_RUN,
    sequences: Annotated[Path, typer.Argument(help="FASTA, CSV or TSV, plain or .gz.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table to write.")] = Path("predictions.tsv"),
    model: Annotated[str | None, typer.Option("--model", "-m", help="Which of the run's models.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Sequences at a time; default 256.")] = None,
    genome: GENOME = None,
    window: WINDOW = None,
    overwrite: OVERWRITE = False,
    device: DEVICE = "auto",
    dry_run: DRY_RUN = False,
) -> None:
    """Predict classes of sequences, streamed: the file may be of any size.

    Example: `crocuta predict run/ seqs.fa -o predictions.tsv`
    """
    prepare()
    options = {"model": model, "batch_size": batch_size, "genome": genome, "window": window}
    predict = for_kind(run, "predict", PREDICTS, device=device, dry_run=dry_run, **options)
    if not dry_run:
        check_file(output, overwrite)
    predict(run, sequences, output)


@app.command(rich_help_panel=SEQUENCES)
def report(
    runs: Annotated[list[Path], typer.Argument(help="One run folder, or several to compare.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="HTML file to write; default report.html in the run, or in comparison/."
        ),
    ] = None,
    overwrite: OVERWRITE = False,
) -> None:
    """Write the report of a run again, or compare several runs.

    Example: `crocuta report run/ other_run/ -o comparison.html`
    """
    prepare()
    writers = {for_kind(run, "report", REPORTS).func for run in runs}
    if len(writers) > 1:
        raise InputError("these runs are of different kinds; report them one by one")
    own = runs[0] / "report.html" if len(runs) == 1 else None
    target = output or own or Path("comparison") / "report.html"
    if target != own:
        check_file(target, overwrite)
    console.print(wrote("Report", writers.pop()(runs, target)))


@app.command(rich_help_panel=SEQUENCES)
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


@app.command(rich_help_panel=SEQUENCES)
def doctor() -> None:
    """Show device, memory, versions, presets, and what is missing."""
    from rich.table import Table

    from crocuta.doctor import examine

    table = Table(show_header=False)
    for finding in examine():
        table.add_row(finding.what, finding.found, safe(finding.advice))
    console.print(table)


app.command(rich_help_panel=SEQUENCES)(bench)
for verb in (pretrain, generate, embed, probe, windows):
    app.command(rich_help_panel=GENOMES)(verb)
app.command("map", rich_help_panel=GENOMES)(draw)
app.add_typer(ancestry, name="ancestry", rich_help_panel=ANCESTRY)
app.add_typer(tree, name="tree", rich_help_panel=TREES)
app.add_typer(words, name="words", rich_help_panel=RETRIEVAL)
app.add_typer(rag, name="rag", rich_help_panel=RETRIEVAL)
lab = typer.Typer(no_args_is_help=True, help="Train networks on graphs and on images.")
lab.add_typer(graph, name="graph")
lab.add_typer(image, name="image")
app.add_typer(lab, name="lab", rich_help_panel=RESEARCH)


#: Names that commands had in earlier versions, which work for one release more.
RENAMED = {
    "hyperbolicity": "tree delta",
    "simulate": "tree simulate, or ancestry simulate",
    "graph": "lab graph",
    "image": "lab image",
}
simulate = typer.Typer(no_args_is_help=True)
simulate.command("tree")(simulate_tree)
simulate.command("admixture")(simulate_admixture)
app.command("hyperbolicity", hidden=True)(delta)
for name, group in {"simulate": simulate, "graph": graph, "image": image}.items():
    app.add_typer(group, name=name, hidden=True)
