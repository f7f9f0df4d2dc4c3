"""HypLoRA beside LoRA, a linear probe and full fine-tuning of one pretrained HyenaDNA, on two tasks of GUE.

    OMP_NUM_THREADS=1 python benchmarks/hyplora.py runs/yeast-tiny --data-root ../shared/data/gue

Each way's learning rate is the best of three on the first task's validation set after one epoch (seed 0); the tasks
were chosen for their size. Every training has its own folder under --output: an interrupted benchmark goes on where
it was, and what has ended is written at any time (--page writes it without training). Writes
benchmarks/results/hyplora.json and the table of docs/hyplora.md.
"""

import argparse
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from crocuta.analysis.scores import scores
from crocuta.classification import Fit, finetune
from crocuta.classification.adapt import parse_adaptation, trained_parameters
from crocuta.classification.finetuning import build
from crocuta.data.labelled import Splits
from crocuta.data.tasks import load_task
from crocuta.files import replacing, write_json
from crocuta.models.ensemble import Ensemble
from crocuta.presets import ADAPTATION_RECIPES
from crocuta.quiet import prepare
from crocuta.report.wording import number

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = {"gue/prom_core_tata": 8, "gue/mouse/2": 12}  # like numbers of steps
WAYS = (
    "full", "hyplora-full:3+conv", "hyplora:3+conv", "lora:3+conv", "hyplora-full:4", "hyplora:4", "lora:4", "probe",
)  # fmt: skip
RATES = (0.5, 1.0, 2.0)  # of the recipe's learning rate
STEPS = 10


class Cell(NamedTuple):
    """One training."""

    task: str
    way: str
    rate: float
    seed: int
    epochs: int

    def folder(self, output: Path) -> Path:
        way = self.way.replace(":", "-")
        return output / self.task.replace("/", "-") / f"{way}-x{self.rate:g}-{self.epochs}-epochs-{self.seed}"


