"""Training of L-CLIP, and how well words and what they describe find each other."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crocuta.models.clip.lclip import LClipModel
from crocuta.runs.device import AUTO
from crocuta.runs.loop import Course, Learner, Score, epochs, fit
from crocuta.runs.optimisation import parameter_groups
from crocuta.runs.progress import Stage
from crocuta.runs.recipe import Recipe

Batches = Callable[[int], Iterable[Mapping[str, Tensor]]]
Scored = Callable[[LClipModel], float]


class Pairs(Learner):
    """Pairs of words and what they describe, an epoch of `steps` batches at a time."""

    def __init__(self, make: Batches, steps: int, score: Scored | None = None):
        self.make, self.steps, self.scored = make, steps, score
        self._upcoming = -1

    def batches(self, step: int, process: int, processes: int) -> list[Mapping[str, Tensor]]:
        epoch, place = divmod(step, self.steps)
        if place == 0 or step != self._upcoming:  # a new epoch, or one that a checkpoint lies inside
            self._epoch = islice(self.make(epoch), place, None)
        self._upcoming = step + 1
        return [next(self._epoch)]

    def loss(self, model: LClipModel, batch: Mapping[str, Tensor]) -> Tensor:
        device = next(model.parameters()).device
        return model(**{name: value.to(device) for name, value in batch.items()}).loss

    def score(self, model: LClipModel) -> Score:
        assert self.scored is not None
        value = self.scored(model)
        return Score((value,), {"valid": value}, f"validation {value:.3f}")


def clip_optimizer(model: LClipModel, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW at the recipe's learning rates."""
    return torch.optim.AdamW(parameter_groups(model, recipe), fused=True)


def clip_course(number: int, steps: int, recipe: Recipe, every: int | None, seed: int, device: str) -> Course:
    """`number` epochs of `steps` batches; the model is evaluated after each `every` of them (None: never)."""
    return Course(
        number * steps, warm_up=recipe.warmup, clip=recipe.clip, log_every=steps, seed=seed, device=device,
        evaluate=epochs(number, steps, every) if every else (),
    )  # fmt: skip


def train_clip(
    model: LClipModel,
    batches: Batches,
    *,
    epochs: int,
    steps: int,
    recipe: Recipe,
    score: Scored | None = None,
    every: int = 1,
    seed: int = 0,
    device: str = AUTO,
    folder: Path | None = None,
    keep: Callable[[], object] = lambda: None,
    stage: Stage | None = None,
) -> list[float]:
    """Trains with AdamW, linear warm-up and cosine; ends with the weights of the highest `score`.

    Args:
        model: changed in place, moved to the device, and left in evaluation mode.
        batches: makes an epoch's batches, the model's arguments, from the epoch's number alone.
        epochs, steps: how many, and how many batches an epoch has.
        recipe: learning rates, decay, clipping and the share of warm-up steps.
        score: evaluates the model after each `every` epochs, higher is better; None: the last weights stay.
        seed: of dropout.
        device: see `crocuta.runs.device.choose_device`.
        folder, keep, stage: see `crocuta.runs.loop.fit`.

    Returns:
        The mean loss of each epoch, of those before a checkpoint that was resumed from excepted.

    Raises:
        InputError: the loss or its gradient became NaN or infinite.
    """
    history: list[float] = []
    fit(
        model, clip_optimizer(model, recipe), Pairs(batches, steps, score),
        clip_course(epochs, steps, recipe, every if score else None, seed, device),
        folder, stage=stage, keep=keep, tell=lambda moment: history.append(moment.loss),
    )  # fmt: skip
    return history


def recall(similarity: np.ndarray, relevant: np.ndarray, k: int) -> float:
    """Share of queries whose k most similar items hold a relevant one; queries without any are left out.

    Args:
        similarity: (queries, items).
        relevant: bool, the same shape.
    """
    asked = relevant.any(1)
    nearest = np.argsort(-similarity[asked], axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(relevant[asked], nearest, 1).any(1).mean())


def chance_recall(relevant: np.ndarray, k: int) -> float:
    """`recall` expected of a random order: one less the odds of drawing k irrelevant items, averaged over queries."""
    items, found = relevant.shape[1], relevant.sum(1)
    drawn = np.arange(min(k, items))
    missing = np.clip((items - found[:, None] - drawn) / (items - drawn), 0, 1).prod(1)
    return float((1 - missing)[found > 0].mean())
