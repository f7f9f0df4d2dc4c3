"""What stands behind a score: ROC and precision-recall curves, and whether probabilities are honest."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from crocuta.analysis.bootstrap import Probabilities, per_seed
from crocuta.analysis.scores import check, one_against_rest


class Curve(NamedTuple):
    """Points of a curve, `x` ascending."""

    x: np.ndarray
    y: np.ndarray


class Reliability(NamedTuple):
    """Mean predicted probability, observed share and count in each occupied bin, and the overall error."""

    predicted: np.ndarray
    observed: np.ndarray
    counts: np.ndarray
    expected_calibration_error: float


def roc(positive: np.ndarray, score: np.ndarray) -> Curve:
    """False positive rate against true positive rate, from (0, 0) to (1, 1), one point per distinct score."""
    found, alarms = _cumulative(positive, score)
    return Curve(np.r_[0.0, alarms / alarms[-1]], np.r_[0.0, found / found[-1]])


def precision_recall(positive: np.ndarray, score: np.ndarray) -> Curve:
    """Recall against precision, one point per distinct score, highest score first."""
    found, alarms = _cumulative(positive, score)
    return Curve(found / found[-1], found / (found + alarms))


def mean_roc(labels: np.ndarray, probabilities: Probabilities, points: int = 201) -> Curve:
    """ROC averaged over seeds and classes (one against the rest), at equal false positive rates."""
    return _mean(roc, lambda curve, grid: np.interp(grid, *curve), labels, probabilities, points, start=0.0)


def mean_precision_recall(labels: np.ndarray, probabilities: Probabilities, points: int = 201) -> Curve:
    """Precision at each recall, averaged over seeds and classes (one against the rest)."""

    def at(curve: Curve, grid: np.ndarray) -> np.ndarray:
        return curve.y[np.searchsorted(curve.x, grid - 1e-12)]

    return _mean(precision_recall, at, labels, probabilities, points)


def reliability(labels: np.ndarray, probabilities: Probabilities, bins: int = 10) -> Reliability:
    """Predicted probability against observed frequency in equal bins, and the expected calibration error.

    Two classes: the probability of class 1. More: the probability of the predicted class, against how often
    it is right. Multi-label: every class of every sequence. Seeds are pooled. The error is the mean distance
    between the two, weighted by the number of predictions in a bin (Naeini et al. 2015).
    """
    predicted, observed = _statements(labels, per_seed(probabilities))
    index = np.minimum((predicted * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    occupied = counts > 0
    mean, share = (
        np.bincount(index, values, bins)[occupied] / counts[occupied] for values in (predicted, observed)
    )
    error = np.average(np.abs(mean - share), weights=counts[occupied])
    return Reliability(mean, share, counts[occupied], float(error))


def _cumulative(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives at or above each distinct score, highest first."""
    order = np.argsort(-score, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(score[order])), len(order) - 1]
    found = np.cumsum(positive[order])[last]
    return found, last + 1 - found


def _mean(
    curve: Callable[[np.ndarray, np.ndarray], Curve],
    at: Callable[[Curve, np.ndarray], np.ndarray],
    labels: np.ndarray,
    probabilities: Probabilities,
    points: int,
    start: float | None = None,
) -> Curve:
    """Mean of a curve over seeds and defined classes at equal steps; empty if no class has both answers."""
    grid = np.linspace(0, 1, points)
    curves = [
        at(curve(positive, score), grid)
        for one_seed in per_seed(probabilities)
        for positive, score in one_against_rest(*check(labels, one_seed))
        if 0 < positive.sum() < len(positive)
    ]
    if not curves:
        return Curve(np.empty(0), np.empty(0))
    y = np.mean(curves, axis=0)
    return Curve(grid, y) if start is None else Curve(np.r_[0.0, grid], np.r_[start, y])


def _statements(labels: np.ndarray, seeds: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Every probability that was stated, and whether it came true."""
    pairs = []
    for one_seed in seeds:
        known, values = check(labels, one_seed)
        if known.ndim == 2:
            pairs.append((values.ravel(), known.ravel()))
        elif values.shape[1] == 2:
            pairs.append((values[:, 1], known))
        else:
            pairs.append((values.max(1), values.argmax(1) == known))
    predicted, observed = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return predicted, observed.astype(np.float64)
