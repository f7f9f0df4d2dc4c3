"""The tables of results in README.md and at the top of `docs/results.md`, from the files in `benchmarks/results/`.

    python benchmarks/overview.py            # writes the tables between README.md's marks

A row names the strongest rival that the result files hold for its task: Euclidean and untrained counterparts, simple
counting and published numbers included. It is chosen here by its score, not by hand. `tests/test_results_page.py`
fails where README.md is not what this script writes.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from crocuta.bench.published import published

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
# One published feature of the disease tree gives its links away: docs/graphs.md, "What the published tasks are worth".
DISEASE_COLUMN = ("distance in one feature column", 0.995)


class Row(NamedTuple):
    """One measurement with its strongest rival."""

    task: str
    model: str
    score: float
    rivals: dict[str, float]
    margin: float = 0.0  # a smaller difference is no difference
    form: str = ".3f"
    lower_is_better: bool = False
    brief: bool = True  # also in README.md

    @property
    def rival(self) -> str:
        pick = min if self.lower_is_better else max
        return pick(self.rivals, key=self.rivals.__getitem__)

    @property
    def outcome(self) -> str:
        other = self.rivals[self.rival]
        same = format(self.score, self.form) == format(other, self.form)
        if same or abs(self.score - other) <= self.margin:
            return "level"
        return "ahead" if (self.score < other) == self.lower_is_better else "**behind**"

    def cells(self) -> list[str]:
        numbers = format(self.score, self.form), format(self.rivals[self.rival], self.form)
        return [self.task, self.model, numbers[0], self.rival, numbers[1], self.outcome]


class Group(NamedTuple):
    """A table for what a reader came for."""

    title: str
    measure: str
    rows: list[Row]
    note: str


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def mean(values: Iterable[float]) -> float:
    return statistics.mean(values)


def sequences() -> Group:
    """GUE from scratch and adapted; MCC."""
    rows = []
    scores = {
        (row["task"], row["model"]): row["test"]["mcc"] | {"title": row["title"]} for row in result("gue")
    }
    plain = ("kmer-lr", "cnn", "cnn-max")
    for task in dict.fromkeys(task for task, _ in scores):
        rivals = {scores[task, model]["title"]: scores[task, model]["mean"] for model in plain}
        rivals |= {f"{record.model} (published)": record.value for record in published(task, "mcc")}
        ours = scores[task, "hcnn-s"]
        rows.append(Row(task, "HCNN-S", ours["mean"], rivals, (ours["high"] - ours["low"]) / 2))
        ours = scores[task, "hyenadna-tiny"]
        brief = task == "gue/prom_core_tata"
        margin = (ours["high"] - ours["low"]) / 2
        rows.append(Row(task, "HyenaDNA-tiny, from scratch", ours["mean"], rivals, margin, brief=brief))
    for task in ("gue/prom_core_tata", "gue/mouse/2"):
        found = {row["way"]: row["mcc"][0] / 100 for row in result("hyplora")["rows"] if row["task"] == task}
        names = {"full": "all weights trained", "lora:4": "LoRA, rank 4", "lora:3+conv": "LoRA, rank 3+conv"}
        rivals = {title: found[way] for way, title in names.items()}
        if (task, "cnn") in scores:
            rivals["CNN, from scratch"] = scores[task, "cnn"]["mean"]
        rows.append(Row(task, "HypLoRA on HyenaDNA-tiny", found["hyplora-full:3+conv"], rivals, 0.05))
    return Group(
        "Classify sequences",
        "MCC",
        rows,
        "Published test sets of GUE, three seeds. A difference within the half-width of the 95% interval over test"
        " sequences"
        " is called level (HypLoRA: within 0.05). HyenaDNA-tiny from scratch has not converged in the hour that"
        " these tables took on two cores.",
    )


def long_sequences() -> Group:
    """Perplexity of a genome, and species by growing context."""
    pretrain, species = result("pretrain"), result("species")
    rivals = {
        f"Markov model, order {order}": value
        for strands in ("both", "one")
        for order, value in pretrain["markov"][strands]["test"].items()
    }
    ours = pretrain["long"]["metrics"]["test"]["perplexity"]
    task = "perplexity of yeast chromosome IV (lower is better)"
    rows = [Row(task, "HyenaDNA-tiny", ours, rivals, lower_is_better=True)]
    bacteria = [row for row in species if row["set"] == "bacteria"]
    for length in sorted({row["length"] for row in bacteria}):
        found = {row["model"]: row for row in bacteria if row["length"] == length}
        ours = found["HyenaDNA-tiny, pretrained, fitted head"]
        names = ("HyenaDNA-tiny, untrained, fitted head", "3-mer regression", "6-mer regression")
        rivals = {name: found[name]["accuracy"] for name in names}
        task = f"8 bacterial species from {length:,} nucleotides (accuracy)"
        margin = (ours["high"] - ours["low"]) / 2
        brief = length in (1024, 32768)
        rows.append(Row(task, "HyenaDNA-tiny, pretrained", ours["accuracy"], rivals, margin, brief=brief))
    return Group(
        "Model long sequences",
        "score",
        rows,
        "A difference within the half-width of the 95% interval over test windows is called level. Below, one forward"
        " pass over"
        " a whole sequence on two cores, both sides with an allocator that keeps freed memory"
        " ([long range](docs/long_range.md)).",
    )


def ancestry() -> Group:
    """Accuracy in percent: per SNP of simulated admixed individuals, windows, and real individuals."""
    rows = []
    local = result("local_ancestry")
    for density in ("array", "dense"):
        found = {key.split(" | ")[0]: row for key, row in local.items() if key.endswith(density)}
        for part, words in (("phased", ""), ("switched", ", phase errors")):
            for generations in (8, 20):
                values = {name: 100 * row[part][f"accuracy_{generations}"] for name, row in found.items()}
                ours = values.pop("copying + chain of pairs")
                values = {name.replace(", default", " alone"): value for name, value in values.items()}
                task = f"local ancestry, {density} SNPs, {generations} generations{words}"
                rows.append(Row(task, "pair chain", ours, values, form=".1f", brief=generations == 20))
    windows = result("ancestry")["accuracy"]
    for length in (128, 512, 1024, 2048, 4096):
        name = f"carried {length} hyena"
        found = [row for key, row in windows.items() if key == name or key.startswith(f"{name} ")]
        scores = [row["accuracy"] for row in found]
        rivals = {
            "naive Bayes": mean(row["naive_bayes"] for row in found),
            "copying model alone": mean(max(row["copying"]) for row in found),
        }
        rows.append(
            Row(f"windows of {length:,} unphased SNPs", "AncestryHyena", mean(scores), rivals,
                statistics.stdev(scores), ".1f", brief=length in (128, 1024))
        )  # fmt: skip
    real = result("ancestry_real")["populations"]["models"]
    values = {name: 100 * row["accuracy"][0] for name, row in real.items()}
    low, high = (100 * value for value in real["copied from most"]["accuracy"][1:])
    ours = values.pop("copied from most")
    task = "real chromosome 22, one of 14 populations"
    rows.append(Row(task, "copying model", ours, values, (high - low) / 2, ".1f"))
    return Group(
        "Infer ancestry",
        "accuracy, %",
        rows,
        "Simulated cohorts with exact truth, except for the last row. RFMix 2, FLARE and Gnomix have not been"
        " measured on these data yet.",
    )


def geometry() -> Group:
    """Milliseconds and errors, with those of geoopt."""
    maps, optim, numerics = (
        result("manifolds")["results"],
        result("optim")["results"],
        result("numerics")["table"],
    )
    rows = []
    shown = {
        "expmap0, r = 8": "Lorentz `expmap0`",
        "logmap0, r = 8": "Lorentz `logmap0`",
        "dist, r = 8": "Lorentz `dist`",
        "ball: dist, r = 4": "Poincaré `dist`",
        "ball: expmap0, r = 4": "Poincaré `expmap0`",
        "ball: logmap0, r = 4": "Poincaré `logmap0`",
    }
    for key, task in shown.items():
        row = maps[key]
        other = {"geoopt": row["geoopt_ms"]}
        brief = key in ("expmap0, r = 8", "dist, r = 8", "ball: expmap0, r = 4")
        rows.append(
            Row(f"{task}, forward + backward, ms", "crocuta", row["crocuta_ms"], other, form=".1f",
                lower_is_better=True, brief=brief)
        )  # fmt: skip
    row = optim["Adam, 10000 x 64 points"]
    task = "`RiemannianAdam`, 10,000 points of 64 dimensions, ms"
    rows.append(
        Row(task, "crocuta", row["crocuta_ms"], {"geoopt": row["other_ms"]}, form=".1f", lower_is_better=True)
    )
    quantities = {
        ("`dist`, pairs 0.01 apart, relative error", 5): "float32 error of `dist`, close points at radius 5",
        (
            "`dist`, independent pairs, relative error",
            10,
        ): "float32 error of `dist`, random points at radius 10",
    }
    for row in numerics:
        task = quantities.get((row["quantity"], row["r"]))
        if task:
            other = {"geoopt": row["geoopt"]}
            # Errors below float32's rounding are no difference.
            rows.append(Row(task, "crocuta", row["crocuta"], other, 1.2e-7, ".0e", lower_is_better=True))
    return Group(
        "Compute in hyperbolic space",
        "value (lower is better)",
        rows,
        "A Lorentz linear layer takes 1.06 times, a Lorentz transformer block 1.18 times as long as its Euclidean"
        " counterpart; [every module](docs/modules.md) has its cost listed.",
    )


def graphs_and_trees() -> Group:
    """Links and classes of nodes, distances in trees, images."""
    rows, scores = [], result("graphs")["scores"]
    for task, ours, metric, words in (
        ("disease-lp", "hybonet", "auroc", "links of the disease tree (AUROC)"),
        ("airport-lp", "hybonet", "auroc", "links of the airport graph (AUROC)"),
        ("cora-lp", "hgcn", "auroc", "links of Cora (AUROC)"),
        ("cora-nc", "hgcn", "accuracy", "classes of Cora (accuracy)"),
        ("airport-nc", "hybonet", "accuracy", "classes of the airport graph (accuracy)"),
    ):
        value, spread = encoder(scores, task, ours, metric)
        flat = {name.upper(): encoder(scores, task, name, metric) for name in ("gcn", "gat")}
        if task == "disease-lp":
            flat[DISEASE_COLUMN[0]] = DISEASE_COLUMN[1], 0.0
        spread = max(spread, max(flat.values())[1])
        rivals = {name: score for name, (score, _) in flat.items()}
        title = {"hybonet": "HyboNet", "hgcn": "HGCN"}[ours]
        rows.append(Row(words, title, value, rivals, spread, brief=task != "airport-nc"))
    trees = result("tree_embedding")
    for tree, words in (("disease_lp", "disease tree"), (dengue(trees), "dengue phylogeny")):
        # mAP is left out in two dimensions: the Euclidean start, classical scaling, is a poor one for it.
        for dimension, key in ((2, "distortion"), (10, "distortion"), (10, "mAP")):
            ours, flat = (trees[tree][f"{space} {dimension}"][key] for space in ("Lorentz", "Euclidean"))
            lower = key == "distortion"
            task = f"{words} in {dimension} dimensions, {key}{' (lower is better)' if lower else ''}"
            brief = (dimension == 2) == lower
            rows.append(Row(task, "Lorentz", ours, {"Euclidean": flat}, lower_is_better=lower, brief=brief))
    found = result("vision")["scores"]
    kinds = {
        k: [v["test"]["accuracy"] for n, v in found.items() if n.startswith(f"{k}, ")]
        for k in ("lvit", "vit")
    }
    spread = max(map(statistics.stdev, kinds.values()))
    rows.append(
        Row("MNIST digits (accuracy)", "LViT", mean(kinds["lvit"]), {"ViT": mean(kinds["vit"])}, spread)
    )
    return Group(
        "Learn from graphs, trees and images",
        "score",
        rows,
        "Five seeds for graphs, three for images; a difference within the larger standard deviation over seeds is"
        " called level.",
    )


def dengue(trees: dict) -> str:
    return next(name for name in trees if name.startswith("dengue"))


def encoder(scores: dict, task: str, name: str, metric: str) -> tuple[float, float]:
    """Mean and standard deviation over seeds at fixed curvature, which is not chosen on anything."""
    values = [fit["test"][metric] for key, fit in scores.items() if key.startswith(f"{task}/{name}/fixed/")]
    return mean(values), statistics.stdev(values)


def retrieval() -> Group:
    """Percent: answers from a graph, words for sequences."""
    rows, alone = [], []
    answers = result("retrieval")["answers"]
    for name, words in (("dengue", "dengue genomes"), ("elements", "transposable elements")):
        arms = {
            arm: [100 * fit["exact_match"] for fit in fits.values()] for arm, fits in answers[name].items()
        }
        rivals = {arm: mean(values) for arm, values in arms.items() if arm != "HyboNet" and len(values) > 1}
        ours = arms["HyboNet"]
        spread = max(statistics.stdev(ours), statistics.stdev(arms["GCN"]))
        task = f"questions about {words}, exact match"
        rows.append(Row(task, "GraphRAG, HyboNet", mean(ours), rivals, spread, ".1f"))
        alone.append(f"{rivals['no retrieval']:.1f}")
    runs = result("lclip")["dna"]["runs"]
    for key, words in (
        ("element to words @1", "name a repeat, recall@1"),
        ("words to element @1", "find a repeat by words, recall@1"),
        ("element to words @10", "name a repeat, recall@10"),
        ("words to element @10", "find a repeat by words, recall@10"),
    ):
        arms = {
            arm: [100 * run[arm]["test"][key] for run in runs]
            for arm in ("L-CLIP", "CLIP", "k-mer ridge", "ridge of all counts")
        }
        ours = arms.pop("L-CLIP")
        rivals = {arm: mean(values) for arm, values in arms.items()}
        brief = key.endswith("@1")
        rows.append(Row(words, "L-CLIP", mean(ours), rivals, statistics.stdev(ours), ".1f", brief=brief))
    return Group(
        "Retrieve and describe",
        "score, %",
        rows,
        "Three seeds for questions, six splits for repeats; a difference within the standard deviation is called"
        f" level. Without retrieval, the same language model answers {' and '.join(alone)}% of the questions.",
    )


def speed() -> str:
    """Forward pass of HyenaDNA-tiny: seconds and memory, one number a cell."""
    rows = result("long_range")
    lines = [
        "| HyenaDNA-tiny, nucleotides | crocuta, s | plain PyTorch, s | crocuta, MB | plain PyTorch, MB |"
    ]
    lines.append("|---|---|---|---|---|")
    for length in (32768, 262144, 1_000_000):
        ours, plain = (
            next(
                row
                for row in rows
                if (row["work"], row["model"], row["side"], row["length"], row["allocator"])
                == ("forward", "tiny", side, length, "raised")
            )
            for side in ("crocuta", "reference")
        )
        numbers = (
            f"{ours['seconds']:.2f} | {plain['seconds']:.2f} | {ours['added_mb']:,} | {plain['added_mb']:,}"
        )
        lines.append(f"| {length:,} | {numbers} |")
    return "\n".join(lines)


def groups() -> list[Group]:
    return [sequences(), long_sequences(), ancestry(), geometry(), graphs_and_trees(), retrieval()]


def table(group: Group, brief: bool) -> str:
    head = ["Task", "Model", group.measure, "Strongest rival", "its score", "Result"]
    lines = [head, ["---"] * len(head)]
    lines += [row.cells() for row in group.rows if row.brief or not brief]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def sections(brief: bool) -> str:
    """All tables as Markdown, under headings of the third level."""
    parts = []
    for group in groups():
        parts += [f"### {group.title}", table(group, brief)]
        parts.append(group.note if brief else group.note.replace("(docs/", "("))
        if group.title == "Model long sequences":
            parts.append(speed())
    return "\n\n".join(parts)


def readme() -> str:
    """README.md with the tables between its marks."""
    before, rest = README.read_text().split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{sections(brief=True)}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(readme())
