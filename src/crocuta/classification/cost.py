"""What a training would cost, from a few steps of it."""

import time
from collections.abc import Sequence
from itertools import islice
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crocuta.classification._labels import problem
from crocuta.classification._trainer import Collator, EncodedDataset
from crocuta.classification.adapt import trained_parameters
from crocuta.classification.experiment import Entry
from crocuta.classification.finetuning import build
from crocuta.classification.run import RunFolder
from crocuta.data.encoding import encode
from crocuta.data.labelled import Splits
from crocuta.data.reading import read_windows
from crocuta.data.records import count_records, read_records
from crocuta.runs.cost import Cost, PeakMemory, estimate_training
from crocuta.runs.device import AUTO, available_mb, choose_device, used_mb
from crocuta.runs.loop import Course, Learner, Score
from crocuta.runs.optimisation import parameter_groups
from crocuta.runs.recipe import Recipe


class Longest(Learner):
    """Learns from the longest training sequences in every step: what others cost is less."""

    def __init__(self, splits: Splits, recipe: Recipe, collate: Collator):
        dataset, self.valid = EncodedDataset(splits.train), splits.valid.sequences
        longest = np.argsort(splits.train.sequences.lengths)[-recipe.batch_size :]
        self.batch = collate([dataset[int(i)] for i in longest])

    def batches(self, step: int, process: int, processes: int) -> list[dict[str, Tensor]]:
        return [self.batch]

    def loss(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        device = next(model.parameters()).device
        return model(**{key: value.to(device) for key, value in batch.items()}).loss

    def score(self, model: Any) -> Score:
        model.probabilities(self.valid)
        return Score((0.0,), {})


def trial(entry: Entry, splits: Splits, seeds: int, device: str) -> tuple[Cost, int]:
    """Cost of `seeds` trainings of a model that do not stop early, and how many parameters are trained."""
    recipe = entry.recipe
    assert recipe is not None

    def make() -> tuple[Any, torch.optim.Optimizer, Learner]:
        model = build(entry.model, splits.train.classes, problem(splits.train))
        model = entry.adaptation.prepare(model, splits, seed=0)
        collate = Collator(model.config)  # pyright: ignore[reportArgumentType] (declared as transformers' own)
        return model, torch.optim.AdamW(parameter_groups(model, recipe)), Longest(splits, recipe, collate)

    steps = -(-len(splits.train) // recipe.batch_size)
    ends = range(steps, recipe.epochs * steps + 1, steps)
    course = Course(recipe.epochs * steps, evaluate=ends, device=device)
    return estimate_training(make, course, seeds), trained_parameters(make()[0])


def estimate_prediction(
    run: str | PathLike,
    sequences: str | PathLike,
    models: Sequence[str | None] | None = None,
    *,
    batch_size: int = 256,
    genome: str | PathLike | None = None,
    window: int | None = None,
    device: str = AUTO,
) -> Cost:
    """What predictions of some models (None: the first one; default all) would cost, from the first sequences."""
    folder, chosen = RunFolder(run), choose_device(device)
    records = read_records(sequences, windows=read_windows(genome, window))
    ids = [encode(record.sequence) for record in islice(records, batch_size)]
    batches = (count_records(sequences) or len(ids)) / len(ids)
    seconds, added = 0.0, 0.0
    for model in folder.config["models"] if models is None else models:
        ensemble = folder.ensemble(model, device=device)
        with PeakMemory(chosen) as held:
            start = time.perf_counter()
            ensemble.probabilities(ids, batch_size)
            seconds += (time.perf_counter() - start) * batches
        added = max(added, held.added)
    return Cost(seconds, used_mb(chosen) + added / 2**20, available_mb(chosen))
