"""Local ancestry of simulated admixed individuals: methods x density x generations, phase switches, speed.

    crocuta ancestry simulate -o sim --length 50.8e6 --name 22 --seed 1
    crocuta ancestry build sim/cohort.vcf.gz --samples sim/samples.tsv --map sim/map.tsv -o sim/cohort.h5
    OMP_NUM_THREADS=1 python benchmarks/local_ancestry.py sim/cohort.h5 sim/truth.tsv.gz [--only NAME]

Each row is kept in results/local_ancestry.json when it is done, and not run again (--again NAME runs it again). Nothing
is tuned on the admixed individuals: temperatures and calibration come from mosaics of reference individuals.
"""

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from window_rivals import FrequencyModel, RegressionModel

from crocuta.analysis.curves import reliability
from crocuta.ancestry.local.examples import LocalRecipe, expected_calibration_error, out_of_fold
from crocuta.ancestry.local.mosaics import make_mosaics
from crocuta.ancestry.local.network import read_smoother, train_smoother
from crocuta.ancestry.local.reference import LocalReference, read_references
from crocuta.ancestry.local.training import choose_chain
from crocuta.ancestry.methods.calibration import sharpen
from crocuta.ancestry.methods.copying import CopyingModel
from crocuta.ancestry.methods.smoothing import (
    ChainSettings,
    estimate_chain,
    smooth_haplotypes,
    smooth_individuals,
)
from crocuta.ancestry.methods.windows import window_edges
from crocuta.ancestry.panels import Choice
from crocuta.files import replacing, write_json
from crocuta.report.style import MUTED, WIDTH, canvas, colour, marker, save, styled
from crocuta.variants import Panel
from crocuta.variants.store import Cohort

RESULTS = Path(__file__).parent / "results" / "local_ancestry.json"
PAGE = Path(__file__).parents[1] / "docs" / "local_ancestry.md"
BEGIN, END = "<!-- table -->", "<!-- end -->"
DENSITIES = {"array": 5000, "dense": 0}  # nucleotides between sites
WINDOWS = {"array": 40, "dense": 512}  # sites of a window of the baselines
MOSAICS, STEPS = 48, 300  # of the learned smoother
EVERY = 500_000  # nucleotides between phase switches


