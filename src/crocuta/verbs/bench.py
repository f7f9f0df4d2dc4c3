"""The verb `bench`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from crocuta.bench import Watcher
from crocuta.quiet import prepare

console = Console(highlight=False)


def bench(
    task: Annotated[
        list[str],
        typer.Option(
            "--task", "-t", help="Named task, labelled file, or folder with train.csv and test.csv; repeat."
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Preset, or folder of pretrained weights; repeat."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to fill.")] = Path("bench"),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each model.")] = 3,
    data_root: Annotated[Path | None, typer.Option(help="Folder that holds the named tasks.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes side by side.")] = 1,
    metric: Annotated[
        str | None, typer.Option(help="mcc, accuracy, f1, auroc or auprc; default: each task's.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training set, at most.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Epochs without progress before stopping.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Longest sequence the models shall read.")
    ] = None,
    both_strands: Annotated[
        bool, typer.Option("--both-strands", help="Augment with reverse complements and average over them.")
    ] = False,
    baselines: Annotated[
        bool,
        typer.Option(help="Majority, length, k-mer regression, k-mer boosted trees, CNN beside the models."),
    ] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where it stopped: what the same command does anyway.")
    ] = False,
) -> None:
    """Compare models on several tasks with several seeds; what is finished is not done again.

    Examples:

    `crocuta bench --task gue/prom_core_tata --task gue/mouse/0 -m hcnn-s -m hcnn-m --data-root data/ -o bench/ -j 2`

    `crocuta bench --task mine.csv --task simulated/ -m hyenadna-tiny --seeds 5 --both-strands`
    """
    prepare()
    from crocuta.bench import bench

    with Progress() as watcher:
        result = bench(
            task, model or [], output, seeds=seeds, data_root=data_root, jobs=jobs, baselines=baselines,
            metric=metric, both_strands=both_strands, watcher=watcher, epochs=epochs, batch_size=batch_size,
            patience=patience, max_length=max_length,
        )  # fmt: skip
    if result.rows:
        show(result.rows, output)
    for cell, reason in result.failures:
        console.print(
            f"[bold red]Failed:[/] {cell.source.name}, {cell.title}: {escape(reason)} (see {cell.log})"
        )
    if result.failures:
        raise typer.Exit(1)


class Progress(Watcher):
    """A bar over all cells on a terminal, and a line for each that ends."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn()
        self.bar = Progress(*columns, TextColumn("{task.description}"), console=console, transient=True)
        self.task = self.bar.add_task("")
        self.running: list[str] = []

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.bar.stop()

    def plan(self, cells: int, finished: int) -> None:
        self.bar.update(self.task, total=cells, completed=finished)
        done = f", {finished} of them finished" if finished else ""
        console.print(f"{cells} pairs of task and model{done}")

    def begin(self, cell) -> None:
        self.running.append(f"{cell.source.name}: {cell.title}")
        self.bar.update(self.task, description=" | ".join(self.running))

    def end(self, cell, rows, failure) -> None:
        name = f"{cell.source.name}: {cell.title}"
        self.running.remove(name)
        self.bar.update(self.task, advance=1, description=" | ".join(self.running))
        if failure:
            console.print(f"{name:48} [bold red]failed[/], see {cell.log}")
            return
        values = [row["test"][row["metric"]] for row in rows]
        scores = ", ".join("–" if value is None else f"{value:.3f}" for value in values)
        seconds = sum(row["seconds"] for row in rows)
        console.print(f"{name:48} test {rows[0]['metric']} [bold cyan]{scores}[/] ({seconds:.0f} s)")


def show(rows: list[dict[str, Any]], output: Path) -> None:
    """The table, a line for each model here, what is published, and leakage."""
    from rich.table import Table

    from crocuta.report.grid import header, make_grid, sentence, table

    grid = make_grid(rows)
    fields = table(grid)
    shown = Table("", *grid.tasks, title="Test set, mean ± sd over seeds")
    for i, label in enumerate(header(grid)[1:], start=1):
        cells = [row[i] for row in fields]
        shown.add_row(label, *(f"[bold]{cell.text}[/]" if cell.best else cell.text for cell in cells))
    console.print(shown)
    for task in grid.tasks:
        if grid.known(task):
            console.print(f"Published, {task}: {sentence(grid.known(task))}", soft_wrap=True)
    for task in grid.tasks:
        console.print(f"Leakage, {task}: {grid.leakage[task]}", soft_wrap=True)
    console.print(f"→ [bold]{output}[/]/results.md, results.jsonl, figures/")
