"""How sure a score is: bootstrap intervals over test examples, spread over seeds, paired differences.

`probabilities` is `(n, k)`, or one such array per training seed; then a resample's value is the mean over
seeds on the same resampled examples. Resamples depend on `seed` only, so that models are compared on the
same ones.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from crocuta.analysis.scores import statistic

Probabilities = np.ndarray | Sequence[np.ndarray]

_CHUNK = 64


class ConfidenceInterval(NamedTuple):
    """A value on the examples themselves, and the ends of its percentile bootstrap interval."""

    value: float
    low: float
    high: float


class Spread(NamedTuple):
    """Mean and sample standard deviation (NaN for fewer than two values)."""

    mean: float
    sd: float


class Difference(NamedTuple):
    """First minus second, its interval, and a two-sided p that the difference is zero."""

    value: float
    low: float
    high: float
    p: float


def mean_sd(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation over seeds.

    >>> mean_sd([1.0, 2.0, 3.0])
    Spread(mean=2.0, sd=1.0)
    """
    array = np.asarray(values, dtype=np.float64)
    return Spread(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else float("nan"))


def bootstrap_interval(
    labels: np.ndarray,
    probabilities: Probabilities,
    metric: str,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> ConfidenceInterval:
    """Percentile interval of a metric over `n` resamples of the test examples.

    It says how much the score would move with another test set of the same size and kind. It does not
    know about sequences that resemble each other: with many near-duplicates it is too narrow.
    """
    value, resampled = _values(labels, probabilities, metric, n, seed)
    return ConfidenceInterval(value, *_quantiles(resampled, level))


def paired_difference(
    labels: np.ndarray,
    probabilities_a: Probabilities,
    probabilities_b: Probabilities,
    metric: str,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """How much better A is than B on the same examples: both are evaluated on every resample.

    `p` is twice the share of resamples on the far side of zero, at least `2 / (n + 1)`.
    """
    value_a, resampled_a = _values(labels, probabilities_a, metric, n, seed)
    value_b, resampled_b = _values(labels, probabilities_b, metric, n, seed)
    differences = resampled_a - resampled_b
    differences = differences[~np.isnan(differences)]
    tail = min((differences <= 0).sum(), (differences >= 0).sum())
    p = min(1.0, 2 * float(tail + 1) / (len(differences) + 1))
    return Difference(value_a - value_b, *_quantiles(differences, level), p)


def per_seed(probabilities: Probabilities) -> list[np.ndarray]:
    """One array `(n, k)` per training seed, whether one or several came."""
    if isinstance(probabilities, np.ndarray) and probabilities.ndim == 2:
        return [probabilities]
    return [np.asarray(p) for p in probabilities]


def _values(
    labels: np.ndarray, probabilities: Probabilities, metric: str, n: int, seed: int
) -> tuple[float, np.ndarray]:
    """The metric on the examples, and `(n,)` on resamples of them, each the mean over training seeds."""
    statistics = [statistic(labels, p, metric) for p in per_seed(probabilities)]
    value = np.mean([one(np.ones((len(labels), 1)))[0] for one in statistics])
    chunks = [
        np.mean([one(weights) for one in statistics], axis=0) for weights in _resamples(len(labels), n, seed)
    ]
    return float(value), np.concatenate(chunks)


def _resamples(examples: int, n: int, seed: int) -> Iterator[np.ndarray]:
    """How often each example is drawn, `(examples, resamples)`, in chunks that bound the memory."""
    generator = np.random.default_rng(seed)
    for start in range(0, n, _CHUNK):
        drawn = generator.integers(0, examples, (min(_CHUNK, n - start), examples))
        counts = [np.bincount(row, minlength=examples) for row in drawn]
        yield np.stack(counts, axis=1).astype(np.float32)  # exact: counts and their sums stay below 2**24


def _quantiles(values: np.ndarray, level: float) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
