"""Several models on several tasks: mean ranks, and how far apart they must be to mean anything (Demšar, JMLR 2006)."""

from typing import NamedTuple

import numpy as np
from scipy.stats import chi2, rankdata, studentized_range


class Ranks(NamedTuple):
    """Mean ranks (models,), 1 the best; ranks closer than `critical_difference` are not distinguished.

    p: that all models are alike (Friedman's test; NaN where every task ranks them all equal).
    """

    mean: np.ndarray
    critical_difference: float
    p: float


def mean_ranks(scores: np.ndarray, level: float = 0.05) -> Ranks:
    """Ranks of scores (tasks, models), higher is better, ties share their mean rank; Nemenyi's critical difference.

    Raises:
        ValueError: fewer than two tasks or models, or a score is missing.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or min(scores.shape) < 2 or not np.isfinite(scores).all():
        raise ValueError(f"scores have shape {scores.shape}, expected at least two tasks and models, no gaps")
    tasks, models = scores.shape
    ranks = rankdata(-scores, axis=1)
    mean = ranks.mean(0)
    spread = ((ranks - (models + 1) / 2) ** 2).sum()
    statistic = (models - 1) * tasks**2 * ((mean - (models + 1) / 2) ** 2).sum()
    p = chi2.sf(statistic / spread, models - 1) if spread else np.nan
    quantile = studentized_range.ppf(1 - level, models, np.inf) / np.sqrt(2)
    return Ranks(mean, float(quantile * np.sqrt(models * (models + 1) / (6 * tasks))), float(p))


def cliques(ranks: Ranks) -> list[tuple[int, ...]]:
    """Largest groups of models (numbers, best first) that the critical difference does not distinguish."""
    order = np.argsort(ranks.mean, kind="stable")
    found: list[tuple[int, ...]] = []
    for i, first in enumerate(order):
        near = ranks.mean[order[i:]] - ranks.mean[first] <= ranks.critical_difference
        group = tuple(int(m) for m in order[i:][near])
        if len(group) > 1 and not (found and set(group) <= set(found[-1])):
            found.append(group)
    return found
