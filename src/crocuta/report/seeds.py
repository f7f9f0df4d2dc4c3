"""The page of a run over seeds, of a graph or of images: what was asked, its scores, and how it was learned."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from crocuta.errors import InputError
from crocuta.files import replacing
from crocuta.report.figures import shortened
from crocuta.report.rendering import render
from crocuta.report.style import WIDTH, colour, inline_svg, line, save, styled
from crocuta.report.wording import MEANINGS, TITLES, number, plus_minus
from crocuta.runs.console import console, safe
from crocuta.runs.progress import duration
from crocuta.runs.saved import SavedRun, read_json

KINDS = ("lab graph train", "lab image train")
NAMES = TITLES | {"map": "mAP", "distortion": "Distortion", "log_likelihood": "Log-likelihood"}
MEANT = MEANINGS | {
    "map": "mean average precision of each node's neighbours among the nearest points: 1 is perfect",
    "distortion": "mean relative error of distances: 0 is perfect",
    "log_likelihood": "mean logarithm of the true class's probability: 0 is perfect",
}
TASKS = {"lp": "links", "nc": "classes of nodes", "md": "distances"}


def report_seeds(runs: Sequence[str | PathLike], output: str | PathLike | None = None) -> Path:
    """Writes the page of a run of a graph or of images and, in the same folder, `figures/`; returns the page.

    Args:
        runs: one run folder.
        output: the page; None: `report.html` in the run.

    Raises:
        InputError: it is none or has not ended, or there are several.
    """
    if len(runs) != 1:
        raise InputError(
            f"{len(runs)} runs; expected one: pages of `crocuta lab graph` and `image` show one run"
        )
    saved = SavedRun(runs[0], *KINDS)
    target = saved.path / "report.html" if output is None else Path(output)
    metrics, fits = saved.metrics, saved.metrics["seeds"]
    headline = metrics.get("metric", "accuracy")
    with styled():
        pictures = [_picture(target.parent, *drawn) for drawn in _figures(fits, headline)]
    page = render(
        "seeds.html",
        title=_title(saved),
        facts=_facts(saved, headline),
        names=[NAMES.get(name, name) for name in metrics["test"]],
        meanings=[f"{NAMES.get(name, name)}: {MEANT[name]}" for name in metrics["test"] if name in MEANT],
        rows=list(_rows(metrics)),
        leaked=fits[0].get("leaked"),
        pictures=pictures,
        settings=list(_settings(saved.config)),
        inputs=[record for records in saved.inputs.values() for record in records],
        manifest=_versions(read_json(saved.path / "manifest.json")),
    )
    with replacing(target) as file:
        file.write(page)
    return target


def _title(saved: SavedRun) -> str:
    data = Path(saved.inputs["data"][0]["path"]).name
    if saved.kind == "lab graph train":
        return f"{saved.config['config'].get('encoder', 'hybonet')}: {TASKS[saved.config['task']]} of {data}"
    return f"{Path(saved.config['model']).name}: classes of {data}"


def _facts(saved: SavedRun, headline: str) -> list[tuple[str, str]]:
    metrics, fits = saved.metrics, saved.metrics["seeds"]
    best = metrics["test"][headline]
    found = [
        (f"test {NAMES.get(headline, headline)}", plus_minus(best["mean"], best["sd"])),
        ("seeds", f"{len(fits)}"),
    ]
    if "nodes" in metrics:
        found.append(("nodes and links", f"{metrics['nodes']:,}, {metrics['links']:,}"))
    if "images" in metrics:
        found.append(("training images", f"{metrics['images']['train']:,}"))
    if "parameters" in fits[0]:
        found.append(("parameters", f"{fits[0]['parameters']:,}"))
    if "seconds" in fits[0]:
        found.append(("training time per seed", duration(sum(fit["seconds"] for fit in fits) / len(fits))))
    return found


def _rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The mean of all seeds, on the test part and on validation; then every seed's test scores."""
    names = list(metrics["test"])
    for title, part in (("Test", "test"), ("Validation", "valid")):
        found = [metrics[part].get(name, {"mean": None, "sd": None}) for name in names]
        yield title, [plus_minus(each["mean"], each["sd"], 4) for each in found]
    for fit in metrics["seeds"]:
        yield f"Test, seed {fit['seed']}", [number(fit["test"].get(name), 4) for name in names]


