"""Results as lines of JSON: one for each task, model and seed."""

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from crocuta.bench.cells import Cell
from crocuta.errors import InputError
from crocuta.files import replacing
from crocuta.runs.saved import read_json


def read_rows(cell: Cell) -> list[dict[str, Any]]:
    """The lines of a cell, one for each seed; none while it has not ended."""
    if not cell.finished:
        return []
    metrics, config, manifest = (
        read_json(cell.folder / f"{name}.json") for name in ("metrics", "config", "manifest")
    )
    ((name, model),) = metrics["models"].items()
    headline = model["test"][metrics["metric"]]
    return [
        {
            "task": cell.source.name,
            "model": name,
            "title": model["title"],
            "kind": model["kind"],
            "seed": fit["seed"],
            "metric": metrics["metric"],
            "test": fit["test"],
            "valid": fit["valid"],
            "interval": [headline["low"], headline["high"]],  # over test sequences, of the mean over seeds
            "parameters": fit["parameters"],
            "seconds": round(fit["seconds"], 2),
            "peak_memory_mb": round(fit["peak_memory_mb"]),
            "epochs": fit["epochs"],
            "best_epoch": fit["best_epoch"],
            "recipe": config["recipe"].get(name),
            "both_strands": config["both_strands"],
            "sizes": config["sizes"],
            "policy": metrics["data"]["policy"],
            "leakage": metrics["data"]["leakage"]["statement"],
            "device": manifest["device"],
            "crocuta": manifest["crocuta"],
            "run": str(Path(cell.folder.parent.name, cell.folder.name)),
        }
        for fit in model["seeds"]
    ]


def write_rows(path: str | PathLike, rows: Sequence[dict[str, Any]]) -> None:
    """Writes JSON lines; whole or absent."""
    with replacing(path) as file:
        for row in rows:
            print(json.dumps(row, allow_nan=False), file=file)


def load_rows(path: str | PathLike) -> list[dict[str, Any]]:
    """Reads a results.jsonl.

    Raises:
        InputError: a line is not JSON.
    """
    rows = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: not JSON ({error.msg})") from None
    return rows
