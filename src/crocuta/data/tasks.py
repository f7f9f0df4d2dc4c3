"""Named tasks from local folders in the layouts in which they are published."""

from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from crocuta.data.labelled import PARTS, Labelled, Splits, label_records, listed, make_splits, set_aside
from crocuta.data.records import Header, Record, check_nucleotides, parse_header, read_records
from crocuta.data.task_table import TASKS, Task, find_task
from crocuta.data.text import open_lines
from crocuta.errors import InputError

__all__ = ["TASKS", "Task", "find_tasks", "load_task", "task_files"]


class Layout(NamedTuple):
    """Where a suite keeps its files: names of its own folder, and paths of each part, the published first.

    `{folder}` stands for `Task.folder` or an alias, `{leaf}` for its last component. `.gz` may follow.
    """

    roots: tuple[str, ...]
    parts: dict[str, tuple[str, ...]]


LAYOUTS = {
    "gue": Layout(
        ("GUE", "gue"),
        {"train": ("{folder}/train.csv",), "valid": ("{folder}/dev.csv",), "test": ("{folder}/test.csv",)},
    ),
    "genomic_benchmarks": Layout(
        ("genomic_benchmarks", ".genomic_benchmarks", "genomic_benchmark"),
        {"train": ("{folder}/train",), "test": ("{folder}/test",), "all": ("{folder}.tsv", "{folder}.csv")},
    ),
    "nucleotide_transformer": Layout(
        ("nucleotide_transformer", "nucleotide_transformer_downstream_tasks"),
        {
            part: (
                f"{{folder}}/{part}.fna",
                f"{{folder}}/{{leaf}}_{part}.fasta",
                f"{{folder}}/all_{part}_{{leaf}}.fasta",
                f"{{folder}}/{part}.csv",
            )
            for part in ("train", "test")
        },
    ),
    "teb": Layout(
        ("TEB", "teb"),
        {
            "train": ("train_{folder}.csv", "{folder}/train.csv"),
            "valid": ("valid_{folder}.csv", "{folder}/dev.csv", "{folder}/valid.csv"),
            "test": ("test_{folder}.csv", "{folder}/test.csv"),
        },
    ),
}

SUITE_FOLDERS = [layout.roots[0] for layout in LAYOUTS.values()]


def load_task(name: str, root: str | PathLike, seed: int = 0) -> Splits:
    """Reads a named task from `root`, the suite's folder or the one above it.

    Validation records that are not published are set aside from training, never taken from test; where only
    dev and test are present, dev is trained on. `Splits.policy` says what was done.

    Raises:
        InputError: no such task, missing files (each with its place), or files that cannot be read.
    """
    task, found = find_task(name), _locate(find_task(name), root)
    if "all" in found:
        splits = make_splits(found["all"], seed=seed)
        if splits.train.classes != task.classes:
            raise InputError(
                f"{found['all']}: classes {splits.train.classes}, expected {task.classes} for {name}"
            )
    else:
        splits = _load_parts(task, found, root, seed)
    return replace(splits, policy=splits.policy + _size_note(task, splits))


def task_files(name: str, root: str | PathLike) -> list[Path]:
    """The files (for Genomic Benchmarks, folders of files) that `load_task` reads."""
    return list(_locate(find_task(name), root).values())


def find_tasks(root: str | PathLike) -> dict[str, str]:
    """What is under `root`: task name to "complete", or what is missing; absent tasks are left out.

    Raises:
        InputError: `root` is not a folder.
    """
    if not Path(root).is_dir():
        raise InputError(f"{root}: no such folder; expected one that holds {' or '.join(SUITE_FOLDERS)}")
    found = {name: _locate(task, root) for name, task in TASKS.items()}
    return {name: _status(TASKS[name], parts) for name, parts in found.items() if parts}


def _status(task: Task, found: dict[str, Path]) -> str:
    missing = [part for part in LAYOUTS[task.suite].parts if part not in found and part != "all"]
    if not missing or "all" in found:
        return "complete"
    usable = "test" in found and ("train" in found or "valid" in found)
    return f"{'usable' if usable else 'incomplete'}, no {' and '.join(missing)} file"


