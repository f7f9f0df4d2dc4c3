"""Runs the cells of a benchmark in processes side by side, and writes what came out.

```
bench/
  bench.json       what was asked: seeds, epochs, strands
  results.jsonl    one line for each task, model and seed
  results.md       the table, published numbers with their sources, leakage
  figures/         scores, tasks as lines between models, mean ranks
  runs/<task>--<model>/   run folders, each with its log beside it
```
"""

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from crocuta.bench.cells import BASELINES, Cell, make_cells
from crocuta.bench.results import load_rows, read_rows, write_rows
from crocuta.errors import InputError
from crocuta.files import write_json


class Failure(NamedTuple):
    """A cell that did not end, and the last line of its log."""

    cell: Cell
    reason: str


class Bench(NamedTuple):
    """A benchmark's folder, its results (the lines of results.jsonl), and what failed."""

    path: Path
    rows: list[dict[str, Any]]
    failures: list[Failure]


class Watcher:
    """Hears of a benchmark's progress; this one says nothing."""

    def plan(self, cells: int, finished: int) -> None:
        """Called once, with the number of cells, and of those that an earlier call has finished."""

    def begin(self, cell: Cell) -> None:
        """Called before each cell."""

    def end(self, cell: Cell, rows: Sequence[dict[str, Any]], failure: Failure | None) -> None:
        """Called after each cell, with its results (none if it failed)."""


def bench(
    tasks: Sequence[str],
    models: Sequence[str],
    output: str | PathLike = "bench",
    *,
    seeds: int = 3,
    data_root: str | PathLike | None = None,
    jobs: int = 1,
    baselines: bool = True,
    metric: str | None = None,
    both_strands: bool = False,
    watcher: Watcher | None = None,
    **options: Any,
) -> Bench:
    """Trains every model on every task with every seed; the same call goes on with what is not finished.

    Args:
        tasks: names (`crocuta tasks`), files of labelled sequences, or folders with train.csv, dev.csv, test.csv.
        models: presets, or folders of pretrained models; `BASELINES` come before them.
        output: folder to fill; more tasks and models may be added to it later.
        seeds: trainings of each model (deterministic baselines: one).
        data_root: folder that holds the files of named tasks.
        jobs: processes side by side, which share the processor's threads.
        baselines: False leaves them out.
        metric: "mcc", "accuracy", "f1", "auroc" or "auprc"; default each task's own, else "mcc".
        both_strands: augment with reverse complements, and predict by the mean over both strands.
        watcher: hears of progress.
        options: `max_length`, and fields of `crocuta.train.Recipe`.

    Raises:
        InputError: an unknown task or model, missing files, or `output` holds a benchmark with other settings.
    """
    output, watcher = Path(output), watcher or Watcher()
    options = {key: value for key, value in options.items() if value is not None}
    check_metric(metric)
    names = [*(BASELINES if baselines else ()), *models]
    cells = make_cells(tasks, names, output, data_root, options)
    if not cells:
        raise InputError("give at least one task and one model")
    common = {"seeds": seeds, "metric": metric, "both_strands": both_strands, **options}
    todo = [cell for cell in cells if not cell.finished]
    claim(output, common)
    watcher.plan(len(cells), len(cells) - len(todo))
    failures = train_cells(todo, common, jobs, lambda: collect(cells, output), watcher)
    rows = collect(cells, output)
    if rows:
        from crocuta.report.bench import write_bench_report

        write_bench_report(rows, output)
    return Bench(output, rows, failures)


def check_metric(metric: str | None) -> None:
    from crocuta.analysis.scores import METRICS

    if metric is not None and metric not in METRICS:
        raise InputError(f"no metric {metric!r}; expected one of {', '.join(METRICS)}")


def claim(output: Path, settings: dict[str, Any]) -> None:
    """Writes the settings, or checks that they are those of the benchmark that is there."""
    path = output / "bench.json"
    if not path.exists():
        if output.exists() and any(output.iterdir()):
            raise InputError(f"{output}: not empty and not a benchmark; choose another with -o")
        write_json(path, settings)
        return
    found = json.loads(path.read_text())
    for key in sorted(found.keys() | settings.keys()):
        if found.get(key) != settings.get(key):
            raise InputError(
                f"{output}: holds a benchmark with {key} = {found.get(key)}, now asked {settings.get(key)};"
                " choose another folder with -o"
            )


def collect(cells: Sequence[Cell], output: Path) -> list[dict[str, Any]]:
    """Writes results.jsonl with all that has ended, in this call and earlier ones, and returns it."""
    path, asked = output / "results.jsonl", {cell.folder for cell in cells}
    earlier = load_rows(path) if path.exists() else []
    kept = [row for row in earlier if (run := output / row["run"]) not in asked and run.exists()]
    rows = kept + [row for cell in cells for row in read_rows(cell)]
    write_rows(path, rows)
    return rows


def train_cells(cells: Sequence[Cell], common: dict, jobs: int, collect, watcher: Watcher) -> list[Failure]:
    """Trains cells in `jobs` processes; what fails does not stop the others."""
    waiting, failures, lock = deque(cells), [], Lock()
    jobs = max(1, min(jobs, len(cells)))
    workers = [Worker(max(1, (os.cpu_count() or 1) // jobs)) for _ in range(jobs)]

    def lane(worker: Worker) -> None:
        while True:
            with lock:
                if not waiting:
                    return
                cell = waiting.popleft()
                watcher.begin(cell)
            failure = worker.train(cell, common)
            if worker.stopped:
                return
            with lock:
                failures.extend([failure] if failure else [])
                watcher.end(cell, [] if failure else read_rows(cell), failure)
                collect()

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for future in [pool.submit(lane, worker) for worker in workers]:
                future.result()
        finally:  # also when interrupted: what has been trained stays, the same command goes on
            waiting.clear()
            for worker in workers:
                worker.stop()
    for worker in workers:
        worker.close()
    return failures


class Worker:
    """A process of `crocuta.bench.worker`, started when it is needed, and again after a crash."""

    def __init__(self, threads: int):
        self.threads = os.environ.get("OMP_NUM_THREADS", str(threads))  # more would wait for each other
        self.process: subprocess.Popen | None = None
        self.stopped = False

    def train(self, cell: Cell, common: dict[str, Any]) -> Failure | None:
        """Trains a cell; says what went wrong if it did."""
        cell.log.parent.mkdir(parents=True, exist_ok=True)
        arguments = {
            **common, **cell.source.arguments, "models": [cell.model], "output": str(cell.folder),
        }  # fmt: skip
        answer = self.ask(json.dumps({"log": str(cell.log), "arguments": arguments}))
        if answer == "done":
            return None
        said = cell.log.read_text().split("\n") if cell.log.exists() else []
        reason = next((line.strip() for line in reversed(said) if line.strip()), "no word")
        return Failure(cell, reason if answer else f"its process died; last word: {reason}")

    def ask(self, line: str) -> str:
        """The process' answer, empty if it died."""
        if self.stopped:
            return ""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "crocuta.bench.worker"],
                env=os.environ | {"OMP_NUM_THREADS": self.threads},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.process.stdin
        assert self.process.stdout
        try:
            print(line, file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        if answer in ("", "broken"):
            self.process.kill()
            self.close()
        return answer

    def stop(self) -> None:
        self.stopped = True
        if self.process:
            self.process.terminate()

    def close(self) -> None:
        """Waits for the process and closes its pipes."""
        if self.process:
            self.process.__exit__(None, None, None)
            self.process = None