class Bench:
    """Trainings of one base model, each done once."""

    def __init__(self, arguments: argparse.Namespace):
        self.base, self.root, self.output = arguments.pretrained, arguments.data_root, arguments.output
        self.train, self.loaded = not arguments.page, {}
        self.tuning: dict[str, dict[float, float]] = {}  # way -> rate -> validation MCC

    def splits(self, task: str) -> Splits:
        if task not in self.loaded:
            self.loaded[task] = load_task(task, self.root)
        return self.loaded[task]

    def fit(self, cell: Cell) -> Fit | None:
        """A training's record; None if it is not done and shall not be."""
        folder = cell.folder(self.output)
        if not (folder / "fit.json").exists() and not self.train:
            return None
        adaptation = parse_adaptation(cell.way)
        recipe = ADAPTATION_RECIPES[adaptation.name]
        recipe = replace(
            recipe, learning_rate=cell.rate * recipe.learning_rate, epochs=cell.epochs, patience=99
        )
        options = {"adaptation": adaptation, "seed": cell.seed, "resume": True}
        return finetune(self.base, self.splits(cell.task), folder, recipe, **options)

    def chosen(self, way: str) -> float | None:
        """The rate with the best validation score; None before all are tried."""
        first = next(iter(EPOCHS))
        fits = {rate: self.fit(Cell(first, way, rate, 0, 1)) for rate in RATES}
        if None in fits.values():
            return None
        found = self.tuning[way] = {rate: fit.valid["mcc"] for rate, fit in fits.items() if fit}
        print(way, found, flush=True)
        return max(found, key=lambda rate: found[rate])

    def test(self, cell: Cell) -> dict[str, float] | None:
        """A training's scores on the test set."""
        fit, path = self.fit(cell), cell.folder(self.output) / "test.json"
        if fit is None:
            return None
        if not path.exists():
            part = self.splits(cell.task).test
            probabilities = Ensemble.load([path.parent]).probabilities(part.sequences)
            write_json(path, {**scores(part.labels, probabilities)})
            print(*cell, f"{json.loads(path.read_text())['mcc']:.3f}", f"{fit.seconds:.0f} s", flush=True)
        return json.loads(path.read_text())

    def row(self, task: str, way: str, rate: float, seeds: range) -> dict[str, Any] | None:
        """What is known of one way on one task."""
        cells = [Cell(task, way, rate, seed, EPOCHS[task]) for seed in seeds]
        found = [(self.fit(cell), tested) for cell in cells if (tested := self.test(cell))]
        if not found:
            return None
        mcc, accuracy = ([100 * tested[key] for _, tested in found] for key in ("mcc", "accuracy"))
        fit = found[0][0]
        assert fit is not None
        return {
            "task": task,
            "way": way,
            "title": parse_adaptation(way).title,
            "learning_rate": rate * ADAPTATION_RECIPES[parse_adaptation(way).name].learning_rate,
            "seeds": len(found),
            "mcc": [float(np.mean(mcc)), float(np.std(mcc, ddof=1)) if len(mcc) > 1 else None],
            "accuracy": [float(np.mean(accuracy)), float(np.std(accuracy, ddof=1)) if len(mcc) > 1 else None],
            "trained_parameters": fit.trained_parameters,
            "share": 100 * (fit.trained_parameters or 0) / self.size(),
            "epochs": EPOCHS[task],
        }

    def size(self) -> int:
        """Parameters of the whole classifier."""
        return build(self.base, ("0", "1"), "single_label").num_parameters()

    def milliseconds(self, task: str) -> dict[str, float]:
        """CPU time of a training step of 32 sequences for each way, best of `STEPS`, in alternation."""
        splits = self.splits(task)
        length = int(splits.train.sequences.lengths.max()) + 1
        ids, labels = torch.randint(7, 11, (32, length)), torch.randint(0, 2, (32,))
        models: dict[str, Any] = {}
        for way in WAYS:
            model: Any = build(self.base, splits.train.classes, "single_label")
            models[way] = parse_adaptation(way).prepare(model, splits, 0).train()
            assert trained_parameters(models[way])
        best = {way: float("inf") for way in models}
        for _ in range(STEPS):
            for way, model in models.items():
                start = time.process_time()
                model(input_ids=ids, labels=labels).loss.backward()
                best[way] = min(best[way], 1e3 * (time.process_time() - start))
        return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pretrained", type=Path, help="folder of a pretrained HyenaDNA")
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data/gue"))
    parser.add_argument("--output", type=Path, default=Path("runs/hyplora"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="write what has ended, train nothing")
    arguments = parser.parse_args()
    prepare()
    torch.set_num_threads(1)
    bench = Bench(arguments)
    rates = {way: bench.chosen(way) for way in WAYS}
    if bench.train:  # seed by seed, so that what is cut short compares all ways
        for seed in range(arguments.seeds):
            for task in EPOCHS:
                for way, rate in rates.items():
                    bench.test(Cell(task, way, rate, seed, EPOCHS[task]))  # type: ignore[arg-type]
    write(bench, rates, range(arguments.seeds))


def write(bench: Bench, rates: dict[str, float | None], seeds: range) -> None:
    """The result file, and the table between the markers of docs/hyplora.md."""
    rows = []
    for task in EPOCHS:
        times = bench.milliseconds(task)
        for way, rate in rates.items():
            row = None if rate is None else bench.row(task, way, rate, seeds)
            if row is not None:
                rows.append({**row, "milliseconds_per_step": times[way]})
    write_json(ROOT / "benchmarks" / "results" / "hyplora.json", {"tuning": bench.tuning, "rows": rows})
    lines = [
        "| task | way | trained parameters | of all | learning rate | seeds | MCC x 100 | accuracy, % | ms a step |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        mcc, accuracy = (f"{mean:.1f} ± {number(sd, 1)}" for mean, sd in (row["mcc"], row["accuracy"]))
        lines.append(
            f"| {row['task']} | {row['title']} | {row['trained_parameters']:,} | {row['share']:.1f}% |"
            f" {row['learning_rate']:.1e} | {row['seeds']} | {mcc} | {accuracy} | {row['milliseconds_per_step']:.0f} |"
        )
    page, begin, end = ROOT / "docs" / "hyplora.md", "<!-- results -->", "<!-- end of results -->"
    text = "\n".join([begin, "", *lines, "", end])
    with replacing(page) as file:
        file.write(re.sub(f"{begin}.*?{end}", text, page.read_text(), flags=re.DOTALL))


if __name__ == "__main__":
    main()
