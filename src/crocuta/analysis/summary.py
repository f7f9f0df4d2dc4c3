"""Everything that a run's `metrics.json` says about the test set, from labels and probabilities alone."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from math import isfinite
from typing import Any

import numpy as np

from crocuta.analysis.bootstrap import Difference, bootstrap_interval, mean_sd, paired_difference
from crocuta.analysis.scores import METRICS, scores

_WORK = 4e9  # elements that the resamples of one model and metric may touch: under a minute


def summarise(
    labels: np.ndarray,
    probabilities: Mapping[str, Sequence[np.ndarray]],
    metric: str,
    baselines: Sequence[str] = (),
) -> dict[str, Any]:
    """Aggregates over seeds for every model and metric, and paired differences on the headline `metric`.

    `probabilities` holds per model one array `(n, classes)` per training seed. Models are compared with every
    baseline and with each other, baselines not among themselves. Values that are undefined (the spread of one
    seed, a score that the test set cannot define) are None, so that the result is valid JSON:
    `{"models": {name: {metric: {"mean", "sd", "low", "high"}}}, "paired": [{"model", "baseline", "metric",
    "difference", "low", "high", "p"}], "resamples": int}`.
    """
    resamples = _resamples(labels, probabilities)
    models = {name: _aggregate(labels, seeds, resamples) for name, seeds in probabilities.items()}
    paired = [
        _named(a, b, metric, paired_difference(labels, probabilities[a], probabilities[b], metric, resamples))
        for a, b in _comparisons(list(probabilities), baselines)
    ]
    return {"models": models, "paired": paired, "resamples": resamples}


def _aggregate(labels: np.ndarray, seeds: Sequence[np.ndarray], resamples: int) -> dict[str, Any]:
    by_seed = [scores(labels, probabilities) for probabilities in seeds]
    result = {}
    for metric in METRICS:
        mean, sd = mean_sd([values[metric] for values in by_seed])
        interval = bootstrap_interval(labels, seeds, metric, resamples)
        result[metric] = {
            "mean": _json(mean),
            "sd": _json(sd),
            "low": _json(interval.low),
            "high": _json(interval.high),
        }
    return result


def _comparisons(names: list[str], baselines: Sequence[str]) -> Iterator[tuple[str, str]]:
    models = [name for name in names if name not in baselines]
    yield from product(models, [name for name in names if name in baselines])
    yield from combinations(models, 2)


def _named(model: str, baseline: str, metric: str, found: Difference) -> dict[str, Any]:
    return {
        "model": model,
        "baseline": baseline,
        "metric": metric,
        "difference": _json(found.value),
        "low": _json(found.low),
        "high": _json(found.high),
        "p": _json(found.p),
    }


def _resamples(labels: np.ndarray, probabilities: Mapping[str, Sequence[np.ndarray]]) -> int:
    """1000, or fewer (at least 100) where examples x classes x seeds would take minutes."""
    elements = max(sum(p.size for p in seeds) for seeds in probabilities.values())
    return int(np.clip(_WORK / max(elements, 1), 100, 1000))


def _json(value: float) -> float | None:
    return float(value) if isfinite(value) else None
