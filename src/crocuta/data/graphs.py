"""Graphs: reading them from .npz and edge lists, and splits of links and nodes that do not leak."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crocuta.data.text import Line, open_lines
from crocuta.errors import InputError

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class GraphData:
    """An undirected graph: edges (E, 2) once each, without loops, the smaller node first.

    `features` is (N, F) float32 or None, `labels` (N,) or None, `published` the node split that came with the file,
    `names` what an edge list calls its nodes.
    """

    name: str
    edges: np.ndarray
    num_nodes: int
    features: np.ndarray | None = None
    labels: np.ndarray | None = None
    published: Mapping[str, np.ndarray] = field(default_factory=dict)
    names: tuple[str, ...] | None = None

    @property
    def node_names(self) -> tuple[str, ...]:
        """What the file calls its nodes; their numbers where it has no names."""
        return self.names or tuple(map(str, range(self.num_nodes)))

    @property
    def num_classes(self) -> int:
        """One more than the largest label; 0 without labels."""
        return 0 if self.labels is None else int(self.labels.max()) + 1


class LinkSplit(NamedTuple):
    """Pairs of nodes (n, 2): links of each part, and as many pairs without a link to compare with."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    valid_negative: np.ndarray
    test_negative: np.ndarray


class NodeSplit(NamedTuple):
    """Indices of nodes."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    @property
    def leaked(self) -> float:
        """Share of test nodes that training sees."""
        return float(np.isin(np.unique(self.test), self.train).mean())


def read_graph(path: str | PathLike) -> GraphData:
    """A graph from `.npz` (`edges`, and if present `features` or sparse `feat_*`, `labels`, `idx_*`) or an edge list.

    An edge list has a line per edge: two names, separated by a tab, spaces or a comma; lines that begin with `#` and
    further columns are not read. Names that are 0 to n - 1 are indices, others are numbered as they come.

    Raises:
        InputError: the file is missing or of another kind, or an edge is not two nodes.
    """
    path = Path(path)
    graph = _read_npz(path) if path.suffix == ".npz" else _read_edges(path)
    if not len(graph.edges):
        raise InputError(f"{path}: no edge between two different nodes; expected one line for each edge")
    return graph


def _read_npz(path: Path) -> GraphData:
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as .npz ({error})") from error
    edges = arrays.get("edges")
    if edges is None or edges.ndim != 2 or edges.shape[1] != 2:
        found = "none" if edges is None else f"shape {edges.shape}"
        raise InputError(f"{path}: expected an array `edges` of shape (edges, 2), found {found}")
    features, labels = _features(arrays), arrays.get("labels")
    counts = [len(x) for x in (features, labels) if x is not None]
    nodes = max([int(edges.max(initial=-1)) + 1, *counts])
    if any(count != nodes for count in counts) or edges.min(initial=0) < 0:
        raise InputError(
            f"{path}: edges name nodes {edges.min()} to {edges.max()}, features and labels are of {counts} nodes;"
            " expected one row for each node"
        )
    keys = {"train": "idx_train", "valid": "idx_val", "test": "idx_test"}
    published = {part: arrays[key] for part, key in keys.items() if key in arrays}
    return GraphData(
        path.stem, unique_edges(edges), nodes, features,
        None if labels is None else labels.astype(np.int64), published,
    )  # fmt: skip


def _features(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    if "features" in arrays:
        return arrays["features"].astype(np.float32)
    if "feat_data" not in arrays:
        return None
    from scipy.sparse import csr_matrix

    parts = arrays["feat_data"], arrays["feat_indices"], arrays["feat_indptr"]
    return csr_matrix(parts, shape=tuple(arrays["feat_shape"])).toarray().astype(np.float32)


def _read_edges(path: Path) -> GraphData:
    pairs: list[tuple[str, str]] = []
    with open_lines(path) as lines:
        for line in lines:
            if not line.text.strip() or line.text.startswith("#"):
                continue
            pairs.append(_two_names(path, line))
    names = tuple(dict.fromkeys(name for pair in pairs for name in pair))
    if all(name.isdigit() for name in names) and {int(name) for name in names} == set(range(len(names))):
        index, kept = {name: int(name) for name in names}, None
    else:
        index, kept = {name: i for i, name in enumerate(names)}, names
    edges = np.array([(index[a], index[b]) for a, b in pairs], np.int64).reshape(-1, 2)
    return GraphData(path.stem, unique_edges(edges), len(names), names=kept)


def _two_names(path: Path, line: Line) -> tuple[str, str]:
    columns = line.text.replace(",", " ").replace("\t", " ").split()
    if len(columns) < 2:
        raise InputError(
            f"{path}, line {line.number}: found {line.text!r}; expected two nodes, separated by a tab"
        )
    return columns[0], columns[1]


def read_pairs(path: str | PathLike, graph: GraphData) -> np.ndarray:
    """Pairs of a graph's nodes (P, 2) from a file with a line for each, as an edge list has them.

    A first line that reads `source`, `target` is a header, unless nodes have these names.

    Raises:
        InputError: a name is none of the graph's nodes, or there are no pairs.
    """
    path, index = Path(path), {name: i for i, name in enumerate(graph.node_names)}
    pairs = []
    with open_lines(path) as lines:
        for line in lines:
            if not line.text.strip() or line.text.startswith("#"):
                continue
            names = _two_names(path, line)
            if not pairs and names == ("source", "target") and "source" not in index:
                continue
            unknown = [name for name in names if name not in index]
            if unknown:
                raise InputError(
                    f"{path}, line {line.number}: {unknown[0]!r} is no node of {graph.name}; expected names such as"
                    f" {next(iter(index))!r}"
                )
            pairs.append([index[name] for name in names])
    if not pairs:
        raise InputError(f"{path}: no pairs; expected two names of nodes on each line")
    return np.array(pairs, np.int64)


def unique_edges(edges: np.ndarray) -> np.ndarray:
    """Each edge once, without loops, the smaller node first, sorted."""
    edges = np.sort(edges[edges[:, 0] != edges[:, 1]].astype(np.int64), axis=1)
    return np.unique(edges, axis=0)


def normalised_features(features: np.ndarray) -> np.ndarray:
    """Bags of words (0 or 1) divided by their sum; other columns brought to mean 0 and standard deviation 1."""
    if np.isin(features, (0, 1)).all():
        return features / features.sum(1, keepdims=True).clip(1)
    spread = features.std(0)
    return (features - features.mean(0)) / np.where(spread > 0, spread, 1)


def degree_features(edges: np.ndarray, num_nodes: int, most: int = 5) -> np.ndarray:
    """One-hot degrees (N, most + 1), larger ones counted as `most`; give it the links that training sees."""
    degree = np.bincount(edges.ravel(), minlength=num_nodes).clip(max=most)
    return np.eye(most + 1, dtype=np.float32)[degree]


def split_links(graph: GraphData, valid: float = 0.05, test: float = 0.1, seed: int = 0) -> LinkSplit:
    """Links at random into parts, with as many pairs that are no links, different ones for validation and test.

    The pairs without a link are drawn uniformly from pairs of different nodes. (hgcn draws loops among them,
    trains on the very pairs it is evaluated on, and calls the held-out links negatives in training.)

    Raises:
        InputError: the shares leave a part without links, or the graph has too few pairs that are none.
    """
    rng = np.random.default_rng(seed)
    edges = graph.edges[rng.permutation(len(graph.edges))]
    n_valid, n_test = int(valid * len(edges)), int(test * len(edges))
    if min(n_valid, n_test, len(edges) - n_valid - n_test) < 1:
        raise InputError(
            f"{graph.name}: {len(edges)} links leave a part of {valid:g} (valid) or {test:g} (test) empty"
        )
    negatives = sample_non_edges(edges, graph.num_nodes, n_valid + n_test, rng)
    return LinkSplit(
        train=edges[n_valid + n_test :],
        valid=edges[:n_valid],
        test=edges[n_valid : n_valid + n_test],
        valid_negative=negatives[:n_valid],
        test_negative=negatives[n_valid:],
    )


def sample_non_edges(edges: np.ndarray, num_nodes: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` different pairs (count, 2) of different nodes that are not in `edges`, uniformly.

    Raises:
        InputError: there are fewer.
    """
    known = unique_edges(edges) @ (num_nodes, 1)
    if num_nodes * (num_nodes - 1) // 2 - len(known) < count:
        raise InputError(
            f"{num_nodes} nodes with {len(known)} links have fewer than {count} pairs without one"
        )
    found = np.empty(0, np.int64)
    while len(found) < count:
        pairs = unique_edges(rng.integers(num_nodes, size=(2 * count + 16, 2))) @ (num_nodes, 1)
        fresh = pairs[~np.isin(pairs, known) & ~np.isin(pairs, found)]
        found = np.concatenate([found, rng.permutation(fresh)])
    return np.stack(np.divmod(found[:count], num_nodes), axis=1)


