"""Writes `docs/results.md` from the files in `benchmarks/results/`; no figure on that page is typed by hand.

    python benchmarks/page.py

`tests/test_results_page.py` fails where the page is not what this script writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crocuta.report.published import published

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
RESULTS = Path(__file__).parent / "results"
CURVED = {"hcnn-s": "HCNN-S", "hcnn-m": "HCNN-M"}

TEXT = """# Results

Written by `python benchmarks/page.py` from the files in `benchmarks/results/`, each of which a script of the same
name measures. More on single subjects: [sequences that a tree made](scenarios.md), [hyperbolicity](hyperbolicity.md),
[modules and their cost](modules.md), [numerics](numerics.md), [trees](trees.md).

## GUE: four tasks, from scratch

{gue}

MCC on the published test sets: mean ± standard deviation over three seeds (the k-mer regression is deterministic), in
brackets the 95% bootstrap interval over test sequences and the number of epochs. Below, the difference to the CNN on
the same test sequences with its 95% interval over sequences and seeds, bold where that excludes zero. Models saw both
strands in training and average over both in prediction. Epochs and strengths of regularisation were chosen on the
published validation sets, and so were the recipes, on two of the tasks (below); the test sets were used once.

![Loss by epoch](_static/gue_curves.png)

**Where hyperbolic networks win, tie and lose.** Same budget, same recipe, curvatures at a learning rate of their own:

{verdicts}

The CNN of this comparison flattens what it sees: it knows each position by heart. That is what the promoters need,
where counts of k-mers know little. Binding sites may stand anywhere: there, pooling the CNN's channels by their
maximum gives about what the curved networks give.

**Curvature.** All curvatures begin at 1. At the end of training (first seed, mean over tasks): {curvatures}.

**HyenaDNA-tiny from scratch has not converged**: its training loss still falls at the end of these schedules (a step
costs ten times the CNN's on a CPU). The table shows what an hour on two cores buys, not what the architecture can do.

**Leakage of the published splits.**

{leakage}

**Published numbers**, from other recipes and budgets:

{published}

## Learning rates

MCC on validation of one seed; the test sets were not read. Every network got the same rates and epochs
(`benchmarks/tuning.py`). The presets train all three at {rate:g}.

{tuning}

## Scenarios

{scenarios}

## Speed

Both sides of a ratio were measured in one run, on {threads} threads of a CPU; medians.

{speed}
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
    """Learnt curvatures by network, in the order of its manifolds."""
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
    return table(["task", "MCC", "model", "source", "best here"], lines)


def tuning(rows: list[dict]) -> str:
    rates = sorted({row["learning_rate"] for row in rows})
    found = {(row["task"], row["model"], row["learning_rate"]): row for row in rows}
    pairs = dict.fromkeys((row["task"], row["model"]) for row in rows)
    lines = []
    for task, model in pairs:
        cells = [found.get((task, model, rate)) for rate in rates]
        lines.append([task, model, *("–" if cell is None else f"{cell['valid_mcc']:.3f}" for cell in cells)])
    return table(["task", "model", *(f"{rate:g}" for rate in rates)], lines)


def speed() -> Iterator[list[str]]:
    """What was measured, our figure and the other side's, the ratio."""
    hcnn = result("hcnn")
    for name, theirs in hcnn["original"].items():
        row = hcnn["results"][name]
        memory = f"peak memory {row['peak_ratio']:.2f}"
        yield [
            f"{name}, a training step, against the CNN",
            f"{row['wall_ratio']:.2f} ({memory})",
            f"original {theirs}",
        ]
    for name, row in result("manifolds")["results"].items():
        yield [
            f"{name if name.startswith('ball: ') else f'Lorentz {name}'}, forward + backward, against geoopt",
            f"{row['ratio']:.2f} (CPU time {row['cpu_ratio']:.2f})",
            "",
        ]
    for name, row in result("optim")["results"].items():
        yield [
            f"{name}, against {'torch' if 'parameters' in name else 'geoopt'}",
            f"{row['ratio']:.2f}",
            "",
        ]
    for name, row in result("attention")["results"].items():
        yield [f"Lorentz {name}, against its Euclidean twin", f"{row['ratio']:.2f}", ""]
    for name, row in result("hyperbolicity")["speed"].items():
        other = f"as the original {row['original']:.2f} s" if "original" in row else ""
        yield [f"hyperbolicity, {name}", f"{row['crocuta']:.3f} s", other]
    for row in result("predict"):
        yield [
            f"`crocuta predict`, {row['sequences']:,} x {row['length']} bp, CNN",
            f"{row['seconds']:.1f} s, {row['peak_mb']} MB",
            "",
        ]


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
        speed=table(["what", "crocuta", "other"], list(speed())),
    )


if __name__ == "__main__":
    PAGE.write_text(page())
