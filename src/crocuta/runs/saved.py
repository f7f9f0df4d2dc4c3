"""Run folders that are there: of any kind, finished or not, of this version or of 0.1.0."""

import json
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from crocuta.errors import InputError
from crocuta.runs.manifest import describe

#: What tells a run of 0.1.0, which wrote no "kind", from the others: a key of its configuration.
OLD_KINDS = {"models": "train", "genome": "pretrain", "image_size": "lab image train", "config": "lab graph train",
             "language_model": "rag train", "panel": "ancestry train"}  # fmt: skip

#: Kinds by the name that the command had before.
RENAMED = {
    "pretraining": "pretrain", "words": "words train", "graph train": "lab graph train",
    "image train": "lab image train", "simulate tree": "tree simulate", "simulate admixture": "ancestry simulate",
}  # fmt: skip


class SavedRun:
    """Opens a finished run.

    Raises:
        InputError: `path` is no run folder, its training has not ended, or its files are damaged.
    """

    def __init__(self, path: str | PathLike, *kinds: str):
        self.path = Path(path)
        if not (self.path / "config.json").exists():
            raise InputError(f"{path}: not a run folder (no config.json)")
        if not (self.path / "metrics.json").exists():
            raise InputError(f"{path}: this run has not ended (no metrics.json); go on with it by `resume`")
        if kinds and self.kind not in kinds:
            raise InputError(f"{path}: a run of `crocuta {self.kind}`; expected one of {', '.join(kinds)}")

    @property
    def kind(self) -> str:
        """Which command made it, such as "lab graph train"."""
        if "kind" in self.config:
            kind = str(self.config["kind"])
            return RENAMED.get(kind, kind)
        known = [kind for key, kind in OLD_KINDS.items() if key in self.config]
        return known[0] if known else "another program"

    @cached_property
    def config(self) -> dict[str, Any]:
        """What was asked for."""
        return read_json(self.path / "config.json")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What came out."""
        return read_json(self.path / "metrics.json")

    @cached_property
    def inputs(self) -> dict[str, list[dict[str, Any]]]:
        """Path, digest and size of what was read, by role; 0.1.0 kept them in manifest.json, without roles."""
        if "inputs" in self.config:
            return self.config["inputs"]
        return {"data": read_json(self.path / "manifest.json")["data"]}

    def input(self, role: str, given: str | PathLike | None = None) -> Path:
        """The file or folder that the run read in a role, made sure to be the same still.

        Args:
            given: where it lies now; None: where it lay then.

        Raises:
            InputError: it is not there, or its content is another.
        """
        record = self.inputs[role][0]
        path = Path(record["path"] if given is None else given)
        if not path.exists():
            raise InputError(
                f"{path}: no such file or folder; the run {self.path} was made of it: give its place by `{role}`"
            )
        if (now := describe(path)["sha256"]) != record["sha256"]:
            raise InputError(
                f"{path}: not what the run {self.path} was made of: its content has sha256 {now[:12]}..., then it was"
                f" {record['sha256'][:12]}...; give the place of the same one by `{role}`"
            )
        return path


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a run folder.

    Raises:
        InputError: the file is missing or damaged, or is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; expected the file that a run writes") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: damaged, no JSON ({error})") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(found).__name__}")
    return found
