"""How good predictions are: MCC, accuracy, F1, AUROC and AUPRC for two, many, and overlapping classes.

`labels` is `(n,)` class indices (one class per sequence) or `(n, k)` zeros and ones (multi-label: a sequence
may have several classes, each scored as its own yes/no question at probability 0.5, then averaged).
`probabilities` is `(n, k)`. What each number means:

- `mcc`: Matthews correlation, for many classes Gorodkin's R_K; 0 when every prediction is the same class.
- `accuracy`: share of right answers.
- `f1`: with two classes F1 of class 1 (the second one), with more the unweighted mean over classes.
- `auroc`, `auprc`: with two classes from the probability of class 1, with more the unweighted mean over
  classes of one against the rest. `auprc` is average precision, without interpolation.

A class for which a number is undefined (AUROC of a class that no test sequence has, say) is left out of the
mean and counted in `Scores.undefined`; if no class is left, the number is NaN.
"""

from collections.abc import Callable

import numpy as np

METRICS = ("mcc", "accuracy", "f1", "auroc", "auprc")

Statistic = Callable[[np.ndarray], np.ndarray]


class Scores(dict[str, float]):
    """Metric -> value, and in `undefined` metric -> number of classes that had to be left out."""

    undefined: dict[str, int]


def scores(labels: np.ndarray, probabilities: np.ndarray) -> Scores:
    """Every metric of `METRICS` on one set of predictions.

    >>> scores(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.1, 0.9]]))["accuracy"]
    0.75
    """
    labels, probabilities = check(labels, probabilities)
    once = np.ones((len(labels), 1))
    result, result.undefined = Scores(), {}
    for metric in METRICS:
        per_class = by_class(labels, probabilities, metric)(once)[:, 0]
        result[metric] = float(mean_defined(per_class[:, None])[0])
        result.undefined[metric] = int(np.isnan(per_class).sum())
    return result


def statistic(labels: np.ndarray, probabilities: np.ndarray, metric: str) -> Statistic:
    """A metric as a function of example weights `(n, r)`, one column per resample, to values `(r,)`.

    What is slow (sorting) happens once, here; the returned function is a few passes over the weights.
    """
    values = by_class(labels, probabilities, metric)
    return lambda weights: mean_defined(values(weights))


def by_class(labels: np.ndarray, probabilities: np.ndarray, metric: str) -> Statistic:
    """Like `statistic`, before the mean over classes: `(n, r)` to `(classes, r)`, NaN if undefined."""
    labels, probabilities = check(labels, probabilities)
    if metric in _COUNTED:
        count = _confusion_counter(labels, predicted(labels, probabilities), probabilities.shape[1])
        return lambda weights: _COUNTED[metric](count(weights))
    if metric in _RANKED:
        ranked = [_ranking(*question) for question in one_against_rest(labels, probabilities)]
        return lambda weights: np.stack([_RANKED[metric](*counts(weights)) for counts in ranked])
    raise ValueError(f"metric is {metric!r}, expected one of {', '.join(METRICS)}")


