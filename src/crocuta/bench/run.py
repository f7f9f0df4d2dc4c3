"""Runs the cells of a benchmark in processes side by side, and writes what came out.

```
bench/
  config.json      what was asked: tasks, models, seeds, epochs, strands
  manifest.json    where it was done, and digests of all that was read; there when all has ended
  results.jsonl    one line for each task, model and seed
  results.md       the table, published numbers with their sources, leakage
  figures/         scores, tasks as lines between models, mean ranks
  runs/<task>--<model>/   run folders, each with its log next to it
```
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from crocuta.bench.cells import BASELINES, Cell, make_cells
from crocuta.bench.results import load_rows, read_rows, write_rows
from crocuta.bench.worker import work
from crocuta.errors import InputError
from crocuta.runs.claim import CONFIG, NEW, claim
from crocuta.runs.console import safe
from crocuta.runs.progress import SILENT, Progress
from crocuta.runs.saved import read_json
from crocuta.runs.workers import processes_from, threads_each


class Failure(NamedTuple):
    """A cell that did not end, and the last line of its log."""

    cell: Cell
    reason: str


class Bench(NamedTuple):
    """A benchmark's folder, its results (the lines of results.jsonl), and what failed."""

    path: Path
    rows: list[dict[str, Any]]
    failures: list[Failure]


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
    resume: bool = False,
    device: str = "auto",
    progress: Progress = SILENT,
    **options: Any,
) -> Bench:
    """Trains every model on every task with every seed.

    Args:
        tasks: names (`crocuta tasks`), files of labelled sequences, or folders with train.csv, dev.csv, test.csv.
        models: presets, or folders of pretrained models; `BASELINES` come before them.
        output: folder to fill.
        seeds: trainings of each model (deterministic baselines: one).
        data_root: folder that holds the files of named tasks.
        jobs: processes side by side, which share the processor's threads.
        baselines: False leaves them out.
        metric: "mcc", "accuracy", "f1", "auroc" or "auprc"; default each task's own, else "mcc".
        both_strands: augment with reverse complements, and predict by the mean over both strands.
        resume: go on with what is not finished; more tasks and models may be added.
        device: see `crocuta.runs.device.choose_device`.
        progress: is shown the pairs of task and model, and their scores.
        options: `max_length`, and fields of `crocuta.classification.Recipe`.

    Raises:
        InputError: an unknown task or model, missing files, or `output` may not be taken (see `crocuta.runs.claim`).
    """
    output = Path(output)
    options = {key: value for key, value in options.items() if value is not None}
    cells = plan(tasks, models, output, data_root, baselines, metric, device, options)
    common = {"seeds": seeds, "metric": metric, "both_strands": both_strands, **options}
    added = names(output, cells)
    if any(cell.kept for cell in cells):  # what a killed command was doing is kept if one of its cells is
        (output / NEW).unlink(missing_ok=True)
    with claim(output, "bench", {**common, **added}, {}, resume=resume, grows=tuple(added)) as run:
        for cell in cells:
            cell.check()
        todo = [cell for cell in cells if not cell.finished]
        done = f", {len(cells) - len(todo)} of them finished" if len(todo) < len(cells) else ""
        progress.say(f"{len(cells)} pairs of task and model{done}")
        try:
            failures = train_cells(
                todo, {**common, "device": device}, jobs, lambda: collect(cells, output), progress
            )
        finally:
            if any(cell.kept for cell in cells):
                run.keep()
        rows = collect(cells, output)
        if rows:
            from crocuta.bench.page import write_bench_report

            write_bench_report(rows, output)
        if not failures and (todo or not run.finished):
            run.asked["inputs"] = inputs_of(output)
            run.finish(range(seeds))
    return Bench(output, rows, failures)


def plan(
    tasks, models, output: Path, data_root, baselines: bool, metric, device: str, options: dict
) -> list[Cell]:
    """The cells, after all that can be known to be wrong before anything is trained."""
    from crocuta.analysis.scores import METRICS
    from crocuta.runs.device import choose_device

    if metric is not None and metric not in METRICS:
        raise InputError(f"no metric {metric!r}; expected one of {', '.join(METRICS)}")
    choose_device(device)
    wanted = [*(BASELINES if baselines else ()), *models]
    cells = make_cells(tasks, wanted, output, data_root, options)
    if not cells:
        raise InputError("give at least one `task` and one `model`")
    return cells


