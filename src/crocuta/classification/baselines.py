"""Logistic regression on fixed features, with its regularisation chosen on validation."""

import time
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from crocuta.analysis.logistic import fit_logistic
from crocuta.analysis.scores import scores
from crocuta.classification._fit import Fit, stand_alone, write_fit
from crocuta.classification._labels import problem
from crocuta.classification.finetuning import build
from crocuta.data.batch import pad_batch
from crocuta.data.encoding import reverse_complement
from crocuta.data.labelled import Splits
from crocuta.files import follow_umask
from crocuta.models.base import ModelConfig, chunks
from crocuta.models.baselines import LinearBaseline
from crocuta.models.ensemble import Ensemble
from crocuta.runs.device import memory_mb

INVERSE_REGULARISATIONS = tuple(10.0**power for power in range(-5, 2))


def fit_baseline(
    config: ModelConfig,
    splits: Splits,
    output: str | PathLike,
    *,
    seed: int = 0,
    metric: str = "mcc",
    both_strands: bool = False,
    resume: bool = False,
) -> Fit:
    """Fits a `LinearBaseline` by scikit-learn's logistic regression and saves it in `output`.

    The inverse regularisation with the best validation score wins, 1e-5 to 10; the fit itself is deterministic.
    With `both_strands` each training sequence counts twice, once as its reverse complement, and validation averages
    over both. Other arguments as in `finetune`.
    """
    options = {"seed": seed, "metric": metric, "both_strands": both_strands}
    return stand_alone(
        output, "fit_baseline", config, splits, resume,
        lambda folder, keep: train_baseline(config, splits, folder, **options), **options,
    )  # fmt: skip


def train_baseline(
    config: ModelConfig, splits: Splits, folder: Path, *, seed: int, metric: str, both_strands: bool
) -> Fit:
    """`fit_baseline` in a folder that is the caller's."""
    start = time.perf_counter()
    model = build(config, splits.train.classes, problem(splits.train))
    assert isinstance(model, LinearBaseline)
    model.adapt(torch.from_numpy(splits.train.sequences.lengths))
    train, labels = sparse_features(model, splits.train.sequences), splits.train.labels
    if both_strands:
        turned = sparse_features(model, (reverse_complement(row) for row in splits.train.sequences))
        train, labels = sparse.vstack([train, turned], format="csr"), np.concatenate([labels, labels])
    ensemble = Ensemble([model], both_strands)
    history = []
    best, best_score, best_step, best_valid = None, -np.inf, 0, {}
    for step, inverse in enumerate(INVERSE_REGULARISATIONS, start=1):
        weight, bias = fit_logistic(train, labels, inverse)
        load(model, weight, bias)
        valid = scores(splits.valid.labels, ensemble.probabilities(splits.valid.sequences))
        history.append({"epoch": step, "inverse_regularisation": inverse, f"valid_{metric}": valid[metric]})
        if valid[metric] > best_score:
            best, best_score, best_step, best_valid = (weight, bias), valid[metric], step, dict(valid)
    assert best is not None
    load(model, *best)
    fit = Fit(
        seed=seed,
        parameters=model.num_parameters(),
        seconds=time.perf_counter() - start,
        peak_memory_mb=memory_mb(torch.device("cpu")),
        epochs=len(history),
        best_epoch=best_step,
        history=history,
        valid=best_valid,
    )
    model.save_pretrained(folder)
    follow_umask(folder)
    write_fit(folder, fit)
    return fit


def sparse_features(model: LinearBaseline, sequences: Iterable[np.ndarray]) -> Any:
    """Feature matrix (n, features) of encoded sequences, as scipy CSR: most k-mers do not occur in a sequence."""
    blocks = []
    for rows in chunks(sequences, 512):
        ids, mask = pad_batch(rows)
        features = model.features(torch.from_numpy(ids), torch.from_numpy(mask))
        blocks.append(sparse.csr_matrix(features.numpy().astype(np.float32)))
    return sparse.vstack(blocks, format="csr")


@torch.no_grad()
def load(model: LinearBaseline, weight: np.ndarray, bias: np.ndarray) -> None:
    """Puts fitted coefficients into the model."""
    model.score.weight.copy_(torch.from_numpy(weight))
    model.score.bias.copy_(torch.from_numpy(bias))
