"""The verb group `rag`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated, Any

import typer

from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe, wrote
from crocuta.runs.options import DEVICE, DRY_RUN, RESUME
from crocuta.runs.progress import shown

console = make_console()

rag = typer.Typer(no_args_is_help=True, help="Answer questions about a knowledge graph by a language model.")


@rag.callback()
def main() -> None:
    """Answer questions about a knowledge graph by a language model."""


@rag.command("train")
def train(
    triples: Annotated[Path, typer.Argument(help="Table without header: head, relation, tail, by tabs.")],
    questions: Annotated[Path, typer.Argument(help="Table with the columns question, answer[, split].")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")] = Path("rag-run"),
    texts: Annotated[
        Path | None, typer.Option(help="Table of entities and texts that are read in place of their names.")
    ] = None,
    language_model: Annotated[
        str | None, typer.Option(help="Folder or name of a causal language model; default a new GPT-2.")
    ] = None,
    adapt: Annotated[
        str, typer.Option(help="What of the language model is trained: full, lora or frozen.")
    ] = "full",
    prompt: Annotated[
        str,
        typer.Option(
            "--context", help="graph: soft tokens. text: triples as text. both. none: no retrieval."
        ),
    ] = "graph",
    encoder: Annotated[str, typer.Option(help="Graph encoder, as in `crocuta lab graph train`.")] = "hybonet",
    dim: Annotated[int, typer.Option(min=1, help="Intrinsic dimensions of the graph encoder.")] = 64,
    layers: Annotated[int, typer.Option(min=1, help="Layers of the graph encoder.")] = 1,
    tokens: Annotated[
        int, typer.Option(min=1, help="A question's subgraph gives at most N soft tokens.")
    ] = 12,
    method: Annotated[
        str, typer.Option(help="How a subgraph is found: k-hop, or prizes (a prize-collecting tree).")
    ] = "k-hop",
    seeds: Annotated[int, typer.Option("--entities", min=1, help="A question names at most N entities.")] = 2,
    hops: Annotated[int, typer.Option(min=0, help="Entities at most N steps away are retrieved.")] = 2,
    direction: Annotated[str, typer.Option(help="out: from head to tail. both: also back.")] = "out",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the questions of training.")] = 8,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions of a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(min=0, help="The highest learning rate.")] = 1e-3,
    seed: Annotated[int, typer.Option(min=0, help="Decides the first weights and the order.")] = 0,
    resume: RESUME = False,
    dry_run: DRY_RUN = False,
    device: DEVICE = "auto",
) -> None:
    """Train on questions whose split is train and evaluate on valid and test: metrics.json, predictions, the model.

    Examples:

    `crocuta rag train triples.tsv questions.tsv -o run/`

    `crocuta rag train triples.tsv questions.tsv --language-model gpt2/ --adapt lora --prompt both -o run/`
    """
    from crocuta.quiet import prepare

    prepare()
    from crocuta.retrieval import RagRecipe, RagSettings, Retrieval, estimate_rag, train_rag

    settings = RagSettings(
        language_model=language_model, prompt=prompt, tokens=tokens, adapt=adapt, seed=seed,
        encoder={"encoder": encoder, "hidden_size": dim, "num_layers": layers, "activation": "none"},
        retrieval=Retrieval(method=method, seeds=seeds, hops=hops, direction=direction),
        recipe=RagRecipe(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed),
    )  # fmt: skip
    with shown() as progress:
        if dry_run:
            cost = estimate_rag(triples, questions, settings, texts=texts, device=device, progress=progress)
            cost.check("lower `batch_size`, or give a smaller `language_model`")
            console.print(f"Training a model of {cost.parameters:,} parameters: {cost.sentence()}.")
            return
        metrics = train_rag(
            triples, questions, output, settings, texts=texts, resume=resume, device=device, progress=progress
        )
    show(metrics, output)


def show(metrics: dict[str, Any], output: Path) -> None:
    """How well the questions that were held out are answered, and where the page lies."""
    from crocuta.retrieval.page import report_rag

    page = report_rag([output])
    for split in ("valid", "test"):
        if split in metrics:
            found, guess = metrics[split], metrics["commonest_answer"][split]
            console.print(
                f"{split}: exact match [bold]{found['exact_match']:.3f}[/] of {found['questions']:,} questions"
                f" (the most common answer: {guess:.3f})"
            )
    console.print(wrote("", page))


@rag.command("ask")
def ask(
    run: Annotated[Path, typer.Argument(help="Run folder that `crocuta rag train` made.")],
    questions: Annotated[list[str], typer.Argument(help="One or several questions.")],
    facts: Annotated[bool, typer.Option("--facts", help="Show the triples that were retrieved.")] = False,
    device: DEVICE = "auto",
) -> None:
    """Answer questions.

    Examples:

    `crocuta rag ask run/ "Which genotype is OR518270?" --facts`
    """
    from crocuta.quiet import prepare

    prepare()
    from crocuta.retrieval import load_rag

    model = load_rag(run, device=device)
    for question, answer in zip(questions, model.generate(questions), strict=True):
        console.print(safe(answer))
        if facts and model.retriever is not None:
            found = model.retriever.retrieve([question])[0]
            for triple in found.triples:
                console.print(f"  {safe(model.retriever.graph.sentence(triple))}")
