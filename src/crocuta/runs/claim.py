"""Who may write to an output: one rule for every command that fills a folder or makes a file.

New or empty: taken. Finished: refused, with the way out. Unfinished: goes on with `resume`. Other data or settings
under `resume`: an error that names the file or the setting and both values. Not made by crocuta: never touched.
Two commands at once: the second is refused. Nothing worth keeping yet: a failed or killed first try leaves nothing.

A folder keeps `config.json` from the beginning and `manifest.json` from its end. A file is made in `FILE.parts/`,
which goes when the file is whole; what was asked for it lies in `FILE.manifest.json`.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from crocuta.errors import InputError
from crocuta.files import PARTIAL, remove, write_json
from crocuta.runs._lock import Lock
from crocuta.runs.manifest import Inputs, describe_inputs, manifest
from crocuta.runs.saved import RENAMED, read_json

CONFIG, MANIFEST = "config.json", "manifest.json"
NEW = ".new"  # in a folder that holds nothing worth keeping yet
WAY_OUT = "choose another `output`"


@dataclass(frozen=True)
class Claim:
    """An output that is ours, until the block ends.

    Attributes:
        output: what was asked for: a folder, or a file.
        folder: where work lies: the folder itself, or the parts of the file.
        finished: everything was done by an earlier command that asked for the same.
    """

    output: Path
    folder: Path
    asked: dict[str, Any]
    finished: bool
    main: bool = True

    @property
    def target(self) -> Path:
        """The file to write, which `finish` moves to its place."""
        return self.folder / self.output.name

    def keep(self) -> None:
        """Says that the folder now holds something to go on from; until then an error empties it."""
        if self.main:
            (self.folder / NEW).unlink(missing_ok=True)

    def drop(self) -> None:
        """Takes `keep` back, where going on would meet the same error again: it empties the folder then."""
        if self.main:
            (self.folder / NEW).touch()

    def finish(self, seeds: Sequence[int] = ()) -> None:
        """Writes the manifest, which makes the run a finished one, and moves a file to its place."""
        if not self.main:
            return
        inputs = [record for records in self.asked["inputs"].values() for record in records]
        said = manifest(inputs, seeds)
        self.keep()
        if self.folder == self.output:
            write_json(self.output / MANIFEST, said)
            return
        write_json(sidecar(self.output), {**said, "config": self.asked})
        os.replace(self.target, self.output)
        remove(self.folder)


@contextmanager
def claim(
    output: str | PathLike,
    kind: str,
    settings: Mapping[str, Any],
    inputs: Inputs,
    *,
    resume: bool = False,
    grows: Collection[str] = (),
    file: bool = False,
    main: bool = True,
    record: str = CONFIG,
) -> Iterator[Claim]:
    """Makes an output this command's own for as long as the block lasts.

    Args:
        output: folder to fill, or file to make.
        kind: which command fills it, such as "lab graph train": another kind's folder is refused.
        settings: all that decides what comes out, of JSON's types, dataclasses as dictionaries; not what only decides
            how fast (numbers of processes, devices, minutes between checkpoints).
        inputs: every file or folder that is read, by its role (None: not given); their contents are compared.
        resume: go on with an unfinished run of the same settings and inputs; a finished one is `finished`.
        grows: settings that a finished run may be given more of, such as seeds: it is unfinished then.
        file: `output` is a file.
        main: False in all but the first of several processes, which wait for the first themselves (or use
            `crocuta.runs.processes.claim_together`).
        record: where a folder keeps what was asked for; another name where `config.json` is a model's own.

    Raises:
        InputError: the output may not be taken; see the module's docstring.
    """
    output = Path(output)
    asked = json.loads(json.dumps({"kind": kind, **settings, "inputs": describe_inputs(inputs)}))
    folder = output.with_name(f"{output.name}.parts") if file else output
    if not main:
        yield Claim(output, folder, asked, finished=False, main=False)
        return
    if (output.is_dir() if file else output.exists() and not output.is_dir()) or output.is_symlink():
        raise InputError(
            f"{output}: expected {'a file' if file else 'a folder'} there, or nothing; {WAY_OUT}"
        )
    new = [path for path in (output, *output.parents) if not path.exists()]
    lock = Lock(output)
    try:
        yield from _claimed(output, folder, asked, resume, grows, record)
    finally:
        lock.release()
        for path in new:  # folders that were made for the lock alone
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _claimed(
    output: Path, folder: Path, asked: dict[str, Any], resume: bool, grows: Collection[str], record: str
) -> Iterator[Claim]:
    _remove_leftovers(output, folder, record)
    finished = _check(output, folder, asked, resume, grows, record)
    if not finished:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        if not (folder / record).exists():
            (folder / NEW).touch()
        write_json(folder / record, asked)
    try:
        yield Claim(output, folder, asked, finished)
    except BaseException:
        if (folder / NEW).exists():
            _empty(folder)
        raise


def sidecar(output: Path) -> Path:
    """Where what was asked for a file is kept."""
    return output.with_name(f"{output.name}.{MANIFEST}")


def _check(
    output: Path, folder: Path, asked: dict, resume: bool, grows: Collection[str], record: str
) -> bool:
    """Whether all is done already; raises InputError where the output may not be taken."""
    if folder != output and output.exists():
        if not sidecar(output).exists():
            raise InputError(
                f"{output}: exists, and crocuta has no record of making it; {WAY_OUT}, or remove it"
            )
        before = read_json(sidecar(output)).get("config", {})
        if not resume:
            raise InputError(f"{output}: exists already; {WAY_OUT}, or remove it")
        _check_same(output, before, asked, grows)
        remove(folder)
        return True
    if (
        folder.exists() and (folder / NEW).exists()
    ):  # an earlier command was killed before it had anything to keep
        _empty(folder)
    if not folder.exists() or not any(folder.iterdir()):
        return False
    if not (folder / record).exists():
        raise InputError(f"{folder}: not empty, and crocuta did not make it; {WAY_OUT}")
    before = read_json(folder / record)
    if "kind" not in before:
        raise InputError(f"{folder}: holds a run that crocuta 0.1.0 or another program made; {WAY_OUT}")
    before["kind"] = RENAMED.get(before["kind"], before["kind"])
    finished = folder == output and (folder / MANIFEST).exists()
    if not resume:
        state = "a finished run" if finished else "an unfinished run"
        raise InputError(f"{folder}: holds {state} already; go on with it by `resume`, or {WAY_OUT}")
    _check_same(folder, before, asked, grows)
    return finished and all(before.get(key) == asked.get(key) for key in grows)


def _check_same(output: Path, before: Any, now: Any, grows: Collection[str], name: str = "") -> None:
    """Raises InputError at the first input or setting that differs from those that a run began with.

    Inputs come first: where a file has changed, so have settings that follow from it.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        if not name:
            check_inputs(output, before.get("inputs", {}), now.get("inputs", {}))
        for key in dict.fromkeys((*before, *now)):
            if name or key != "inputs":
                _check_same(output, before.get(key), now.get(key), grows, f"{name}.{key}" if name else key)
    elif before != now and name not in grows:
        raise InputError(
            f"{output}: cannot go on: it began with {name} = {_short(before)}, now it is {_short(now)}; repeat the"
            f" first command, or {WAY_OUT}"
        )


