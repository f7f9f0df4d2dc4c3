"""Pretraining on yeast: HyenaDNA-tiny against Markov models, and length warm-up against none.

    OMP_NUM_THREADS=1 python benchmarks/pretrain.py --data-root ../shared/data long        # an hour or more
    OMP_NUM_THREADS=1 python benchmarks/pretrain.py --data-root ../shared/data comparison  # six short trainings
    python benchmarks/pretrain.py --data-root ../shared/data markov                        # a minute
    python benchmarks/pretrain.py page                                                     # results and docs only

Chromosome IV is the test set, XIV the validation set; the rest is trained on. Trainings are run folders below
--output: an interrupted benchmark continues. Each part ends by writing results/pretrain.json,
docs/pretraining.md (between its marks) and docs/_static/pretraining.svg from all that has ended.
"""

import argparse
import json
import math
import os
import platform
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from crocuta.analysis.markov import fit_markov
from crocuta.data.genome import Genome
from crocuta.data.language import partition
from crocuta.files import replacing, write_json
from crocuta.models.hyena import RELEASED, HyenaConfig
from crocuta.presets import SCRATCH_INITIALIZER
from crocuta.pretraining.page import LossCurve, curves, read_pretraining
from crocuta.pretraining.recipe import Pretraining
from crocuta.pretraining.run import run_pretraining
from crocuta.quiet import prepare
from crocuta.report.style import styled
from crocuta.runs.progress import shown

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "pretrain.json"
PAGE = ROOT / "docs" / "pretraining.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
PICTURE = """![Validation perplexity against nucleotides trained on](_static/pretraining.svg)

The curve is of a sample of chromosome XIV; the table, and the dashed line, of all of it."""
VALID, TEST = ("XIV",), ("IV",)
ORDERS = range(13)

