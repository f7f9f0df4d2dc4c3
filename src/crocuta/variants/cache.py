"""A cohort's haplotypes as bits in mapped memory: a window of a person in microseconds."""

import json
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.errors import InputError
from crocuta.files import file_name, remove, replacing_path, write_json
from crocuta.variants.panel import MISSING, Panel, Samples, Sites
from crocuta.variants.store import FIELDS, Cohort, Haplotypes

SITE_FIELDS = ("position", "ref", "alt", "cm")
MANIFEST = "manifest.json"


class PackedCohort(Haplotypes):
    """A folder that `pack` made; it needs no store beside it, and may be sent to other processes.

    One bit for an alternative allele, eight sites in a byte; a second bit for a missing one where any is.

    Raises:
        InputError: the folder is none of these.
    """

    def __init__(self, folder: str | PathLike) -> None:
        self.folder = Path(folder)
        try:
            self.manifest = json.loads((self.folder / MANIFEST).read_text())
        except OSError as error:
            raise InputError(f"{self.folder}: no {MANIFEST}; expected a folder that pack made") from error
        self.samples = Samples(*(np.array(self.manifest["samples"][field], dtype=str) for field in FIELDS))
        self.chromosomes = tuple(self.manifest["phased"])
        self.build = self.manifest["build"]
        self._open()

    def _open(self) -> None:
        self._bits: dict[str, list[np.ndarray]] = {}
        self.sites = lru_cache(maxsize=None)(self._sites)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("folder", "manifest", "samples", "chromosomes", "build")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _sites(self, chromosome: str) -> Sites:
        name = self.name_of(chromosome)
        return Sites(name, *(np.load(_file(self.folder, name, field)) for field in SITE_FIELDS))

    def is_phased(self, chromosome: str) -> bool:
        return self.manifest["phased"][self.name_of(chromosome)]

    def read(self, person: int, chromosome: str, start: int, stop: int) -> np.ndarray:
        bits = self._bits.get(chromosome) or self._map(chromosome)
        first = start // 8
        window = slice(start - 8 * first, stop - 8 * first)
        allele = np.unpackbits(bits[0][person, :, first : (stop + 7) // 8], axis=1)[:, window]
        if len(bits) > 1:
            missing = np.unpackbits(bits[1][person, :, first : (stop + 7) // 8], axis=1)[:, window]
            allele = allele + MISSING * missing
        return allele

    def _map(self, chromosome: str) -> list[np.ndarray]:
        name = self.name_of(chromosome)
        paths = [_file(self.folder, name, kind) for kind in ("alternative", "missing")]
        self._bits[chromosome] = [np.load(path, mmap_mode="r") for path in paths if path.exists()]
        return self._bits[chromosome]


class PanelCohort(Haplotypes):
    """Panels of the same individuals in memory, one for each chromosome, in the place of a store."""

    def __init__(self, panels: list[Panel], build: str = "") -> None:
        self.panels = {panel.sites.chromosome: panel for panel in panels}
        self.samples = panels[0].samples
        self.chromosomes = tuple(self.panels)
        self.build = build

    def sites(self, chromosome: str) -> Sites:
        return self.panels[self.name_of(chromosome)].sites

    def is_phased(self, chromosome: str) -> bool:
        return self.panels[self.name_of(chromosome)].phased

    def read(self, person: int, chromosome: str, start: int, stop: int) -> np.ndarray:
        return self.panels[self.name_of(chromosome)].allele[person, :, start:stop]


def pack(cohort: Cohort, folder: str | PathLike | None = None) -> PackedCohort:
    """The cohort's haplotypes as bits in a folder, made now unless it holds them already.

    Args:
        folder: default beside the store, its name with `.packed`.

    Raises:
        InputError: the folder holds something else.
    """
    folder = Path(folder) if folder else cohort.path.with_name(f"{cohort.path.name}.packed")
    stat = cohort.path.stat()
    stamp = [stat.st_size, stat.st_mtime_ns]
    if _stamp(folder) != stamp:
        if folder.exists() and _stamp(folder) is None and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: crocuta did not make it; choose another `folder`")
        try:
            with replacing_path(folder) as temporary:
                temporary.mkdir()
                _write(cohort, temporary, stamp)
                remove(folder)
        except OSError:
            if _stamp(folder) != stamp:  # else another process was faster
                raise
    return PackedCohort(folder)


def _file(folder: Path, chromosome: str, kind: str) -> Path:
    return folder / f"{file_name(chromosome)}.{kind}.npy"


def _stamp(folder: Path) -> list[int] | None:
    path = folder / MANIFEST
    return json.loads(path.read_text()).get("stamp") if path.exists() else None


def _write(cohort: Cohort, folder: Path, stamp: list[int]) -> None:
    for name in cohort.chromosomes:
        sites = cohort.sites(name)
        for field in SITE_FIELDS:
            np.save(_file(folder, name, field), getattr(sites, field))
        shape = len(cohort.samples), 2, (len(sites) + 7) // 8
        alternative, missing = (
            np.lib.format.open_memmap(_file(folder, name, kind), "w+", np.uint8, shape)
            for kind in ("alternative", "missing")
        )
        some = False
        for person in range(shape[0]):
            allele = cohort.read(person, name, 0, len(sites))
            alternative[person] = np.packbits(allele == 1, axis=1)
            unknown = allele == MISSING
            if unknown.any():
                missing[person] = np.packbits(unknown, axis=1)
                some = True
        del alternative, missing
        if not some:
            _file(folder, name, "missing").unlink()
    manifest = {
        "stamp": stamp, "build": cohort.build,
        "samples": {field: getattr(cohort.samples, field).tolist() for field in FIELDS},
        "phased": {name: cohort.is_phased(name) for name in cohort.chromosomes},
    }  # fmt: skip
    write_json(folder / MANIFEST, manifest)
