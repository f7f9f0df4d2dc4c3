"""Where a run comes from: versions, machine, command, and digests of the data."""

import hashlib
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from crocuta._version import __version__
from crocuta.files import sha256

LIBRARIES = ("torch", "transformers", "numpy", "scikit-learn")


def manifest(data_files: Sequence[Path], seeds: Sequence[int]) -> dict[str, Any]:
    """Everything needed to repeat a run that the configuration does not hold."""
    return {
        "crocuta": __version__,
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
        "platform": platform.platform(),
        "device": device_name(),
        "command": " ".join(Path(arg).name if i == 0 else arg for i, arg in enumerate(sys.argv)),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seeds": list(seeds),
        "data": [describe(path) for path in data_files],
    }


def describe(path: Path) -> dict[str, Any]:
    """Name, digest and size of a file; of a folder, those of its files taken together in the order of their names."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    digests = [sha256(file) for file in files]
    digest = digests[0] if path.is_file() else hashlib.sha256("".join(digests).encode()).hexdigest()
    return {"path": str(path), "sha256": digest, "bytes": sum(file.stat().st_size for file in files)}


def device_name() -> str:
    """The accelerator's name, or the processor with its number of threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
