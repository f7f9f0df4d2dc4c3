"""The verb group `rag`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(highlight=False)

rag = typer.Typer(no_args_is_help=True, help="Answer questions about a knowledge graph by a language model.")


@rag.callback()
def main() -> None:
    """Answer questions about a knowledge graph by a language model."""


@rag.command("train")
def train(
    triples: Annotated[
        Path, typer.Argument(help="Table without header: head, relation, tail; tabs between.")
    ],
    questions: Annotated[Path, typer.Argument(help="Table with the columns question, answer[, split].")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")] = Path("rag-run"),
    texts: Annotated[
        Path | None, typer.Option(help="Table of entity and text, read in place of names.")
    ] = None,
    language_model: Annotated[
        str | None,
        typer.Option(help="Folder or name of a causal language model; default a small new GPT-2."),
    ] = None,
    adapt: Annotated[str, typer.Option(help="Of the language model train: full, lora or frozen.")] = "full",
    prompt: Annotated[
        str, typer.Option(help="graph: soft tokens. text: triples as text. both. none: no retrieval.")
    ] = "graph",
    encoder: Annotated[str, typer.Option(help="Graph encoder, as in `crocuta graph train`.")] = "hybonet",
    dim: Annotated[int, typer.Option(min=1, help="Intrinsic dimensions of the graph encoder.")] = 64,
    layers: Annotated[int, typer.Option(min=1, help="Of the graph encoder.")] = 1,
    tokens: Annotated[int, typer.Option(min=1, help="Soft tokens of a question's subgraph, at most.")] = 12,
    method: Annotated[str, typer.Option(help="k-hop, or prizes: a prize-collecting tree.")] = "k-hop",
    seeds: Annotated[int, typer.Option(min=1, help="Entities a question may name.")] = 2,
    hops: Annotated[int, typer.Option(min=0)] = 2,
    direction: Annotated[str, typer.Option(help="out: from head to tail. both: also back.")] = "out",
    epochs: Annotated[int, typer.Option(min=1)] = 8,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    learning_rate: Annotated[float, typer.Option(min=0)] = 1e-3,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train on questions whose split is train, judge on valid and test: metrics.json, predictions, the model.

    Examples:

    `crocuta rag train triples.tsv questions.tsv -o run/`

    `crocuta rag train triples.tsv questions.tsv --language-model gpt2/ --adapt lora --prompt both -o run/`
    """
    from rich.progress import Progress

    from crocuta.quiet import prepare

    prepare()
    from crocuta.retrieval import RagRecipe, RagSettings, Retrieval, train_rag

    settings = RagSettings(
        language_model, prompt, {"encoder": encoder, "hidden_size": dim, "num_layers": layers, "activation": "none"},
        tokens, adapt=adapt, seed=seed,
        retrieval=Retrieval(method, seeds, hops=hops, direction=direction),
        recipe=RagRecipe(epochs, batch_size, learning_rate, seed=seed),
    )  # fmt: skip
    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("training", total=None)
        metrics = train_rag(
            triples, questions, output, settings, texts,
            progress=lambda step, steps, loss: bars.update(
                task, completed=step, total=steps, description=f"training, loss {loss:.3f}"
            ),
            note=lambda text: bars.update(task, description=text),
        )  # fmt: skip
    _show(metrics, output)


def _show(metrics: dict, output: Path) -> None:
    for split in ("valid", "test"):
        if split in metrics:
            found, guess = metrics[split], metrics["commonest_answer"][split]
            console.print(
                f"{split}: exact match [bold]{found['exact_match']:.3f}[/] of {found['questions']:,} questions"
                f" (the commonest answer: {guess:.3f})"
            )
    console.print(f"→ [bold]{output}[/]")


@rag.command("ask")
def ask(
    run: Annotated[Path, typer.Argument(help="Run folder that `crocuta rag train` made.")],
    questions: Annotated[list[str], typer.Argument(help="One or several questions.")],
    facts: Annotated[bool, typer.Option("--facts", help="Show the triples that were retrieved.")] = False,
) -> None:
    """Answer questions.

    Examples:

    `crocuta rag ask run/ "Which genotype is OR518270?" --facts`
    """
    from crocuta.quiet import prepare

    prepare()
    from crocuta.retrieval import load_rag

    model = load_rag(run)
    for question, answer in zip(questions, model.generate(questions), strict=True):
        console.print(answer, markup=False)
        if facts and model.retriever is not None:
            found = model.retriever.retrieve([question])[0]
            for triple in found.triples:
                console.print(f"  {model.retriever.graph.sentence(triple)}", markup=False)
