"""The verb group `graph`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated

import typer

from crocuta.runs.console import console as make_console
from crocuta.runs.console import wrote
from crocuta.runs.options import DEVICE, DRY_RUN, OVERWRITE, RESUME, check_file

console = make_console()

graph = typer.Typer(no_args_is_help=True, help="Learn from graphs: links, classes of nodes, distances.")


@graph.callback()
def main() -> None:
    """Learn from graphs: links, classes of nodes, distances."""


@graph.command("train")
def train(
    data: Annotated[
        Path, typer.Argument(help="Edge list (two nodes per line), or .npz with edges, features, labels.")
    ],
    task: Annotated[
        str, typer.Option("--problem", help="lp: links. nc: classes of nodes. md: distances.")
    ] = "lp",
    encoder: Annotated[
        str,
        typer.Option(
            help="gcn, gat, hgcn, hgnn, hybonet, lgcn, hgat, gil, h2h-gcn, q-gcn, or embedding: a point per node."
        ),
    ] = "hybonet",
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")] = Path("graph-run"),
    dim: Annotated[int, typer.Option(min=1, help="Intrinsic dimensions of every layer.")] = 16,
    layers: Annotated[int, typer.Option(min=0, help="Number of graph convolutions.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Number of trainings, each with a split of its own.")] = 5,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="A curvature for each layer, in place of one for all.")
    ] = False,
    c: Annotated[
        list[float] | None,
        typer.Option("--curvature", help="c > 0 of curvature -c; several: of the inputs and of each layer."),
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
    dropout: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of activations that are set to zero in training.")
    ] = 0.0,
    split: Annotated[
        str, typer.Option(help="nc. clean: disjoint. public: the file's. original: hgcn's, which leaks.")
    ] = "clean",
    degrees: Annotated[bool, typer.Option("--degrees", help="Add one-hot degrees to the features.")] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Steps on the whole graph, at most.")] = 1000,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without progress before stopping.")] = 200,
    learning_rate: Annotated[float, typer.Option(min=0, help="Of Riemannian Adam.")] = 0.01,
    weight_decay: Annotated[
        float, typer.Option(min=0, help="Of Riemannian Adam; decoupled, so that useful values exceed Adam's.")
    ] = 0.0,
    device: DEVICE = "auto",
    resume: RESUME = False,
    dry_run: DRY_RUN = False,
) -> None:
    """Train a graph encoder over several seeds and evaluate it: a run folder with models, scores and a report.

    Examples:

    `crocuta lab graph train edges.tsv --problem lp --encoder hybonet -o run/`

    `crocuta lab graph train cora.npz --problem nc --split public --encoder hgcn --dropout 0.5 -o run/`

    `crocuta lab graph train tree.tsv --problem md --encoder embedding --dim 10 --learnable -o run/`

    `crocuta lab graph train edges.tsv --per-layer --learnable --search 0.3,1,3 -o run/`
    """
    from crocuta.quiet import prepare

    prepare()
    from crocuta.graphs.training import GraphRecipe, GraphRun, estimate_graph, train_graph
    from crocuta.report.seeds import report_seeds, show_seeds
    from crocuta.runs.progress import shown

    config = {
        "encoder": encoder, "hidden_size": dim, "num_layers": layers, "space": space, "dropout": dropout,
        "activation": activation, "attention": attention, "heads": heads, "learnable": learnable,
        "normalisation": normalisation, "per_layer": per_layer,
        "c": (c if c and len(c) > 1 else (c or [1.0])[0]),
    }  # fmt: skip
    recipe = GraphRecipe(
        epochs=epochs, patience=patience, learning_rate=learning_rate, weight_decay=weight_decay
    )
    run = GraphRun(task=task, config=config, recipe=recipe, seeds=seeds, split=split, degrees=degrees)
    curvatures = _numbers(search)
    if dry_run:
        cost = estimate_graph(data, run, curvatures, device)
        cost.check("lower `dim`")
        trainings = seeds + len(curvatures)
        console.print(f"{trainings} trainings of {cost.parameters:,} parameters, at most: {cost.sentence()}")
        return
    with shown() as progress:
        metrics = train_graph(
            data, run, output, search=curvatures, device=device, resume=resume, progress=progress
        )
    report = report_seeds([output])
    show_seeds(metrics, f"curvature c = {metrics['curvature']}")
    leaked = metrics["seeds"][0].get("leaked")
    if leaked:
        console.print(f"[bold]{leaked:.0%} of test nodes are training nodes:[/] this split leaks.")
    console.print(wrote("Report", report))


@graph.command("predict")
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder that `crocuta lab graph train` made.")],
    pairs: Annotated[
        Path | None,
        typer.Argument(help="Two names of nodes on each line; not for runs that predict classes of nodes."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Table to write.")] = Path("links.tsv"),
    data: Annotated[Path | None, typer.Option(help="The graph of the run, if it lies elsewhere now.")] = None,
    device: DEVICE = "auto",
    overwrite: OVERWRITE = False,
) -> None:
    """Predict new links, distances, or classes of all nodes: means over the seeds of a run.

    Examples:

    `crocuta lab graph predict run/ pairs.tsv -o links.tsv`

    `crocuta lab graph predict cora-run/ -o classes.tsv`
    """
    from crocuta.quiet import prepare

    prepare()
    check_file(output, overwrite)
    predict_nodes(run, pairs, output, data=data, device=device)


def predict_nodes(
    run: Path, pairs: Path | None, output: Path, data: Path | None = None, device: str = "auto"
) -> None:
    """What `crocuta predict` calls for a run of a graph."""
    from crocuta.graphs.predict import predict_graph
    from crocuta.runs.progress import shown
    from crocuta.runs.saved import SavedRun

    saved = SavedRun(run, "lab graph train")
    with shown() as progress:
        count = predict_graph(saved, output, pairs, data=data, device=device, progress=progress)
    console.print(wrote(f"{count:,} rows", output))


def _numbers(text: str) -> tuple[float, ...]:
    """`0.3,1,3` as numbers."""
    from crocuta.errors import InputError

    try:
        return tuple(float(part) for part in text.split(",") if part)
    except ValueError:
        raise InputError(f"`search` is {text!r}, expected numbers such as 0.3,1,3") from None
