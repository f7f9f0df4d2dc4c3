"""Delta as JSON, and pictures of it beside its nulls and beside manifolds that one knows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from crocuta.analysis.distances import Distances, HyperbolicPoints, euclidean
from crocuta.files import write_json
from crocuta.report.figures import shortened
from crocuta.report.style import INK, MUTED, canvas, colour, save, styled
from crocuta.trees.delta import Hyperbolicity, four_point, random_quadruples

HYPERBOLIC_RADIUS = 8.0  # of the reference ball; its edge is where nearly all its volume lies


class NullLine(NamedTuple):
    """One data set of `overview`: its mean relative delta, a null's 95% range, and a p-value."""

    label: str
    value: float
    low: float
    high: float
    p: float


def delta_json(name: str, found: Hyperbolicity) -> dict[str, Any]:
    """What `crocuta tree delta` writes; deltas are relative unless they are called `delta`."""
    exact = None
    if found.exact:
        exact = {
            "delta": found.exact.delta,
            "quadruple": [int(i) for i in found.exact.quadruple],
            "diameter": found.diameter,
            "relative": found.relative,
        }
    return {
        "name": name,
        "points": found.n,
        "effective_dimension": found.dimension,
        "exact": exact,
        "subset": found.subset,
        "subsets": found.subsets,
        "worst": found.worst._asdict(),
        "average": found.average._asdict(),
        "tests": {
            null: {
                "p_worst": test.p_worst,
                "p_average": test.p_average,
                "worst": test.worst,
                "average": test.average,
                "null_worst": _summary(test.null_worst),
                "null_average": _summary(test.null_average),
                "draws": len(test.null_worst),
            }
            for null, test in found.tests.items()
        },
    }


def summary_rows(found: Hyperbolicity) -> list[tuple[str, str, str]]:
    """The table of the command line: what, its largest delta, its mean delta."""
    rows = []
    if found.exact and found.relative is not None:
        rows.append(("all points, exact", f"{found.relative:.4f}", ""))
    if found.subsets > 1:
        means = [f"{v.value:.4f} ({v.low:.4f} to {v.high:.4f})" for v in (found.worst, found.average)]
        rows.append((f"{found.subsets} random subsets of {found.subset}", *means))
    else:
        rows.append(("all points", f"{found.worst.value:.4f}", f"{found.average.value:.4f}"))
    for i, (null, test) in enumerate(found.tests.items()):
        if i == 0:
            rows.append(("the subset that is tested", f"{test.worst:.4f}", f"{test.average:.4f}"))
        pairs = ((test.null_worst, test.p_worst), (test.null_average, test.p_average))
        rows.append((f"null: {null}", *(f"{values.mean():.4f}, p = {p:.3f}" for values, p in pairs)))
    return rows


def _summary(values: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def write_hyperbolicity(stem: Path, name: str, found: Hyperbolicity, distances: Distances) -> None:
    """Writes `<stem>.json`, and `<stem>.png` and `.svg` with the distributions."""
    write_json(stem.with_name(f"{stem.name}.json"), delta_json(name, found))
    with styled():
        save(distributions(name, distances, found), stem)


def distributions(name: str, distances: Distances, found: Hyperbolicity, seed: int = 0) -> Figure:
    """Relative deltas of random quadruples: of the points, and of manifolds of the same size and dimension."""
    generator = np.random.default_rng(seed)
    size = found.subset
    chosen = np.sort(generator.choice(found.n, size, replace=False))
    rows = {shortened(name, 40): distances.matrix(chosen), **references(size, found.dimension, generator)}
    quadruples = random_quadruples(size, 50_000, generator)
    figure, axes = canvas(0.9 + 0.62 * len(rows))
    values = {label: 2 * four_point(D, quadruples) / D.max() for label, D in rows.items()}
    right = max(np.quantile(v, 0.999) for v in values.values())
    for y, (label, deltas) in enumerate(values.items()):
        counts, edges = np.histogram(deltas, np.linspace(0, right, 81))
        height = 0.62 * counts / counts.max()
        hue = colour(0) if y == 0 else MUTED
        axes.fill_between(edges, y, y - np.append(height, 0), step="post", color=hue, alpha=0.5, linewidth=0)
        axes.plot([deltas.mean()] * 2, [y, y - 0.62], color=INK if y else hue, linewidth=1.4)
        axes.text(
            1, y - 0.36, f"{label}\nmean {deltas.mean():.3f}", transform=axes.get_yaxis_transform(),
            ha="right", va="center", color=INK, in_layout=False,
        )  # fmt: skip
    axes.set(xlim=(-0.01 * right, right * 1.02), ylim=(len(rows) - 0.9, -0.75), yticks=[])
    axes.set_xlabel("relative δ of four points (0: a tree)")
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    return figure


def references(points: int, dimension: float, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Distance matrices of points on manifolds of the rounded dimension (2 to 100), by name.

    hyperbolic: uniform in a ball of radius 8, curvature -1. Euclidean: normal. sphere: uniform, along arcs.
    """
    d = int(np.clip(round(dimension), 2, 100))
    x = generator.standard_normal((points, d))
    directions = x / np.linalg.norm(x, axis=1, keepdims=True)
    # volume of the ball grows as exp((d - 1) r), to rounding at this radius
    radius = np.maximum(HYPERBOLIC_RADIUS + np.log(generator.random((points, 1))) / (d - 1), 0)
    space = np.sinh(radius) * directions
    hyperbolic = HyperbolicPoints(np.hstack([np.cosh(radius), space]), "lorentz")
    y = generator.standard_normal((points, d + 1))
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    arcs = np.arccos(np.clip(y @ y.T, -1, 1))
    np.fill_diagonal(arcs, 0)
    return {
        f"hyperbolic, d = {d}": hyperbolic.matrix(np.arange(points)),
        f"Euclidean, d = {d}": euclidean(x),
        f"sphere, d = {d}": arcs,
    }


def overview(lines: Sequence[NullLine]) -> Figure:
    """Mean relative delta of data sets, each on the 95% range of the null that it is hardest to tell from."""
    figure, axes = canvas(1.0 + 0.42 * len(lines))
    for y, (label, value, low, high, p) in enumerate(lines):
        axes.plot([low, high], [y, y], color=MUTED, linewidth=5, alpha=0.45, solid_capstyle="butt")
        axes.plot(value, y, "o", color=colour(0 if p <= 0.05 else 1))
        beside = axes.get_yaxis_transform()
        axes.text(0, y - 0.24, label, transform=beside, va="bottom", in_layout=False)
        axes.text(
            1,
            y - 0.24,
            f"p = {p:.3f}",
            transform=beside,
            va="bottom",
            ha="right",
            in_layout=False,
        )
    axes.plot([], [], color=MUTED, linewidth=5, alpha=0.45, label="nearest null (95%)")
    axes.plot([], [], "o", linestyle="", color=colour(0), label="data, p ≤ 0.05")
    axes.plot([], [], "o", linestyle="", color=colour(1), label="data, p > 0.05")
    axes.set(xlim=(0, None), ylim=(len(lines) - 0.6, -0.85), yticks=[])
    axes.set_xlabel("mean relative δ (0: a tree)")
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside upper left")
    return figure
