"""A run folder of GraphRAG: trained from two tables, and opened again.

```
run/
  config.json             what was asked
  manifest.json           where it was done
  metrics.json            exact match by split, and of always guessing the most common answer
  predictions-valid.tsv, predictions-test.tsv   questions, their answers, and the model's
  predictions.tsv         those of the test
  models/
    knowledge.json          entities, relations, triples, texts, and how rare their words are
    retrieval.safetensors   the text encoder and the graph prompt
    language_model/         the language model (a LoRA merged into it) and its tokenizer
  report.html, figures/
```

Runs of 0.1.0 have what is in `models/` in the run folder itself.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from crocuta.data.knowledge import KnowledgeGraph, Question, part, read_questions, read_triples
from crocuta.errors import InputError
from crocuta.files import follow_umask, remove, replacing, replacing_path, write_json
from crocuta.manifolds import Euclidean, Lorentz
from crocuta.models.graph import GraphConfig, GraphEncoder
from crocuta.retrieval.graph_rag import GraphRAG
from crocuta.retrieval.prompts import GraphPrompt, JointPrompt, TextPrompt
from crocuta.retrieval.retriever import Retrieval, Retriever
from crocuta.retrieval.text import TextEncoder, rarities
from crocuta.retrieval.tokenizer import small_language_model, train_tokenizer
from crocuta.retrieval.training import RagRecipe, fit_rag
from crocuta.runs.checkpoint import remove_checkpoint, save_tensors
from crocuta.runs.claim import claim
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.loop import mixed
from crocuta.runs.progress import SILENT, Progress
from crocuta.runs.saved import read_json

KIND = "rag train"
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
            raise InputError(f"`prompt` is {self.prompt!r}, expected {', '.join(PROMPTS)}")


def build_rag(
    settings: RagSettings,
    graph: KnowledgeGraph,
    questions: Sequence[Question],
    folder: Path | None = None,
    *,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> GraphRAG:
    """A model for a graph and questions, of which only the text encoder is trained yet. No held-out question is read.

    Args:
        folder: where the tokenizer and the trained text encoder are kept, and taken from when they are there.

    Raises:
        InputError: the language model cannot be loaded, or the encoder's settings do not fit.
    """
    torch.manual_seed(settings.seed)
    known = part(questions, "train")
    model, tokenizer = _language_model(settings.language_model, graph, known, folder)
    if settings.prompt == "none":
        return GraphRAG(model, tokenizer, adapt=settings.adapt)
    rarity = rarities(graph, [question.text for question in known])
    texts = _text_encoder(settings, rarity)
    kept = folder and folder / "texts.safetensors"
    if kept and kept.exists():
        texts.load_state_dict(load_file(kept))
    retriever = Retriever(graph, texts, settings.retrieval)
    if not (kept and kept.exists()) and settings.text_steps:
        with progress.stage("training the text encoder", unit="steps") as stage:
            retriever.fit(settings.text_steps, settings.seed, device, stage)
    if kept:
        save_tensors(kept, texts.state_dict())
    torch.manual_seed(
        mixed(settings.seed, 1)
    )  # the same weights whether the text encoder was trained now or before
    return _assembled(settings, graph, retriever, model, tokenizer)


def _text_encoder(settings: RagSettings, rarity: Mapping[str, float]) -> TextEncoder:
    return TextEncoder(Euclidean() if settings.flat else Lorentz(), rarity, settings.features)


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
    name: str | None, graph: KnowledgeGraph, questions: Sequence[Question], folder: Path | None = None
) -> tuple[Any, Any]:
    if name is not None:
        return _pretrained(name)
    kept = folder and folder / "language_model"
    if not (kept and kept.exists()):
        texts = [f"{question.text}\n{question.answer}" for question in questions]
        sentences = [graph.sentence(i) for i in range(len(graph.triples))]
        tokenizer = train_tokenizer([*texts, *sentences])
        if not kept:
            return small_language_model(tokenizer), tokenizer
        with replacing_path(kept) as temporary:
            tokenizer.save_pretrained(temporary)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        kept
    )  # now as after an interruption: a loaded one is saved otherwise
    return small_language_model(tokenizer), tokenizer


def _pretrained(name: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        return AutoModelForCausalLM.from_pretrained(name), AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{name}: cannot be loaded ({str(error).splitlines()[0]}); expected a causal language model with its"
            " tokenizer"
        ) from error


def _weights_of(name: str | None) -> Path | None:
    """The folder of a pretrained language model, whose content counts; a released one is fetched if it is not there."""
    if name is None or Path(name).is_dir():
        return None if name is None else Path(name)
    return _cached(name) or (_pretrained(name) and _cached(name))


def _cached(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    try:
        config = try_to_load_from_cache(name, "config.json")
    except ValueError:  # no name that a released model could have
        return None
    return Path(config).parent if isinstance(config, str) else None


def train_rag(
    triples: str | PathLike,
    questions: str | PathLike,
    output: str | PathLike,
    settings: RagSettings | None = None,
    texts: str | PathLike | None = None,
    *,
    resume: bool = False,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Trains on the questions whose split is train, evaluates on the others, and writes the run folder.

    Returns:
        What `metrics.json` holds.

    Raises:
        InputError: a file or the settings do not fit, or the folder may not be taken (`crocuta.runs.claim`).
    """
    settings = settings or RagSettings()
    weights = _weights_of(settings.language_model)
    asked = asdict(settings)
    if weights == Path(settings.language_model or ""):  # what is in the folder counts, not its name
        asked["language_model"] = None
    inputs = {"triples": triples, "questions": questions, "texts": texts, "language_model": weights}
    with claim(output, KIND, asked, inputs, resume=resume) as run:
        if run.finished:
            return read_json(run.folder / "metrics.json")
        graph, every = read_triples(triples, texts), read_questions(questions)
        folder = run.folder / "models"
        model = build_rag(settings, graph, every, folder, device=device, progress=progress)
        with progress.stage("training", unit="steps") as stage:
            fit_rag(
                model, part(every, "train"), settings.recipe, folder=folder, keep=run.keep, device=device, stage=stage
            )  # fmt: skip
        metrics = {"commonest_answer": commonest(every)}
        for split in ("valid", "test"):
            if held_out := part(every, split):
                with progress.stage(f"answering the questions of {split}"):
                    metrics[split] = _answer(model, held_out, run.folder, split)
        _save_models(model, settings, folder)
        remove_checkpoint(folder)
        write_json(run.folder / "metrics.json", metrics)
        run.finish([settings.seed])
    return metrics


