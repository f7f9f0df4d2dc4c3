"""Training and judging GraphRAG on questions with answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from crocuta.data.knowledge import Question
from crocuta.errors import InputError
from crocuta.optim import RiemannianAdam, parameter_groups
from crocuta.retrieval.graph_rag import GraphRAG

Progress = Callable[[int, int, float], None]  # step, steps, loss


@dataclass(frozen=True)
class RagRecipe:
    """How GraphRAG is trained.

    Args:
        epochs: passes over the questions of training.
        batch_size: questions of a step.
        learning_rate: at its highest; it rises over a twentieth of the steps and falls on a cosine to nothing.
        weight_decay: of matrices.
        clip: largest norm of the gradient.
        seed: of the order of questions.
    """

    epochs: int = 8
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0


def fit_rag(
    model: GraphRAG, questions: Sequence[Question], recipe: RagRecipe, progress: Progress | None = None
) -> list[float]:
    """Trains in place; returns the loss of every step.

    Raises:
        InputError: there are no questions, or the loss is not finite.
    """
    if not questions:
        raise InputError("no questions to train on; expected rows whose split is train")
    optimizer = RiemannianAdam(
        parameter_groups(model, recipe.learning_rate, weight_decay=recipe.weight_decay)
    )
    steps = recipe.epochs * math.ceil(len(questions) / recipe.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps))
    generator = torch.Generator().manual_seed(recipe.seed)
    losses: list[float] = []
    model.train()
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(questions), generator=generator).split(recipe.batch_size):
            batch = [questions[i] for i in rows.tolist()]
            loss = model([question.text for question in batch], [question.answer for question in batch])
            if not torch.isfinite(loss):
                raise InputError(
                    f"the loss is {loss.item()} at step {len(losses) + 1}; lower --learning-rate"
                )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            if progress:
                progress(len(losses), steps, losses[-1])
    model.eval()
    return losses


def rate(step: int, steps: int) -> float:
    """Share of the learning rate: up over a twentieth of the steps, then a cosine to 0."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


def exact_match(model: GraphRAG, questions: Sequence[Question], **options: Any) -> list[bool]:
    """Of each question, whether the generated answer is the right one, letter for letter."""
    answers = model.generate([question.text for question in questions], **options)
    return [answer == question.answer for answer, question in zip(answers, questions, strict=True)]
