"""Pages of runs that are asked: words for DNA by L-CLIP, answers from a graph by GraphRAG."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from crocuta.files import replacing
from crocuta.report.style import MUTED, canvas, colour, inline_svg, save, styled
from crocuta.runs.manifest import LIBRARIES
from crocuta.runs.saved import SavedRun, read_json

MISTAKES, GROUPS = 12, 40  # rows of a table at most
SPLITS = {"valid": "validation", "test": "test"}
LARGE = ("kind", "inputs", "captions", "labels", "prior")  # parts of a configuration that are no settings


class Bar(NamedTuple):
    """A score between 0 and 1, and what it is without learning anything."""

    name: str
    value: float
    chance: float


class Table(NamedTuple):
    """Rows under a title, with a note below."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str


def report_words(run: str | PathLike) -> Path:
    """Writes `report.html` and `figures/` into a run folder of `crocuta words train`; returns the page.

    Raises:
        InputError: it is none, or it has not ended.
    """
    saved = SavedRun(run, "words train")
    metrics, rows = saved.metrics, _rows(saved.path, "predictions.tsv")
    bars = [Bar(name, value, metrics["chance"][name]) for name, value in metrics["test"].items()]
    wrong = sorted((r for r in rows if r["predicted"] != r["label"]), key=lambda r: -float(r["probability"]))
    tables = [
        _groups("Label by label", "label", rows, ("label", "test sequences")),
        Table(
            "The mistakes with the highest probability", ("sequence", "label", "best caption", "probability"),
            [(r["name"], r["label"], r["caption"], r["probability"]) for r in wrong[:MISTAKES]],
            "Confident mistakes are either hard sequences or wrong labels.",
        ),
    ]  # fmt: skip
    first = bars[0]
    answer = f"The best caption has the label of {first.value:.1%} of the test sequences; a random caption of"
    return _write(
        saved, "Words for DNA", f"{answer} {first.chance:.1%}. {metrics['leakage']}", bars, tables,
        [("test sequences", f"{metrics['sequences']['test']:,}"), ("captions", f"{metrics['captions']:,}"),
         ("training sequences", f"{metrics['sequences']['train']:,}")],
        "Share of queries for which something right is among the first 1 or 10 that are found; diamond: in a random"
        " order. Element to words: captions for a sequence. Words to element: sequences for a caption.",
    )  # fmt: skip


def report_rag(run: str | PathLike) -> Path:
    """Writes `report.html` and `figures/` into a run folder of `crocuta rag train`; returns the page.

    Raises:
        InputError: it is none, or it has not ended.
    """
    saved = SavedRun(run, "rag train")
    metrics = saved.metrics
    rows = _rows(saved.path, "predictions.tsv") or _rows(saved.path, "predictions-test.tsv")
    bars = [
        Bar(name, metrics[split]["exact_match"], metrics["commonest_answer"][split])
        for split, name in SPLITS.items()
        if split in metrics
    ]
    wrong = [row for row in rows if row["predicted"] != row["answer"]]
    tables = [
        _groups("Answer by answer", "answer", rows, ("right answer", "test questions")),
        Table(
            "Mistakes", ("question", "right answer", "the model's answer"),
            [(row["question"], row["answer"], row["predicted"]) for row in wrong[:MISTAKES]],
            f"The first of {len(wrong):,} wrong answers.",
        ),
    ]  # fmt: skip
    answer = "No question was held out, so nothing says how well the model answers."
    if bars:
        answer = f"{bars[-1].value:.1%} of the answers to {bars[-1].name} questions are exactly right; the commonest"
        answer += f" answer of training would be right in {bars[-1].chance:.1%}."
    facts = [
        (f"{name} questions", f"{metrics[split]['questions']:,}")
        for split, name in SPLITS.items()
        if split in metrics
    ]
    return _write(
        saved, "Answers from a knowledge graph", answer, bars, tables, facts,
        "Share of questions whose answer is exactly right; diamond: if every answer were the commonest of training.",
    )  # fmt: skip


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    if not (folder / name).exists():  # a run of 0.1.0, or nothing was held out
        return []
    with open(folder / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_MINIMAL))


def _groups(title: str, key: str, rows: Sequence[Mapping[str, str]], columns: tuple[str, str]) -> Table:
    """How often each expected value was predicted, and what most often in its place."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        found[row[key]][row["predicted"]] += 1
    lines = []
    for name, counts in sorted(found.items(), key=lambda item: -item[1].total()):
        others = Counter({other: n for other, n in counts.items() if other != name}).most_common(1)
        instead = f"{others[0][0]} ({others[0][1]:,})" if others else "–"
        lines.append((name, f"{counts.total():,}", f"{counts[name] / counts.total():.0%}", instead))
    note = "The most frequent first." + (
        f" {len(lines) - GROUPS:,} more are left out." if len(lines) > GROUPS else ""
    )
    return Table(title, (*columns, "right", "most often instead"), lines[:GROUPS], note)


def _write(
    run: SavedRun, title: str, answer: str, bars: Sequence[Bar], tables: Sequence[Table],
    facts: Sequence[tuple[str, str]], caption: str,
) -> Path:  # fmt: skip
    svg = None
    if bars:
        with styled():
            figure = scores(bars)
            save(figure, run.path / "figures" / "scores")
            svg = Markup(inline_svg(figure, "scores"))  # our own drawing; matplotlib escapes the text in it
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("crocuta.report", "templates"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    manifest = read_json(run.path / "manifest.json")
    html = environment.get_template("retrieval.html").render(
        kind=run.kind, title=title, answer=answer, facts=facts, bars=bars, svg=svg, caption=caption,
        tables=[table for table in tables if table.rows], settings=list(_flat(run.config)), manifest=manifest,
        libraries=("crocuta", "python", *LIBRARIES),
    )  # fmt: skip
    with replacing(run.path / "report.html") as file:
        file.write(html)
    return run.path / "report.html"


def _flat(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Settings by name, those of settings below them."""
    for name, value in config.items():
        if before or name not in LARGE:
            if isinstance(value, Mapping):
                yield from _flat(value, f"{before}{name}: ")
            else:
                text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                yield f"{before}{name}".replace("_", " "), "–" if value in (None, "") else text


def scores(bars: Sequence[Bar]) -> Figure:
    """Scores, one below the other, with what chance would give; labels stand above the lines."""
    figure, axes = canvas(0.75 + 0.5 * len(bars))
    whole = axes.get_yaxis_transform()
    for y, bar in enumerate(bars):
        axes.plot([bar.chance, bar.value], [y, y], color=colour(0), linewidth=3, alpha=0.4)
        axes.plot(bar.chance, y, "D", color=MUTED, markersize=5)
        axes.plot(bar.value, y, "o", color=colour(0), markersize=7)
        axes.text(0, y - 0.22, bar.name, transform=whole, va="bottom", in_layout=False)
        axes.text(1, y - 0.22, f"{bar.value:.1%}", transform=whole, va="bottom", ha="right", in_layout=False)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(bars) - 0.6, -0.8), yticks=[], xlabel="share that is right")
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    return figure
