"""Maps of embeddings as pictures (PNG, SVG) and as a page (HTML) that names the point under the pointer."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from crocuta._version import __version__
from crocuta.analysis.embeddings import Embeddings
from crocuta.analysis.maps import Map
from crocuta.errors import InputError
from crocuta.files import replacing
from crocuta.report.figures import shortened
from crocuta.report.rendering import render
from crocuta.report.style import GRID, INK, MUTED, WIDTH, colour, marker, styled

MOST_CLASSES = 12  # with a colour and a marker of their own; the rarest beyond become one grey class
FEW_NUMBERS = 8  # at most this many different whole numbers are taken for classes
SCALE = "viridis"
RINGS = (0.5, 1, 2, 3, 4)
SUFFIXES = (".png", ".svg", ".html")


class Colouring(NamedTuple):
    """What the colours of n points say: classes by number (-1: the rest), or `values` on a scale."""

    title: str
    names: list[str]
    index: np.ndarray
    values: np.ndarray | None = None


def colouring(column: np.ndarray, title: str) -> Colouring:
    """Classes, the most frequent first to be named, of a column of texts; a scale of one of numbers."""
    numbers = column.dtype.kind in "fiu"
    if numbers and (column.dtype.kind == "f" or len(np.unique(column)) > FEW_NUMBERS):
        return Colouring(title, [], np.zeros(len(column), int), column.astype(float))
    texts = column.astype(str)
    names, counts = np.unique(texts, return_counts=True)
    kept = names[np.argsort(-counts, kind="stable")[:MOST_CLASSES]]
    kept = sorted(kept, key=_natural)
    number = {name: i for i, name in enumerate(kept)}
    return Colouring(title, kept, np.array([number.get(text, -1) for text in texts]))


def _natural(text: str) -> list[tuple[int, int, str]]:
    """`chr2` before `chr10`."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text)]


def write_map(
    output: Path, maps: Sequence[Map], embeddings: Embeddings, colour_by: str | None = None
) -> None:
    """Draws maps of the same points side by side, and writes them as the suffix says.

    Raises:
        InputError: the suffix is not .png, .svg or .html; there is no column `colour_by`.
    """
    check_suffix(output)
    column = np.zeros(len(embeddings), "U1") if colour_by is None else embeddings.column(colour_by)
    shown = colouring(column, colour_by or "")
    if output.suffix.lower() == ".html":
        with replacing(output) as file:
            file.write(page(maps, embeddings, shown))
        return
    with styled(), replacing(output, "wb") as file:
        options: dict[str, Any] = (
            {"dpi": 200} if output.suffix.lower() == ".png" else {"metadata": {"Date": None}}
        )
        kind = output.suffix[1:].lower()
        draw(maps, shown).savefig(
            file, format=kind, facecolor="white", bbox_inches="tight", pad_inches=0.08, **options
        )


def check_suffix(output: Path) -> None:
    """Raises InputError for a file that is neither a picture nor a page."""
    if output.suffix.lower() not in SUFFIXES:
        raise InputError(f"{output}: suffix {output.suffix!r}, expected {', '.join(SUFFIXES)}")


def draw(maps: Sequence[Map], shown: Colouring) -> Figure:
    """One square panel for each map; the legend stands below all."""
    lines = 0 if shown.values is not None else 1 + -(-len(_kinds(shown)) // (2 * len(maps)))
    figure = Figure(
        figsize=(WIDTH * len(maps), WIDTH + 0.3 + 0.2 * lines + 0.75 * (shown.values is not None)),
        layout="constrained",
    )
    panels = np.atleast_1d(figure.subplots(1, len(maps)))
    for axes, made in zip(panels, maps, strict=True):
        _frame(axes, made)
        _scatter(axes, made.points, shown)
        axes.set_title(made.title, fontsize=10, loc="left")
    if shown.values is not None:
        scale = ScalarMappable(_normal(shown.values), SCALE)
        bar = figure.colorbar(scale, ax=list(panels), location="bottom", aspect=40, pad=0.02, shrink=0.9)
        bar.set_label(shown.title)
    elif shown.title:
        figure.legend(
            handles=_handles(shown), loc="outside lower left", ncols=2 * len(maps), title=shown.title,
            alignment="left", handletextpad=0.2, columnspacing=1.0,
        )  # fmt: skip
    return figure


def _kinds(shown: Colouring) -> list[int]:
    """Classes that have points; -1 is the rest."""
    return [kind for kind in (*range(len(shown.names)), -1) if (shown.index == kind).any()]


def _handles(shown: Colouring) -> list[Line2D]:
    """Markers of the legend, readable whatever the size of the points."""
    return [
        Line2D([], [], linestyle="", marker=_shape(kind), markersize=6, color=_hue(kind), label=_label(shown, kind))
        for kind in _kinds(shown)
    ]  # fmt: skip


def _frame(axes: Axes, made: Map) -> None:
    """A plane without numbers (they mean nothing but in PCA), or the disk with rings of equal distance."""
    axes.set_box_aspect(1)
    if made.method != "disk":
        axes.set(xlabel=made.axes[0], ylabel=made.axes[1])
        if made.method == "pca":
            axes.set_aspect("equal", adjustable="datalim")
        else:
            axes.set(xticks=[], yticks=[])
        return
    reach = disk_reach(made.points)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    for distance, radius in rings(reach):
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor=GRID, linewidth=0.7, zorder=0))
        if radius < 0.93:
            label = axes.text(0, radius, f"{distance:g}", color=INK, fontsize=7, ha="center", va="center")
            label.set_path_effects([withStroke(linewidth=2, foreground="white")])
    axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=MUTED, linewidth=1, zorder=0))


