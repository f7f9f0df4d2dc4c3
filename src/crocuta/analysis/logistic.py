"""Logistic regression for classes, or for several labels each."""

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression


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
