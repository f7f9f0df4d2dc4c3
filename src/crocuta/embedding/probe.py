"""How much embeddings know of a label: logistic regression on them, evaluated on groups that it has not seen."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from crocuta.analysis.embeddings import Embeddings
from crocuta.analysis.logistic import fit_logistic
from crocuta.analysis.scores import scores
from crocuta.data.labelled import sort_classes
from crocuta.errors import InputError

SHOWN = ("mcc", "accuracy")
INVERSE_REGULARISATIONS = (1e-3, 1e-2, 1e-1, 1.0)


class Probe(NamedTuple):
    """Out-of-fold predictions and what they are worth.

    classes, counts: the labels that took part, and how many rows have them; `left_out`: those too rare, with counts.
    labels, probabilities: (n,), (n, classes) of the rows that took part; `fold` (n,): where each was predicted.
    scores: macro F1, MCC and accuracy over all rows; `by_class`: F1 of each class; `by_fold`: macro F1 of each fold.
    """

    classes: tuple[str, ...]
    counts: list[int]
    left_out: dict[str, int]
    labels: np.ndarray
    probabilities: np.ndarray
    fold: np.ndarray
    scores: dict[str, float]
    by_class: list[float]
    by_fold: list[float]


def probe(
    embeddings: Embeddings,
    label: str,
    group: str | None = None,
    *,
    folds: int = 5,
    least: int = 10,
    seed: int = 0,
) -> Probe:
    """Cross-validated logistic regression of a column on embeddings, each class with the same weight.

    Coordinates (hyperbolic: of tangent vectors at the centroid) are standardised by the training rows. The
    regularisation is chosen on one of the training folds.

    Args:
        embeddings: rows with the columns below.
        label: column to predict.
        group: column whose values stay together in one fold, e.g. the chromosome; None: rows are independent.
        folds: 3 or more.
        least: labels with fewer rows are left out, and blank ones.
        seed: of the division into folds.

    Raises:
        InputError: fewer than two labels with enough rows, or fewer groups than folds.
    """
    if folds < 3:
        raise InputError(f"{folds} folds, expected at least 3: test, validation, training")
    texts = embeddings.column(label).astype(str)
    classes, left_out = frequent(texts, least)
    if len(classes) < 2:
        raise InputError(
            f"{embeddings.name}: column {label!r} has {len(classes)} label with at least {least} rows, expected two"
        )
    taken = np.isin(texts, classes)
    groups = np.arange(len(texts)) if group is None else embeddings.column(group).astype(str)
    groups = groups[taken]
    if len(np.unique(groups)) < folds:
        raise InputError(
            f"{embeddings.name}: column {group!r} has {len(np.unique(groups))} values, expected at least {folds},"
            " one for each fold; give fewer `folds`"
        )
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[text] for text in texts[taken]])
    x = embeddings.select(taken).tangents()
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold = np.empty(len(labels), np.int64)
    for i, (_, rows) in enumerate(splitter.split(x, labels, groups)):
        fold[rows] = i
    probabilities = np.zeros((len(labels), len(classes)))
    for i in range(folds):
        probabilities[fold == i] = predict_fold(x, labels, fold, i, folds, len(classes))
    return Probe(
        classes,
        np.bincount(labels, minlength=len(classes)).tolist(),
        left_out,
        labels,
        probabilities,
        fold,
        {"macro_f1": macro_f1(labels, probabilities)}
        | {key: float(value) for key, value in scores(labels, probabilities).items() if key in SHOWN},
        class_f1(labels, probabilities),
        [macro_f1(labels[fold == i], probabilities[fold == i]) for i in range(folds)],
    )


def frequent(texts: np.ndarray, least: int) -> tuple[tuple[str, ...], dict[str, int]]:
    """Labels with at least `least` rows, in order; and the others with their counts, blank ones unnamed."""
    names, counts = np.unique(texts, return_counts=True)
    found = {name: int(count) for name, count in zip(names.tolist(), counts, strict=True) if name}
    return sort_classes(n for n in found if found[n] >= least), {n: c for n, c in found.items() if c < least}


def predict_fold(
    x: np.ndarray, labels: np.ndarray, fold: np.ndarray, test: int, folds: int, classes: int
) -> np.ndarray:
    """Probabilities (rows of the fold, classes), learned from the other folds; the next one chooses how strictly."""
    valid = (test + 1) % folds
    inner, chooser, outer = (fold != test) & (fold != valid), fold == valid, fold != test
    values = [
        macro_f1(labels[chooser], fitted(x[inner], labels[inner], x[chooser], inverse, classes))
        for inverse in INVERSE_REGULARISATIONS
    ]
    best = INVERSE_REGULARISATIONS[int(np.argmax(values))]
    return fitted(x[outer], labels[outer], x[fold == test], best, classes)


def fitted(x: np.ndarray, labels: np.ndarray, new: np.ndarray, inverse: float, classes: int) -> np.ndarray:
    """Class probabilities (n, classes) of new rows; 0 for classes that training lacks."""
    mean, spread = x.mean(0), x.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    seen, numbered = np.unique(labels, return_inverse=True)
    result = np.zeros((len(new), classes))
    if len(seen) == 1:
        result[:, seen[0]] = 1.0
        return result
    weight, bias = fit_logistic((x - mean) / spread, numbered, inverse, balanced=True)
    logits = (new - mean) / spread @ weight.T + bias
    logits -= logits.max(1, keepdims=True)
    result[:, seen] = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return result


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean F1 over the classes that occur."""
    return float(np.mean([f1 for f1 in class_f1(labels, probabilities) if not np.isnan(f1)]))


def class_f1(labels: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """F1 of each class, NaN of one that no row has."""
    guesses = probabilities.argmax(1)
    found = []
    for k in range(probabilities.shape[1]):
        right = int(((labels == k) & (guesses == k)).sum())
        size = int((labels == k).sum())
        found.append(2 * right / (size + int((guesses == k).sum())) if size else float("nan"))
    return found


def as_json(found: Probe) -> dict[str, Any]:
    """The figures of a probe, without its predictions."""
    classes = zip(found.classes, found.counts, found.by_class, strict=True)
    return {
        "scores": found.scores,
        "classes": {name: {"rows": count, "f1": f1} for name, count, f1 in classes},
        "left_out": found.left_out,
        "macro_f1_by_fold": found.by_fold,
    }
