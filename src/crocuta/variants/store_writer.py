"""Writing a cohort's store: chromosomes one by one with bounded memory, then all of them into one file."""

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crocuta._version import __version__
from crocuta.errors import InputError
from crocuta.files import file_name, partial, replacing_path
from crocuta.variants.blocks import Block
from crocuta.variants.genetic_map import GeneticMap
from crocuta.variants.panel import Samples
from crocuta.variants.store import CHUNK, FIELDS, FORMAT, SITES, VERSION

BUFFER = 1 << 26  # bytes of alleles that wait to be written
LEVEL = 2  # of zlib
LIBRARY = ("v110", "latest")  # forms that HDF5 1.10 and later read, with attributes of any size


class ChromosomeWriter:
    """Turns blocks of variants into the haplotypes of individuals, in a file of one chromosome.

    A buffer of at most `BUFFER` bytes (or one chunk of everybody) is filled and written as compressed chunks, so
    that memory does not grow with the chromosome. The file takes its name when it is finished.
    """

    def __init__(self, path: Path, samples: Samples, chromosome: str) -> None:
        import h5py

        self.path, self.chromosome = path, chromosome
        self.temporary = partial(path)
        self.file = h5py.File(self.temporary, "w", libver=LIBRARY)
        self.datasets = [
            self.file.create_dataset(
                f"{file_name(name)}/allele", (2, 0), np.uint8, maxshape=(2, None), chunks=(2, CHUNK),
                compression="gzip", compression_opts=LEVEL,
            )
            for name in samples.name.tolist()
        ]  # fmt: skip
        chunks = max(1, BUFFER // (2 * CHUNK * len(samples)))
        self.buffer = np.zeros((len(samples), 2, chunks * CHUNK), np.uint8)
        self.filled = self.written = 0
        self.columns: dict[str, list[np.ndarray]] = {"position": [], "ref": [], "alt": []}

    def add(self, block: Block) -> None:
        """Appends sites."""
        for name, column in self.columns.items():
            column.append(getattr(block, name))
        allele, done = block.allele, 0
        while done < len(allele):
            count = min(len(allele) - done, self.buffer.shape[2] - self.filled)
            part = allele[done : done + count].transpose(1, 2, 0)
            self.buffer[:, :, self.filled : self.filled + count] = part
            self.filled, done = self.filled + count, done + count
            if self.filled == self.buffer.shape[2]:
                self._flush()

    def finish(self, genetic_map: GeneticMap, attributes: Mapping[str, Any]) -> None:
        """Writes the rest and the sites, and gives the file its name."""
        self._flush()
        columns = {name: np.concatenate(column) for name, column in self.columns.items()}
        columns["cm"] = genetic_map.centimorgans(self.chromosome, columns["position"])
        for name, column in columns.items():
            self.file.create_dataset(f"{SITES}/{name}", data=column, compression="gzip", chunks=True)
        self.file[SITES].attrs.update(attributes)
        self.file.close()
        os.replace(self.temporary, self.path)

    def abandon(self) -> None:
        """Leaves nothing unfinished behind."""
        self.file.close()
        self.temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        total = self.written + self.filled
        whole = np.zeros((2, CHUNK), np.uint8)
        for person, dataset in enumerate(self.datasets):
            dataset.resize((2, total))
            for start in range(0, self.filled, CHUNK):
                stop = min(start + CHUNK, self.filled)
                whole[:, : stop - start] = self.buffer[person, :, start:stop]
                whole[:, stop - start :] = 0
                dataset.id.write_direct_chunk(
                    (0, self.written + start), zlib.compress(whole.tobytes(), LEVEL)
                )
        self.written, self.filled = total, 0


def merge(parts: Mapping[str, Path], output: Path, samples: Samples, attributes: Mapping[str, Any]) -> None:
    """One store from files of chromosomes, in the order given; compressed chunks are copied as they are."""
    import h5py

    with replacing_path(output) as temporary, h5py.File(temporary, "w", libver=LIBRARY) as file:
        _write_samples(file, samples)
        file.attrs.update(attributes)
        file.attrs.update(
            format=FORMAT, version=VERSION, software=f"crocuta {__version__}", chromosomes=json.dumps(list(parts)),
            escaped=True,
        )  # fmt: skip
        file.create_group(SITES)  # implied by its members, it would hold the time
        for name, path in parts.items():
            chromosome = file_name(name)
            with h5py.File(path, "r") as part:
                part.copy(SITES, file, f"{SITES}/{chromosome}")
                position = file[f"{SITES}/{chromosome}/position"]
                for person in map(file_name, samples.name.tolist()):
                    group = file.require_group(f"{person}/{chromosome}")
                    part.copy(f"{person}/allele", group, "allele")
                    group["position"] = position


def _write_samples(file: Any, samples: Samples) -> None:
    columns = [getattr(samples, field).tolist() for field in FIELDS]
    rows = list(zip(*columns, strict=True))
    file.attrs["samples"] = "\n".join("\t".join(row) for row in [FIELDS, *rows])
    for name, *rest in rows:
        file.create_group(file_name(name)).attrs.update(dict(zip(FIELDS[1:], rest, strict=True)))


def check_names(names: Sequence[str]) -> None:
    """Raises InputError for the one name that the layout keeps for itself."""
    if SITES in names:
        raise InputError(f"sample {SITES!r}: a store keeps this name for its sites; rename the sample")
