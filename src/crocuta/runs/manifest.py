"""Where a run comes from: versions, machine, command, and digests of every input's content."""

import hashlib
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from crocuta._version import __version__
from crocuta.errors import InputError
from crocuta.files import sha256

LIBRARIES = ("torch", "transformers", "numpy", "scikit-learn")
#: Fields of a run's files that may differ between two runs of one command: what is compared leaves them out.
VOLATILE = ("created", "command", "seconds", "cpu_seconds", "peak_memory_mb", "milliseconds_per_epoch",
            "tokens_per_second", "path")  # fmt: skip

Inputs = Mapping[str, str | PathLike | Sequence[str | PathLike] | None]


def manifest(inputs: Sequence[Mapping[str, Any] | Path], seeds: Sequence[int]) -> dict[str, Any]:
    """Everything needed to repeat a run that the configuration does not hold; `inputs` as `describe` gives them."""
    return {
        "crocuta": __version__,
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
        "platform": platform.platform(),
        "device": device_name(),
        "command": shlex.join(Path(arg).name if i == 0 else arg for i, arg in enumerate(sys.argv)),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seeds": list(seeds),
        "data": [dict(found) if isinstance(found, Mapping) else describe(found) for found in inputs],
    }


def describe_inputs(inputs: Inputs) -> dict[str, list[dict[str, Any]]]:
    """Digests by role: `{"data": "a.csv", "test": None}` gives the record of a.csv under "data"."""
    found = {}
    for role, paths in inputs.items():
        if paths is not None:
            several = [paths] if isinstance(paths, str | PathLike) else list(paths)
            found[role] = [describe(Path(path)) for path in several]
    return found


def describe(path: Path) -> dict[str, Any]:
    """Path, digest of the content, and size of a file; of a folder, those of all its files and their names in it.

    Raises:
        InputError: there is no such file or folder.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not path.is_dir():
        return {"path": str(path), "sha256": _known(path), "bytes": path.stat().st_size}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {"path": str(path), "sha256": _digest(path, files), "bytes": sum(f.stat().st_size for f in files)}


def _digest(folder: Path, files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.relative_to(folder).as_posix()}\0{_known(file)}\n".encode())
    return whole.hexdigest()


_digests: dict[tuple, str] = {}


def _known(path: Path) -> str:
    """The digest of a file, read once in a process as long as the file is not touched."""
    if not path.is_file():  # a pipe has no content that could be read twice
        return ""
    about = path.stat()
    key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    if key not in _digests:
        _digests[key] = sha256(path)
    return _digests[key]


def device_name() -> str:
    """The accelerator's name, or the processor with its number of threads."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
