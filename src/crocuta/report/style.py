"""How figures look: colours that colour-blind readers can distinguish, text that fits a phone, light and dark.

Figures are drawn once. Beside the report they are saved on white; inside it, their colours become CSS
variables, so that the page's light or dark theme reaches into them.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crocuta.files import replacing

INK, MUTED, GRID = "#1b1c1d", "#6b6c6d", "#d8d9da"

#: Okabe and Ito's colours, without the yellow and black that one of the two themes would swallow.
PALETTE = {
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "orange": "#e69f00",
    "sky": "#56b4e9",
}
COLOURS = list(PALETTE.values())
MARKERS = ["o", "s", "D", "^", "v", "P", "X"]
LINES = ["-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5))]

WIDTH = 4.1  # inches: at a phone's width the text is still readable

_PARAMETERS: dict[Any, Any] = {
    "font.size": 9.5,
    "font.family": ["DejaVu Sans"],
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.borderaxespad": 0.2,
    "legend.labelspacing": 0.3,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "crocuta",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save figures inside; leaves matplotlib's own settings as they were."""
    with matplotlib.rc_context(_PARAMETERS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # names in other alphabets
        yield


def canvas(height: float) -> tuple[Figure, Axes]:
    """A figure as wide as the others, and its one pair of axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    return MARKERS[index % len(MARKERS)]


def line(index: int) -> str | tuple:
    return LINES[index // len(COLOURS) % len(LINES)] if index >= len(COLOURS) else LINES[index % len(LINES)]


def save(figure: Figure, stem: Path) -> None:
    """Writes `<stem>.png` and `<stem>.svg` on white."""
    with replacing(stem.with_name(f"{stem.name}.png"), "wb") as file:
        figure.savefig(file, format="png", dpi=200, facecolor="white")
    with replacing(stem.with_name(f"{stem.name}.svg"), "wb") as file:
        figure.savefig(file, format="svg", facecolor="white", metadata={"Date": None})


def inline_svg(figure: Figure, identity: str) -> str:
    """The figure as an `<svg>` element for HTML: scales, follows the theme, and shares no id with another."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1
    )
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{identity}-", svg).replace("xlink:href", "href")
    svg = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--sans)", svg)
    for name, value in {"ink": INK, "muted": MUTED, "grid": GRID, **PALETTE}.items():
        svg = svg.replace(value, f"var(--{name})")
    return svg
