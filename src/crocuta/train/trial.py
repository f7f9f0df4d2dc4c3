"""What a training would cost, from a few steps of it."""
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false
# (transformers declares unions wider than what it returns)

import time
from typing import NamedTuple

import numpy as np
import psutil
import torch

from crocuta.data.labelled import Splits
from crocuta.runs.optimisation import parameter_groups
from crocuta.runs.recipe import Recipe
from crocuta.train.adapt import FULL, Adaptation, trained_parameters
from crocuta.train.finetuning import build
from crocuta.train.labels import problem
from crocuta.train.trainer import Collator, EncodedDataset


class Cost(NamedTuple):
    """Upper bounds: measured on the longest training sequences."""

    parameters: int
    trained_parameters: int
    seconds_per_epoch: float
    memory_mb: float


def trial(
    model,
    splits: Splits,
    recipe: Recipe,
    adaptation: Adaptation = FULL,
    steps: int = 3,
) -> Cost:
    """Trains a throw-away copy of a model for a few steps, the first of which is not timed."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier = build(model, splits.train.classes, problem(splits.train))
    classifier = adaptation.prepare(classifier, splits, seed=0).to(device).train()
    optimizer = torch.optim.AdamW(parameter_groups(classifier, recipe))
    dataset = EncodedDataset(splits.train)
    longest = np.argsort(splits.train.sequences.lengths)[-recipe.batch_size :]
    batch = Collator(classifier.config)([dataset[int(i)] for i in longest])
    batch = {key: value.to(device) for key, value in batch.items()}
    times, memory = [], 0.0
    for _ in range(1 + steps):
        start = time.perf_counter()
        classifier(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        used = (
            torch.cuda.max_memory_allocated() if device.type == "cuda" else psutil.Process().memory_info().rss
        )
        memory = max(memory, used / 2**20)
    batches = -(-len(splits.train) // recipe.batch_size)
    trained = trained_parameters(classifier)
    return Cost(classifier.num_parameters(), trained, float(np.median(times[1:])) * batches, memory)