def check(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as integers and probabilities as float64, or a `ValueError` that says what does not fit."""
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or probabilities.shape[1] < (2 if labels.ndim == 1 else 1):
        raise ValueError(f"probabilities have shape {probabilities.shape}, expected (examples, classes)")
    if len(labels) == 0 or labels.shape != probabilities.shape[: labels.ndim]:
        raise ValueError(f"labels have shape {labels.shape}, probabilities {probabilities.shape}")
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities contain NaN or infinity; the model that made them is broken")
    highest = probabilities.shape[1] - 1 if labels.ndim == 1 else 1
    integers = labels.astype(np.int64)
    if (integers != labels).any() or integers.min() < 0 or integers.max() > highest:
        raise ValueError(f"labels must be integers from 0 to {highest}, found {np.unique(labels)[:10]}")
    return integers, probabilities


def predicted(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The most probable class `(n,)`, or for multi-label 1 where the probability is at least 0.5 `(n, k)`."""
    return probabilities.argmax(1) if labels.ndim == 1 else (probabilities >= 0.5).astype(np.int64)


def one_against_rest(labels: np.ndarray, probabilities: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The yes/no questions in a problem, (is it this class?, score); two exclusive classes make one."""
    classes = range(probabilities.shape[1])
    if labels.ndim == 2:
        return [(labels[:, k] == 1, probabilities[:, k]) for k in classes]
    return [(labels == k, probabilities[:, k]) for k in (classes if len(classes) > 2 else [1])]


def confusion(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Counts by (question, true class, predicted class): `(1, k, k)`, for multi-label `(k, 2, 2)`."""
    labels, probabilities = check(labels, probabilities)
    count = _confusion_counter(labels, predicted(labels, probabilities), probabilities.shape[1])
    return count(np.ones((len(labels), 1)))[..., 0].astype(np.int64)


def mean_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis without NaN; NaN where nothing is left."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(0), defined.sum(0))


def _ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    safe = np.where(denominator == 0, 1, denominator)
    return np.where(denominator == 0, otherwise, numerator / safe)


def _confusion_counter(labels: np.ndarray, guesses: np.ndarray, classes: int) -> Statistic:
    """Weights `(n, r)` to confusion counts `(questions, true, predicted, r)`."""
    questions, size = (1, classes) if labels.ndim == 1 else (classes, 2)
    cell = (labels * size + guesses).reshape(len(labels), questions) + size * size * np.arange(questions)
    order = np.argsort(cell, axis=None, kind="stable")
    cells, starts = np.unique(cell.ravel()[order], return_index=True)

    def count(weights: np.ndarray) -> np.ndarray:
        counts = np.zeros((questions * size * size, weights.shape[1]))
        counts[cells] = np.add.reduceat(weights[order // questions], starts, axis=0)
        return counts.reshape(questions, size, size, -1)

    return count


def _mcc(counts: np.ndarray) -> np.ndarray:
    total, right = counts.sum((1, 2)), np.einsum("qiir->qr", counts)
    true, guessed = counts.sum(2), counts.sum(1)
    covariance = right * total - (true * guessed).sum(1)
    spread_true, spread_guessed = total**2 - (true**2).sum(1), total**2 - (guessed**2).sum(1)
    value = _ratio(covariance, np.sqrt(spread_true * spread_guessed), otherwise=0.0)
    return np.where(spread_true == 0, np.nan, value)


def _accuracy(counts: np.ndarray) -> np.ndarray:
    return _ratio(np.einsum("qiir->qr", counts), counts.sum((1, 2)))


def _f1(counts: np.ndarray) -> np.ndarray:
    """Two classes: of class 1; more: the mean over the classes that occur or are predicted."""
    per_class = _ratio(2 * np.einsum("qiir->qir", counts), counts.sum(1) + counts.sum(2))
    return per_class[:, 1] if per_class.shape[1] == 2 else mean_defined(per_class.swapaxes(0, 1))


def _ranking(
    positive: np.ndarray, score: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Weights `(n, r)` to the weight of positives and of negatives at each distinct score, highest first."""
    order = np.argsort(-score, kind="stable")
    starts = np.unique(-score[order], return_index=True)[1]
    is_positive = positive[order][:, None]

    def counts(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        everything = weights[order]
        positives = everything * is_positive
        everything -= positives
        if len(starts) == len(order):
            return positives, everything
        return np.add.reduceat(positives, starts, axis=0), np.add.reduceat(everything, starts, axis=0)

    return counts


def _auroc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Share of (positive, negative) pairs in the right order; a tie counts half."""
    above = np.cumsum(positives, axis=0)
    total = above[-1].astype(np.float64)
    above -= positives / 2
    pairs = np.einsum("nr,nr->r", above, negatives)
    return _ratio(pairs, total * negatives.sum(0))


def _auprc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Average precision: precision at each score, weighted by the recall gained there."""
    found = np.cumsum(positives, axis=0)
    total = found[-1].astype(np.float64)
    precision = found / np.maximum(found + np.cumsum(negatives, axis=0), 1e-9)  # 0/0 only before any example
    return _ratio(np.einsum("nr,nr->r", precision, positives), total)


_COUNTED = {"mcc": _mcc, "accuracy": _accuracy, "f1": _f1}
_RANKED = {"auroc": _auroc, "auprc": _auprc}
