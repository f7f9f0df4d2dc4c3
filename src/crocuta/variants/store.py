"""A cohort on disk (HDF5): each individual's haplotypes by chromosome, read by window without reading a chromosome.

Layout::

    /<individual>/<chromosome>/allele     uint8 (2, n), chunked and compressed; 0, 1, 2 as in a panel
    /<individual>/<chromosome>/position   int32 (n,), one dataset for all individuals, linked
    /<individual>                         attributes population, group, family
    /_sites/<chromosome>/{position, ref, alt, cm}   attributes phased, source, sha256, genetic_map, counts
    /                                     attributes format, version, software, build, policy, chromosomes, source,
                                          samples: a table of name, population, group, family, tabs between them,
                                          and escaped: names of groups are `file_name` of individuals and chromosomes
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.errors import InputError
from crocuta.files import file_name
from crocuta.variants.contigs import plain
from crocuta.variants.panel import Panel, Samples, Sites

FORMAT, VERSION = "crocuta cohort", 1
SITES = "_sites"
FIELDS = ("name", "population", "group", "family")
CHUNK = 8192  # sites of one person that are compressed together
CACHE = (
    4 * 2 * CHUNK
)  # bytes of unpacked chunks that HDF5 keeps of each open dataset; its default is a megabyte
OPEN = 4096  # datasets held open


class Haplotypes:
    """What every form of a cohort offers; how alleles are read is its own matter (`read`)."""

    samples: Samples
    chromosomes: tuple[str, ...]
    build: str

    def read(self, person: int, chromosome: str, start: int, stop: int) -> np.ndarray:
        """Alleles of one person at sites `start` to `stop` (excluded), uint8 (2, stop - start)."""
        raise NotImplementedError

    def sites(self, chromosome: str) -> Sites:
        """The sites of a chromosome; 22 and chr22 are the same."""
        raise NotImplementedError

    def is_phased(self, chromosome: str) -> bool:
        """Whether it matters which of its two haplotypes an allele stands in."""
        raise NotImplementedError

    def name_of(self, chromosome: str) -> str:
        """The store's own name of a chromosome.

        Raises:
            InputError: it has none of that name.
        """
        found = next((name for name in self.chromosomes if plain(name) == plain(chromosome)), None)
        if found is None:
            raise InputError(
                f"no chromosome {chromosome} in the cohort; it holds {', '.join(self.chromosomes)}"
            )
        return found

    def panel(
        self,
        chromosome: str,
        individuals: Iterable[int] | np.ndarray | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> Panel:
        """Haplotypes of some individuals (indices or mask; default all) at sites `start` to `stop` (excluded)."""
        sites = self.sites(chromosome)
        place = slice(*slice(start, stop).indices(len(sites)))
        chosen = np.arange(len(self.samples)) if individuals is None else np.asarray(individuals)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        allele = np.empty((len(chosen), 2, place.stop - place.start), np.uint8)
        for row, person in enumerate(chosen):
            allele[row] = self.read(int(person), chromosome, place.start, place.stop)
        return Panel(self.samples.at(chosen), sites.at(place), allele, self.is_phased(chromosome))


class Cohort(Haplotypes):
    """A cohort's HDF5 store, open for reading; may be sent to other processes, which open it for themselves.

    Raises:
        InputError: the file is missing, or no store.
    """

    def __init__(self, path: str | PathLike) -> None:
        self.path = Path(path)
        self._open()
        rows = [line.split("\t") for line in str(self.file.attrs["samples"]).split("\n")[1:]]
        self.samples = Samples(*np.array(rows, dtype=str).T)
        self.chromosomes = tuple(json.loads(self.file.attrs["chromosomes"]))
        self.build = str(self.file.attrs["build"])

    def _open(self) -> None:
        import h5py

        if not self.path.is_file():
            raise InputError(f"{self.path}: no such file; make it with crocuta ancestry build")
        try:
            self.file: Any = h5py.File(self.path, "r", rdcc_nbytes=CACHE, rdcc_nslots=11)
        except OSError as error:
            raise InputError(f"{self.path}: not HDF5, or truncated ({error}); build it again") from error
        if self.file.attrs.get("format") != FORMAT or self.file.attrs["version"] != VERSION:
            raise InputError(
                f"{self.path}: not a cohort of this version; make it with crocuta ancestry build"
            )
        self._key = (
            file_name if self.file.attrs.get("escaped") else str
        )  # stores of 0.1.0 hold names as they are
        self._dataset = lru_cache(maxsize=OPEN)(self._find)
        self.sites = lru_cache(maxsize=None)(self._sites)

    def __enter__(self) -> "Cohort":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getstate__(self) -> dict[str, Any]:
        kept = ("path", "samples", "chromosomes", "build")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _sites(self, chromosome: str) -> Sites:
        name = self.name_of(chromosome)
        group = self._group(name)
        return Sites(name, *(_column(group[field]) for field in ("position", "ref", "alt", "cm")))

    def is_phased(self, chromosome: str) -> bool:
        return bool(self._group(self.name_of(chromosome)).attrs["phased"])

    def about(self, chromosome: str) -> dict[str, Any]:
        """Where a chromosome comes from: source file, its sha256, genetic map, counts of what was read."""
        attributes = dict(self._group(self.name_of(chromosome)).attrs)
        return attributes | {"counts": json.loads(attributes["counts"])}

    def read(self, person: int, chromosome: str, start: int, stop: int) -> np.ndarray:
        return self._dataset(person, chromosome)[:, start:stop]

    def _find(self, person: int, chromosome: str) -> Any:
        names = self._key(str(self.samples.name[person])), self._key(self.name_of(chromosome))
        return self.file[f"{'/'.join(names)}/allele"]

    def _group(self, chromosome: str) -> Any:
        return self.file[SITES][self._key(chromosome)]


def _column(dataset: Any) -> np.ndarray:
    """A dataset as an array, without what h5py notes at the type of strings."""
    array = dataset[:]
    return array.view(f"S{array.dtype.itemsize}") if array.dtype.kind == "S" else array
