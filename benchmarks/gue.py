"""GUE tasks x models x seeds: the table in docs/results.md.

    python benchmarks/gue.py --data-root ../shared/data/gue                 # train (resumable), then write the table
    python benchmarks/gue.py --data-root ... --jobs 12 --output runs/gue    # several trainings side by side
    python benchmarks/gue.py --table                                        # only write the table again

Each task and model has its own run folder, so that an interrupted benchmark goes on where it was.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TASKS = ("gue/prom_core_tata", "gue/prom_300_tata", "gue/mouse/0", "gue/tf/0")
MODELS = ("hyenadna-tiny", "cnn", "transformer", "kmer-lr")
RESULTS = Path(__file__).parent / "results"


def train_one(task: str, model: str, arguments: argparse.Namespace) -> None:
    """One task and model in a process of its own; a finished run is not done again."""
    code = (
        "import sys, transformers; from crocuta import presets; transformers.logging.set_verbosity_error();"
        "task, model, root, output, seeds = sys.argv[1:];"
        "presets.train(None, [model], output, task=task, data_root=root, seeds=int(seeds), baselines=False,"
        " resume=True, report=False)"
    )
    output = arguments.output / f"{task.replace('/', '-')}--{model}"
    if (output / "metrics.json").exists():
        return
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // arguments.jobs))}
    command = [sys.executable, "-W", "ignore", "-c", code, task, model, str(arguments.data_root), str(output)]
    with open(f"{output}.log", "w") as log:
        done = subprocess.run([*command, str(arguments.seeds)], env=os.environ | threads, stdout=log, stderr=log)
    print(f"{task} {model}: {'done' if done.returncode == 0 else f'failed, see {output}.log'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data/gue"))
    parser.add_argument("--output", type=Path, default=Path("runs/gue"))
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        pairs = [(task, model) for task in arguments.tasks for model in arguments.models]
        list(pool.map(lambda pair: train_one(*pair, arguments), pairs))
    rows = [row for task in arguments.tasks for model in arguments.models for row in read(task, model, arguments)]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gue.json").write_text(json.dumps(rows, indent=1) + "\n")


def read(task: str, model: str, arguments: argparse.Namespace) -> list[dict]:
    """The row of a finished run: none if it failed."""
    run = arguments.output / f"{task.replace('/', '-')}--{model}"
    if not (run / "metrics.json").exists():
        return []
    metrics, config, manifest = (
        json.loads((run / f"{name}.json").read_text()) for name in ("metrics", "config", "manifest")
    )
    result = metrics["models"][model]
    return [
        {
            "task": task,
            "model": model,
            "title": result["title"],
            "parameters": result["parameters"],
            "test": result["test"],
            "valid": [seed["valid"][metrics["metric"]] for seed in result["seeds"]],
            "test_by_seed": [seed["test"][metrics["metric"]] for seed in result["seeds"]],
            "best_epoch": [seed["best_epoch"] for seed in result["seeds"]],
            "seconds": [seed["seconds"] for seed in result["seeds"]],
            "recipe": config["recipe"].get(model),
            "policy": metrics["data"]["policy"],
            "sizes": config["sizes"],
            "device": manifest["device"],
        }
    ]


if __name__ == "__main__":
    main()
