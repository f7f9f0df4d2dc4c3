"""The tables of a report, as plain rows for the template and for `scores.tsv`."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from crocuta.analysis.scores import METRICS
from crocuta.report.run import ReportedRun
from crocuta.report.wording import TITLES, number, p_value, plus_minus
from crocuta.runs.progress import duration


class TableCell(NamedTuple):
    """A score, its interval, and whether no other model in the table does better."""

    text: str
    interval: str
    best: bool


class ScoreRow(NamedTuple):
    """One model of the score table."""

    run: str
    title: str
    kind: str
    cells: list[TableCell]


class CostRow(NamedTuple):
    """What one model costs: its size, mean time and highest memory of a training."""

    title: str
    parameters: str
    time: str
    memory: str


class PairedRow(NamedTuple):
    """One paired difference."""

    label: str
    metric: str
    difference: str
    interval: str
    p: str
    clear: bool


def metrics_of(run: ReportedRun) -> list[str]:
    """The metrics of the score table, the headline one first."""
    return [run.metric, *(metric for metric in METRICS if metric != run.metric)]


def score_rows(runs: Sequence[ReportedRun]) -> list[ScoreRow]:
    """The score table of one run, or of several with one task; best values are equal at three digits."""
    columns = metrics_of(runs[0])
    best = {
        metric: max(_rounded(run.value(name, metric=metric)) for run in runs for name in run.models)
        for metric in columns
    }
    return [
        ScoreRow(
            run.name,
            model["title"],
            model["kind"],
            [_cell(run, name, metric, best[metric]) for metric in columns],
        )
        for run in runs
        for name, model in run.models.items()
    ]


def profile_table(run: ReportedRun) -> dict[str, Any]:
    """AUROC by group of labels: columns, and rows (title, [(mean, what it is made of)]); empty without groups."""
    grouped = [model for model in run.models.values() if model.get("groups")]
    columns = list(grouped[0]["groups"]) if grouped else []
    rows = []
    for model in grouped:
        found = [model["groups"][name] for name in columns]
        notes = [f"{number(g['median'])}, {g['defined']} of {g['labels']} labels" for g in found]
        rows.append((model["title"], list(zip([number(g["mean"]) for g in found], notes, strict=True))))
    return {"columns": columns, "rows": rows}


def cost_rows(run: ReportedRun) -> dict[str, CostRow]:
    """Costs by model."""
    return {
        name: CostRow(
            model["title"],
            size(model),
            duration(_mean(model["seeds"], "seconds")),
            megabytes(max((seed.get("peak_memory_mb") or 0 for seed in model["seeds"]), default=0)),
        )
        for name, model in run.models.items()
    }


def paired_rows(pairs: Sequence[dict[str, Any]]) -> list[PairedRow]:
    """Paired differences, each with its label `a − b`."""
    return [
        PairedRow(
            pair["label"],
            TITLES[pair["metric"]],
            _signed(pair["difference"]),
            f"{_signed(pair['low'])} to {_signed(pair['high'])}",
            p_value(pair["p"]),
            pair["low"] is not None and (pair["low"] > 0 or pair["high"] < 0),
        )
        for pair in pairs
    ]


def score_lines(runs: Sequence[ReportedRun]) -> Iterator[str]:
    """Lines of `scores.tsv`: one per run, model and metric; empty where undefined."""
    yield "\t".join(
        ["run", "model", "title", "kind", "metric", "mean", "sd", "low", "high", "seeds", "parameters"]
    )
    for run in runs:
        for name, model in run.models.items():
            for metric in metrics_of(run):
                values = [run.value(name, statistic, metric) for statistic in ("mean", "sd", "low", "high")]
                numbers = [f"{value:.6g}" if math.isfinite(value) else "" for value in values]
                head = [run.name, name, model["title"], model["kind"], metric]
                yield "\t".join([*head, *numbers, str(len(model["seeds"])), str(model["parameters"])])


def label_rows(run: ReportedRun) -> list[tuple[str, list[str]]]:
    """(class, number of training, validation and test sequences), the last row for all of them."""
    parts = [run.metrics["data"][part] for part in ("train", "valid", "test")]
    by_class = zip(*(part["by_class"] for part in parts), strict=True)
    rows = [(name, [f"{n:,}" for n in counts]) for name, counts in zip(run.classes, by_class, strict=True)]
    return [*rows, ("all", [f"{part['n']:,}" for part in parts])]


def size(model: dict[str, Any]) -> str:
    """How many parameters a model has, and how many were trained where not all were.

    >>> size({"parameters": 4722, "trained_parameters": 34})
    '4,722 (34 trained)'
    """
    trained = model.get("trained_parameters") or model["parameters"]
    some = f" ({trained:,} trained)" if trained != model["parameters"] else ""
    return f"{model['parameters']:,}{some}"


def megabytes(value: float) -> str:
    if not value:
        return "–"
    return f"{value:,.0f} MB" if value < 1000 else f"{value / 1000:.1f} GB"


def _cell(run: ReportedRun, name: str, metric: str, best: float) -> TableCell:
    mean, sd, low, high = (run.value(name, statistic, metric) for statistic in ("mean", "sd", "low", "high"))
    interval = f"{number(low)} to {number(high)}" if math.isfinite(low) else ""
    return TableCell(plus_minus(mean, sd), interval, math.isfinite(mean) and _rounded(mean) >= best)


def _rounded(value: float) -> float:
    return round(value, 3) if math.isfinite(value) else -math.inf


def _signed(value: float | None) -> str:
    return f"+{number(value)}" if value is not None and value > 0 else number(value)


def _mean(seeds: Sequence[dict[str, Any]], key: str) -> float:
    values = [seed[key] for seed in seeds if seed.get(key) is not None]
    return sum(values) / len(values) if values else math.nan
