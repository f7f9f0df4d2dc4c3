"""Writes `docs/results.md` from the files in `benchmarks/results/`; no figure on that page is typed by hand.

    python benchmarks/page.py

`tests/test_results_page.py` fails where the page is not what this script writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import overview

from crocuta.bench.published import published

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
RESULTS = Path(__file__).parent / "results"
CURVED = {"hcnn-s": "HCNN-S", "hcnn-m": "HCNN-M"}

TEXT = """# Results

This page holds what has been measured, and against what. `python benchmarks/page.py` writes it from the files in
`benchmarks/results/`, each of which the script of the same name writes; CONTRIBUTING.md lists their commands.

## Overview

Each row gives the strongest rival that the result files hold for the task: simple baselines, Euclidean and untrained
counterparts, and published numbers. Where the rival wins, the row says **behind**.

{overview}

## GUE: four tasks, from scratch

{gue}

MCC on the published test sets: mean ± standard deviation over three seeds (the k-mer regression is deterministic), in
brackets the 95% bootstrap interval over test sequences and the number of epochs. Below, the difference to the CNN on
the same test sequences with its 95% interval over sequences and seeds, bold where that excludes zero. Models saw both
strands in training and average over both in prediction. Epochs and strengths of regularisation were chosen on the
published validation sets, and so were the recipes, on two of the tasks (below); the test sets were used once.

![Loss by epoch](_static/gue_curves.png)

**Where hyperbolic networks win, tie and lose against the CNN.** They have the same budget and recipe; curvatures have
their own learning rate:

{verdicts}

The CNN of this comparison flattens its features, so it has separate weights for each position. Promoters need that, and
counts of k-mers carry little of it. Binding sites may lie anywhere: there, max-pooling the CNN's channels gives about
the same score as the hyperbolic networks.

The recipes were chosen on the validation sets of prom_core_tata and mouse/0. On the other two tasks neither hyperbolic
network is above the CNN.

**Curvature.** All curvatures begin at 1. At the end of training (first seed, mean over tasks): {curvatures}.

