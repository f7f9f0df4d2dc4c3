"""Training and evaluation of GraphRAG on questions with answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crocuta.data.knowledge import Question
from crocuta.errors import InputError
from crocuta.optim import RiemannianAdam, parameter_groups
from crocuta.retrieval.graph_rag import GraphRAG
from crocuta.runs.device import AUTO
from crocuta.runs.loop import Course, Learner, fit, mixed
from crocuta.runs.progress import Stage

NO_QUESTIONS = "no questions to train on; expected rows whose split is train"


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

    def course(self, questions: int, device: str = AUTO) -> Course:
        """The training's course on this many questions; the last weights are kept."""
        steps = self.epochs * math.ceil(questions / self.batch_size)
        return Course(
            steps, warm_up=0.05, floor=0.0, clip=self.clip, log_every=1, seed=self.seed, device=device
        )


class Answering(Learner):
    """Questions in an order that the seed and the epoch decide."""

    def __init__(self, questions: Sequence[Question], recipe: RagRecipe):
        self.questions, self.recipe = questions, recipe

    def batches(self, step: int, process: int, processes: int) -> list[list[Question]]:
        size = self.recipe.batch_size
        epoch, place = divmod(step, math.ceil(len(self.questions) / size))
        order = torch.randperm(
            len(self.questions), generator=torch.Generator().manual_seed(mixed(self.recipe.seed, epoch))
        )
        return [[self.questions[i] for i in order[place * size : (place + 1) * size].tolist()]]

    def loss(self, model: GraphRAG, batch: list[Question]) -> Tensor:
        return model([question.text for question in batch], [question.answer for question in batch])


def rag_optimizer(model: GraphRAG, recipe: RagRecipe) -> RiemannianAdam:
    """Adam at the recipe's learning rate."""
    return RiemannianAdam(parameter_groups(model, recipe.learning_rate, weight_decay=recipe.weight_decay))


def fit_rag(
    model: GraphRAG,
    questions: Sequence[Question],
    recipe: RagRecipe,
    *,
    folder: Path | None = None,
    keep: Callable[[], object] = lambda: None,
    device: str = AUTO,
    stage: Stage | None = None,
) -> list[float]:
    """Trains in place, on the device; returns the loss of every step since the checkpoint that it resumed from.

    Args:
        folder, keep, stage: see `crocuta.runs.loop.fit`.

    Raises:
        InputError: there are no questions, or the loss or its gradient is not finite.
    """
    if not questions:
        raise InputError(NO_QUESTIONS)
    losses: list[float] = []
    fit(
        model, rag_optimizer(model, recipe), Answering(questions, recipe), recipe.course(len(questions), device),
        folder, stage=stage, keep=keep, tell=lambda moment: losses.append(moment.loss),
    )  # fmt: skip
    return losses


def exact_match(model: GraphRAG, questions: Sequence[Question], **options: Any) -> list[bool]:
    """Of each question, whether the generated answer equals the right one, character by character."""
    answers = model.generate([question.text for question in questions], **options)
    return [answer == question.answer for answer, question in zip(answers, questions, strict=True)]