def _answer(model: GraphRAG, questions: Sequence[Question], folder: Path, split: str) -> dict[str, Any]:
    """Answers questions, writes what came, and scores it."""
    answers = model.generate([question.text for question in questions])
    right = [answer == question.answer for answer, question in zip(answers, questions, strict=True)]
    for name in (f"predictions-{split}.tsv", *["predictions.tsv"] * (split == "test")):
        _write_predictions(folder / name, questions, answers)
    return {"exact_match": float(np.mean(right)), "questions": len(questions)}


def _write_predictions(path: Path, questions: Sequence[Question], answers: Sequence[str]) -> None:
    with replacing(path) as file:
        file.write("question\tanswer\tpredicted\n")
        for question, answer in zip(questions, answers, strict=True):
            file.write(f"{question.text}\t{question.answer}\t{' '.join(answer.split())}\n")


def commonest(questions: Sequence[Question]) -> dict[str, float]:
    """Exact match, by split, of the most common answer of training to every question."""
    answers = Counter(question.answer for question in part(questions, "train"))
    guess = answers.most_common(1)[0][0] if answers else ""
    parts = {split: part(questions, split) for split in ("valid", "test")}
    return {
        split: float(np.mean([question.answer == guess for question in held_out]))
        for split, held_out in parts.items()
        if held_out
    }


def save_rag(model: GraphRAG, settings: RagSettings, folder: str | PathLike) -> None:
    """Writes what `load_rag` needs."""
    write_json(Path(folder) / "config.json", {"kind": KIND, **asdict(settings)})
    _save_models(model, settings, Path(folder) / "models")


def _save_models(model: GraphRAG, settings: RagSettings, folder: Path) -> None:
    language_model = model.language_model
    if settings.adapt == "lora":
        language_model = copy.deepcopy(language_model).merge_and_unload()
    with replacing_path(folder / "language_model") as temporary:
        language_model.save_pretrained(temporary)
        model.tokenizer.save_pretrained(temporary)
        follow_umask(temporary)
        remove(folder / "language_model")
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
    tensors = {f"{name}.{key}": x for name, state in parts.items() for key, x in state.items()}
    save_tensors(folder / "retrieval.safetensors", tensors)
    remove(folder / "texts.safetensors")


def load_rag(folder: str | PathLike, device: str = AUTO) -> GraphRAG:
    """A model from a run folder, ready to answer.

    Raises:
        InputError: the folder is none, or a file of it is missing or torn.
    """
    folder, where = Path(folder), choose_device(device)
    try:
        settings = _settings(folder)
        models = folder / "models" if (folder / "models").exists() else folder
        if settings.prompt == "none":
            graph, tensors, known = KnowledgeGraph.of([]), {}, {}
        else:
            known = json.loads((models / "knowledge.json").read_text(encoding="utf-8"))
            triples = np.array(known["triples"], np.int64).reshape(-1, 3)
            graph = KnowledgeGraph(
                tuple(known["entities"]), tuple(known["relations"]), triples, tuple(known["texts"])
            )
            tensors = load_file(models / "retrieval.safetensors")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(
            f"{folder}: cannot be read ({error}); expected a folder of `crocuta rag train`"
        ) from error
    model, tokenizer = _pretrained(str(models / "language_model"))
    if settings.prompt == "none":
        return GraphRAG(model, tokenizer).to(where).eval()
    texts = _text_encoder(settings, known["rarity"])
    texts.load_state_dict(_of("texts.", tensors))
    rag = _assembled(settings, graph, Retriever(graph, texts, settings.retrieval), model, tokenizer)
    rag.prompt.load_state_dict(_of("prompt.", tensors))  # type: ignore[union-attr]
    return rag.to(where).eval()


def _settings(folder: Path) -> RagSettings:
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if content.get("kind", KIND) != KIND:
        raise ValueError(f"a run of `crocuta {content['kind']}`")
    own = {name: content[name] for name in RagSettings.__dataclass_fields__}
    own |= {"retrieval": Retrieval(**own["retrieval"]), "recipe": RagRecipe(**own["recipe"])}
    return RagSettings(**{**own, "adapt": "full"})  # a LoRA was merged when the folder was written


def _of(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