def disk_reach(points: np.ndarray) -> float:
    """Half the width of the picture: the disk, or where all points lie near its middle, as much as they need."""
    furthest = float(np.linalg.norm(points, axis=1).max())
    return 1.02 if furthest > 0.4 else 1.15 * max(furthest, 1e-6)


def rings(reach: float) -> list[tuple[float, float]]:
    """Distances from the middle, and where on the disk they lie: round ones that fit the picture."""
    steps = RINGS if reach > 1 else MaxNLocator(4).tick_values(0, 2 * np.arctanh(reach))
    return [(float(d), float(np.tanh(d / 2))) for d in steps if 0 < np.tanh(d / 2) < reach]


def _scatter(axes: Axes, points: np.ndarray, shown: Colouring) -> None:
    """Points in mixed order, so that no class covers the others."""
    size = float(np.clip(5000 / len(points), 4, 22))
    order = np.random.default_rng(0).permutation(len(points))
    if shown.values is not None:
        x, y = points[order].T
        axes.scatter(x, y, size, shown.values[order], cmap=SCALE, norm=_normal(shown.values), linewidths=0)
        return
    for rows in np.array_split(order, min(20, len(order))):
        for kind in _kinds(shown):
            x, y = points[rows[shown.index[rows] == kind]].T
            axes.scatter(x, y, size, color=_hue(kind), marker=_shape(kind), linewidths=0, alpha=0.8)


def _hue(kind: int) -> str:
    return MUTED if kind < 0 else colour(kind)


def _shape(kind: int) -> str:
    return "." if kind < 0 else marker(kind)


def _label(shown: Colouring, kind: int) -> str:
    return "others" if kind < 0 else shortened(shown.names[kind], 24)


def _normal(values: np.ndarray) -> Normalize:
    """The scale between the 1st and 99th percentile, so that a single point does not flatten it."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, [1, 99]) if len(known) else (0.0, 1.0)
    return Normalize(low, high if high > low else low + 1, clip=True)


def page(maps: Sequence[Map], embeddings: Embeddings, shown: Colouring) -> str:
    """A self-contained page: hover names a point, the legend hides classes, the wheel zooms."""
    title = Path(embeddings.name).name
    texts = [
        f"{name}\n" + "\n".join(f"{key}: {value}" for key, value in row.items() if key != "name")
        for name, row in zip(embeddings.obs.index, embeddings.obs.iloc[:, :8].to_dict("records"), strict=True)
    ]
    data = {"maps": [_page_map(made) for made in maps], "texts": texts, **_page_colours(shown)}
    about = embeddings.about or {}
    return render(
        "map.html",
        version=__version__,
        title=title,
        about=[(key, about[key]) for key in ("model", "layer", "pooling", "manifold", "curvature") if key in about],
        captions=[(made.title, made.caption) for made in maps],
        rows=f"{len(embeddings):,}",
        data=Markup(json.dumps(data).replace("<", "\\u003c")),  # text in it cannot end the script
    )  # fmt: skip


def _page_map(made: Map) -> dict[str, Any]:
    """Points scaled to a square of 1000, y downwards."""
    if made.method == "disk":
        reach = disk_reach(made.points)
        centre = np.zeros(2)
        shown = [(f"{distance:g}", 500 * radius / reach) for distance, radius in (*rings(reach), (np.inf, 1))]
    else:
        low, high = made.points.min(0), made.points.max(0)
        centre, shown = (low + high) / 2, []
        reach = max(float((high - low).max()) / 2, 1e-12) * 1.04
    scaled = 500 + 500 * (made.points - centre) / reach * np.array([1, -1])
    return {"title": made.title, "axes": made.axes, "points": scaled.round(1).tolist(), "rings": shown}


def _page_colours(shown: Colouring) -> dict[str, Any]:
    if shown.values is not None:
        normal = _normal(shown.values)
        scale = colormaps[SCALE]
        fills = [to_hex(rgba) for rgba in scale(normal(np.nan_to_num(shown.values)))]
        steps = [to_hex(scale(i / 10)) for i in range(11)]
        return {
            "title": shown.title, "classes": [], "index": [], "fills": fills, "steps": steps,
            "ends": [
                f"{end:,.0f}" if abs(end) >= 1000 else f"{end:.4g}" for end in (normal.vmin or 0.0, normal.vmax or 0.0)
            ],
        }  # fmt: skip
    classes = [
        {
            "kind": kind,
            "name": _label(shown, kind),
            "hue": _hue(kind),
            "count": int((shown.index == kind).sum()),
        }
        for kind in _kinds(shown)
    ]
    return {"title": shown.title, "classes": classes, "index": shown.index.tolist()}