def names(output: Path, cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Tasks and models of all cells, of earlier commands on that folder too."""
    path = output / CONFIG
    before = read_json(path) if path.exists() else {}
    before = before if before.get("kind") == "bench" else {}
    now = {"tasks": [cell.source.name for cell in cells], "models": [cell.model for cell in cells]}
    return {key: list(dict.fromkeys([*before.get(key, []), *found])) for key, found in now.items()}


def inputs_of(output: Path) -> dict[str, list]:
    """What all cells, of earlier commands too, have read."""
    configs = [read_json(path) for path in sorted(output.glob(f"runs/*/{CONFIG}"))]
    records = [record for config in configs for found in config["inputs"].values() for record in found]
    return {record["path"]: [record] for record in records}


def estimate(
    tasks: Sequence[str],
    models: Sequence[str],
    *,
    seeds: int = 3,
    data_root: str | PathLike | None = None,
    baselines: bool = True,
    metric: str | None = None,
    device: str = "auto",
    **options: Any,
) -> Iterator[str]:
    """What `bench` would cost at most in one process: sentences for each task; see `pipelines.estimate`."""
    from crocuta.classification import pipelines

    options = {key: value for key, value in options.items() if value is not None}
    cells = plan(tasks, models, Path(), data_root, baselines, metric, device, options)
    for source in dict.fromkeys(cell.source.name for cell in cells):
        here = [cell for cell in cells if cell.source.name == source]
        wanted = [cell.model for cell in here]
        arguments = here[0].source.arguments
        for line in pipelines.estimate(wanted, seeds, arguments, device, baselines=False, **options):
            yield f"{source}: {line}"


def collect(cells: Sequence[Cell], output: Path) -> list[dict[str, Any]]:
    """Writes results.jsonl with all that has ended, in this call and earlier ones, and returns it."""
    path, asked = output / "results.jsonl", {cell.folder for cell in cells}
    earlier = load_rows(path) if path.exists() else []
    kept = [row for row in earlier if (run := output / row["run"]) not in asked and run.exists()]
    rows = kept + [row for cell in cells for row in read_rows(cell)]
    write_rows(path, rows)
    return rows


def train_cells(
    cells: Sequence[Cell], common: dict, jobs: int, collect: Callable[[], object], progress: Progress
) -> list[Failure]:
    """Trains cells in `jobs` processes; what fails does not stop the others."""
    waiting, failures, running, lock = deque(cells), [], [], Lock()
    jobs = max(1, min(jobs, len(cells)))
    workers = [Worker(threads_each(jobs)) for _ in range(jobs)]

    def lane(worker: Worker) -> None:
        while True:
            with lock:
                if not waiting:
                    return
                cell = waiting.popleft()
                running.append(cell.name)
                stage.update(note=" | ".join(running))
            failure = worker.train(cell, common)
            if worker.stopped:
                return
            with lock:
                failures.extend([failure] if failure else [])
                running.remove(cell.name)
                progress.say(sentence(cell, failure))
                stage.advance(note=" | ".join(running))
                collect()

    with (
        progress.stage("training", total=len(cells), unit="pairs") as stage,
        ThreadPoolExecutor(jobs) as pool,
    ):
        try:
            for future in [pool.submit(lane, worker) for worker in workers]:
                future.result()
        finally:  # also when interrupted: what has been trained stays
            waiting.clear()
            for worker in workers:
                worker.stop()
    for worker in workers:
        worker.close()
    return failures


def sentence(cell: Cell, failure: Failure | None) -> str:
    """What came out of a cell, as markup."""
    if failure:
        return f"{safe(cell.name):48} [bold red]failed[/], see {safe(cell.log)}"
    rows = read_rows(cell)
    values = [row["test"][row["metric"]] for row in rows]
    scores = ", ".join("–" if value is None else f"{value:.3f}" for value in values)
    seconds = sum(row["seconds"] for row in rows)
    return f"{safe(cell.name):48} test {rows[0]['metric']} [bold cyan]{scores}[/] ({seconds:.0f} s)"


class Worker:
    """A process of `crocuta.bench.worker`, started when it is needed, and again after a crash."""

    def __init__(self, threads: int):
        self.threads = threads
        self.process: BaseProcess | None = None
        self.stopped = False

    def train(self, cell: Cell, common: dict[str, Any]) -> Failure | None:
        """Trains a cell; says what went wrong if it did."""
        cell.log.parent.mkdir(parents=True, exist_ok=True)
        arguments = {
            **common, **cell.source.arguments, "models": [cell.model], "output": str(cell.folder),
        }  # fmt: skip
        answer = self.ask(str(cell.log), arguments)
        if answer == "done":
            return None
        said = cell.log.read_text().split("\n") if cell.log.exists() else []
        reason = next((line.strip() for line in reversed(said) if line.strip()), "no word")
        return Failure(cell, reason if answer else f"its process died; last word: {reason}")

    def ask(self, log: str, arguments: dict[str, Any]) -> str:
        """The process' answer, empty if it died."""
        if self.stopped:
            return ""
        if self.process is None or not self.process.is_alive():
            context = processes_from()
            self.jobs, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, self.threads), daemon=True)
            process.start()
            theirs.close()
            self.process = process
        try:
            self.jobs.send((log, arguments))
            answer = self.jobs.recv()
        except (BrokenPipeError, ConnectionResetError, EOFError):
            answer = ""
        if answer in ("", "broken") and self.process:
            self.process.kill()
            self.close()
        return answer

    def stop(self) -> None:
        self.stopped = True
        if self.process:
            self.process.terminate()

    def close(self) -> None:
        """Waits for the process, which ends where nothing more is asked."""
        if self.process:
            self.jobs.close()
            self.process.join()
            self.process = None
