"""The cells of a benchmark: one model on one task, all its seeds, in a run folder of its own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from crocuta.data.tasks import TASKS, find_task, load_task, task_files
from crocuta.errors import InputError
from crocuta.runs.claim import CONFIG, MANIFEST, NEW, check_inputs
from crocuta.runs.manifest import Inputs, describe_inputs
from crocuta.runs.saved import read_json

#: Beside the models of every benchmark, cheapest first.
BASELINES = ("majority", "length", "kmer-lr", "kmer-trees", "cnn")
PARTS = {"data": "train.csv", "valid": "dev.csv", "test": "test.csv"}


@dataclass(frozen=True)
class TaskSource:
    """A task: its name, and where its sequences are, as arguments of `crocuta.classification.pipelines.train`."""

    name: str
    arguments: dict[str, str]
    inputs: Inputs


@dataclass(frozen=True)
class Cell:
    """One model on one task."""

    source: TaskSource
    model: str
    title: str
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.source.name}: {self.title}"

    @property
    def log(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def inputs(self) -> Inputs:
        """What it reads, by role."""
        return {**self.source.inputs, "model": self.model if Path(self.model).is_dir() else None}

    @property
    def kept(self) -> bool:
        """Whether it has anything to go on from."""
        return (self.folder / CONFIG).exists() and not (self.folder / NEW).exists()

    @property
    def finished(self) -> bool:
        """Whether its run has ended."""
        return (self.folder / MANIFEST).exists()

    def check(self) -> None:
        """Raises InputError where it began with other files than there are now."""
        if self.kept:
            check_inputs(self.folder, read_json(self.folder / CONFIG)["inputs"], describe_inputs(self.inputs))


def find_source(task: str, data_root: str | PathLike | None = None) -> TaskSource:
    """A named task; or a file of labelled sequences; or a folder with train.csv, test.csv and perhaps dev.csv.

    Raises:
        InputError: it is none of them, or its files are missing.
    """
    path = Path(task)
    if task in TASKS:
        if data_root is None:
            raise InputError(f"`task` {task} needs `data_root`, the folder that holds the task's files")
        files = task_files(task, data_root)
        if not files:
            load_task(task, data_root)  # says what is missing, and where
        return TaskSource(task, {"task": task, "data_root": str(data_root)}, {"data": files})
    if path.is_dir():
        parts = {part: path / name for part, name in PARTS.items() if (path / name).exists()}
        if not {"data", "test"} <= parts.keys():
            raise InputError(f"{path}: expected train.csv and test.csv (and dev.csv) in that folder")
        return TaskSource(path.resolve().name, {part: str(p) for part, p in parts.items()}, parts)
    if path.is_file():
        return TaskSource(path.name.removesuffix(".gz").rpartition(".")[0], {"data": task}, {"data": path})
    if path.suffix or path.is_absolute():
        raise InputError(f"{task}: no such file")
    find_task(task)  # says which names are near
    raise AssertionError(task)


def make_cells(
    tasks: Sequence[str],
    models: Sequence[str],
    output: Path,
    data_root: str | PathLike | None,
    options: dict[str, Any],
) -> list[Cell]:
    """All cells, model by model: cheap ones first, so that there is something to see soon.

    Raises:
        InputError: an unknown task or model, or two of one name.
    """
    from crocuta.classification.pipelines import entry

    sources = [find_source(task, data_root) for task in dict.fromkeys(tasks)]
    changes = {key: value for key, value in options.items() if key != "max_length"}
    entries = {model: entry(model, 100, changes) for model in dict.fromkeys(models)}
    unique("tasks", [source.name for source in sources])
    unique("models", [found.name for found in entries.values()])
    return [
        Cell(
            source, model, found.title, output / "runs" / f"{cell_slug(source.name)}--{cell_slug(found.name)}"
        )
        for model, found in entries.items()
        for source in sources
    ]


def unique(what: str, names: Sequence[str]) -> None:
    """Folders and columns are called after them."""
    slugs = [cell_slug(name) for name in names]
    for name, short in zip(names, slugs, strict=True):
        if slugs.count(short) > 1:
            raise InputError(f"two {what} are called {name!r}; rename a file or folder")


def cell_slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
