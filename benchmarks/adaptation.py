"""Ways to adapt one pretrained HyenaDNA, side by side: soft prompts against their number of tokens, and the others.

    OMP_NUM_THREADS=2 python benchmarks/adaptation.py runs/yeast-tiny --data-root ../shared/data/gue

Each task is one `crocuta train`, in a run folder of its own: an interrupted benchmark continues. Writes
benchmarks/results/adaptation.json, docs/_static/soft_prompts.svg and the table of docs/adaptation.md.
"""

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crocuta.classification import Entry, pipelines, run_experiment
from crocuta.classification.run import RunFolder
from crocuta.data.tasks import load_task
from crocuta.files import replacing, write_json
from crocuta.quiet import prepare
from crocuta.report.style import MUTED, colour, marker, styled
from crocuta.report.wording import TITLES, number

ROOT = Path(__file__).resolve().parents[1]
TASKS = ("gue/prom_core_tata", "gue/mouse/0")
TOKENS = (2, 4, 16, 32)
OTHERS = ("full", "lora:8", "probe", "in-context:2")
EPOCHS = {"in-context": 2}  # brief by definition, and its inputs are several times as long


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pretrained", type=Path, help="folder of a pretrained HyenaDNA")
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data/gue"))
    parser.add_argument("--output", type=Path, default=Path("runs/adaptation"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--tokens", nargs="+", type=int, default=list(TOKENS))
    parser.add_argument("--others", nargs="*", default=list(OTHERS))
    parser.add_argument("--sequences", type=int, default=2000, help="of the training set: labels are few")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    prepare()
    rows = [row for task in arguments.tasks for row in measure(task, arguments)]
    write_json(ROOT / "benchmarks" / "results" / "adaptation.json", rows)
    draw(rows, arguments.tasks)
    write_table(rows)


def measure(task: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each adaptation on one task, and one for the k-mer baseline."""
    prompts = [f"{kind}:{n}" for kind in ("prompt", "label-prompt") for n in arguments.tokens]
    adapt = [*arguments.others, *prompts]
    splits = load_task(task, arguments.data_root)
    few = np.random.default_rng(0).permutation(len(splits.train))[: arguments.sequences]
    splits = replace(splits, train=splits.train.select(few))
    entries = pipelines.comparison(splits, [arguments.pretrained], adapt=adapt, epochs=arguments.epochs)
    entries = [brief(entry) for entry in entries]
    run = run_experiment(
        entries,
        splits,
        arguments.output / task.replace("/", "-"),
        seeds=range(arguments.seeds),
        metric=pipelines.headline(None, task),
        task=task,
        resume=True,
    )
    print(f"{task}: done", flush=True)
    return read(run, task, entries)


def brief(entry: Entry) -> Entry:
    """The entry with the epochs of its adaptation, where `EPOCHS` has some."""
    epochs = EPOCHS.get(entry.adaptation.name)
    if entry.recipe is None or epochs is None:
        return entry
    return replace(entry, recipe=replace(entry.recipe, epochs=epochs))


def read(run: RunFolder, task: str, entries: list[Entry]) -> list[dict[str, Any]]:
    """What a finished run says of each entry."""
    metric, rows = run.metrics["metric"], []
    manifest = json.loads((run.path / "manifest.json").read_text())
    for entry in entries:
        model = run.metrics["models"][entry.name]
        rows.append(
            {
                "task": task,
                "model": entry.name,
                "title": entry.title,
                "adaptation": entry.adaptation.name if entry.recipe else None,
                "tokens": getattr(entry.adaptation, "tokens", None),
                "metric": metric,
                **model["test"][metric],
                "parameters": model["parameters"],
                "trained_parameters": model["trained_parameters"],
                "epochs": entry.recipe.epochs if entry.recipe else None,
                "training_sequences": run.metrics["data"]["train"]["n"],
                "seconds": sum(fit["seconds"] for fit in model["seeds"]) / len(model["seeds"]),
                "seeds": len(model["seeds"]),
                "device": manifest["device"],
            }
        )
    return rows


def draw(rows: list[dict[str, Any]], tasks: list[str]) -> None:
    """Score against number of tokens, with the other adaptations as lines."""
    with styled():
        figure = Figure(figsize=(4.1 * len(tasks), 3.4), layout="constrained")
        for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
            draw_task(axes, [row for row in rows if row["task"] == task], task)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        with replacing(ROOT / "docs" / "_static" / "soft_prompts.svg", "wb") as file:
            figure.savefig(file, format="svg", facecolor="white", metadata={"Date": None})


def draw_task(axes: Axes, rows: list[dict[str, Any]], task: str) -> None:
    shown = {"prompt": "prompt and head", "label-prompt": "prompt alone"}
    for index, (kind, label) in enumerate(shown.items()):
        found = sorted((row for row in rows if row["adaptation"] == kind), key=lambda row: row["tokens"])
        x, y = [row["tokens"] for row in found], [row["mean"] for row in found]
        spread = [row["sd"] or 0 for row in found]
        axes.errorbar(x, y, spread, color=colour(index), marker=marker(index), capsize=3, label=label)
    lines = {"full": "fine-tuned", "lora": "LoRA", "probe": "probe (0 tokens)", "in-context": "in context"}
    for index, (kind, label) in enumerate(lines.items(), start=2):
        for row in rows:
            if row["adaptation"] == kind:
                axes.axhline(
                    row["mean"], color=colour(index), linestyle=(0, (5, 2)), linewidth=1.3, label=label
                )
    for row in rows:
        if row["model"] == "kmer-lr":
            axes.axhline(
                row["mean"], color=MUTED, linestyle=(0, (1, 2)), linewidth=1.3, label="k-mer regression"
            )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
    axes.set(xlabel="tokens of the prompt", ylabel=TITLES[rows[0]["metric"]], title=task)


def write_table(rows: list[dict[str, Any]]) -> None:
    """Puts the results between the markers of docs/adaptation.md."""
    lines = ["| task | adaptation | trained parameters | score | seconds |", "|---|---|---|---|---|"]
    for row in rows:
        trained = f"{row['trained_parameters'] or row['parameters']:,}"
        score = f"{TITLES[row['metric']]} {number(row['mean'])} ± {number(row['sd'])}"
        name = (
            "all weights" if row["adaptation"] == "full" else row["title"].partition(", ")[2] or row["title"]
        )
        lines.append(f"| {row['task']} | {name} | {trained} | {score} | {row['seconds']:.0f} |")
    page = ROOT / "docs" / "adaptation.md"
    begin, end = "<!-- results -->", "<!-- end of results -->"
    curve = "![Score against number of tokens of the prompt](_static/soft_prompts.svg)"
    text = re.sub(
        f"{begin}.*?{end}",
        "\n".join([begin, "", *lines, "", curve, "", end]),
        page.read_text(),
        flags=re.DOTALL,
    )
    with replacing(page) as file:
        file.write(text)


if __name__ == "__main__":
    main()