def check_inputs(output: Path, before: dict[str, list], now: dict[str, list]) -> None:
    """Raises InputError at the first role whose files (`describe_inputs`) have not the contents that they had."""
    for role in dict.fromkeys((*before, *now)):
        old, new = before.get(role, []), now.get(role, [])
        if [record["sha256"] for record in old] == [record["sha256"] for record in new]:
            continue
        changed = next(
            (pair for pair in zip(old, new, strict=False) if pair[0]["sha256"] != pair[1]["sha256"]), None
        )
        if changed and changed[0]["path"] == changed[1]["path"]:
            found = f"{changed[1]['path']} ({role}) has changed since (sha256 {{}}, now {{}})"
            found = found.format(*(record["sha256"][:12] for record in changed))
        else:
            found = f"it began with {role} = {_paths(old)}, now it is {_paths(new)}"
        raise InputError(f"{output}: cannot go on: {found}; give what it began with, or {WAY_OUT}")


def _paths(records: list[dict[str, Any]]) -> str:
    return ", ".join(f"{record['path']} (sha256 {record['sha256'][:12]})" for record in records) or "nothing"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _remove_leftovers(output: Path, folder: Path, record: str) -> None:
    """What killed commands were writing: nobody else can be, while the lock is ours."""
    beside = output.parent.glob(f".{glob_escape(output.name[:100])}.*{PARTIAL}")
    inside = folder.rglob(f".*{PARTIAL}") if (folder / record).exists() else ()
    for path in [*beside, *inside]:
        remove(path)


def glob_escape(name: str) -> str:
    """A name as a pattern that means itself."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _empty(folder: Path) -> None:
    """Removes all that a command has put into a folder that was new or empty before it."""
    for path in folder.iterdir():
        if path.name != NEW:
            remove(path)
    (folder / NEW).unlink(missing_ok=True)  # last: killed on the way, the folder still says what it is
    folder.rmdir()