def split_nodes(
    graph: GraphData, kind: str = "clean", valid: float = 0.15, test: float = 0.15, seed: int = 0
) -> NodeSplit:
    """Nodes into parts.

    Args:
        kind: "clean": at random within each class, disjoint. "public": the one that came with the file. "original":
            hgcn's, which takes "label is not 1" and "label is not 0" for the two classes, so that with more than
            two classes parts overlap (on airport 44% of test nodes are trained on); for comparison only.

    Raises:
        InputError: the graph has no labels, or came without a split.
    """
    if graph.labels is None:
        raise InputError(f"{graph.name}: no `labels`; node classification needs one for each node")
    if kind == "public":
        if not graph.published:
            raise InputError(f"{graph.name}: came without a split (idx_train, ...); take `split` clean")
        return NodeSplit(*(graph.published[part] for part in PARTS))
    if kind == "original":
        return _original_split(graph.labels, valid, test, seed)
    if kind != "clean":
        raise InputError(f"`split` is {kind!r}, expected clean, public or original")
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[], [], []]
    for label in np.unique(graph.labels):
        members = rng.permutation(np.flatnonzero(graph.labels == label))
        ends = round(valid * len(members)), round((valid + test) * len(members))
        for part, chosen in zip(parts, np.split(members, ends), strict=True):
            part.append(chosen)
    valid_nodes, test_nodes, train_nodes = (np.concatenate(part) for part in parts)
    return NodeSplit(train_nodes, valid_nodes, test_nodes)


def _original_split(labels: np.ndarray, valid: float, test: float, seed: int) -> NodeSplit:
    rng = np.random.RandomState(seed)
    sides = [labels.nonzero()[0], (1 - labels).nonzero()[0]]
    for side in sides:
        rng.shuffle(side)
    smaller = min(map(len, sides))
    ends = round(valid * smaller), round(valid * smaller) + round(test * smaller)
    valid_nodes, test_nodes, train_nodes = (
        np.concatenate(part) for part in zip(*(np.split(side, ends) for side in sides), strict=True)
    )
    return NodeSplit(train_nodes, valid_nodes, test_nodes)