def _figures(fits: Sequence[Mapping[str, Any]], headline: str) -> Iterator[tuple[str, str, str, Figure]]:
    """Learning curves and, where they are learned, curvatures; runs of graphs by 0.1.0 kept neither."""
    histories = [fit.get("history") or [] for fit in fits]
    if not any(histories):
        return
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    _draw(upper, histories, "loss")
    _draw(lower, histories, f"valid_{headline}")
    upper.set(ylabel="training loss")
    lower.set(ylabel=f"validation {NAMES.get(headline, headline)}", xlabel="epoch")
    _seed_legend(figure, len(fits))
    for seed, (fit, history) in enumerate(zip(fits, histories, strict=True)):
        for entry in history:
            if entry["epoch"] == fit["best_epoch"]:
                lower.plot(entry["epoch"], entry[f"valid_{headline}"], "o", color=colour(seed), markersize=5)
    yield (
        "training", "Learning curves",
        "Above the loss of training, below the score on validation; dots: the epoch whose weights were kept.", figure,
    )  # fmt: skip
    names = dict.fromkeys(key for history in histories for entry in history for key in entry)
    learned = [name for name in names if name.startswith("curvature.")]
    if learned:
        figure = Figure(figsize=(WIDTH, 1.0 + 1.5 * len(learned)), layout="constrained")
        panels = figure.subplots(len(learned), 1, sharex=True, squeeze=False)[:, 0]
        for axes, name in zip(panels, learned, strict=True):
            _draw(axes, histories, name)
            axes.set_title(shortened(name.removeprefix("curvature."), 40), fontsize=9, loc="left")
            axes.set(ylabel="c")
        panels[-1].set(xlabel="epoch")
        _seed_legend(figure, len(fits))
        yield "curvature", "Learned curvatures", "c of the manifolds of curvature −c, epoch by epoch.", figure


def _draw(axes: Axes, histories: Sequence[Sequence[Mapping[str, float]]], key: str) -> None:
    """A line for each seed."""
    for seed, history in enumerate(histories):
        points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
        if points:
            shape = "o" if len(points) == 1 else ""
            axes.plot(
                *zip(*points, strict=True),
                color=colour(seed),
                linestyle=line(seed),
                marker=shape,
                linewidth=1.2,
            )
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))


def _seed_legend(figure: Figure, seeds: int) -> None:
    if seeds > 1:
        axes = figure.axes[0]
        for seed in range(seeds):
            axes.plot([], [], color=colour(seed), linestyle=line(seed), linewidth=1.2, label=f"seed {seed}")
        figure.legend(loc="outside upper left", ncols=min(seeds, 4))


def _picture(folder: Path, name: str, title: str, caption: str, figure: Figure) -> dict[str, Any]:
    """Saved beside the page, and drawn into it."""
    save(figure, folder / "figures" / name)
    svg = Markup(inline_svg(figure, name))  # our own drawing; matplotlib escapes the text in it
    return {"title": title, "caption": caption, "svg": svg}


def _settings(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was asked, one line for each setting that is set."""
    for name, value in config.items():
        if name in ("kind", "inputs", "data") or value is None or value == []:
            continue
        if isinstance(value, Mapping):
            yield from _settings(value)
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else f"{value}"
            yield name.replace("_", " "), {"True": "yes", "False": "no"}.get(shown, shown)


def _versions(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where and by which command the run was made."""
    return [(name, value) for name, value in manifest.items() if isinstance(value, str)]


def show_seeds(metrics: dict, about: str) -> None:
    """The scores of a run over seeds."""
    from rich.table import Table

    count = len(metrics["seeds"])
    table = Table(title=f"{count} {'seed' if count == 1 else 'seeds'}, {safe(about)}")
    parts = {
        name: metrics[part] for part, name in (("valid", "validation"), ("test", "test")) if part in metrics
    }
    for column in ("score", *parts):
        table.add_column(column, justify="left" if column == "score" else "right")
    for name in metrics["test"]:
        scores = [part.get(name, {"mean": None, "sd": None}) for part in parts.values()]
        table.add_row(name, *(plus_minus(each["mean"], each["sd"], 4) for each in scores))
    console().print(table)