class Data:
    """References and admixed individuals of one density, and the truth of every allele."""

    def __init__(self, cohort: Path, truth: Path, density: str):
        with Cohort(cohort) as store:
            admixed = np.char.startswith(store.samples.population, "ADMIX")
            names = np.unique(store.samples.population[admixed])
            choice = Choice("population", tuple(names.tolist()), 0.05)
            (self.reference,), self.populations = read_references(store, choice, DENSITIES[density])
            sites = self.reference.panel.sites
            chromosome = store.chromosomes[0]
            kept = np.flatnonzero(np.isin(store.sites(chromosome).position, sites.position))
            self.query = store.panel(chromosome, admixed).at(kept)
        self.truth = read_truth(truth, self.query, self.populations)
        self.old = np.repeat(np.char.endswith(self.query.samples.population, "20"), 2)
        self.density, self.sites = density, sites

    def switched(self) -> tuple[np.ndarray, np.ndarray]:
        """Alleles and truth, phase switched every 500 kb."""
        odd = (self.sites.position // EVERY) % 2 == 1
        found = []
        for values in (self.query.haplotypes, self.truth):
            pairs = values.reshape(-1, 2, values.shape[1]).copy()
            pairs[:, :, odd] = pairs[:, ::-1][:, :, odd]
            found.append(pairs.reshape(values.shape))
        return found[0], found[1]

    def score(self, posterior: np.ndarray, place: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Per-SNP accuracy; `place` (n,) is the block or window of each site."""
        right = posterior.argmax(2)[:, place] == truth
        flat = posterior[:, place].reshape(-1, posterior.shape[2])
        return {
            "accuracy_8": float(right[~self.old].mean()),
            "accuracy_20": float(right[self.old].mean()),
            "ece": expected_calibration_error(flat, truth.ravel()),
        }


def read_truth(path: Path, query: Panel, populations: tuple[str, ...]) -> np.ndarray:
    """Population number at every site, uint8 (haplotypes, n)."""
    row = {name: i for i, name in enumerate(query.samples.name)}
    found = np.full(query.haplotypes.shape, 255, np.uint8)
    with gzip.open(path, "rt") as file:
        next(file)
        for line in file:
            name, haplotype, _, start, end, population, *_ = line.split("\t")
            first, last = np.searchsorted(query.sites.position, [int(start), int(end)])
            found[2 * row[name] + int(haplotype), first:last] = populations.index(population)
    assert (found != 255).all()
    return found


def copying_alone(data: Data) -> Callable:
    """The posterior of the copying model with its default settings: nothing after it."""
    model = CopyingModel.fit(data.reference.panel, data.reference.labels)
    return lambda alleles: (model.posterior(alleles), model.blocks.of_sites())


def chain(data: Data) -> Callable:
    """What `crocuta ancestry infer` does: evidence of copying, pairs of haplotypes, rates of the query, calibration."""
    settings, power, _ = choose_chain(out_of_fold(data.reference, LocalRecipe()))
    model = CopyingModel.fit(data.reference.panel, data.reference.labels)

    def run(alleles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        evidence = model.evidence(alleles)
        found = estimate_chain(evidence, model.blocks.cm, settings)
        return sharpen(smooth_individuals(evidence, model.blocks.cm, found), power), model.blocks.of_sites()

    return run


def network(data: Data) -> Callable:
    """The same, corrected by a bidirectional Hyena that mosaics have trained."""
    recipe = LocalRecipe(mosaics=MOSAICS, steps=STEPS)
    examples = out_of_fold(data.reference, recipe)
    settings, _, _ = choose_chain(examples)
    folder = Path(tempfile.mkdtemp())
    train_smoother(examples, settings, recipe, folder, device="cpu")
    smoother = read_smoother(folder, "cpu")
    model = CopyingModel.fit(data.reference.panel, data.reference.labels)

    def run(alleles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        evidence, cm = model.evidence(alleles), model.blocks.cm
        return smoother.posterior(
            evidence, cm, estimate_chain(evidence, cm, settings)
        ), model.blocks.of_sites()

    return run


def windowed(data: Data, method: str) -> Callable:
    """A baseline of windows, smoothed by a chain for each haplotype whose temperature mosaics have chosen."""
    sites = data.reference.panel.sites
    edges = window_edges(len(sites), WINDOWS[data.density])
    edges[-1, 0] = edges[-2, 1]
    middle = sites.cm[edges.sum(1) // 2]
    place = np.searchsorted(edges[:, 0], np.arange(len(sites)), side="right") - 1

    def fit(reference: LocalReference) -> Callable:
        if method == "naive Bayes":
            model = FrequencyModel.fit(reference.panel, reference.labels)
            return lambda alleles: model.window_log_probability(alleles, edges)
        return RegressionModel.fit(reference.panel, reference.labels, edges).log_probability

    rng = np.random.default_rng(0)
    half = rng.random(len(data.reference.labels)) < 0.5
    panel, labels = data.reference.panel, data.reference.labels
    made = make_mosaics(panel.individuals(~half), labels[~half], 16, rng, LocalRecipe().made)
    evidence = fit(LocalReference(panel.individuals(half), labels[half]))(made.allele)
    truth = made.truth[:, edges.sum(1) // 2]

    def loss(temperature: float) -> float:
        found = smooth_haplotypes(evidence, middle, ChainSettings(temperature=temperature, floor=0.0))
        chosen = np.take_along_axis(found, truth[..., None].astype(int), 2)
        return -float(np.log(np.maximum(chosen, 1e-6)).mean())

    settings = ChainSettings(floor=0.0, temperature=min((0.5, 0.7, 1.0, 2.0, 4.0, 8.0), key=loss))
    whole = fit(data.reference)
    return lambda alleles: (smooth_haplotypes(whole(alleles), middle, settings), place)


METHODS = {
    "naive Bayes + HMM": lambda data: windowed(data, "naive Bayes"),
    "logistic regression + HMM": lambda data: windowed(data, "logistic regression"),
    "copying model, default": copying_alone,
    "copying + chain of pairs": chain,
    "copying + chain + Hyena": network,
}


def measure(data: Data, method: str) -> dict[str, Any]:
    """Training, inference, and again with phase switches."""
    start = time.process_time()
    predict = METHODS[method](data)
    trained = time.process_time()
    posterior, place = predict(data.query.haplotypes)
    done = time.process_time()
    alleles, truth = data.switched()
    flat = posterior[:, place].reshape(-1, posterior.shape[2])
    curve = reliability(data.truth.ravel(), flat[None])
    return {
        "phased": data.score(posterior, place, data.truth),
        "reliability": [curve[0].tolist(), curve[1].tolist()],
        "switched": data.score(predict(alleles)[0], place, truth),
        "train_seconds": trained - start,
        "infer_seconds": done - trained,
        "sites": len(data.sites),
    }


def page(results: dict[str, Any]) -> None:
    """Writes the table between the marks of docs/local_ancestry.md, and the calibration plot."""
    lines = [
        "| method | density | 8 generations | 20 generations | ECE | phase switches: 8 | 20 | ECE | train | infer |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, row in results.items():
        method, density = key.split(" | ")
        cells = [
            f"{100 * row[part][name]:.{digits}f}"
            for part in ("phased", "switched")
            for name, digits in (("accuracy_8", 1), ("accuracy_20", 1), ("ece", 1))
        ]
        times = f"{row['train_seconds']:.0f} s", f"{row['infer_seconds']:.0f} s"
        lines.append("| " + " | ".join([method, density, *cells, *times]) + " |")
    text = PAGE.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    with replacing(PAGE) as file:
        file.write("\n\n".join([before, "\n".join(lines), after]))
    with styled():
        figure, axes = canvas(WIDTH)
        axes.plot([0.3, 1], [0.3, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
        for i, (key, row) in enumerate(item for item in results.items() if "reliability" in item[1]):
            label = key.replace(" | ", ", ")
            axes.plot(*row["reliability"], color=colour(i), marker=marker(i), linewidth=1.4, label=label)
        axes.set(xlabel="probability of the most probable ancestry", ylabel="share of sites that was right")
        figure.legend(loc="outside upper left")
        save(figure, PAGE.parent / "_static" / "local_ancestry")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--only", choices=[*METHODS], action="append")
    parser.add_argument("--density", choices=[*DENSITIES], action="append")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for density in options.density or DENSITIES:
        data = None
        for method in options.only or METHODS:
            key = f"{method} | {density}"
            if key in results and not options.again:
                continue
            data = data or Data(options.cohort, options.truth, density)
            results[key] = measure(data, method)
            write_json(RESULTS, results)
            print(key, json.dumps(results[key]["phased"]), json.dumps(results[key]["switched"]), flush=True)
    page(results)


if __name__ == "__main__":
    main()
