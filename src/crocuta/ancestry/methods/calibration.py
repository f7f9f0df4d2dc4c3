"""Posteriors made honest: one exponent that minimises the log-loss on examples whose truth is known."""

import numpy as np

from crocuta.ancestry.methods.windows import log_softmax

LEAST = 1e-6


def sharpen(posterior: np.ndarray, power: float) -> np.ndarray:
    """Probabilities (..., populations) to a power, normalised: above 1 surer, below 1 less sure."""
    return np.exp(log_softmax(power * np.log(np.maximum(posterior, LEAST))))


def log_loss(posterior: np.ndarray, truth: np.ndarray) -> float:
    """Mean of -log of what `posterior` (..., populations) gives to `truth` (...), population numbers."""
    chosen = np.take_along_axis(posterior, truth[..., None].astype(np.int64), -1)
    return float(-np.log(np.maximum(chosen, LEAST)).mean())


def fit_power(posterior: np.ndarray, truth: np.ndarray) -> float:
    """The exponent from 0.2 to 5 for `sharpen` that minimises the log-loss (temperature scaling, Guo et al. 2017)."""
    grid = np.geomspace(0.2, 5, 41)
    return float(min(grid, key=lambda power: log_loss(sharpen(posterior, power), truth)))
