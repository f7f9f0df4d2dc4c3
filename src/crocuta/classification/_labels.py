"""The two kinds of labels: one class for each sequence (n,), or any number of classes as 0/1 (n, classes)."""

import numpy as np

from crocuta.data.labelled import Labelled


def problem(data: Labelled) -> str:
    """`single_label` or `multi_label`."""
    return "single_label" if data.labels.ndim == 1 else "multi_label"


def membership(data: Labelled) -> np.ndarray:
    """Which class each sequence has: bool (n, classes)."""
    if problem(data) == "multi_label":
        return data.labels.astype(bool)
    return data.labels[:, None] == np.arange(len(data.classes))
