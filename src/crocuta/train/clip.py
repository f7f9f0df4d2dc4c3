"""Training of L-CLIP, and how well words and what they describe find each other."""

import copy
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from crocuta.errors import InputError
from crocuta.models.lclip import LClipModel
from crocuta.runs.optimisation import learning_rate_factor, parameter_groups
from crocuta.runs.recipe import Recipe


def train_clip(
    model: LClipModel,
    batches: Callable[[int], Iterable[Mapping[str, Tensor]]],
    *,
    epochs: int,
    steps: int,
    recipe: Recipe,
    judge: Callable[[LClipModel], float] | None = None,
    every: int = 1,
) -> list[float]:
    """Trains with AdamW, linear warm-up and cosine; ends with the weights that `judge` liked best.

    Args:
        model: changed in place, and left in evaluation mode.
        batches: makes an epoch's batches, the model's arguments, from the epoch's number.
        epochs, steps: how many, and how many batches an epoch has.
        recipe: learning rates, decay, clipping and the share of warm-up steps.
        judge: a score, the higher the better, asked for after every `every` epochs; None: the last weights stay.

    Returns:
        The mean loss of each epoch.

    Raises:
        InputError: the loss became NaN or infinite.
    """
    groups = parameter_groups(model, recipe)
    for group in groups:
        group["peak"] = group["lr"]
    optimizer = torch.optim.AdamW(groups, fused=True)
    history, best, kept, step = [], -np.inf, None, 0
    for epoch in range(epochs):
        model.train()
        losses = []
        for batch in batches(epoch):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * learning_rate_factor(step, epochs * steps, recipe.warmup)
            optimizer.zero_grad()
            loss = model(**batch).loss
            if not torch.isfinite(loss):
                raise InputError(
                    f"training stopped in epoch {epoch + 1}: the loss is {loss.item()}; try a lower learning rate"
                )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            losses.append(loss.item())
            step += 1
        history.append(float(np.mean(losses)))
        if judge is not None and (epoch + 1) % every == 0:
            model.eval()
            score = judge(model)
            if score > best:
                best, kept = score, copy.deepcopy(model.state_dict())
    if kept is not None:
        model.load_state_dict(kept)
    model.eval()
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
