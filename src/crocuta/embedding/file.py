"""AnnData files (.h5ad) of embeddings, written and joined without holding all of them in memory."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crocuta._version import __version__
from crocuta.files import replacing


def write_shard(path: Path, x: np.ndarray, columns: Mapping[str, Sequence]) -> None:
    """Writes embeddings (rows, dimension) with the columns that describe the rows; whole or absent."""
    import h5py
    import pandas
    from anndata.io import write_elem

    obs = pandas.DataFrame(dict(columns))
    with replacing(path, "w+b") as file, h5py.File(file, "w") as store:
        write_elem(store, "X", x.astype(np.float32, copy=False))
        write_elem(store, "obs", obs.set_index(obs.index.astype(str)))


def join_shards(paths: Sequence[Path], output: Path, about: Mapping[str, Any]) -> None:
    """One AnnData file from shards, in their order; memory holds one shard's X and the description of all rows.

    `obs_names` are the sequences' names, numbered where they repeat; texts that repeat become categories.
    """
    import h5py
    import pandas
    from anndata import AnnData
    from anndata.io import read_elem, write_elem

    tables, dimension = [], 0
    for path in paths:
        with h5py.File(path) as shard:
            parts: Any = shard  # h5py's stubs do not know what an entry is
            tables.append(read_elem(parts["obs"]))
            dimension = parts["X"].shape[1]
    obs = describe_rows(pandas.concat(tables, ignore_index=True))
    var = pandas.DataFrame(index=pandas.RangeIndex(dimension).astype(str))
    uns = {**about, "crocuta": __version__}
    with replacing(output, "w+b") as file, h5py.File(file, "w") as store:
        write_elem(store, "/", AnnData(obs=obs, var=var, uns=uns))
        if "X" in store:
            del store["X"]
        shape = (len(obs), dimension)
        x = store.create_dataset("X", shape, "f4", chunks=(min(len(obs), 4096), dimension))
        x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        row = 0
        for path in paths:
            with h5py.File(path) as shard:
                parts = shard
                part = parts["X"][:]
            x[row : row + len(part)] = part
            row += len(part)


def describe_rows(obs: Any) -> Any:
    """Rows by name, each name once; columns that a file lacks for some sequences are filled with blanks."""
    import pandas

    for key in obs.columns:
        if obs[key].dtype == object:
            texts = obs[key].fillna("").astype(str)
            repeated = key != "name" and texts.nunique() < len(texts)
            obs[key] = pandas.Categorical(texts) if repeated else texts
    names = obs["name"].astype(str)
    if "position" in obs.columns:
        names = names + ":" + obs["position"].astype(str)
    place = names.groupby(names).cumcount()
    return obs.set_index(names.where(place == 0, names + "-" + place.astype(str)).rename(None))


class Contents(NamedTuple):
    """Rows and numbers of each; nucleotides read as N, and in how many rows (0 where rows are nucleotides)."""

    rows: int
    dimension: int
    unknown_letters: int
    rows_with_unknown: int


def read_contents(path: str | PathLike) -> Contents:
    """What a file that crocuta wrote holds."""
    import h5py

    with h5py.File(path) as store:
        parts: Any = store
        unknown = np.zeros(1) if "position" in parts["obs"] else parts["obs/unknown_letters"][:]
        rows, dimension = parts["X"].shape
        return Contents(rows, dimension, int(unknown.sum()), int(np.count_nonzero(unknown)))
