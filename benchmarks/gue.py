"""GUE tasks x models x seeds: the results in README.md and, through `page.py`, in docs/results.md.

    python benchmarks/gue.py --data-root ../shared/data/gue --jobs 2     # train, then write the table
    python benchmarks/gue.py --epochs 100                                # a longer schedule, for an accelerator

Each task and model is one `crocuta train`, in a run folder of its own: an interrupted benchmark continues.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crocuta.report.compare import across
from crocuta.report.run import read_reported_run

# Epochs by task: what two cores can do in an hour. HyenaDNA, ten times as slow here as the CNN, gets fewer.
TASKS = {"gue/prom_core_tata": 20, "gue/prom_300_tata": 10, "gue/mouse/0": 15, "gue/tf/0": 5}
FEWER = {
    ("gue/prom_300_tata", "hyenadna-tiny"): 6,
    ("gue/mouse/0", "hyenadna-tiny"): 10,
    ("gue/tf/0", "hyenadna-tiny"): 3,
}
MODELS = ("kmer-lr", "cnn", "cnn-max", "hcnn-s", "hcnn-m", "hyenadna-tiny")
COLOURS = ("#D55E00", "#009E73", "#0072B2", "#CC79A7", "#E69F00", "#56B4E9")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data/gue"))
    parser.add_argument("--output", type=Path, default=Path("runs/gue"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--epochs", type=int, help="of every network; default by task")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    pairs = [(task, model) for model in arguments.models for task in arguments.tasks]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda pair: train(*pair, arguments), pairs))
    rows = [row for pair in pairs for row in read(*pair, arguments)]
    write_results(rows)
    draw_curves(rows, Path(__file__).parents[1] / "docs" / "_static" / "gue_curves.png")


def folder(task: str, model: str, arguments: argparse.Namespace) -> Path:
    return arguments.output / f"{task.replace('/', '-')}--{model}"


def train(task: str, model: str, arguments: argparse.Namespace) -> None:
    """One task and model in a process of its own; a finished run is not done again."""
    output = folder(task, model, arguments)
    if (output / "metrics.json").exists():
        return
    command = [
        sys.executable,
        "-m",
        "crocuta",
        "train",
        "--task",
        task,
        "--model",
        model,
        "--from-scratch",
        "--output",
        output,
    ]
    command += ["--data-root", arguments.data_root, "--seeds", arguments.seeds, "--both-strands", "--resume"]
    command += ["--epochs", arguments.epochs or FEWER.get((task, model), TASKS[task]), "--no-baselines"]
    share = max(1, (os.cpu_count() or 1) // arguments.jobs)  # threads beyond that wait for each other
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(share))}
    with open(f"{output}.log", "w") as log:
        done = subprocess.run(
            [str(part) for part in command], env=os.environ | threads, stdout=log, stderr=log
        )
    print(f"{task} {model}: {'done' if done.returncode == 0 else f'failed, see {output}.log'}", flush=True)


def read(task: str, model: str, arguments: argparse.Namespace) -> list[dict]:
    """The row of a finished run; none if it failed."""
    run = folder(task, model, arguments)
    if not (run / "metrics.json").exists():
        return []
    metrics, config, manifest = (
        json.loads((run / f"{name}.json").read_text()) for name in ("metrics", "config", "manifest")
    )
    result = metrics["models"][model]
    headline = metrics["metric"]
    return [
        {
            "task": task,
            "model": model,
            "title": result["title"],
            "parameters": result["parameters"],
            "test": result["test"],
            "valid_by_seed": [seed["valid"][headline] for seed in result["seeds"]],
            "test_by_seed": [seed["test"][headline] for seed in result["seeds"]],
            "best_epoch": [seed["best_epoch"] for seed in result["seeds"]],
            "seconds": [round(seed["seconds"]) for seed in result["seeds"]],
            "history": result["seeds"][0]["history"],
            "recipe": config["recipe"].get(model),
            "both_strands": config["both_strands"],
            "sizes": config["sizes"],
            "leakage": metrics["data"]["leakage"]["statement"],
            "device": manifest["device"],
            "to_cnn": difference(run, folder(task, "cnn", arguments)),
        }
    ]


def difference(run: Path, cnn: Path) -> dict | None:
    """MCC of a run less that of the CNN on the same test sequences, with its 95% interval; None of the CNN itself."""
    if run == cnn or not (cnn / "metrics.json").exists():
        return None
    (pair,) = across([read_reported_run(cnn), read_reported_run(run)])
    return {key: pair[key] for key in ("difference", "low", "high", "p")}


def write_results(rows: list[dict]) -> None:
    """gue.json, and gue.md for readers."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gue.json").write_text(json.dumps(rows, indent=1) + "\n")
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    models = list(dict.fromkeys(row["model"] for row in rows))
    found = {(row["task"], row["model"]): row for row in rows}
    titles = {row["model"]: row["title"] for row in rows}
    lines = ["| MCC on the test set | " + " | ".join(titles[model] for model in models) + " |"]
    lines += ["|---" * (len(models) + 1) + "|"]
    for task in tasks:
        cells = [cell(found.get((task, model))) for model in models]
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    lines += ["", "| difference to the CNN | " + " | ".join(titles[model] for model in models) + " |"]
    lines += ["|---" * (len(models) + 1) + "|"]
    for task in tasks:
        cells = [gap(found.get((task, model))) for model in models]
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    (RESULTS / "gue.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def draw_curves(rows: list[dict], path: Path) -> None:
    """Loss on training and validation by epoch, a panel for each task: who has converged, and who has not."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = [row for row in rows if row["recipe"]]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    colours = dict(zip(dict.fromkeys(row["title"] for row in rows), COLOURS, strict=False))
    figure, axes = pyplot.subplots(1, len(tasks), figsize=(3.2 * len(tasks), 3), squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        for row in (row for row in rows if row["task"] == task):
            epochs = [entry["epoch"] for entry in row["history"]]
            for key, style in (("train_loss", "-"), ("valid_loss", ":")):
                losses = [entry[key] for entry in row["history"]]
                axis.plot(epochs, losses, style, color=colours[row["title"]], label=row["title"])
        axis.set(title=task, xlabel="epoch", ylim=(0, 0.8))
    axes[0, 0].set_ylabel("loss (dotted: validation)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles[::2], labels[::2], loc="lower center", ncols=len(colours), frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(path, dpi=120)


def cell(row: dict | None) -> str:
    """Mean ± sd over seeds, with the bootstrap interval over test sequences."""
    if row is None:
        return "–"
    score = row["test"]["mcc"]
    spread = f" ± {score['sd']:.3f}" if score["sd"] is not None else ""
    epochs = f", {row['recipe']['epochs']} epochs" if row["recipe"] else ""
    return f"{score['mean']:.3f}{spread} ({score['low']:.3f} to {score['high']:.3f}{epochs})"


def gap(row: dict | None) -> str:
    """Difference to the CNN with its 95% interval over test sequences and seeds; bold if that excludes zero."""
    if row is None or row["to_cnn"] is None:
        return "–"
    value, low, high = (row["to_cnn"][key] for key in ("difference", "low", "high"))
    bold = "**" if low > 0 or high < 0 else ""
    return f"{bold}{value:+.3f}{bold} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()
