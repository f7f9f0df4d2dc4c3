"""Where a run comes from: versions, machine, command, and digests of the data."""

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
    return {"path": str(path), "sha256": sha256(path), "bytes": path.stat().st_size}


def device_name() -> str:
    """The accelerator's name, or the processor with its number of threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
