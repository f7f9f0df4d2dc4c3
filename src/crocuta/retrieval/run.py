"""A run folder of GraphRAG: trained from two tables, and opened again.

```
run/
  config.json             what was asked
  manifest.json           where it was done
  knowledge.json          entities, relations, triples, texts, and how rare their words are
  retrieval.safetensors   the text encoder and the graph prompt
  language_model/         the language model (a LoRA merged into it) and its tokenizer
  metrics.json            exact match by split, and of guessing the commonest answer
  predictions-valid.tsv, predictions-test.tsv   questions, their answers, and the model's
```
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crocuta.data.knowledge import KnowledgeGraph, Question, part, read_questions, read_triples
from crocuta.errors import InputError
from crocuta.files import replacing, write_json
from crocuta.manifolds import Euclidean, Lorentz
from crocuta.models.graph import GraphConfig, GraphEncoder
from crocuta.retrieval.graph_rag import GraphRAG
from crocuta.retrieval.prompts import GraphPrompt, JointPrompt, TextPrompt
from crocuta.retrieval.retriever import Retrieval, Retriever
from crocuta.retrieval.text import TextEncoder, rarities
from crocuta.retrieval.tokenizer import small_language_model, train_tokenizer
from crocuta.retrieval.training import Progress, RagRecipe, fit_rag
from crocuta.runs.manifest import manifest

ENCODER = {"encoder": "hybonet", "hidden_size": 64, "num_layers": 1, "activation": "none"}
PROMPTS = ("graph", "text", "both", "none")


@dataclass(frozen=True)
class RagSettings:
    """What is trained.

    Args:
        language_model: folder or name of a causal language model of `transformers` with its tokenizer; None: a GPT-2
            of 2 layers and a tokenizer, both new, trained on the questions and the graph's sentences.
        prompt: "graph" (soft tokens), "text" (triples as sentences), "both", or "none" (no retrieval).
        encoder: keys of `GraphConfig`.
        tokens: soft tokens of a subgraph at most.
        features: dimensions of the text encoder's points.
        flat: texts lie in flat space.
        text_steps: steps of the text encoder's training.
        adapt: "full", "lora" or "frozen".
    """

    language_model: str | None = None
    prompt: str = "graph"
    encoder: Mapping[str, Any] = field(default_factory=lambda: dict(ENCODER))
    tokens: int = 12
    features: int = 64
    flat: bool = False
    text_steps: int = 60
    adapt: str = "full"
    retrieval: Retrieval = field(default_factory=Retrieval)
    recipe: RagRecipe = field(default_factory=RagRecipe)
    seed: int = 0

    def __post_init__(self):
        if self.prompt not in PROMPTS:
            raise InputError(f"prompt is {self.prompt!r}, expected {', '.join(PROMPTS)}")


def build_rag(settings: RagSettings, graph: KnowledgeGraph, questions: Sequence[Question]) -> GraphRAG:
    """An untrained model for a graph and questions (those of training are read, not their answers' truth).

    Raises:
        InputError: the language model cannot be loaded, or the encoder's settings do not fit.
    """
    torch.manual_seed(settings.seed)
    known = part(questions, "train")
    model, tokenizer = _language_model(settings.language_model, graph, known)
    if settings.prompt == "none":
        return GraphRAG(model, tokenizer, adapt=settings.adapt)
    rarity = rarities(graph, [question.text for question in known])
    texts = TextEncoder(Euclidean() if settings.flat else Lorentz(), rarity, settings.features)
    retriever = Retriever(graph, texts, settings.retrieval)
    if settings.text_steps:
        retriever.fit(settings.text_steps, settings.seed)
    return _assembled(settings, graph, retriever, model, tokenizer)


def _assembled(
    settings: RagSettings, graph: KnowledgeGraph, retriever: Retriever, model: Any, tokenizer: Any
) -> GraphRAG:
    embeddings = model.get_input_embeddings()
    prompts: list[torch.nn.Module] = []
    if settings.prompt in ("graph", "both"):
        try:
            config = GraphConfig(in_features=GraphPrompt.in_features(retriever.encoder), **settings.encoder)
        except ValueError as error:
            raise InputError(str(error)) from error
        encoder = GraphEncoder(config)
        prompts.append(
            GraphPrompt(graph, retriever.encoder, encoder, embeddings.embedding_dim, settings.tokens)
        )
    if settings.prompt in ("text", "both"):
        prompts.append(TextPrompt(graph, tokenizer, embeddings))
    prompt = prompts[0] if len(prompts) == 1 else JointPrompt(*prompts)
    return GraphRAG(model, tokenizer, retriever, prompt, settings.adapt)


def _language_model(
    name: str | None, graph: KnowledgeGraph, questions: Sequence[Question]
) -> tuple[Any, Any]:
    if name is None:
        texts = [f"{question.text}\n{question.answer}" for question in questions]
        sentences = [graph.sentence(i) for i in range(len(graph.triples))]
        tokenizer = train_tokenizer([*texts, *sentences])
        return small_language_model(tokenizer), tokenizer
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        return AutoModelForCausalLM.from_pretrained(name), AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{name}: cannot be loaded ({str(error).splitlines()[0]}); expected a causal language model with its"
            " tokenizer"
        ) from error


def train_rag(
    triples: str | PathLike,
    questions: str | PathLike,
    output: str | PathLike,
    settings: RagSettings | None = None,
    texts: str | PathLike | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Trains on the questions whose split is train, judges on the others, and writes the run folder.

    Raises:
        InputError: a file or the settings do not fit, or the folder holds a run.
    """
    settings, output = settings or RagSettings(), Path(output)
    if (output / "metrics.json").exists():
        raise InputError(f"{output}: holds a finished run; give another folder with -o")
    graph, asked = read_triples(triples, texts), read_questions(questions)
    note("fitting the retriever")
    model = build_rag(settings, graph, asked).to(_device())
    fit_rag(model, part(asked, "train"), settings.recipe, progress)
    note("answering")
    metrics: dict[str, Any] = {"commonest_answer": commonest(asked)}
    for split in ("valid", "test"):
        judged = part(asked, split)
        if judged:
            answers = model.generate([question.text for question in judged])
            right = [answer == question.answer for answer, question in zip(answers, judged, strict=True)]
            metrics[split] = {"exact_match": float(np.mean(right)), "questions": len(judged)}
            _write_predictions(output / f"predictions-{split}.tsv", judged, answers)
    save_rag(model, settings, output)
    files = [Path(path) for path in (triples, questions, texts) if path is not None]
    write_json(output / "manifest.json", manifest(files, [settings.seed]))
    write_json(output / "metrics.json", metrics)
    return metrics


def _write_predictions(path: Path, questions: Sequence[Question], answers: Sequence[str]) -> None:
    with replacing(path) as file:
        file.write("question\tanswer\tpredicted\n")
        for question, answer in zip(questions, answers, strict=True):
            file.write(f"{question.text}\t{question.answer}\t{' '.join(answer.split())}\n")


def commonest(questions: Sequence[Question]) -> dict[str, float]:
    """Exact match, by split, of the commonest answer of training to every question."""
    answers = Counter(question.answer for question in part(questions, "train"))
    guess = answers.most_common(1)[0][0] if answers else ""
    parts = {split: part(questions, split) for split in ("valid", "test")}
    return {
        split: float(np.mean([question.answer == guess for question in judged]))
        for split, judged in parts.items()
        if judged
    }


def save_rag(model: GraphRAG, settings: RagSettings, folder: str | PathLike) -> None:
    """Writes what `load_rag` needs."""
    from safetensors.torch import save

    folder = Path(folder)
    language_model = model.language_model
    if settings.adapt == "lora":
        language_model = copy.deepcopy(language_model).merge_and_unload()
    language_model.save_pretrained(folder / "language_model")
    model.tokenizer.save_pretrained(folder / "language_model")
    write_json(folder / "config.json", asdict(settings))
    if model.retriever is None or model.prompt is None:
        return
    graph, encoder = model.retriever.graph, model.retriever.encoder
    write_json(
        folder / "knowledge.json",
        {
            "entities": graph.entities, "relations": graph.relations, "triples": graph.triples.tolist(),
            "texts": graph.texts, "rarity": encoder.rarity,
        },
    )  # fmt: skip
    parts = {"texts": encoder.state_dict(), "prompt": model.prompt.state_dict()}
    tensors = {
        f"{name}.{key}": x.cpu().contiguous() for name, part in parts.items() for key, x in part.items()
    }
    with replacing(folder / "retrieval.safetensors", "wb") as file:
        file.write(save(tensors))


def load_rag(folder: str | PathLike) -> GraphRAG:
    """A model from a run folder, ready to answer, on the accelerator where there is one.

    Raises:
        InputError: the folder is none, or a file of it is missing or torn.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        settings = _settings(content)
        if settings.prompt == "none":
            graph, tensors, known = KnowledgeGraph.of([]), {}, {}
        else:
            known = json.loads((folder / "knowledge.json").read_text(encoding="utf-8"))
            triples = np.array(known["triples"], np.int64).reshape(-1, 3)
            graph = KnowledgeGraph(
                tuple(known["entities"]), tuple(known["relations"]), triples, tuple(known["texts"])
            )
            tensors = load_file(folder / "retrieval.safetensors")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(
            f"{folder}: cannot be read ({error}); expected a folder of `crocuta rag train`"
        ) from error
    model, tokenizer = _language_model(str(folder / "language_model"), graph, [])
    if settings.prompt == "none":
        return GraphRAG(model, tokenizer).to(_device()).eval()
    texts = TextEncoder(Euclidean() if settings.flat else Lorentz(), known["rarity"], settings.features)
    texts.load_state_dict(_of("texts.", tensors))
    rag = _assembled(settings, graph, Retriever(graph, texts, settings.retrieval), model, tokenizer)
    rag.prompt.load_state_dict(_of("prompt.", tensors))  # type: ignore[union-attr]
    return rag.to(_device()).eval()


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _settings(content: dict[str, Any]) -> RagSettings:
    retrieval, recipe = Retrieval(**content.pop("retrieval")), RagRecipe(**content.pop("recipe"))
    # a LoRA was merged when the folder was written
    plain: dict[str, Any] = {**content, "adapt": "full"}
    return RagSettings(**plain, retrieval=retrieval, recipe=recipe)


def _of(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
