"""Sites as arrays, by which every run of ancestry knows its panel again without the cohort."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from crocuta.files import replacing
from crocuta.variants.panel import Sites

ABOUT = "about"


def site_arrays(sites: Sites) -> dict[str, np.ndarray]:
    """`position`, `cm`, and the nucleotides `ref` and `alt` as uint8 (n, longest)."""
    return {
        "position": sites.position,
        "cm": sites.cm,
        "ref": _nucleotides(sites.ref),
        "alt": _nucleotides(sites.alt),
    }


def sites_of(chromosome: str, arrays: Mapping[str, np.ndarray]) -> Sites:
    """The sites that `site_arrays` took apart."""
    ref, alt = (np.ascontiguousarray(arrays[name]) for name in ("ref", "alt"))
    return Sites(
        chromosome, arrays["position"], _texts(ref), _texts(alt), np.asarray(arrays["cm"], np.float64)
    )  # fmt: skip


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Writes arrays as safetensors, with `about` (of JSON's types) in one entry: several stand in a random order."""
    with replacing(path, "wb") as file:
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        file.write(save(whole, {ABOUT: json.dumps(about)}))


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_arrays` wrote, or 0.1.0, which had an entry for each text."""
    with safe_open(path, "numpy") as file:
        about, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return arrays, json.loads(about[ABOUT]) if ABOUT in about else about


def save_sites(path: Path, chromosomes: Sequence[Sites], build: str = "") -> None:
    """Writes the sites of all chromosomes, and the name of their reference build."""
    arrays = {
        f"{i}.{name}": array
        for i, sites in enumerate(chromosomes)
        for name, array in site_arrays(sites).items()
    }
    save_arrays(path, arrays, {"chromosomes": [sites.chromosome for sites in chromosomes], "build": build})


def load_sites(path: Path) -> tuple[list[Sites], str]:
    """What `save_sites` wrote: sites by chromosome, and the build."""
    arrays, about = load_arrays(path)
    names = about["chromosomes"]
    names = json.loads(names) if isinstance(names, str) else names  # as 0.1.0 wrote them
    fields = ("position", "cm", "ref", "alt")
    found = [
        sites_of(name, {field: arrays[f"{i}.{field}"] for field in fields}) for i, name in enumerate(names)
    ]
    return found, about["build"]


def _nucleotides(texts: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), -1)


def _texts(nucleotides: np.ndarray) -> np.ndarray:
    return nucleotides.view(f"S{nucleotides.shape[1]}")[:, 0]
