"""Points and their distances from a file: sequences, trees, distance matrices, embeddings."""

import csv
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.analysis.distances import (
    AlignmentDistances,
    DistanceMatrix,
    Distances,
    HyperbolicPoints,
    Points,
    TreeDistances,
    kmer_points,
)
from crocuta.data.phylogeny.alignment import read_alignment
from crocuta.data.phylogeny.newick import read_tree
from crocuta.data.records import FASTA_SUFFIXES, read_records
from crocuta.data.sequences import Sequences
from crocuta.data.text import open_lines
from crocuta.errors import InputError

SEQUENCE_DISTANCES = ("kmer", "hamming", "jc69")
HYPERBOLIC = ("lorentz", "poincare")
SPACES = ("euclidean", *HYPERBOLIC)

TREES = {".nwk", ".newick", ".tree", ".tre", ".nex", ".nexus"}
TABLES = {".tsv", ".csv", ".txt"}
EXPECTED = (
    "FASTA or a table with a column 'sequence', Newick or Nexus (.nwk, .nexus), a distance matrix (.tsv, .csv),"
    " .npy with embeddings, or .h5ad"
)


def open_distances(
    path: str | PathLike,
    *,
    distance: str = "kmer",
    k: int = 4,
    space: str | None = None,
    c: float | None = None,
    key: str = "X",
) -> Distances:
    """The points of a file, by its suffix (`.gz` may follow where the file is text).

    Args:
        path: sequences, a tree (its tips), a distance matrix, or embeddings.
        distance: of sequences: by k-mers of length `k`, or, aligned, `hamming` or `jc69`.
        space, c: of embeddings: `euclidean`, `lorentz` (time first) or `poincare`, curvature -c; None: what an .h5ad
            file says of its X, otherwise `euclidean`, and 1.
        key: in an .h5ad file: `X`, or the name of an entry of `obsm`, e.g. `X_pca`.

    Raises:
        InputError: a file that cannot be read as what its name says, or fewer than 4 points.
    """
    path = Path(path)
    for what, found, known in (("distance", distance, SEQUENCE_DISTANCES), ("space", space, SPACES)):
        if found is not None and found not in known:
            raise InputError(f"{what} {found!r}, expected {', '.join(known)}")
    if c is not None and not c > 0:
        raise InputError(f"curvature {c:g}, expected c > 0: the sectional curvature is -c")
    suffix = next((s.lower() for s in reversed(path.suffixes) if s.lower() != ".gz"), "")
    if suffix in (".npy", ".h5ad"):
        x, about = (_npy(path), {}) if suffix == ".npy" else _h5ad(path, key)
        space = space or about.get("manifold")
        if space not in HYPERBOLIC:  # of a manifold that we do not measure on, coordinates
            return Points(x, str(path))
        return HyperbolicPoints(x, space, c or float(about.get("curvature", 1.0)), str(path))
    if suffix in TREES:
        return TreeDistances(read_tree(path), str(path))
    if suffix in TABLES and not _has_sequences(path):
        return DistanceMatrix(_matrix(path), str(path))
    if suffix not in TABLES | FASTA_SUFFIXES:
        raise InputError(f"{path}: unknown suffix {suffix!r}; expected {EXPECTED}")
    if distance != "kmer":
        return AlignmentDistances(read_alignment(path), distance == "jc69", str(path))
    records = list(read_records(path))
    sequences = Sequences.from_strings([r.sequence for r in records], [r.name for r in records])
    return kmer_points(sequences, k, str(path))


def _has_sequences(path: Path) -> bool:
    with open_lines(path) as lines:
        header = next(lines, None)
    return bool(header) and "sequence" in header.text.lower().replace('"', "").replace("\t", ",").split(",")


def _matrix(path: Path) -> np.ndarray:
    """A table of numbers, with or without a line of names and a column of names."""
    with open_lines(path) as lines:
        rows = [(line.number, line.text) for line in lines if line.text.strip()]
    if not rows:
        raise InputError(f"{path}: the file is empty; expected a distance matrix")
    delimiter = "\t" if "\t" in rows[0][1] else ","
    cells = [(number, next(csv.reader([text], delimiter=delimiter))) for number, text in rows]
    if not all(_is_number(cell) for cell in cells[0][1]):
        cells = cells[1:]
    named = bool(cells) and not _is_number(cells[0][1][0])
    values = []
    for number, row in cells:
        row = row[named:]
        if len(row) != len(cells):
            raise InputError(
                f"{path}, line {number}: {len(row)} distances, expected {len(cells)}, one for each row;"
                f" or if these are sequences, name the column 'sequence'"
            )
        for cell in row:
            if not _is_number(cell):
                raise InputError(f"{path}, line {number}: {cell!r}, expected a number")
        values.append([float(cell) for cell in row])
    return np.array(values).reshape(len(cells), -1)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: not a .npy file of numbers ({error}); write it with numpy.save") from None


def _h5ad(path: Path, key: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Rows of X or of an entry of `obsm`, and what the file says of its X."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    import anndata
    from scipy import sparse

    try:
        data = anndata.read_h5ad(path)
    except Exception as error:  # anndata and h5py raise whatever they meet
        raise InputError(f"{path}: not an .h5ad file that anndata can read ({error})") from None
    if key != "X" and key not in data.obsm:
        raise InputError(f"{path}: no {key!r}; found X and obsm {sorted(data.obsm) or '(empty)'}")
    x: Any = data.X if key == "X" else data.obsm[key]
    if x is None:
        raise InputError(f"{path}: X is empty; name one of obsm {sorted(data.obsm) or '(empty)'} as the key")
    return np.asarray(x.toarray() if sparse.issparse(x) else x), dict(data.uns) if key == "X" else {}
