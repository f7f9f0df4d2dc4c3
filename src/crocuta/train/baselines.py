"""Logistic regression on fixed features, with its regularisation chosen on validation."""

import time
import warnings
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from crocuta.analysis.scores import scores
from crocuta.data.batch import pad_batch
from crocuta.data.encoding import reverse_complement
from crocuta.data.labelled import Splits
from crocuta.files import follow_umask
from crocuta.models.base import Ensemble, ModelConfig, chunks
from crocuta.models.baselines import LinearBaseline
from crocuta.runs.device import memory_mb
from crocuta.train.finetuning import build
from crocuta.train.fit import Fit, stand_alone, write_fit
from crocuta.train.labels import problem

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


def fit_logistic(
    features, labels: np.ndarray, inverse: float, balanced: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (classes, features) and intercepts (classes,) of logits; one question per column if multi-label.

    `inverse` regularisation; `balanced` gives each class the same weight in all, whatever its size.
    """

    def solve(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(np.unique(target)) == 1:  # a label that all or none of the training sequences have
            share = (target.sum() + 0.5) / (len(target) + 1)
            return np.zeros((1, features.shape[1])), np.array([np.log(share / (1 - share))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not yet converged to the last digit: validation decides
            solver = LogisticRegression(
                C=inverse, max_iter=200, tol=1e-3, class_weight="balanced" if balanced else None
            ).fit(features, target)
        return solver.coef_, solver.intercept_

    if labels.ndim == 2:
        questions = [solve(column) for column in labels.T]
        return np.concatenate([w for w, _ in questions]), np.concatenate([b for _, b in questions])
    weight, bias = solve(labels)
    if len(weight) == 1:  # two classes: one logit, shared out
        weight, bias = np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    return weight, bias


@torch.no_grad()
def load(model: LinearBaseline, weight: np.ndarray, bias: np.ndarray) -> None:
    """Puts fitted coefficients into the model."""
    model.score.weight.copy_(torch.from_numpy(weight))
    model.score.bias.copy_(torch.from_numpy(bias))
