"""crocuta: genome models that are long-range (HyenaDNA) and hyperbolic, on a laptop, a GPU, or a cluster.

Nothing heavy is imported until it is used: `crocuta.load`, `crocuta.classification`, `crocuta.models`, ...
"""

import importlib
from typing import Any

from crocuta import _moved
from crocuta._version import __version__

SUBMODULES = (
    "analysis",
    "ancestry",
    "classification",
    "data",
    "embedding",
    "graphs",
    "manifolds",
    "models",
    "nn",
    "optim",
    "presets",
    "pretraining",
    "report",
    "retrieval",
    "testing",
    "trees",
    "variants",
    "vision",
    "words",
)

__all__ = ["__version__", "load", *SUBMODULES]


def load(name: Any) -> Any:
    """A model ready to use, from a run folder, a model folder, or by name; see `crocuta.runs.load.load`."""
    from crocuta.runs.load import load as load_model

    return load_model(name)


def __getattr__(name: str) -> Any:
    if name in SUBMODULES or name in _moved.PACKAGES:
        return importlib.import_module(f"crocuta.{name}")
    raise AttributeError(f"module 'crocuta' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


_moved.install()
