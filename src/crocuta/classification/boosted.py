"""Grows gradient-boosted trees with scikit-learn; how many there are is chosen on validation."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from crocuta.analysis.scores import scores
from crocuta.classification._fit import Fit, write_fit
from crocuta.classification._labels import problem
from crocuta.classification.finetuning import build
from crocuta.data.batch import pad_batch
from crocuta.data.encoding import reverse_complement
from crocuta.data.labelled import Splits
from crocuta.files import follow_umask
from crocuta.models.base import chunks
from crocuta.models.baselines import count_kmers
from crocuta.models.boosted import BoostedConfig, BoostedForSequenceClassification
from crocuta.runs.device import memory_mb

ROUNDS = 200
LEARNING_RATE = 0.1
UNSEEN = -30.0  # logit of a class that training does not hold


def train_boosted(
    config: BoostedConfig, splits: Splits, folder: Path, *, seed: int, metric: str, both_strands: bool
) -> Fit:
    """Fits histogram gradient boosting and saves it in `folder`, which is the caller's, as tensors.

    The number of rounds with the best validation score wins, up to 200; the fit is deterministic up to 200,000
    training sequences. Arguments as in `crocuta.classification.fit_baseline`.
    """
    start = time.perf_counter()
    strands = (False, True) if both_strands else (False,)
    train = np.concatenate([kmers(splits.train.sequences, config, turned) for turned in strands])
    labels = np.concatenate([splits.train.labels for _ in strands])
    forests = [grow(train, column, config, seed) for column in (labels.T if labels.ndim == 2 else [labels])]
    views = [kmers(splits.valid.sequences, config, turned) for turned in strands]
    model = as_model(config, splits, forests, ROUNDS)
    staged = np.mean([by_round(model, view) for view in views], axis=0)
    valid = [scores(splits.valid.labels, probabilities) for probabilities in staged]
    best = max(range(ROUNDS), key=lambda i: valid[i][metric])  # the first of equals
    model = as_model(config, splits, forests, best + 1)
    fit = Fit(
        seed=seed,
        parameters=model.num_parameters(),
        seconds=time.perf_counter() - start,
        peak_memory_mb=memory_mb(torch.device("cpu")),
        epochs=ROUNDS,
        best_epoch=best + 1,
        history=[{"epoch": i + 1, f"valid_{metric}": values[metric]} for i, values in enumerate(valid)],
        valid=dict(valid[best]),
    )
    model.save_pretrained(folder)
    follow_umask(folder)
    write_fit(folder, fit)
    return fit


def kmers(sequences: Iterable[np.ndarray], config: BoostedConfig, turned: bool) -> np.ndarray:
    """Counts (n, features) of encoded sequences, or of their reverse complements."""
    blocks = []
    for rows in chunks(sequences, 512):
        ids, mask = pad_batch([reverse_complement(row) for row in rows] if turned else rows)
        counts = count_kmers(torch.from_numpy(ids), torch.from_numpy(mask), config.longest_kmer)
        blocks.append(counts.numpy())
    return np.concatenate(blocks)


def grow(counts: np.ndarray, labels: np.ndarray, config: BoostedConfig, seed: int) -> Any:
    """All rounds of one question: which class, or for one of several labels whether it applies."""
    return HistGradientBoostingClassifier(
        learning_rate=LEARNING_RATE,
        max_iter=ROUNDS,
        max_leaf_nodes=config.leaves,
        early_stopping=False,  # pyright: ignore[reportArgumentType] (declared as text)
        random_state=seed,
    ).fit(counts, labels)


@torch.no_grad()
def as_model(
    config: BoostedConfig, splits: Splits, forests: Sequence[Any], rounds: int
) -> BoostedForSequenceClassification:
    """The first rounds of the fitted forests (one, or one for each label) as a model."""
    grown = [tree for i in range(rounds) for forest in forests for tree in forest._predictors[i]]
    grown_config = BoostedConfig(longest_kmer=config.longest_kmer, leaves=config.leaves, trees=len(grown))
    model = build(grown_config, splits.train.classes, problem(splits.train))
    assert isinstance(model, BoostedForSequenceClassification)
    targets = round_targets(forests)
    model.target.copy_(torch.tensor(targets * rounds))
    if len(forests) == 1:
        model.bias.fill_(UNSEEN)
        model.bias[[int(c) for c in forests[0].classes_]] = 0.0
    model.bias[targets] = torch.tensor([float(b) for f in forests for b in f._baseline_prediction.ravel()])
    for row, tree in enumerate(grown):
        plant(model, row, tree.nodes)
    return model


def round_targets(forests: Sequence[Any]) -> list[int]:
    """The logit that each tree of a round adds to; two classes share one tree, which argues for the second."""
    if len(forests) > 1:
        return list(range(len(forests)))
    classes = [int(c) for c in forests[0].classes_]
    return classes[1:] if len(classes) == 2 else classes


def plant(model: BoostedForSequenceClassification, row: int, nodes: np.ndarray) -> None:
    """Copies scikit-learn's nodes into the model's tree of that row."""
    itself, leaf = np.arange(len(nodes)), nodes["is_leaf"].astype(bool)
    branches = [np.where(leaf, itself, nodes[side].astype(np.int64)) for side in ("left", "right")]
    model.branches[row, : len(nodes)] = torch.from_numpy(np.stack(branches, axis=1))
    model.feature[row, : len(nodes)] = torch.from_numpy(np.where(leaf, 0, nodes["feature_idx"]))
    model.threshold[row, : len(nodes)] = torch.from_numpy(np.where(leaf, 0, nodes["num_threshold"])).float()
    model.value[row, : len(nodes)] = torch.from_numpy(nodes["value"].copy()).float()
    model.depth.clamp_(min=int(nodes["depth"].max()))


@torch.no_grad()
def by_round(model: BoostedForSequenceClassification, counts: np.ndarray) -> np.ndarray:
    """Class probabilities (rounds, n, classes) after each round."""
    targets = model.target[: len(model.target) // ROUNDS]
    multi_label = model.config.problem_type == "multi_label_classification"
    stages = []
    logits = model.bias.expand(len(counts), -1).clone()
    for values in model.fall(torch.from_numpy(counts)).split(len(targets), dim=1):
        logits = logits.index_add(1, targets, values)
        stages.append((logits.sigmoid() if multi_label else logits.softmax(-1)).numpy())
    return np.stack(stages)
