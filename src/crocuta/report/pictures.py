"""Which figures a report shows, each with a caption that needs no statistics to be understood."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from crocuta.report import figures
from crocuta.report.run import ReportedRun
from crocuta.report.wording import MEANINGS, TITLES


@dataclass(frozen=True)
class Picture:
    """A figure, the name of its files, its title and its caption."""

    slug: str
    title: str
    caption: str
    figure: Figure


def scores_picture(runs: Sequence[ReportedRun], pairs: Sequence[dict[str, Any]]) -> list[Picture]:
    """Forest plots of the headline metric and of its paired differences."""
    metric, several = runs[0].metric, len(runs) > 1
    rows = [
        figures.FigureRow(
            f"{run.title(name)} ({run.name})" if several else run.title(name),
            run.value(name),
            run.value(name, "low"),
            run.value(name, "high"),
            [seed["test"][metric] for seed in model["seeds"] if seed["test"].get(metric) is not None],
            index,
        )
        for run in runs
        for index, (name, model) in enumerate(run.models.items())
    ]
    caption = (
        f"Further right is better ({MEANINGS[metric]}). Marker: mean over training seeds; bar: where the"
    )
    caption += " mean would fall on 95 of 100 test sets like this one; ticks: single seeds."
    plot = figures.forest(rows, f"{TITLES[metric]} on the test sequences")
    found = [Picture("scores", f"{TITLES[metric]} with 95% intervals", caption, plot)]
    shown = [pair for pair in pairs if pair["low"] is not None]
    if shown:
        rows = [
            figures.FigureRow(pair["label"], pair["difference"], pair["low"], pair["high"]) for pair in shown
        ]
        caption = (
            "Both models answered the same test sequences. A bar right of the dashed line: the first model is"
        )
        caption += (
            " better; left of it: the second; a bar that crosses the line: this test set cannot decide."
        )
        plot = figures.forest(rows, f"difference in {TITLES[metric]}", zero=True)
        found.append(Picture("differences", "Differences between models", caption, plot))
    return found


def error_pictures(run: ReportedRun) -> list[Picture]:
    """Where the answers are wrong, and whether the model knows."""
    title, several = run.title(run.lead), len(run.classes) > 2
    means = ["classes (each against the rest)"] * several + ["seeds"] * (len(run.probabilities[run.lead]) > 1)
    over = f", averaged over {' and '.join(means)}" if means else ""
    if run.labels.ndim == 2:
        sure = "a class"
        first = Picture(
            "classes",
            "Class by class",
            f"Recall: how many members of a class {title} found. Precision: how many finds were right.",
            figures.found_by_class(run, run.lead),
        )
    else:
        sure = "the class that it predicts" if several else f"class {run.classes[1]!r}"
        few = " Shares are of the row, counts are means over seeds."
        first = Picture(
            "confusion",
            "Confusion matrix",
            f"What {title} said about the sequences of each true class (rows). Right answers: the diagonal."
            + (few if len(run.classes) <= 4 else " Numbers are percent of the row."),
            figures.confusion_matrix(run, run.lead),
        )
    return [
        first,
        Picture(
            "roc",
            "ROC curve",
            "How many true members of a class are found (up) at the price of how many false alarms (right)"
            f"{over}. Nearer the top left is better; the dotted line is guessing. In brackets: AUROC.",
            figures.roc_curves(run),
        ),
        Picture(
            "precision-recall",
            "Precision and recall",
            "When the model is asked to find more of the true members (right), how many of its finds are"
            f" right (up){over}. Nearer the top right is better; the dotted line is guessing."
            " In brackets: AUPRC.",
            figures.precision_recall_curves(run),
        ),
        Picture(
            "reliability",
            "Are the probabilities honest?",
            f"Where a model gives {sure} a probability of about 80%, it should be true 80 times out of 100:"
            " on the dotted line. Below the line the model claims too much. In brackets: expected"
            " calibration error, 0 is best.",
            figures.reliability_curves(run),
        ),
    ]


def training_pictures(run: ReportedRun) -> list[Picture]:
    """Learning curves of every model that learns by epochs, and the curvatures of the hyperbolic ones."""
    caption = (
        "Top: the loss falls as the model learns; a validation loss that rises again means that it learns the"
    )
    caption += " training sequences by heart. Bottom: the score on validation sequences. One line per seed."
    curved = "Sectional curvature is -c: the larger c, the faster the space widens away from its origin. Manifolds in"
    curved += " the order of the layers; one line per seed."
    found = []
    for name in run.models:
        title = run.title(name)
        if (figure := figures.learning_curves(run, name)) is not None:
            found.append(Picture(f"learning-{name}", f"How {title} learned", caption, figure))
        if (figure := figures.curvature_curves(run, name)) is not None:
            found.append(Picture(f"curvature-{name}", f"How {title}'s space bent", curved, figure))
    return found


def data_pictures(run: ReportedRun) -> list[Picture]:
    """Length by class: classes that differ in length can be distinguished without reading a nucleotide."""
    figure = figures.lengths(run)
    if figure is None:
        return []
    caption = (
        "How long the sequences of each class are. If classes differ, a model can score by length alone:"
    )
    caption += " compare it with a baseline that sees nothing but the length."
    return [Picture("lengths", "Length by class", caption, figure)]
