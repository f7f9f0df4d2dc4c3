"""The verb `bench`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated, Any

import typer

from crocuta.classification.verbs import (
    BATCH_SIZE,
    BOTH_STRANDS,
    EPOCHS,
    FROM_SCRATCH,
    MAX_LENGTH,
    METRIC,
    PATIENCE,
)
from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe, wrote
from crocuta.runs.options import DEVICE, DRY_RUN, JOBS, RESUME
from crocuta.runs.progress import shown

console = make_console()


def bench(
    task: Annotated[
        list[str],
        typer.Option(
            "--task", "-t", help="Named task, labelled file, or folder with train.csv and test.csv; repeat."
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="As in `crocuta train`; repeat."),
    ] = None,
    from_scratch: FROM_SCRATCH = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to fill.")] = Path("bench"),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each model.")] = 3,
    data_root: Annotated[Path | None, typer.Option(help="Folder that holds the named tasks.")] = None,
    jobs: JOBS = 1,
    metric: METRIC = None,
    epochs: EPOCHS = None,
    batch_size: BATCH_SIZE = None,
    patience: PATIENCE = None,
    max_length: MAX_LENGTH = None,
    both_strands: BOTH_STRANDS = False,
    baselines: Annotated[
        bool,
        typer.Option(
            help="Also train the baselines: majority, length, k-mer regression, k-mer boosted trees, CNN."
        ),
    ] = True,
    resume: RESUME = False,
    device: DEVICE = "auto",
    dry_run: DRY_RUN = False,
) -> None:
    """Compare models on several tasks with several seeds.

    With --resume, what is finished is not done again, and more tasks and models may be added.

    Examples:

    `crocuta bench --task gue/prom_core_tata --task gue/mouse/0 -m hcnn-s -m hcnn-m --data-root data/ -o bench/ -j 2`

    `crocuta bench --task mine.csv --task simulated/ -m new:hyenadna-tiny --seeds 5 --both-strands`
    """
    prepare()
    from crocuta.bench import bench, estimate
    from crocuta.classification import pipelines

    models = pipelines.from_scratch(model or []) if from_scratch else model or []
    common: dict[str, Any] = {
        "seeds": seeds, "data_root": data_root, "baselines": baselines, "metric": metric, "device": device,
        "epochs": epochs, "batch_size": batch_size, "patience": patience, "max_length": max_length,
    }  # fmt: skip
    if dry_run:
        for line in estimate(task, models, **common):
            console.print(safe(line))
        return
    with shown() as progress:
        result = bench(
            task, models, output, jobs=jobs, both_strands=both_strands, resume=resume, progress=progress,
            **common,
        )  # fmt: skip
    if result.rows:
        show(result.rows, output)
    for cell, reason in result.failures:
        console.print(f"[bold red]Failed:[/] {safe(f'{cell.name}: {reason}')} (see {safe(cell.log)})")
    if result.failures:
        raise typer.Exit(1)


def show(rows: list[dict[str, Any]], output: Path) -> None:
    """The table, a line for each model here, what is published, and leakage."""
    from rich.table import Table

    from crocuta.bench.grid import header, make_grid, sentence, table

    grid = make_grid(rows)
    fields = table(grid)
    shown = Table("", *grid.tasks, title="Test set, mean ± sd over seeds")
    for i, label in enumerate(header(grid)[1:], start=1):
        cells = [row[i] for row in fields]
        shown.add_row(label, *(f"[bold]{cell.text}[/]" if cell.best else cell.text for cell in cells))
    console.print(shown)
    for task in grid.tasks:
        if grid.known(task):
            console.print(safe(f"Published, {task}: {sentence(grid.known(task))}"))
    for task in grid.tasks:
        console.print(safe(f"Leakage, {task}: {grid.leakage[task]}"))
    console.print(f"{wrote('', output)}/results.md, results.jsonl, figures/")
