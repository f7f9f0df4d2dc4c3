"""crocuta: genome models that are long-range (HyenaDNA) and hyperbolic, on a laptop, a GPU, or a cluster.

Nothing heavy is imported until it is used: `crocuta.load`, `crocuta.train`, `crocuta.models`, ...
"""

import importlib
from typing import Any

from crocuta._version import __version__

SUBMODULES = (
    "analysis",
    "data",
    "manifolds",
    "models",
    "nn",
    "optim",
    "presets",
    "report",
    "testing",
    "train",
)

__all__ = ["__version__", "load", *SUBMODULES]


def load(name: Any) -> Any:
    """A model ready to use, from a run folder, a model folder, or by name; see `crocuta.presets.load`."""
    from crocuta import presets

    return presets.load(name)


def __getattr__(name: str) -> Any:
    if name in SUBMODULES:
        return importlib.import_module(f"crocuta.{name}")
    raise AttributeError(f"module 'crocuta' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
