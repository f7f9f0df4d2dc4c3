"""What this machine offers, what is missing, and how to get it."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

import psutil

EXTRAS = {
    "umap-learn": ("map", "UMAP maps of embeddings"),
    "msprime": ("simulate", "simulated cohorts"),
    "faiss-cpu": ("retrieval", "fast retrieval"),
    "torch_geometric": ("graph", "PyTorch Geometric data"),
}


class Finding(NamedTuple):
    """One line of the examination; `advice` is empty where all is well."""

    what: str
    found: str
    advice: str


def examine() -> Iterator[Finding]:
    """Device, memory, presets, installed libraries and optional ones."""
    import torch

    yield Finding("crocuta", version("crocuta"), "")
    yield Finding("python", platform.python_version(), "")
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        yield Finding(
            "accelerator",
            f"{torch.cuda.get_device_name()}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free",
            "",
        )
    else:
        yield Finding(
            "accelerator", "none", "fine for short sequences; for long ones install a CUDA build of torch"
        )
    memory = psutil.virtual_memory()
    yield Finding("processor", f"{platform.machine()}, {torch.get_num_threads()} threads", "")
    yield Finding("memory", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free", "")
    for library in dependencies():
        yield library_finding(library, "pip install --upgrade crocuta")
    for library, (extra, purpose) in EXTRAS.items():
        yield library_finding(library, f"for {purpose}: pip install 'crocuta[{extra}]'")


def dependencies() -> list[str]:
    """Names of the libraries that crocuta itself requires here."""
    from packaging.requirements import Requirement

    parsed = [Requirement(line) for line in requires("crocuta") or ()]
    return [r.name for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]


def library_finding(library: str, advice: str) -> Finding:
    try:
        return Finding(library, version(library), "")
    except PackageNotFoundError:
        return Finding(library, "missing", advice)
