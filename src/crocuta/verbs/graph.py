"""The verb group `graph`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(highlight=False)

graph = typer.Typer(no_args_is_help=True, help="Learn from graphs: links, classes of nodes, distances.")


@graph.callback()
def main() -> None:
    """Learn from graphs: links, classes of nodes, distances."""


@graph.command("train")
def train(
    data: Annotated[
        Path, typer.Argument(help="Edge list (two nodes per line), or .npz with edges, features, labels.")
    ],
    task: Annotated[str, typer.Option(help="lp: links. nc: classes of nodes. md: distances.")] = "lp",
    encoder: Annotated[
        str,
        typer.Option(
            help="gcn, gat, hgcn, hgnn, hybonet, lgcn, hgat, gil, h2h-gcn, q-gcn, or embedding: a point per node."
        ),
    ] = "hybonet",
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")] = Path("graph-run"),
    dim: Annotated[int, typer.Option(min=1, help="Intrinsic dimensions of every layer.")] = 16,
    layers: Annotated[int, typer.Option(min=0)] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings, each with a split of its own.")] = 5,
    curvature: Annotated[
        str, typer.Option(help="shared: one for all layers. per-layer: one for each.")
    ] = "shared",
    c: Annotated[
        list[float] | None,
        typer.Option("--c", help="c > 0 of curvature -c; several: of the inputs and of each layer."),
    ] = None,
    learnable: Annotated[bool, typer.Option("--learnable", help="Training moves the curvature.")] = False,
    search: Annotated[str, typer.Option(help="Curvatures to choose from on validation, e.g. 0.3,1,3.")] = "",
    space: Annotated[str, typer.Option(help="lorentz or poincare; embedding also euclidean.")] = "lorentz",
    activation: Annotated[str, typer.Option(help="relu, elu, selu, tanh or none.")] = "relu",
    attention: Annotated[bool, typer.Option("--attention", help="HGCN, HyboNet: weigh neighbours.")] = False,
    normalisation: Annotated[
        str | None, typer.Option(help="GCN, HGCN, HGNN: row, symmetric or none; by default as published.")
    ] = None,
    heads: Annotated[int, typer.Option(min=1, help="GAT, HGAT, GIL.")] = 1,
    dropout: Annotated[float, typer.Option(min=0, max=0.99)] = 0.0,
    split: Annotated[
        str, typer.Option(help="nc. clean: disjoint. public: the file's. original: hgcn's, which leaks.")
    ] = "clean",
    degrees: Annotated[bool, typer.Option("--degrees", help="Add one-hot degrees to the features.")] = False,
    epochs: Annotated[int, typer.Option(min=1)] = 1000,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without progress before stopping.")] = 200,
    learning_rate: Annotated[float, typer.Option(min=0)] = 0.01,
    weight_decay: Annotated[float, typer.Option(min=0)] = 0.0,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the seeds that are done.")] = False,
) -> None:
    """Train a graph encoder and judge it: metrics.json, manifest.json and a model for each seed.

    Examples:

    `crocuta graph train edges.tsv --task lp --encoder hybonet -o run/`

    `crocuta graph train cora.npz --task nc --split public --encoder hgcn --dropout 0.5 -o run/`

    `crocuta graph train tree.tsv --task md --encoder embedding --dim 10 --curvature shared --learnable -o run/`

    `crocuta graph train edges.tsv --curvature per-layer --learnable --search 0.3,1,3 -o run/`
    """
    from crocuta.quiet import prepare

    prepare()
    from crocuta.errors import InputError
    from crocuta.train.graph import GraphRecipe, GraphRun, train_graph

    if curvature not in ("shared", "per-layer"):
        raise InputError(f"--curvature is {curvature!r}, expected shared or per-layer")
    config = {
        "encoder": encoder, "hidden_size": dim, "num_layers": layers, "space": space, "dropout": dropout,
        "activation": activation, "attention": attention, "heads": heads, "learnable": learnable,
        "normalisation": normalisation, "per_layer": curvature == "per-layer",
        "c": (c if c and len(c) > 1 else (c or [1.0])[0]),
    }  # fmt: skip
    recipe = GraphRecipe(epochs=epochs, patience=patience, lr=learning_rate, weight_decay=weight_decay)
    run = GraphRun(task, config, recipe, seeds, split, degrees)
    with EpochBars() as bars:
        metrics = train_graph(data, run, output, search=_numbers(search), resume=resume, progress=bars.begin)
    _show(metrics, output)


def _numbers(text: str) -> tuple[float, ...]:
    """`0.3,1,3` as numbers."""
    from crocuta.errors import InputError

    try:
        return tuple(float(part) for part in text.split(",") if part)
    except ValueError:
        raise InputError(f"--search is {text!r}, expected numbers such as 0.3,1,3") from None


class EpochBars:
    """A bar for each training."""

    def __enter__(self):
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.bars = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24),
            TextColumn("epoch {task.completed}/{task.total}, validation {task.fields[score]}"), TimeElapsedColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self.bars.start()
        return self

    def __exit__(self, *error):
        self.bars.stop()

    def begin(self, name: str):
        """A callback for the training of that name."""
        task = self.bars.add_task(name, total=None, score="")

        def move(epoch: int, epochs: int, score: float) -> None:
            self.bars.update(task, completed=epoch, total=epochs, score=f"{score:.3f}")

        return move


def _show(metrics: dict, output: Path) -> None:
    from rich.table import Table

    table = Table(title=f"{len(metrics['seeds'])} seeds, curvature c = {metrics['curvature']}")
    for column in ("score", "validation", "test"):
        table.add_column(column, justify="left" if column == "score" else "right")
    for name in metrics["test"]:
        table.add_row(name, *(spread(metrics[part][name]) for part in ("valid", "test")))
    console.print(table)
    leaked = metrics["seeds"][0].get("leaked")
    if leaked:
        console.print(f"[bold]{leaked:.0%} of test nodes are training nodes:[/] this split leaks.")
    console.print(f"→ [bold]{output / 'metrics.json'}[/]")


def spread(value: dict) -> str:
    """`0.9712 ± 0.0034`, without the second where there is one seed."""
    return f"{value['mean']:.4f}" + (f" ± {value['sd']:.4f}" if value["sd"] is not None else "")