**HyenaDNA-tiny from scratch has not converged**: its training loss still falls at the end of these schedules (a step
takes ten times as long as the CNN's on a CPU). The table shows what an hour on two cores buys, not what the
architecture can do.

**Leakage of the published splits.**

{leakage}

**Published numbers** come from other recipes and budgets:

{published}

## Learning rates

MCC on the validation set, one seed; the test sets were not read. Every network got the same rates and epochs
(`benchmarks/tuning.py`). The presets train all three at {rate:g}.

{tuning}

## Sequences evolved on a tree

Three scenarios of the [case study](scenarios.md); the intervals are those of the paired difference.

{scenarios}

## Speed

Both sides of a ratio were measured in one run, on {threads} threads of a CPU; medians. A ratio below 1 means that
crocuta takes less time.

{ratios}

{attention}

Training steps of whole networks, as a multiple of the CNN's:

{networks}

Gromov's delta, and prediction from a file:

{seconds}
"""


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdicts(rows: list[dict]) -> str:
    """For each curved network: on which tasks it is ahead of the CNN, level with it, or behind."""
    lines = []
    for model, title in CURVED.items():
        found: dict[str, list[str]] = {"ahead": [], "level": [], "behind": []}
        for row in rows:
            if row["model"] == model:
                gap = row["to_cnn"]
                kind = "ahead" if gap["low"] > 0 else "behind" if gap["high"] < 0 else "level"
                found[kind].append(f"{row['task']} ({gap['difference']:+.3f})")
        lines.append(
            f"- {title}: " + "; ".join(f"{k} on {', '.join(v)}" for k, v in found.items() if v) + "."
        )
    return "\n".join(lines)


def curvatures(rows: list[dict]) -> str:
    """Learned curvatures by network, in the order of its manifolds."""
    parts = []
    for model, title in CURVED.items():
        last = [row["history"][-1] for row in rows if row["model"] == model]
        keys = [key for key in last[0] if key.startswith("curvature.")]
        means = (sum(entry[key] for entry in last) / len(last) for key in keys)
        parts.append(f"{title} {', '.join(f'{mean:.2f}' for mean in means)}")
    return "; ".join(parts)


def literature(rows: list[dict]) -> str:
    ours = {}
    for row in rows:
        best = ours.get(row["task"])
        if best is None or row["test"]["mcc"]["mean"] > best["test"]["mcc"]["mean"]:
            ours[row["task"]] = row
    lines = []
    for task, row in ours.items():
        here = f"{row['title']} {row['test']['mcc']['mean']:.3f}"
        lines += [
            [task, f"{record.value:.3f}", record.model, record.source, here]
            for record in published(task, "mcc")
        ]
    return table(["task", "MCC", "model", "source", "best here (of six, on the test set)"], lines)


def tuning(rows: list[dict]) -> str:
    rates = sorted({row["learning_rate"] for row in rows})
    found = {(row["task"], row["model"], row["learning_rate"]): row for row in rows}
    pairs = dict.fromkeys((row["task"], row["model"]) for row in rows)
    lines = []
    for task, model in pairs:
        cells = [found.get((task, model, rate)) for rate in rates]
        lines.append([task, model, *("–" if cell is None else f"{cell['valid_mcc']:.3f}" for cell in cells)])
    return table(["task", "model", *(f"{rate:g}" for rate in rates)], lines)


def ratios() -> list[list[str]]:
    """Time as a share of another library's."""
    rows = [
        [
            f"{name if name.startswith('ball: ') else f'Lorentz {name}'}, forward + backward",
            "geoopt",
            f"{row['ratio']:.2f}",
            f"{row['cpu_ratio']:.2f}",
        ]
        for name, row in result("manifolds")["results"].items()
    ]
    rows += [
        [f"optimiser {name}", "torch" if "parameters" in name else "geoopt", f"{row['ratio']:.2f}", ""]
        for name, row in result("optim")["results"].items()
    ]
    return rows


def attention() -> list[list[str]]:
    return [
        [f"Lorentz {name}", f"{row['ratio']:.2f}"] for name, row in result("attention")["results"].items()
    ]


def networks() -> list[list[str]]:
    hcnn = result("hcnn")
    rows = [(name, hcnn["results"][name], theirs) for name, theirs in hcnn["original"].items()]
    return [
        [name, f"{row['wall_ratio']:.2f}", f"{row['peak_ratio']:.2f}", str(old)] for name, row, old in rows
    ]


def seconds() -> Iterator[list[str]]:
    for name, row in result("hyperbolicity")["speed"].items():
        other = f"{row['original']:.2f}" if "original" in row else ""
        yield [f"Gromov's delta, {name}", f"{row['crocuta']:.3f}", other, ""]
    for row in result("predict"):
        task = f"`crocuta predict`, {row['sequences']:,} x {row['length']} bp, CNN"
        yield [task, f"{row['seconds']:.1f}", "", str(row["peak_mb"])]


def page() -> str:
    rows = result("gue")
    leaks = dict.fromkeys(f"- {row['task']}: {row['leakage']}" for row in rows)
    recipe = next(row["recipe"] for row in rows if row["model"] == "hcnn-s")
    return TEXT.format(
        gue=(RESULTS / "gue.md").read_text().strip(),
        verdicts=verdicts(rows),
        curvatures=curvatures(rows),
        leakage="\n".join(leaks),
        published=literature(rows),
        rate=recipe["learning_rate"],
        tuning=tuning(result("tuning")),
        scenarios="\n".join(result("scenarios")["verdicts"]),
        threads=result("hcnn")["machine"]["threads"],
        overview=overview.sections(brief=False),
        ratios=table(["operation", "compared with", "time ratio", "CPU-time ratio"], ratios()),
        attention=table(["layer", "time, as a multiple of the Euclidean counterpart"], attention()),
        networks=table(["network", "time", "peak memory", "time in the original code"], networks()),
        seconds=table(["task", "seconds", "seconds, as in the original", "peak memory, MB"], list(seconds())),
    )


if __name__ == "__main__":
    PAGE.write_text(page())
