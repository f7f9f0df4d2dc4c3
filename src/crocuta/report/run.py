"""A finished run, read from its folder and from nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.errors import InputError
from crocuta.runs.saved import SavedRun, read_json


@dataclass(frozen=True)
class ReportedRun:
    """What a run folder says.

    `labels` are `(n,)` class indices or, for multi-label, `(n, classes)` zeros and ones; `probabilities`
    holds for each model one array `(n, classes)` per seed, rows in the order of `names`.
    """

    name: str
    config: dict[str, Any]
    manifest: dict[str, Any]
    metrics: dict[str, Any]
    names: list[str]
    labels: np.ndarray
    probabilities: dict[str, list[np.ndarray]]

    @property
    def classes(self) -> list[str]:
        return self.metrics["classes"]

    @property
    def metric(self) -> str:
        """The headline metric."""
        return self.metrics["metric"]

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        return self.metrics["models"]

    @property
    def task(self) -> str:
        """The task's name, or the folder's when the data were the user's own."""
        return self.config.get("task") or self.name

    def title(self, model: str) -> str:
        return self.models[model]["title"]

    def value(self, model: str, statistic: str = "mean", metric: str | None = None) -> float:
        """A test-set aggregate (mean, sd, low, high) of the headline or another metric; NaN if undefined."""
        value = self.models[model]["test"].get(metric or self.metric, {}).get(statistic)
        return float("nan") if value is None else value

    def best(self, kind: str) -> str | None:
        """The model or baseline with the highest mean of the headline metric."""
        names = [name for name, model in self.models.items() if model["kind"] == kind]
        defined = [name for name in names if np.isfinite(self.value(name))]
        return max(defined, key=self.value, default=names[0] if names else None)

    @property
    def lead(self) -> str:
        """What the run is about: its best model, or best baseline if it has nothing else."""
        return self.best("model") or self.best("baseline") or next(iter(self.models))


def read_reported_run(folder: Path) -> ReportedRun:
    """Reads a run folder.

    Raises:
        InputError: a file is missing or is not what a run leaves behind.
    """
    folder = Path(folder)
    saved = SavedRun(folder)
    config, metrics, manifest = saved.config, saved.metrics, read_json(folder / "manifest.json")
    for key in ("classes", "problem", "metric", "data", "models"):
        if key not in metrics:
            raise InputError(f"{folder / 'metrics.json'}: no {key!r}; expected the file that a run writes")
    if not metrics["models"]:
        raise InputError(f"{folder / 'metrics.json'}: no model; nothing to report")
    path = folder / "predictions.tsv"
    names, labels, probabilities = _predictions(path, metrics["classes"], metrics["problem"] == "multi_label")
    for model in metrics["models"]:
        if model not in probabilities:
            raise InputError(f"{path}: no predictions of {model!r}, which metrics.json lists")
    return ReportedRun(folder.resolve().name, config, manifest, metrics, names, labels, probabilities)


def _predictions(
    path: Path, classes: list[str], multi_label: bool
) -> tuple[list[str], np.ndarray, dict[str, list[np.ndarray]]]:
    names: dict[tuple[str, str], list[str]] = {}
    labels: dict[tuple[str, str], list[str]] = {}
    values: dict[tuple[str, str], list[list[float]]] = {}
    for name, label, model, seed, row in _rows(path, classes):
        names.setdefault((model, seed), []).append(name)
        labels.setdefault((model, seed), []).append(label)
        values.setdefault((model, seed), []).append(row)
    if not names:
        raise InputError(f"{path}: no predictions")
    first = next(iter(names))
    for key in names:
        if names[key] != names[first] or labels[key] != labels[first]:
            raise InputError(
                f"{path}: {key[0]} seed {key[1]} has other sequences than {first[0]} seed {first[1]}"
            )
    probabilities: dict[str, list[np.ndarray]] = {}
    for (model, _), rows in values.items():
        probabilities.setdefault(model, []).append(np.array(rows))
    return names[first], _labels(path, labels[first], classes, multi_label), probabilities


def _rows(path: Path, classes: list[str]) -> Iterator[tuple[str, str, str, str, list[float]]]:
    expected = ["name", "label", "model", "seed", "predicted", *(f"p({name})" for name in classes)]
    try:
        file = path.open(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: missing; a report needs the folder of a finished run") from None
    with file:
        header = file.readline().rstrip("\n").split("\t")
        if header != expected:
            raise InputError(f"{path}: columns are {', '.join(header)}; expected {', '.join(expected)}")
        for number, line in enumerate(file, 2):
            fields = line.rstrip("\n").split("\t")
            try:
                probabilities = [float(value) for value in fields[5:]]
            except ValueError:
                probabilities = []
            if len(probabilities) != len(classes):
                raise InputError(
                    f"{path}, line {number}: expected {len(expected)} columns with numbers from the 6th on,"
                    f" found {len(fields)}: {line[:60].rstrip()!r}"
                )
            name, label, model, seed = fields[:4]
            yield name, label, model, seed, probabilities


def _labels(path: Path, labels: list[str], classes: list[str], multi_label: bool) -> np.ndarray:
    """Class names to indices, or for multi-label names joined by `;` to zeros and ones."""
    index = {name: k for k, name in enumerate(classes)}
    try:
        if not multi_label:
            return np.array([index[label] for label in labels])
        members = np.zeros((len(labels), len(classes)), dtype=np.int64)
        for row, label in enumerate(labels):
            members[row, [index[name] for name in label.split(";") if name]] = 1
        return members
    except KeyError as error:
        raise InputError(f"{path}: label {error} is none of the classes {', '.join(classes)}") from None
