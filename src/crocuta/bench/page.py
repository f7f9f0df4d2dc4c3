"""The table and the pictures of a benchmark, from the lines of its results.jsonl."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from crocuta.analysis.ranks import Ranks, cliques, mean_ranks
from crocuta.bench.grid import Grid, make_grid, markdown
from crocuta.files import replacing
from crocuta.report.figures import shortened
from crocuta.report.style import INK, MUTED, canvas, colour, line, marker, save, styled
from crocuta.report.wording import TITLES, number, p_value


def write_bench_report(rows: Sequence[Mapping[str, Any]], output: Path) -> None:
    """Writes `results.md`, and `figures/scores`, `tasks` and `ranks` as PNG and SVG (the last two from two on)."""
    grid = make_grid(rows)
    with replacing(output / "results.md") as file:
        file.write(markdown(grid))
    with styled():
        for name, figure in figures(grid).items():
            save(figure, output / "figures" / name)


def figures(grid: Grid) -> dict[str, Figure]:
    """The figures that the results allow, by name; ranks need two tasks and two models without a gap."""
    drawn = {"scores": score_plot(grid)}
    tasks, scores = grid.ranked()
    if len(grid.models) > 1 and tasks:
        drawn["tasks"] = task_lines(grid)
    if len(grid.models) > 1 and len(tasks) > 1 and np.isfinite(scores).all():
        drawn["ranks"] = rank_plot(list(grid.models.values()), mean_ranks(scores), len(tasks))
    return drawn


def score_plot(grid: Grid) -> Figure:
    """Each model on each task: mean, 95% interval over test sequences, seeds as ticks, the best published dashed."""
    rows = sum(1 for task in grid.tasks for model in grid.models if (task, model) in grid.scores)
    figure, axes = canvas(0.8 + 0.2 * (rows + 1.6 * len(grid.tasks)))
    beside, y, ticks, labels = axes.get_yaxis_transform(), 0.0, [], []
    for task in grid.tasks:
        top = y
        known = grid.known(task)
        title = f"{shortened(task, 34)} ({TITLES[grid.metrics[task]]})"
        axes.text(0, y, title, transform=beside, va="center", weight="bold", in_layout=False)
        for index, (model, title) in enumerate(grid.models.items()):
            if (task, model) not in grid.scores:
                continue
            y += 1
            score, hue = grid.scores[task, model], colour(index)
            axes.plot([score.low, score.high], [y, y], color=hue, linewidth=3.5, alpha=0.4)
            axes.plot(score.seeds, [y] * len(score.seeds), "|", color=hue, markersize=7)
            axes.plot(score.mean, y, marker(index), color=hue, markersize=5)
            ticks.append(y)
            labels.append(shortened(title, 26))
        if known:
            axes.plot(
                [known[0].value] * 2, [top + 0.5, y + 0.5], color=INK, linewidth=1, linestyle=(0, (3, 2))
            )
        y += 1.6
    if any(grid.known(task) for task in grid.tasks):
        axes.plot([], [], color=INK, linewidth=1, linestyle=(0, (3, 2)), label="best published")
        figure.legend(loc="outside upper right")
    axes.set(ylim=(y - 0.8, -0.8), xlabel="score on the test set")
    axes.set_yticks(ticks, labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    return figure


def task_lines(grid: Grid) -> Figure:
    """Models from worst to best mean, and a line for each task on which all of them have a score."""
    tasks, scores = grid.ranked()
    order = np.argsort(scores.mean(0), kind="stable")
    names = [shortened(list(grid.models.values())[i], 26) for i in order]
    figure, axes = canvas(3.4 + 0.19 * len(tasks))
    for index, (task, values) in enumerate(zip(tasks, scores, strict=True)):
        label = f"{shortened(task, 36)} ({TITLES[grid.metrics[task]]})"
        axes.plot(
            values[order], color=colour(index), marker=marker(index), linestyle=line(index),
            linewidth=1.4, label=label,
        )  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set(ylabel="score on the test set")
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside upper left")
    return figure


def rank_plot(titles: Sequence[str], ranks: Ranks, tasks: int) -> Figure:
    """Mean ranks from best to worst; bars join models that the critical difference does not distinguish."""
    order = np.argsort(ranks.mean, kind="stable")
    groups = cliques(ranks)
    alike = "< 0.001" if ranks.p < 0.001 else f"= {p_value(ranks.p)}"
    bars = 0.28 * len(groups)
    figure, axes = canvas(1.1 + 0.25 * len(titles) + 0.6 * bars)
    place = {int(model): y for y, model in enumerate(order)}
    beside = axes.get_yaxis_transform()
    for y, model in enumerate(order):
        rank = float(ranks.mean[model])
        axes.plot([1, rank], [y, y], color=MUTED, linewidth=0.8)
        axes.plot(rank, y, "o", color=colour(0))
        axes.text(1.01, y, number(rank, 2), transform=beside, va="center", in_layout=True)
    for column, group in enumerate(groups):
        x = len(titles) + 0.35 + 0.28 * column
        ends = [min(place[m] for m in group) - 0.2, max(place[m] for m in group) + 0.2]
        axes.plot([x, x], ends, color=INK, linewidth=2.6, solid_capstyle="butt")
    axes.set(xlim=(0.85, len(titles) + 0.5 + bars), ylim=(len(titles) - 0.5, -0.6))
    axes.set_xlabel(
        f"mean rank over {tasks} tasks (1: best); all alike: p {alike} (Friedman)\n"
        f"bars: not distinguished (Nemenyi's critical difference {number(ranks.critical_difference, 2)})",
        fontsize=8, x=1, ha="right",
    )  # fmt: skip
    axes.set_xticks(range(1, len(titles) + 1))
    axes.set_yticks(range(len(titles)), [shortened(titles[int(i)], 26) for i in order])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    return figure
