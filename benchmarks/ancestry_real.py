"""Ancestry of real individuals: 1000 Genomes phase 1, chromosome 22. Writes docs/ancestry_real.md.

    OMP_NUM_THREADS=1 python benchmarks/ancestry_real.py ../shared/data/1kg_phase1_chr22

A quarter of the individuals of every population is held out, families whole. The others are the reference of `crocuta
ancestry train --scope local`, at sites of frequency 1% or more among them. Held-out unadmixed individuals are evaluated
by group (African, East Asian, European); the admixed ones of the Americas are not in the reference, and their global
proportions are compared with published ones. Then one of all populations is predicted for each individual.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crocuta.ancestry.local.examples import expected_calibration_error
from crocuta.ancestry.local.infer import LocalChromosome, LocalRun, read_local_run
from crocuta.ancestry.local.training import LocalRecipe, train_local
from crocuta.files import replacing, write_json
from crocuta.quiet import prepare
from crocuta.report.style import WIDTH, colour, save, styled
from crocuta.variants import Panel, Samples, read_panel
from crocuta.variants.build import build_store
from crocuta.variants.matching import match
from crocuta.variants.sampling import split_individuals

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "ancestry_real.json"
PAGE = HERE.parent / "docs" / "ancestry_real.md"
PICTURES = HERE.parent / "docs" / "_static"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
ADMIXED = ("ASW", "MXL", "CLM", "PUR")
MAF, SEED = 0.01, 0
WINDOWS = (1, 4, 16, 64)  # blocks of about 8 kb


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with the phased VCF, samples.tsv and the genetic map")
    parser.add_argument("--output", type=Path, default=Path("runs/ancestry-real"))
    parser.add_argument("--write", action="store_true", help="only write the page")
    arguments = parser.parse_args()
    prepare()
    if not arguments.write:
        torch.set_num_threads(1)
        write_json(RESULTS, measure(arguments.data, arguments.output))
    write(json.loads(RESULTS.read_text()))


def measure(data: Path, output: Path) -> dict:
    vcf, table = next(data.glob("*.vcf.gz")), data / "samples.tsv"
    panel = read_panel(vcf, table, genetic_map=next(data.glob("*.gmap.gz")))
    split = split_individuals(panel.samples, (0.75, 0.0, 0.25), SEED)
    admixed = np.isin(panel.samples.population, ADMIXED)
    train = np.setdiff1d(split.train, np.flatnonzero(admixed))
    test = np.setdiff1d(split.test, np.flatnonzero(admixed))
    found = {"sites": len(panel.sites), "people": len(panel.samples)}
    found["groups"] = groups(vcf, data, panel, train, test, np.flatnonzero(admixed), output / "groups")
    found["populations"] = populations(vcf, data, panel, split.train, split.test, output / "populations")
    return found


def learn(vcf: Path, data: Path, samples: Samples, by: str, output: Path) -> dict:
    """Reference and run of some individuals, as the commands make them; returns seconds."""
    with replacing(output / "reference.tsv") as file:
        file.write("sample\tpop\tsuper_pop\tfamily\n")
        for row in zip(samples.name, samples.population, samples.group, samples.family, strict=True):
            file.write("\t".join(row) + "\n")
    start, store = time.perf_counter(), output / "reference.h5"
    if not store.exists():
        gmap = next(data.glob("*.gmap.gz"))
        build_store([vcf], store, output / "reference.tsv", gmap, shared=True)
    built = time.perf_counter()
    train_local(store, output / "run", by=by, recipe=LocalRecipe(maf=MAF), resume=True)
    return {"build_seconds": built - start, "train_seconds": time.perf_counter() - built}


def groups(
    vcf: Path,
    data: Path,
    panel: Panel,
    train: np.ndarray,
    test: np.ndarray,
    admixed: np.ndarray,
    output: Path,
) -> dict:
    """Held-out unadmixed individuals by window and as a whole; proportions of the admixed."""
    seconds = learn(vcf, data, panel.samples.at(train), "group", output)
    run = read_local_run(output / "run")
    start = time.perf_counter()
    judge, found = inferred(run, panel.individuals(test))
    seconds["infer_seconds"] = time.perf_counter() - start
    names = list(run.populations)
    labels = np.array([names.index(group) for group in panel.samples.group[test]])
    both = np.repeat(labels, 2)
    windows = {}
    for width in WINDOWS:
        edges = np.arange(0, found.shape[1], width)
        mean = np.add.reduceat(found, edges, 1)
        mean = mean / mean.sum(2, keepdims=True)
        right = (mean.argmax(2) == both[:, None]).mean(1).reshape(-1, 2).mean(1)  # by person
        span = np.diff(panel.sites.position[[0, -1]])[0] / len(edges)
        windows[str(width)] = {
            "kb": float(span) / 1e3,
            "accuracy": interval(right),
            "ece": expected_calibration_error(mean.reshape(-1, len(names)), np.repeat(both, len(edges))),
        }
    share = shares(found)
    person = (share.argmax(1) == labels).astype(float)
    query, own = inferred(run, panel.individuals(admixed))
    own = shares(own)
    return seconds | {
        "names": names, "reference_people": len(train), "people": len(test), "windows": windows,
        "sites": len(judge.sites), "person": interval(person),
        "smallest_share": float(share[np.arange(len(test)), labels].min()),
        "generations": query.chain.generations if query.chain else None,
        "proportions": {
            name: {
                "people": int((rows := panel.samples.population[admixed] == name).sum()),
                "mean": own[rows].mean(0).round(4).tolist(),
                "sd": own[rows].std(0, ddof=1).round(4).tolist(),
            }
            for name in ADMIXED
        },
    }  # fmt: skip


def inferred(run: LocalRun, query: Panel) -> tuple[LocalChromosome, np.ndarray]:
    """The run's chromosome 22, and posteriors (haplotypes, blocks, populations) of the query."""
    judge = LocalChromosome(run, "22")
    aligned = match(query.sites, judge.sites, builds=("", run.build)).align(query, judge.sites)
    return judge, judge.posterior(aligned)


