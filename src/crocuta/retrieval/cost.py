"""What a run of GraphRAG would cost, from a few steps and answers of a throw-away model."""

from __future__ import annotations

import time
from dataclasses import replace
from os import PathLike

import torch

from crocuta.data.knowledge import part, read_questions, read_triples
from crocuta.errors import InputError
from crocuta.retrieval.run import RagSettings, build_rag
from crocuta.retrieval.text import RATE, Naming, TextEncoder, text_course
from crocuta.retrieval.training import NO_QUESTIONS, Answering, rag_optimizer
from crocuta.runs.cost import Cost, estimate_training
from crocuta.runs.device import AUTO
from crocuta.runs.progress import SILENT, Progress

ASKED = 32  # questions that the throw-away model answers


def estimate_rag(
    triples: str | PathLike,
    questions: str | PathLike,
    settings: RagSettings | None = None,
    texts: str | PathLike | None = None,
    *,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> Cost:
    """What `train_rag` would cost; the tables are read, nothing is written.

    Raises:
        InputError: a file or the settings do not fit.
    """
    settings = settings or RagSettings()
    graph, every = read_triples(triples, texts), read_questions(questions)
    known, held_out = part(every, "train"), [question for question in every if question.split != "train"]
    if not known:
        raise InputError(NO_QUESTIONS)
    with progress.stage("trying some steps"):
        model = build_rag(replace(settings, text_steps=0), graph, every, device=device)
        recipe = settings.recipe
        cost = estimate_training(
            lambda: (model, rag_optimizer(model, recipe), Answering(known, recipe)),
            recipe.course(len(known), device),
        )
        start = time.perf_counter()
        if held_out:
            model.generate([question.text for question in held_out[:ASKED]])
        seconds = (time.perf_counter() - start) * len(held_out) / max(1, min(ASKED, len(held_out)))
        if model.retriever is not None and settings.text_steps:
            seconds += _of_texts(model.retriever.encoder, graph.texts, settings, device).seconds
    return cost._replace(seconds=cost.seconds + seconds)


def _of_texts(encoder: TextEncoder, texts: tuple[str, ...], settings: RagSettings, device: str) -> Cost:
    optimizer = torch.optim.Adam(encoder.parameters(), RATE)
    return estimate_training(
        lambda: (encoder, optimizer, Naming(texts)), text_course(settings.text_steps, device=device)
    )
