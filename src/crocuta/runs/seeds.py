"""Trainings over several seeds: the run folder that they fill, and the scores of all.

```
run/
  config.json       what was asked, and digests of all that was read
  manifest.json     where it was done: versions, machine, command
  metrics.json      scores of every seed, mean and standard deviation
  predictions.tsv   of what was held out, by every seed
  models/seed-0/    the model of the best epoch on validation; fit.json: its scores and history
```
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crocuta.analysis.bootstrap import mean_sd
from crocuta.files import follow_umask, replacing, write_json
from crocuta.runs.checkpoint import remove_checkpoint
from crocuta.runs.claim import Claim, claim
from crocuta.runs.loop import Course, Fitted, Learner, fit
from crocuta.runs.manifest import Inputs
from crocuta.runs.progress import SILENT, Progress, Stage
from crocuta.runs.saved import SavedRun, read_json

FIT, PREDICTIONS = "fit.json", "predictions.tsv"


class Trainings:
    """What is trained over seeds into a run folder; `settings` and `inputs` are those of `crocuta.runs.claim`."""

    kind: str
    unit: str
    settings: dict[str, Any]
    inputs: Inputs
    seeds: int

    def begin(self, run: Claim, progress: Progress) -> None:
        """Reads the data, and does what comes before the first seed."""

    def train(self, seed: int, folder: Path, stage: Stage, keep: Callable[[], object]) -> dict[str, Any]:
        """Trains a seed, writes its model and its predictions of the test part, and returns its scores by part."""
        raise NotImplementedError

    def about(self, fits: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What metrics.json says in addition to the scores."""
        raise NotImplementedError


def train_seeds(
    what: Trainings, output: str | PathLike, *, resume: bool = False, progress: Progress = SILENT
) -> dict[str, Any]:
    """Trains every seed that is not there yet, writes the run folder, and returns its metrics.

    Raises:
        InputError: the folder may not be taken (see `crocuta.runs.claim`), or the data or the settings do not fit.
    """
    settings = {**what.settings, "seeds": what.seeds}
    with claim(output, what.kind, settings, what.inputs, resume=resume, grows=("seeds",)) as run:
        if run.finished:
            return read_json(run.folder / "metrics.json")
        what.begin(run, progress)
        fits = [_trained(what, seed, run, progress) for seed in range(what.seeds)]
        metrics = {**what.about(fits), **mean_over_seeds(fits), "seeds": fits}
        _join(
            [seed_folder(run.folder, seed) / PREDICTIONS for seed in range(what.seeds)],
            run.folder / PREDICTIONS,
        )
        write_json(run.folder / "metrics.json", metrics)
        run.finish(range(what.seeds))
    return metrics


def _trained(what: Trainings, seed: int, run: Claim, progress: Progress) -> dict[str, Any]:
    folder = seed_folder(run.folder, seed)
    if not (folder / FIT).exists():
        with progress.stage(f"seed {seed}", unit=what.unit) as stage:
            found = what.train(seed, folder, stage, run.keep)
        follow_umask(folder)
        write_json(folder / FIT, found)
        remove_checkpoint(folder)
        run.keep()
    return read_json(folder / FIT)


def learn(
    model: Any,
    optimizer: torch.optim.Optimizer,
    learner: Learner,
    course: Course,
    epoch: int = 1,
    **options: Any,
) -> dict[str, Any]:
    """`crocuta.runs.loop.fit`, counted in epochs of this many steps."""
    fitted: Fitted = fit(model, optimizer, learner, course, **options)
    history = [{"epoch": entry["step"] // epoch, **entry} for entry in fitted.history]
    return {
        "best_epoch": fitted.best_step // epoch,
        "epochs": fitted.step // epoch,
        "seconds": fitted.seconds,
        "cpu_seconds": fitted.cpu_seconds,
        "peak_memory_mb": fitted.peak_memory_mb,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "history": [{key: value for key, value in entry.items() if key != "step"} for entry in history],
    }


def mean_over_seeds(fits: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation (None of one seed) of every score of "valid" and of "test", where there is one."""
    return {part: spread([fit[part] for fit in fits]) for part in ("valid", "test") if part in fits[0]}


def spread(scores: Sequence[dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation of scores that several seeds have."""
    found = {}
    for name in scores[0]:
        mean, sd = mean_sd([each[name] for each in scores])
        found[name] = {"mean": mean, "sd": sd if math.isfinite(sd) else None}
    return found


def seed_folder(run: Path, seed: int) -> Path:
    """Where the model of a seed lies."""
    return run / "models" / f"seed-{seed}"


def seeds_of(run: SavedRun) -> list[Path]:
    """The folders of a run's models, by seed."""
    return [seed_folder(run.path, fit["seed"]) for fit in run.metrics["seeds"]]


def mean_and_sd(found: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Over seeds; the standard deviation is NaN where there is one."""
    stacked = np.stack(found)
    return stacked.mean(0), stacked.std(0, ddof=1) if len(stacked) > 1 else np.full(stacked.shape[1:], np.nan)


def write_table(path: str | PathLike, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Writes a tab-separated table, whole or not at all; returns its number of rows."""
    count = 0
    with replacing(path) as file:
        file.write("\t".join(map(_cell, columns)) + "\n")
        for row in rows:
            file.write("\t".join(map(_cell, row)) + "\n")
            count += 1
    return count


def _cell(value: Any) -> str:
    """Numbers to six digits; a name that holds a tab or a line's end would break the table."""
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    return str(value).replace("\t", " ").replace("\n", " ").replace("\r", " ")


def class_rows(
    names: Sequence[str], labels: Sequence[str], model: str, seed: int, classes: Sequence[str], p: np.ndarray
) -> Iterable[list[Any]]:
    """Rows of predicted classes, as every run's predictions.tsv has them; see `class_columns`."""
    for name, label, each in zip(names, labels, p, strict=True):
        yield [name, label, model, seed, classes[int(each.argmax())], *each]


def class_columns(classes: Sequence[str]) -> list[str]:
    """The columns of `class_rows`."""
    return ["name", "label", "model", "seed", "predicted", *(f"p({name})" for name in classes)]


def _join(parts: Sequence[Path], path: Path) -> None:
    """The tables of all seeds, one below the other."""
    with replacing(path) as file:
        for i, part in enumerate(parts):
            lines = part.read_text(encoding="utf-8").splitlines(keepends=True)
            file.writelines(lines if i == 0 else lines[1:])