def _locate(task: Task, root: str | PathLike) -> dict[str, Path]:
    """The parts that exist, all from one folder: the first place that has any."""
    layout = LAYOUTS[task.suite]
    for base in (*(Path(root, name) for name in layout.roots), Path(root)):
        for folder in (task.folder, *task.aliases):
            parts = {part: _first(base, folder, paths) for part, paths in layout.parts.items()}
            found = {part: path for part, path in parts.items() if path}
            if found:
                return found
    return {}


def _first(base: Path, folder: str, paths: tuple[str, ...]) -> Path | None:
    names = [path.format(folder=folder, leaf=Path(folder).name) for path in paths]
    candidates = (base / (name + ending) for name in names for ending in ("", ".gz"))
    return next((path for path in candidates if path.exists()), None)


def _load_parts(task: Task, found: dict[str, Path], root: str | PathLike, seed: int) -> Splits:
    if "test" not in found or not found.keys() & {"train", "valid"}:
        raise InputError(_missing(task, found, root))
    parts = {part: _read(task, path) for part, path in found.items()}
    policy = f"The published {listed([PARTS[part] for part in parts])} files of {task.name}."
    if "train" not in parts:
        parts["train"] = parts.pop("valid")
        policy = f"No training file of {task.name} was found: the published dev file is used for training."
    return set_aside(parts, f"{task.name} in {root}", policy, seed)


def _missing(task: Task, found: dict[str, Path], root: str | PathLike) -> str:
    if not Path(root).is_dir():
        return f"{root}: no such folder; expected one that holds {LAYOUTS[task.suite].roots[0]}/{task.folder}"
    layout = LAYOUTS[task.suite]
    base = next((Path(root, name) for name in layout.roots if Path(root, name).is_dir()), Path(root))
    leaf = Path(task.folder).name
    places = {
        part: str(base / paths[0].format(folder=task.folder, leaf=leaf))
        for part, paths in layout.parts.items()
        if part not in found and part != "all"
    }
    if task.suite == "genomic_benchmarks":
        places = {part: f"{place}/{{{','.join(task.classes)}}}/*.txt" for part, place in places.items()}
    return f"{task.name}: missing {', '.join(places.values())} (or .gz); get them from {task.source}"


def _read(task: Task, path: Path) -> Labelled:
    if path.is_dir():
        return label_records(_read_folder(path), str(path), task.classes)
    header = _last_field if task.suite == "nucleotide_transformer" else parse_header
    return label_records(read_records(path, header), str(path), task.classes)


def _last_field(text: str) -> Header:
    """The Nucleotide Transformer's headers: `name|label`."""
    name, bar, label = text.rpartition("|")
    return Header(name.strip(), label.strip()) if bar else parse_header(text)


def _read_folder(path: Path) -> Iterator[Record]:
    """Genomic Benchmarks' folders: `<class>/<number>.txt`, one bare sequence each, in an order of names."""
    classes = sorted(folder for folder in path.iterdir() if folder.is_dir())
    if not classes:
        raise InputError(f"{path}: is empty; expected a folder of .txt files for each class")
    for folder in classes:
        for file in sorted(folder.glob("*.txt")):
            with open_lines(file) as lines:
                sequence = "".join(line.text.strip() for line in lines)
            if not sequence:
                raise InputError(f"{file}: the sequence is blank; give its nucleotides or delete the file")
            check_nucleotides(sequence, file, 1)
            yield Record(f"{folder.name}/{file.stem}", sequence, folder.name)


def _size_note(task: Task, splits: Splits) -> str:
    """A sentence when the copy on disk does not have as many records as were published."""
    here, published = sum(len(part) for part in (splits.train, splits.valid, splits.test)), sum(task.sizes)
    return "" if here == published else f" This copy has {here:,} records, the published one {published:,}."
