"""The figures of a report, one function each; every one has the same width and is drawn for a phone too."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from crocuta.analysis.curves import mean_precision_recall, mean_roc, reliability
from crocuta.analysis.scores import confusion
from crocuta.report.run import ReportedRun
from crocuta.report.style import COLOURS, GRID, INK, MUTED, WIDTH, canvas, colour, line, marker
from crocuta.report.wording import TITLES, number


class FigureRow(NamedTuple):
    """One line of a forest plot: what, how much, how sure, and the single seeds."""

    label: str
    value: float
    low: float
    high: float
    points: Sequence[float] = ()
    index: int = 0


def forest(rows: Sequence[FigureRow], title: str, zero: bool = False) -> Figure:
    """Values with their intervals, one below the other; labels stand above the lines, clear of them."""
    labels = [_two_lines(row.label) for row in rows]
    height = 0.48 + 0.17 * any("\n" in label for label in labels)
    figure, axes = canvas(0.75 + height * len(rows))
    beside = axes.get_yaxis_transform()
    for y, (row, label) in enumerate(zip(rows, labels, strict=True)):
        hue, shape = (MUTED, "D") if zero else (colour(row.index), marker(row.index))
        axes.plot([row.low, row.high], [y, y], color=hue, linewidth=3, alpha=0.55, solid_capstyle="round")
        axes.plot(row.points, np.full(len(row.points), y), "|", color=hue, markersize=8, markeredgewidth=1.2)
        axes.plot(row.value, y, shape, color=hue, markersize=6)
        above = y - 0.1 / height
        value = number(row.value)
        axes.text(0, above, label, transform=beside, va="bottom", linespacing=1.1, in_layout=False)
        axes.text(1, above, value, transform=beside, va="bottom", ha="right", in_layout=False)
        if zero:
            axes.plot([0, 0], [y - 0.18, y + 0.18], color=INK, linewidth=1.2, linestyle=(0, (3, 2)), zorder=0)
    axes.set(ylim=(len(rows) - 0.6, -0.75), yticks=[], xlabel=title)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    return figure


def confusion_matrix(run: ReportedRun, model: str) -> Figure:
    """Rows: the true class; columns: the predicted one; shares of the row and mean counts over seeds."""
    counts = np.mean([confusion(run.labels, p)[0] for p in run.probabilities[model]], axis=0)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = len(counts)
    small = 9.5 if size <= 4 else max(5.5, 9.5 - 0.25 * size)
    figure, axes = canvas(WIDTH * (0.78 if size <= 4 else 0.95))
    for i, j in np.ndindex(size, size):
        axes.fill_between(
            [j - 0.49, j + 0.49], i - 0.49, i + 0.49, color=COLOURS[0], alpha=0.06 + 0.54 * shares[i, j], lw=0
        )
        if size <= 4:
            axes.text(j, i - 0.1, f"{shares[i, j]:.0%}", ha="center", va="center", fontsize=14)
            axes.text(j, i + 0.17, f"{counts[i, j]:,.0f}", ha="center", va="center", color=INK)
        elif size <= 12 and shares[i, j] >= 0.005:
            axes.text(j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=small)
    names = [shortened(name, 14 if size <= 12 else 18) for name in run.classes]
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), xlabel="predicted class", ylabel="true class")
    turn = 0 if size <= 4 and max(map(len, names)) * size <= 36 else 90
    axes.set_xticks(range(size), names, rotation=turn, fontsize=small)
    axes.set_yticks(range(size), names, fontsize=small, rotation=90 if size <= 3 else 0, va="center")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return figure


def found_by_class(run: ReportedRun, model: str, most: int = 40) -> Figure:
    """Multi-label: recall and precision of each class, the most frequent classes first."""
    counts = np.mean([confusion(run.labels, p) for p in run.probabilities[model]], axis=0)
    order = np.argsort(-run.labels.sum(0), kind="stable")[:most]
    found, missed, alarms = counts[order, 1, 1], counts[order, 1, 0], counts[order, 0, 1]
    figure, axes = canvas(1.1 + 0.27 * len(order))
    y = np.arange(len(order))
    with np.errstate(invalid="ignore"):
        recall, precision = found / (found + missed), found / (found + alarms)
    axes.hlines(y, recall, precision, color=GRID, linewidth=2)
    axes.plot(recall, y, "o", color=colour(0), label="recall: found among the true ones")
    axes.plot(precision, y, "s", color=colour(1), label="precision: right among the predicted ones")
    axes.set(xlim=(-0.02, 1.02), ylim=(len(order) - 0.5, -0.5), xlabel="share of sequences")
    axes.set_yticks(y, [shortened(run.classes[k], 22) for k in order])
    figure.legend(loc="outside upper left")
    return figure


def roc_curves(run: ReportedRun) -> Figure:
    """One ROC curve per model, averaged over seeds and classes."""
    figure, axes = _square("false positive rate", "true positive rate", len(run.models))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    for index, name in enumerate(run.models):
        curve = mean_roc(run.labels, run.probabilities[name])
        label = _legend(run, name, run.value(name, metric="auroc"))
        axes.plot(*curve, color=colour(index), linestyle=line(index), label=label)
    figure.legend(loc="outside upper left")
    return figure


def precision_recall_curves(run: ReportedRun) -> Figure:
    """One precision-recall curve per model, averaged over seeds and classes."""
    figure, axes = _square("recall", "precision", len(run.models))
    axes.axhline(_guessing(run), color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    for index, name in enumerate(run.models):
        curve = mean_precision_recall(run.labels, run.probabilities[name])
        label = _legend(run, name, run.value(name, metric="auprc"))
        axes.plot(*curve, color=colour(index), linestyle=line(index), label=label)
    figure.legend(loc="outside upper left")
    return figure


def reliability_curves(run: ReportedRun) -> Figure:
    """Predicted probability against what came true, one curve per model; the diagonal is honesty."""
    figure, axes = _square("predicted probability", "share that was true", len(run.models))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    for index, name in enumerate(run.models):
        found = reliability(run.labels, run.probabilities[name])
        label = _legend(run, name, found.expected_calibration_error)
        axes.plot(
            *found[:2],
            color=colour(index),
            marker=marker(index),
            linestyle=line(index),
            linewidth=1.4,
            label=label,
        )
    figure.legend(loc="outside upper left")
    return figure


def learning_curves(run: ReportedRun, model: str) -> Figure | None:
    """Loss and headline metric by epoch, one thin line per seed; None where nothing was learned by epochs."""
    histories = [seed.get("history") or [] for seed in run.models[model]["seeds"]]
    if not any("train_loss" in epoch for history in histories for epoch in history):
        return None
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for history in histories:
        _by_epoch(upper, history, "train_loss", 0, "o")
        _by_epoch(upper, history, "valid_loss", 1, "s")
        _by_epoch(lower, history, f"valid_{run.metric}", 2, "D")
    upper.set(ylabel="loss")
    lower.set(ylabel=f"validation {TITLES[run.metric]}", xlabel="epoch")
    lower.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    upper.plot([], [], color=colour(0), marker="o", markersize=3.5, label="training")
    upper.plot([], [], color=colour(1), marker="s", markersize=3.5, label="validation")
    upper.legend()
    return figure


def curvature_curves(run: ReportedRun, model: str) -> Figure | None:
    """Curvature c of each manifold by epoch, one thin line per seed; None where no curvature is learned."""
    histories = [seed.get("history") or [] for seed in run.models[model]["seeds"]]
    names = dict.fromkeys(key for history in histories for epoch in history for key in epoch)
    names = [key for key in names if key.startswith("curvature.")]
    if not names:
        return None
    figure, axes = canvas(2.9 + 0.1 * len(names))
    for index, key in enumerate(names):
        for history in histories:
            _by_epoch(axes, history, key, index, marker(index))
        label = shortened(key.removeprefix("curvature."), 34)
        axes.plot([], [], color=colour(index), marker=marker(index), markersize=3.5, label=label)
    axes.set(yscale="log", ylabel="curvature c", xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def lengths(run: ReportedRun) -> Figure | None:
    """How long the sequences of each class are; None where all have one length."""
    edges, by_class = (
        np.array(run.metrics["data"]["lengths"]["edges"]),
        run.metrics["data"]["lengths"]["by_class"],
    )
    total = np.sum(list(by_class.values()), axis=0)
    if np.count_nonzero(total) <= 1:
        return None
    figure, axes = canvas(2.6 + 0.19 * min(len(by_class), 8))
    occupied = np.flatnonzero(total)
    shown = slice(occupied[0], occupied[-1] + 1)
    for index, (name, counts) in enumerate(list(by_class.items())[:8]):
        share = 100 * np.array(counts) / max(np.sum(counts), 1)
        axes.stairs(
            share[shown],
            edges[shown.start : shown.stop + 1],
            color=colour(index),
            linestyle=line(index),
            linewidth=1.8,
            label=shortened(str(name), 30),
        )
    axes.set(xlabel="length (nucleotides)", ylabel="% of the class", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    figure.legend(loc="outside upper left")
    return figure


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _two_lines(label: str, most: int = 42) -> str:
    """A long `a − b` breaks before the minus."""
    if len(label) <= most:
        return label
    first, minus, second = label.partition(" − ")
    return (
        f"{shortened(first, most)}\n{minus.lstrip()}{shortened(second, most)}"
        if minus
        else shortened(label, most)
    )


def _legend(run: ReportedRun, name: str, value: float) -> str:
    return f"{shortened(run.title(name), 34)} ({number(value)})"


def _by_epoch(axes: Axes, history: list[dict[str, Any]], key: str, index: int, shape: str) -> None:
    points = [(epoch["epoch"], epoch[key]) for epoch in history if epoch.get(key) is not None]
    if points:
        axes.plot(
            *zip(*points, strict=True),
            color=colour(index),
            marker=shape,
            markersize=3,
            linewidth=1.2,
            alpha=0.85,
        )


def _square(x: str, y: str, lines: int) -> tuple[Figure, Axes]:
    figure, axes = canvas(WIDTH * 0.85 + 0.19 * lines)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), xlabel=x, ylabel=y)
    return figure, axes


def _guessing(run: ReportedRun) -> float:
    """Precision of a guess: the share of class 1, or the mean share over classes."""
    if run.labels.ndim == 2:
        return float(run.labels.mean())
    return float(run.labels.mean()) if len(run.classes) == 2 else 1 / len(run.classes)