# Chosen in short trainings: 8,192 nucleotides a step beat 16,384; with filters that span 8,192 nucleotides, a learning
# rate of 2e-3 (the best where they span 1,024) diverged in windows of 256, hence the slower filters.
LONG = Pretraining(
    length=8192, warm_up=(1024, 2048, 4096), warm_up_share=0.75, steps=4000, tokens_per_step=8192,
    tokens_at_once=8192, learning_rate=1e-3, filter_learning_rate=1e-4, precision="bfloat16",
    checkpoint_seconds=180,
)  # fmt: skip
SHORT = replace(LONG, warm_up=(), steps=240, evaluations=12)
COMPARISON = {
    "8,192 throughout": SHORT,
    "1,024 to 8,192": replace(SHORT, warm_up=(1024, 2048, 4096)),
    "64 to 8,192": replace(SHORT, warm_up=(64, 128, 256, 512, 1024, 2048, 4096), warm_up_share=0.7),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["long", "comparison", "markov", "page"])
    parser.add_argument("--data-root", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--output", type=Path, default=Path("runs/pretrain"), help="run folders")
    parser.add_argument("--long-run", type=Path, help="folder of the long run, if elsewhere")
    parser.add_argument("--seeds", type=int, default=2, help="of the comparison")
    options = parser.parse_args()
    prepare()
    long = options.long_run or options.output / "yeast"
    if options.part == "long":
        train(options.data_root, LONG, long, max(ORDERS))
    elif options.part == "comparison":
        for seed in range(options.seeds):
            for name, recipe in COMPARISON.items():
                train(options.data_root, replace(recipe, seed=seed), folder(options.output, name, seed), -1)
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if options.part == "markov":
        results["markov"] = measure_markov(options.data_root)
    collect(results, long, options.output, options.seeds)
    write_json(RESULT, results)
    write_page(results)


def folder(output: Path, name: str, seed: int) -> Path:
    return output / f"{name.replace(',', '').replace(' ', '-')}-seed-{seed}"


def read_yeast(data_root: Path) -> tuple[Genome, dict]:
    genome = Genome(next((data_root / "genomes" / "yeast").glob("*.fa.gz")))
    return genome, partition(genome, valid=VALID, test=TEST)


def train(data_root: Path, recipe: Pretraining, output: Path, markov_order: int) -> None:
    genome, parts = read_yeast(data_root)
    sizes: dict[str, Any] = RELEASED["tiny-1k"] | {"max_seq_len": recipe.length + 2}
    config = HyenaConfig(**sizes, embed_dropout=0.0, initializer_range=SCRATCH_INITIALIZER)
    with shown() as progress:
        run_pretraining(
            genome, parts, config, recipe, output, markov_order=markov_order, resume=True, progress=progress
        )


def measure_markov(data_root: Path) -> dict:
    """Perplexities by order: of counts on one strand, and on both, as the model sees them."""
    genome, parts = read_yeast(data_root)
    found = {}
    for strands in ("one", "both"):
        fitted = fit_markov([genome.sequence(i) for i in parts["train"]], max(ORDERS), strands == "both")
        found[strands] = {
            part: {j: fitted.perplexity([genome.sequence(i) for i in parts[part]], j) for j in ORDERS}
            for part in ("valid", "test")
        }
    return json.loads(json.dumps(found))


def collect(results: dict, long: Path, output: Path, seeds: int) -> None:
    """Adds what has ended."""
    results["machine"] = {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "note": "cores were shared with other work: nucleotides a second are a lower bound",
    }
    if (long / "metrics.json").exists():
        results["long"] = summary(long)
    done = {
        name: [
            summary(folder(output, name, seed))
            for seed in range(seeds)
            if (folder(output, name, seed) / "metrics.json").exists()
        ]
        for name in COMPARISON
    }
    if all(done.values()):
        results["comparison"] = done


def summary(path: Path) -> dict:
    run = read_pretraining(path)
    history = [moment for moment in run.history if moment["valid_perplexity"]]
    keys = ("step", "length", "tokens", "seconds", "valid_perplexity")
    return {
        "recipe": asdict(LONG) | run.config["recipe"],
        "metrics": run.metrics,
        "curve": [{key: moment[key] for key in keys} for moment in history],
    }


def curve_of(found: dict, label: str) -> LossCurve:
    """Perplexity on a sample of the validation part against million nucleotides."""
    moments = found["curve"]
    x, y = ([moment[key] for moment in moments] for key in ("tokens", "valid_perplexity"))
    return LossCurve(label, [tokens / 1e6 for tokens in x], y)


def write_page(results: dict) -> None:
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    shown = [curve_of(results["long"], "HyenaDNA-tiny")] if "long" in results else []
    for name, found in results.get("comparison", {}).items():
        shown.append(curve_of(found[0], f"short, {name}"))
    parts = [long_table(results), comparison_table(results), PICTURE if shown else ""]
    body = "\n\n".join(part for part in parts if part) or "Not measured yet."
    with replacing(PAGE) as file:
        file.write(f"{before}{BEGIN}\n{body}\n{END}{after}")
    if shown:
        order8 = results["markov"]["both"]["valid"]["8"] if "markov" in results else None
        with styled(), replacing(ROOT / "docs" / "_static" / "pretraining.svg", "wb") as file:
            figure = curves(
                shown, ("Markov, order 8", order8) if order8 else None, "million nucleotides trained on"
            )
            axes = figure.axes[0]
            axes.set_xscale("log")
            axes.set_xticks([0.2, 0.5, 1, 2, 5, 10, 30], ["0.2", "0.5", "1", "2", "5", "10", "30"])
            axes.set_xticks([], minor=True)
            axes.set_ylim(3.78, 3.96)  # the first values of the shortest windows lie far above
            figure.savefig(file, format="svg", facecolor="white", metadata={"Date": None})


def table(header: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *lines))


def long_table(results: dict) -> str:
    lines = []
    if "long" in results:
        metrics = results["long"]["metrics"]
        score = [metrics[part]["perplexity"] for part in ("valid", "test")]
        name = f"**HyenaDNA-tiny**, {metrics['tokens'] / 1e6:.0f} million nucleotides"
        lines.append([name, *(f"**{value:.4f}**" for value in score), f"{math.log2(score[1]):.4f}"])
    for strands, parts in results.get("markov", {}).items():
        for order in (0, 2, 4, 6, 8, 10, 11, 12):
            score = [parts[part][str(order)] for part in ("valid", "test")]
            name = f"Markov, order {order}, {strands} strand{'s' * (strands == 'both')}"
            lines.append([name, *(f"{value:.4f}" for value in score), f"{math.log2(score[1]):.4f}"])
    header = ["model", "perplexity, chromosome XIV", "perplexity, chromosome IV", "bits per nucleotide, IV"]
    return table(header, lines) if lines else ""


def comparison_table(results: dict) -> str:
    lines = []
    for name, runs in results.get("comparison", {}).items():
        scores = [run["metrics"]["test"]["perplexity"] for run in runs]
        seconds = [run["metrics"]["seconds"] for run in runs]
        lines.append(
            [
                name,
                " ".join(f"{value:.4f}" for value in scores),
                f"{runs[0]['metrics']['tokens'] / 1e6:.1f}",
                " ".join(f"{value:,.0f}" for value in seconds),
            ]
        )
    header = [
        "lengths",
        "perplexity, chromosome IV (each seed)",
        "million nucleotides",
        "seconds (each seed)",
    ]
    return table(header, lines) if lines else ""


if __name__ == "__main__":
    main()
