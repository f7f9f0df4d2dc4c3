"""Figures of ancestry models: hidden states before and after fine-tuning, accuracy by context, individuals."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from crocuta.analysis.embeddings import Embeddings
from crocuta.analysis.maps import make_map
from crocuta.report import maps
from crocuta.report.style import MUTED, WIDTH, colour, line, marker
from crocuta.variants.tracts import Tracts, proportions

#: Accuracy in percent by SNPs of a window, G. Cameto's thesis (2025), real genomes, carried sites.
THESIS = {10: {128: 83.0}, 100: {128: 77.0, 512: 93.0, 1024: 97.04, 2048: 97.83, 4096: 99.34}}
THICK = 0.36  # of one haplotype, where a chromosome takes 1


def hidden_states(
    before: np.ndarray, after: np.ndarray, population: np.ndarray, pretrained: bool = True, seed: int = 0
) -> Figure:
    """t-SNE of hidden states (n, width) of the same windows before and after fine-tuning, coloured by `population`."""
    import pandas

    first = "before: predicts the next SNP" if pretrained else "before: untrained"
    made = [
        make_map(Embeddings(x, pandas.DataFrame(index=range(len(x)))), "tsne", seed)._replace(title=title)
        for x, title in ((before, first), (after, "after fine-tuning"))
    ]
    return maps.draw(made, maps.colouring(population, "population"))


def accuracy_by_context(found: Mapping[int, Mapping[int, float]]) -> Figure:
    """Accuracy (percent) by SNPs of a window for each alpha of FPE, and by alpha for each window; dashed: the thesis.

    `found`: by alpha, then by SNPs of a window.
    """
    figure = Figure(figsize=(2 * WIDTH, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for i, (alpha, by_window) in enumerate(sorted(found.items())):
        x, y = zip(*sorted(by_window.items()), strict=True)
        left.plot(x, y, color=colour(i), marker=marker(i), linestyle=line(0), label=f"alpha {alpha:,}")
        if alpha in THESIS:
            x, y = zip(*THESIS[alpha].items(), strict=True)
            left.plot(x, y, color=colour(i), marker=marker(i), linestyle=":", fillstyle="none", linewidth=1.2)
    windows = sorted({window for by_window in found.values() for window in by_window})
    for i, window in enumerate(windows):
        points = sorted((alpha, row[window]) for alpha, row in found.items() if window in row)
        right.plot(*zip(*points, strict=True), color=colour(i), marker=marker(i), label=f"{window:,} SNPs")
    shown = sorted({*windows, *(window for row in THESIS.values() for window in row)})
    _logarithmic(left, shown, "SNPs of a window")
    _logarithmic(right, sorted(found), "alpha: base pairs in a bin")
    left.set_ylabel("accuracy, %")
    handles, _ = left.get_legend_handles_labels()
    thesis = Line2D(
        [], [], color=MUTED, linestyle=":", marker="o", fillstyle="none", label="thesis, real data"
    )
    left.legend(handles=[*handles, thesis])
    right.legend()
    return figure


def _logarithmic(axes: Axes, ticks: Sequence[int], label: str) -> None:
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(label)


def geography(chromosomes: Sequence[Tracts], apart: bool = True) -> Figure:
    """Individuals one below the other: each window's most probable ancestry, the paler the less sure.

    Both haplotypes of a chromosome lie on each other, unless the model does not tell them `apart`; the title of a
    person holds the global proportions. `chromosomes`: of the same individuals.
    """
    individuals, populations = chromosomes[0].samples, chromosomes[0].populations
    height = 0.32 + 0.30 * len(chromosomes)
    figure = Figure(figsize=(1.6 * WIDTH, len(individuals) * height + 1.0), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(individuals), 1, sharex=True))
    for person, (axes, shares) in enumerate(zip(panels, proportions(chromosomes), strict=True)):
        _strips(axes, chromosomes, person, apart)
        order = np.argsort(-shares, kind="stable")
        text = ", ".join(f"{populations[k]} {shares[k]:.0%}" for k in order if shares[k] >= 0.005)
        axes.set_title(f"{individuals[person]}: {text}", loc="left", fontsize=10)
    for axes in panels[:-1]:
        axes.tick_params(axis="x", length=0)
    panels[-1].set_xlabel("position (million bp)")
    handles = [Patch(facecolor=colour(k), label=name) for k, name in enumerate(populations)]
    figure.legend(handles=handles, loc="outside lower left", ncols=min(6, len(handles)), handlelength=1.2)
    return figure


def _strips(axes: Axes, chromosomes: Sequence[Tracts], person: int, apart: bool) -> None:
    for row, tracts in enumerate(chromosomes):
        start, end = tracts.segments.start / 1e6, tracts.segments.end / 1e6
        least = 1 / len(tracts.populations)
        for copy in (0, 1) if apart else (0,):
            posterior = tracts.posterior[2 * person + copy]
            bottom, thick = (
                (row - THICK - 0.02 + copy * (THICK + 0.04), THICK) if apart else (row - THICK, 2 * THICK)
            )
            sure = (posterior.max(1) - least) / (1 - least)
            boxes = [Rectangle((a, bottom), b - a, thick) for a, b in zip(start, end, strict=True)]
            hues = [
                (colour(k), 0.25 + 0.75 * float(s)) for k, s in zip(posterior.argmax(1), sure, strict=True)
            ]
            axes.add_collection(PatchCollection(boxes, facecolor=hues, linewidth=0, rasterized=True))
    longest = max(int(tracts.segments.end[-1]) for tracts in chromosomes) / 1e6
    first = min(int(tracts.segments.start[0]) for tracts in chromosomes) / 1e6
    axes.set(
        xlim=(first if len(chromosomes) == 1 else 0, 1.005 * longest), ylim=(len(chromosomes) - 0.5, -0.5)
    )
    axes.set_yticks(range(len(chromosomes)), [t.segments.chromosome.removeprefix("chr") for t in chromosomes])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
