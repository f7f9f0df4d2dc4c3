"""Several runs side by side: which can be compared, and by how much they differ."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from crocuta.analysis.bootstrap import paired_difference
from crocuta.report.run import ReportedRun


def within(run: ReportedRun) -> list[dict[str, Any]]:
    """The paired differences that a run itself measured, labelled."""
    return [
        {**pair, "label": f"{run.title(pair['model'])} − {run.title(pair['baseline'])}"}
        for pair in run.metrics.get("paired", [])
    ]


def across(runs: Sequence[ReportedRun]) -> list[dict[str, Any]]:
    """Paired differences between runs with the same test sequences: models of one name, and the best ones."""
    found = []
    for first, second in combinations(runs, 2):
        order = same_test(first, second)
        if order is None or first.metric != second.metric:
            continue
        shared = [(name, name) for name in second.models if name in first.models]
        best = (second.lead, first.lead)
        for a, b in shared if best in shared else [best, *shared]:
            difference = paired_difference(
                first.labels,
                [p[order] for p in second.probabilities[a]],
                first.probabilities[b],
                first.metric,
            )
            found.append(_labelled(first, second, a, b, difference))
    return found


def same_test(first: ReportedRun, second: ReportedRun) -> np.ndarray | None:
    """Rows of `second` in the order of `first`, or None unless both were evaluated on the same sequences and labels."""
    if first.classes != second.classes or first.labels.shape != second.labels.shape:
        return None
    if first.names == second.names:
        order = np.arange(len(first.names))
    else:
        position = {name: row for row, name in enumerate(second.names)}
        if len(position) < len(second.names) or set(first.names) != set(position):
            return None
        order = np.array([position[name] for name in first.names])
    return order if (second.labels[order] == first.labels).all() else None


def _labelled(first: ReportedRun, second: ReportedRun, a: str, b: str, difference: Any) -> dict[str, Any]:
    value, low, high, p = (float(x) if np.isfinite(x) else None for x in difference)
    label = f"{second.title(a)} ({second.name}) − {first.title(b)} ({first.name})"
    return {"label": label, "metric": first.metric, "difference": value, "low": low, "high": high, "p": p}