def shares(posterior: np.ndarray) -> np.ndarray:
    """Global proportions (individuals, populations)."""
    return posterior.mean(1).reshape(-1, 2, posterior.shape[2]).mean(1)


def interval(values: np.ndarray) -> list[float]:
    """Mean over individuals, and its 95% bootstrap interval over them."""
    draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    return [float(values.mean()), *np.quantile(draws, [0.025, 0.975]).tolist()]


def populations(
    vcf: Path, data: Path, panel: Panel, train: np.ndarray, test: np.ndarray, output: Path
) -> dict:
    """All populations, person by person: what share of a person is copied from each, and baselines on genotypes."""
    names = np.unique(panel.samples.population).tolist()
    label = np.array([names.index(name) for name in panel.samples.population])
    common = panel.individuals(train).frequency()
    dosage = (panel.allele == 1).sum(1)[:, np.minimum(common, 1 - common) >= MAF].astype(np.float32)
    seconds = learn(vcf, data, panel.samples.at(train), "population", output)
    run = read_local_run(output / "run")
    own = shares(inferred(run, panel.individuals(test))[1])
    order = [run.populations.index(name) for name in names]
    guesses = {"copied from most": own[:, order].argmax(1)}
    models = {
        "10 nearest in 20 principal components": KNeighborsClassifier(10),
        "logistic regression of 20 principal components": LogisticRegression(C=0.1, max_iter=2000),
    }
    for name, model in models.items():
        fitted = make_pipeline(PCA(20, random_state=SEED), StandardScaler(), model)
        guesses[name] = fitted.fit(dosage[train], label[train]).predict(dosage[test])
    group = {name: panel.samples.group[panel.samples.population == name][0] for name in names}
    region = np.array([group[name] for name in names])
    rows = {}
    for name, guess in guesses.items():
        confusion = np.zeros((len(names), len(names)), int)
        np.add.at(confusion, (label[test], guess), 1)
        rows[name] = {
            "accuracy": interval((guess == label[test]).astype(float)),
            "group": interval((region[guess] == region[label[test]]).astype(float)),
            "confusion": confusion.tolist(),
        }
    return seconds | {"names": names, "people": len(test), "models": rows}


def percent(values: list[float]) -> str:
    return f"{100 * values[0]:.1f} ({100 * values[1]:.1f} to {100 * values[2]:.1f})"


def write(results: dict) -> None:
    """The page between its marks, and two pictures."""
    groups, populations = results["groups"], results["populations"]
    lines = ["| window | accuracy of a haplotype's windows, % | calibration error, % |", "|---|---|---|"]
    for row in groups["windows"].values():
        lines.append(f"| {row['kb']:,.0f} kb | {percent(row['accuracy'])} | {100 * row['ece']:.1f} |")
    lines += [
        f"| whole individual | {percent(groups['person'])} | |", "",
        "| | individuals | " + " | ".join(groups["names"]) + " |", "|---" * (2 + len(groups["names"])) + "|",
    ]  # fmt: skip
    for name, row in groups["proportions"].items():
        cells = [f"{100 * m:.1f} ± {100 * s:.1f}" for m, s in zip(row["mean"], row["sd"], strict=True)]
        lines.append(f"| {name} | {row['people']} | " + " | ".join(cells) + " |")
    lines += ["", "![Proportions](_static/ancestry_real_proportions.png)", ""]
    lines += [
        f"| {len(populations['names'])} populations, by individual | accuracy, % | group right, % |",
        "|---|---|---|",
    ]
    for name, row in populations["models"].items():
        lines.append(f"| {name} | {percent(row['accuracy'])} | {percent(row['group'])} |")
    lines += ["", "![Confusion](_static/ancestry_real_confusion.png)"]
    before, rest = PAGE.read_text().split(BEGIN)
    with replacing(PAGE) as file:
        file.write(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{rest.split(END)[1]}")
    with styled():
        for name, figure in (("proportions", proportions(groups)), ("confusion", confusion(populations))):
            save(figure, PICTURES / f"ancestry_real_{name}")
            (PICTURES / f"ancestry_real_{name}.svg").unlink()


def proportions(groups: dict) -> Figure:
    """Stacked bars: mean global proportions of the admixed populations."""
    figure = Figure(figsize=(WIDTH, 2.4), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(ADMIXED))
    for i, name in enumerate(groups["names"]):
        values = np.array([groups["proportions"][population]["mean"][i] for population in ADMIXED])
        axes.barh(ADMIXED, values, left=left, color=colour(i), label=name)
        left += values
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of chromosome 22")
    figure.legend(loc="outside upper center", ncols=len(groups["names"]))
    return figure


def confusion(populations: dict) -> Figure:
    """Truth by guess of the copying model, as shares of the truth."""
    counts = np.array(populations["models"]["copied from most"]["confusion"])
    share = counts / counts.sum(1, keepdims=True)
    figure = Figure(figsize=(WIDTH, 0.9 * WIDTH), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            ink = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, str(count), ha="center", va="center", fontsize=7, color=ink)
    ticks = range(len(counts))
    axes.set_xticks(ticks, populations["names"], rotation=90)
    axes.set_yticks(ticks, populations["names"])
    axes.set(xlabel="copied from most", ylabel="population of the individual")
    axes.grid(False)
    return figure


if __name__ == "__main__":
    main()
