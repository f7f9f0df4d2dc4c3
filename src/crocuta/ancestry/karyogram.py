"""Painted chromosomes: both haplotypes of a person coloured by ancestry, what is doubtful hatched.

Beside them the share of each ancestry chromosome by chromosome (a strip of geography) and in the whole genome.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from crocuta._version import __version__
from crocuta.errors import InputError
from crocuta.files import file_name, replacing
from crocuta.report.rendering import render
from crocuta.report.style import MUTED, WIDTH, colour, inline_svg, styled
from crocuta.variants.tracts import CONFIDENT, Tract, read_tracts

SUFFIXES = (".png", ".svg", ".html")
HATCH = "//////"
HEIGHT = 0.34  # of one haplotype, where a chromosome takes 1


@dataclass(frozen=True)
class Person:
    """What is painted: tracts of both haplotypes of one person, and the order (colours) of the populations.

    `apart`: whether the model distinguishes the haplotypes.
    """

    name: str
    populations: tuple[str, ...]
    tracts: tuple[Tract, ...]
    apart: bool = True

    @property
    def chromosomes(self) -> list[str]:
        return list(dict.fromkeys(tract.chromosome for tract in self.tracts))

    def on(self, chromosome: str) -> list[Tract]:
        return [tract for tract in self.tracts if tract.chromosome == chromosome]

    def shares(self, chromosome: str | None = None) -> np.ndarray:
        """Share of each population by length, on one chromosome or all, (populations,)."""
        found = np.zeros(len(self.populations))
        for tract in self.tracts:
            if chromosome in (None, tract.chromosome):
                found[self.populations.index(tract.population)] += tract.end - tract.start
        return found / found.sum()

    def doubtful(self) -> float:
        """Share of the length whose probability is below `CONFIDENT`."""
        length = np.array([tract.end - tract.start for tract in self.tracts], float)
        return float(length @ [tract.probability < CONFIDENT for tract in self.tracts] / length.sum())


def read_individuals(folder: Path, names: Sequence[str] | None = None) -> list[Person]:
    """Individuals of a folder that `crocuta ancestry infer` filled, all or some by name.

    Raises:
        InputError: no such folder; a name that is not in it.
    """
    summary = folder / "summary.json"
    if not summary.is_file():
        raise InputError(f"{summary}: no such file; expected a folder filled by crocuta ancestry infer")
    about = json.loads(summary.read_text())
    if unknown := [name for name in names or () if name not in about["samples"]]:
        few = ", ".join(about["samples"][:5])
        raise InputError(f"{folder}: no sample {unknown[0]!r}; it has {len(about['samples'])}, such as {few}")
    return [
        Person(
            name,
            tuple(about["populations"]),
            tuple(read_tracts(folder / "bed" / f"{file_name(name)}.bed")),
            about.get("haplotypes_apart", True),
        )
        for name in names or about["samples"]
    ]


def check_suffixes(outputs: Sequence[Path]) -> None:
    """Raises InputError for a file that is neither a picture nor a page."""
    for output in outputs:
        if output.suffix.lower() not in SUFFIXES:
            raise InputError(f"{output}: suffix {output.suffix!r}, expected {', '.join(SUFFIXES)}")


def write_karyogram(output: Path, person: Person) -> None:
    """Writes one file: .png, .svg, or .html (self-contained).

    Raises:
        InputError: the suffix is none of these; the person has no tracts.
    """
    check_suffixes([output])
    if not person.tracts:
        raise InputError(f"{person.name}: no tracts to paint; infer them with crocuta ancestry infer")
    kind = output.suffix[1:].lower()
    with styled():
        figure = draw(person)
        if kind == "html":
            content = page(person, figure)
            with replacing(output) as file:
                file.write(content)
            return
        options: dict[str, Any] = {"dpi": 200} if kind == "png" else {"metadata": {"Date": None}}
        with replacing(output, "wb") as file:
            figure.savefig(file, format=kind, facecolor="white", **options)


def draw(person: Person) -> Figure:
    """Global proportions above, chromosomes with their strips below."""
    chromosomes = person.chromosomes
    height = 0.30 * len(chromosomes) + 0.55
    figure = Figure(figsize=(1.6 * WIDTH, height + 1.15), layout="constrained")
    grid = figure.add_gridspec(
        2, 2, height_ratios=[0.34, height], width_ratios=[5, 1], hspace=0.06, wspace=0.03
    )
    _proportions(figure.add_subplot(grid[0, :]), person)
    painted = figure.add_subplot(grid[1, 0])
    _chromosomes(painted, person)
    _strips(figure.add_subplot(grid[1, 1], sharey=painted), person)
    handles = [Patch(facecolor=colour(i), label=name) for i, name in enumerate(person.populations)] + [
        Patch(facecolor="white", edgecolor=MUTED, hatch=HATCH, label=f"probability below {CONFIDENT:g}")
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=min(5, len(handles)), handlelength=1.2)
    return figure


def _proportions(axes: Axes, person: Person) -> None:
    left = 0.0
    for i, share in enumerate(person.shares()):
        axes.barh(0, share, left=left, height=1, color=colour(i), edgecolor="white", linewidth=0.6)
        if share > 0.08:
            label = f"{person.populations[i]} {share:.0%}" if share > 0.18 else f"{share:.0%}"
            axes.text(left + share / 2, 0, label, ha="center", va="center", color="white", fontsize=9)
        left += share
    axes.set(xlim=(0, 1), ylim=(-0.5, 0.5), xticks=[], yticks=[])
    who = "both haplotypes" if person.apart else "haplotypes not distinguished"
    axes.set_title(f"{person.name}, {who}, whole genome", loc="left", fontsize=10)
    _bare(axes)


def _chromosomes(axes: Axes, person: Person) -> None:
    chromosomes = person.chromosomes
    longest = max(tract.end for tract in person.tracts)
    for row, chromosome in enumerate(chromosomes):
        for tract in person.on(chromosome):
            place = (tract.start / 1e6, (tract.end - tract.start) / 1e6)
            bottom = row - HEIGHT - 0.02 if tract.haplotype == 0 else row + 0.02
            hue = colour(person.populations.index(tract.population))
            axes.broken_barh([place], (bottom, HEIGHT), facecolor=hue, linewidth=0)
            if tract.probability < CONFIDENT:
                axes.broken_barh(
                    [place], (bottom, HEIGHT), facecolor="none", edgecolor="white", hatch=HATCH, linewidth=0
                )
        ends = [tract.end for tract in person.on(chromosome)]
        begins = [tract.start for tract in person.on(chromosome)]
        extent = [(min(begins) / 1e6, (max(ends) - min(begins)) / 1e6)]
        for bottom in (row - HEIGHT - 0.02, row + 0.02):
            axes.broken_barh(extent, (bottom, HEIGHT), facecolor="none", edgecolor=MUTED, linewidth=0.5)
    axes.set(
        xlim=(0, 1.01 * longest / 1e6), ylim=(len(chromosomes) - 0.45, -0.55), xlabel="position (million bp)"
    )
    axes.set_yticks(range(len(chromosomes)), [chromosome.removeprefix("chr") for chromosome in chromosomes])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def _strips(axes: Axes, person: Person) -> None:
    """Shares of each chromosome, beside it."""
    for row, chromosome in enumerate(person.chromosomes):
        left = 0.0
        for i, share in enumerate(person.shares(chromosome)):
            axes.barh(
                row,
                share,
                left=left,
                height=2 * HEIGHT + 0.04,
                color=colour(i),
                edgecolor="white",
                linewidth=0.4,
            )
            left += share
    axes.set(xlim=(0, 1), xlabel="share")
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _bare(axes: Axes) -> None:
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def page(person: Person, figure: Figure) -> str:
    """A self-contained page: the picture, and a table of the shares."""
    rows = [("all", person.shares())] + [(name, person.shares(name)) for name in person.chromosomes]
    return render(
        "karyogram.html",
        version=__version__,
        name=person.name,
        apart=person.apart,
        svg=Markup(inline_svg(figure, "karyogram")),  # our own drawing; matplotlib escapes the text in it
        populations=person.populations,
        rows=[(name, [f"{share:.1%}" for share in shares]) for name, shares in rows],
        doubtful=f"{person.doubtful():.1%}",
        confident=f"{CONFIDENT:g}",
        label=", ".join(f"{n} {s:.0%}" for n, s in zip(person.populations, person.shares(), strict=True)),
    )
