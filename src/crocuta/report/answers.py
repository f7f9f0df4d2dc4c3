"""The page of a run that answers: its scores against chance, and tables of what it gets right and wrong."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from matplotlib.figure import Figure

from crocuta.errors import InputError
from crocuta.files import replacing
from crocuta.report.rendering import render
from crocuta.report.style import MUTED, canvas, colour, inline_svg, save, styled
from crocuta.runs.manifest import LIBRARIES
from crocuta.runs.saved import SavedRun, read_json

MISTAKES, GROUPS = 12, 40  # rows of a table at most
NO_SETTINGS = ("kind", "inputs", "captions", "labels", "prior", "language_model")  # of a configuration


class Bar(NamedTuple):
    """A score between 0 and 1, and what it is without learning anything."""

    name: str
    value: float
    chance: float


class AnswerTable(NamedTuple):
    """Rows under a title, with a note below; `numbers` are the columns that hold numbers."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str
    numbers: tuple[int, ...] = ()


class Page(NamedTuple):
    """What a page says of a run of one kind: an answer, facts, scores against `chance`, tables."""

    title: str
    answer: str
    facts: list[tuple[str, str]]
    bars: list[Bar]
    chance: str
    caption: str
    tables: list[AnswerTable]


def only_run(runs: Sequence[str | PathLike], kind: str) -> SavedRun:
    """The one run of a kind that is reported.

    Raises:
        InputError: there are several, or it is none of that kind.
    """
    if len(runs) != 1:
        raise InputError(f"runs of `crocuta {kind}` are not compared; report them one by one")
    return SavedRun(runs[0], kind)


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of a table of predictions; none where there is no such table."""
    if not (folder / name).exists():  # a run of 0.1.0, or nothing was held out
        return []
    with open(folder / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_MINIMAL))


def group_table(
    title: str, key: str, rows: Sequence[Mapping[str, str]], columns: tuple[str, str]
) -> AnswerTable:
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
    return AnswerTable(title, (*columns, "right", "most often instead"), lines[:GROUPS], note, (1, 2))


def write_page(run: SavedRun, page: Page, output: str | PathLike | None) -> Path:
    """Writes a page (None: `report.html` in the run) and `figures/` beside it; returns the page."""
    output = run.path / "report.html" if output is None else Path(output)
    svg = None
    if page.bars:
        with styled():
            figure = draw_scores(page.bars)
            save(figure, output.parent / "figures" / "scores")
            svg = Markup(inline_svg(figure, "scores"))  # our own drawing; matplotlib escapes the text in it
    html = render(
        "answers.html",
        kind=run.kind, page=page, svg=svg, settings=list(_flat(run.config)),
        manifest=read_json(run.path / "manifest.json"), libraries=("crocuta", "python", *LIBRARIES),
    )  # fmt: skip
    with replacing(output) as file:
        file.write(html)
    return output


def _flat(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Settings by name, those of settings below them."""
    for name, value in config.items():
        if before or name not in NO_SETTINGS:
            if isinstance(value, Mapping):
                yield from _flat(value, f"{before}{name}: ")
            else:
                text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                yield f"{before}{name}".replace("_", " "), "–" if value in (None, "") else text


def draw_scores(bars: Sequence[Bar]) -> Figure:
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
