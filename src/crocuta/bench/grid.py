"""The results of a benchmark, tasks by models, and their tables."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from crocuta.bench.published import Published, published
from crocuta.report.wording import TITLES, number, plus_minus


class GridScore(NamedTuple):
    """One model on one task: mean and standard deviation over seeds, bootstrap interval over test sequences."""

    mean: float
    sd: float | None
    low: float
    high: float
    seeds: tuple[float, ...]


class Grid(NamedTuple):
    """Scores by task and model; `metrics` and `leakage` by task, `models` gives titles by name."""

    tasks: list[str]
    models: dict[str, str]
    metrics: dict[str, str]
    leakage: dict[str, str]
    scores: dict[tuple[str, str], GridScore]

    def ranked(self) -> tuple[list[str], np.ndarray]:
        """Tasks on which every model has a score, and the scores (tasks, models)."""
        whole = [task for task in self.tasks if all((task, model) in self.scores for model in self.models)]
        means = [[round(self.scores[task, model].mean, 6) for model in self.models] for task in whole]
        return whole, np.array(means).reshape(len(whole), len(self.models))

    def known(self, task: str) -> list[Published]:
        """Published numbers of a task."""
        return published(task, self.metrics[task])


class GridCell(NamedTuple):
    """One field of the table, and whether no other model on this task does better."""

    text: str
    best: bool = False


def make_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """A grid of lines of `results.jsonl`; tasks and models stand in the order of the lines."""
    seeds: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        seeds.setdefault((row["task"], row["model"]), []).append(row)
    return Grid(
        tasks=list(dict.fromkeys(row["task"] for row in rows)),
        models={row["model"]: row["title"] for row in rows},
        metrics={row["task"]: row["metric"] for row in rows},
        leakage={row["task"]: row["leakage"] for row in rows},
        scores={key: _score(found) for key, found in seeds.items()},
    )


def _score(rows: Sequence[Mapping[str, Any]]) -> GridScore:
    values = [row["test"][row["metric"]] for row in rows]
    values = [np.nan if value is None else value for value in values]
    low, high = (np.nan if end is None else end for end in rows[0]["interval"])
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return GridScore(float(np.mean(values)), spread, low, high, tuple(values))


def header(grid: Grid) -> list[str]:
    return ["task", "metric", *grid.models.values(), "published"]


def table(grid: Grid) -> list[list[GridCell]]:
    """One line for each task: mean ± sd of each model; the best are equal at three digits."""
    return [
        [
            GridCell(task),
            GridCell(TITLES[grid.metrics[task]]),
            *_fields(grid, task),
            GridCell(_best_known(grid, task)),
        ]
        for task in grid.tasks
    ]


def _fields(grid: Grid, task: str) -> list[GridCell]:
    found = [grid.scores.get((task, model)) for model in grid.models]
    best = max((round(score.mean, 3) for score in found if score and np.isfinite(score.mean)), default=None)
    return [
        GridCell(plus_minus(score.mean, score.sd), round(score.mean, 3) == best) if score else GridCell("–")
        for score in found
    ]


def _best_known(grid: Grid, task: str) -> str:
    known = grid.known(task)
    return f"{number(known[0].value)} ({known[0].model})" if known else "–"


def markdown(grid: Grid) -> str:
    """The table, what is published with its sources, and the leakage of each task."""
    lines = [_line(header(grid)), "|---|---" + "|--:" * len(grid.models) + "|---|"]
    for row in table(grid):
        lines.append(_line(f"**{cell.text}**" if cell.best else cell.text for cell in row))
    lines += [
        "",
        "Mean ± standard deviation over seeds on the test set; in bold the best of this benchmark.",
        "",
    ]
    if any(grid.known(task) for task in grid.tasks):
        lines += ["Published (other recipes and budgets, no part of the comparison):", ""]
        lines += [f"- {task}: {sentence(grid.known(task))}" for task in grid.tasks if grid.known(task)]
        lines += [""]
    lines += ["Leakage:", "", *(f"- {task}: {grid.leakage[task]}" for task in grid.tasks), ""]
    return "\n".join(lines)


def sentence(known: Sequence[Published]) -> str:
    return "; ".join(f"{record.model} {number(record.value)} ({record.source})" for record in known) + "."


def _line(fields) -> str:
    return "| " + " | ".join(field.replace("|", "\\|") for field in fields) + " |"
