"""What a pretraining leaves to look at: its curve as PNG and SVG, and a page with its numbers."""

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from matplotlib.figure import Figure

from crocuta.errors import InputError
from crocuta.files import replacing
from crocuta.report.rendering import render
from crocuta.report.style import INK, MUTED, WIDTH, canvas, colour, inline_svg, line, save, styled

PARTS = {"valid": "validation", "test": "test"}


class PretrainingRun(NamedTuple):
    """The files of a run folder."""

    config: dict[str, Any]
    metrics: dict[str, Any]
    history: list[dict[str, Any]]


class LossCurve(NamedTuple):
    """Validation perplexities of one training against nucleotides learned from (or seconds)."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


def read_pretraining(folder: str | PathLike) -> PretrainingRun:
    """Reads the folder of a pretraining that has ended.

    Raises:
        InputError: it is none.
    """
    folder = Path(folder)
    if not (folder / "metrics.json").exists():
        raise InputError(
            f"{folder}: no pretraining that has ended (no metrics.json); finish it with `resume`"
        )
    config, metrics = (json.loads((folder / name).read_text()) for name in ("config.json", "metrics.json"))
    history = [json.loads(text) for text in (folder / "history.jsonl").read_text().splitlines()]
    return PretrainingRun(config, metrics, history)


def rows(run: PretrainingRun, title: str) -> list[tuple[str, ...]]:
    """The table: model, perplexity on validation and test, bits of a nucleotide on the last of them."""
    from math import log2

    parts = [part for part in PARTS if part in run.metrics]
    scores = {title: {part: run.metrics[part]["perplexity"] for part in parts}}
    markov = run.metrics.get("markov", {})
    for order in markov.get("valid", {}):
        scores[f"Markov, order {order}"] = {part: markov[part][order] for part in parts}
    return [
        (
            name,
            *(f"{found[part]:.4f}" if part in found else "–" for part in PARTS),
            f"{log2(found[parts[-1]]):.4f}",
        )
        for name, found in scores.items()
    ]


def report_pretraining(runs: Sequence[str | PathLike], output: str | PathLike | None = None) -> Path:
    """Writes the page of a pretraining again, for `crocuta report`; see `write_pretraining`.

    Raises:
        InputError: there are several runs, or this one has not ended.
    """
    if len(runs) != 1:
        raise InputError("runs of `crocuta pretrain` are not compared; report them one by one")
    return write_pretraining(runs[0], Path(runs[0]).name, output)


def write_pretraining(folder: str | PathLike, title: str, output: str | PathLike | None = None) -> Path:
    """Writes `figures/curve.png`, `.svg` and the page (default `report.html`) of a pretraining; returns the page."""
    folder = Path(folder)
    run = read_pretraining(folder)
    with styled():
        figure = curve(run)
        save(figure, folder / "figures" / "curve")
        svg = Markup(inline_svg(figure, "curve"))
    html = render(
        "pretraining.html",
        title=title,
        svg=svg,
        rows=rows(run, title),
        facts=_facts(run),
        recipe=run.config["recipe"],
        parts=run.config["parts"],
        genome=_genome(run.config),
    )
    page = Path(output or folder / "report.html")
    with replacing(page) as file:
        file.write(html)
    return page


def _genome(config: dict[str, Any]) -> str:
    """The file's name; crocuta 0.1.0 kept it apart from the other inputs."""
    if "inputs" in config:
        return Path(config["inputs"]["genome"][0]["path"]).name
    return config["genome"]["file"]


def _facts(run: PretrainingRun) -> list[tuple[str, str]]:
    metrics = run.metrics
    part = "test" if "test" in metrics else "valid"
    return [
        (f"{PARTS[part]} perplexity", f"{metrics[part]['perplexity']:.4f}"),
        ("nucleotides learned from", f"{metrics['tokens']:,}"),
        ("parameters", f"{metrics['parameters']:,}"),
        ("nucleotides a second", f"{metrics['tokens_per_second']:,.0f}"),
    ]


def curve(run: PretrainingRun) -> Figure:
    """Training and validation perplexity against nucleotides learned from, with the stages and a Markov model."""
    from math import exp

    figure, axes = canvas(3.2)
    tokens = [moment["tokens"] / 1e6 for moment in run.history]
    axes.plot(
        tokens, [exp(moment["loss"]) for moment in run.history], color=MUTED, linewidth=0.8, label="training"
    )
    evaluated = [moment for moment in run.history if moment["valid_perplexity"]]
    axes.plot(
        [moment["tokens"] / 1e6 for moment in evaluated],
        [moment["valid_perplexity"] for moment in evaluated],
        color=colour(0), marker="o", markersize=3.5, label="validation, a sample",
    )  # fmt: skip
    whole = run.metrics["tokens"] / 1e6, run.metrics["valid"]["perplexity"]
    axes.plot(*whole, color=colour(1), marker="D", linestyle="none", label="validation, all")
    markov = run.metrics.get("markov", {}).get("valid", {})
    if markov:
        order, value = list(markov.items())[-1]
        axes.axhline(value, color=INK, linewidth=1.1, linestyle=(0, (3, 2)), label=f"Markov, order {order}")
    previous = None
    for moment in run.history:
        if previous and moment["length"] != previous["length"]:
            axes.axvline(previous["tokens"] / 1e6, color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))
        previous = moment
    axes.set(xlabel="million nucleotides learned from", ylabel="perplexity", ylim=(None, 4.05))
    axes.legend()
    return figure


def curves(found: Sequence[LossCurve], markov: tuple[str, float] | None, x_label: str) -> Figure:
    """Several trainings in one picture, with the perplexity of a Markov model."""
    figure, axes = canvas(WIDTH * 0.8)
    for i, one in enumerate(found):
        axes.plot(one.x, one.y, color=colour(i), linestyle=line(i), label=one.label)
    if markov:
        axes.axhline(markov[1], color=INK, linewidth=1.1, linestyle=(0, (3, 2)), label=markov[0])
    axes.set(xlabel=x_label, ylabel="validation perplexity")
    axes.legend()
    return figure
