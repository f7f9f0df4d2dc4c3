"""Graphs from files, and splits that do not leak."""

import numpy as np
import pytest

from crocuta.analysis.scores import scores
from crocuta.data.graphs import (
    GraphData,
    degree_features,
    normalised_features,
    read_graph,
    sample_non_edges,
    split_links,
    split_nodes,
)
from crocuta.errors import InputError


def ring(n: int = 60, classes: int = 3) -> GraphData:
    nodes = np.arange(n)
    return GraphData("ring", np.stack([nodes[:-1], nodes[1:]], 1), n, labels=nodes % classes)


def test_edge_lists_of_any_separator_and_names(tmp_path):
    path = tmp_path / "edges.tsv"
    path.write_text("# a comment\nape\tlemur\nlemur, man\t0.5\nman ape\nape ape\nlemur ape\n")
    graph = read_graph(path)
    assert graph.names == ("ape", "lemur", "man")
    assert graph.edges.tolist() == [[0, 1], [0, 2], [1, 2]]  # once each, without the loop
    path.write_text("2 0\n1 2\n")
    assert read_graph(path).names is None
    assert read_graph(path).edges.tolist() == [[0, 2], [1, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b\nc\n", "line 2: found 'c'; expected two nodes"),
        ("", "no edge between two different nodes"),
        ("a a\n", "no edge between two different nodes"),
    ],
)
def test_bad_edge_lists_say_where(tmp_path, text, message):
    path = tmp_path / "edges.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_graph(path)


def test_npz_with_dense_and_sparse_features(tmp_path):
    path = tmp_path / "graph.npz"
    edges = np.array([[0, 1], [2, 1]], np.int32)
    np.savez(path, edges=edges, features=np.eye(3), labels=np.array([0, 1, 1]), idx_train=np.array([2]))
    graph = read_graph(path)
    assert graph.features.dtype == np.float32
    assert (graph.num_nodes, graph.num_classes) == (3, 2)
    assert graph.published["train"].tolist() == [2]
    sparse = {"feat_data": [1.0], "feat_indices": [1], "feat_indptr": [0, 1, 1, 1], "feat_shape": [3, 4]}
    np.savez(path, edges=edges, **{key: np.array(value) for key, value in sparse.items()})
    assert read_graph(path).features.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_bad_npz(tmp_path):
    path = tmp_path / "graph.npz"
    np.savez(path, edges=np.zeros((3, 3), int))
    with pytest.raises(InputError, match=r"shape \(edges, 2\), found shape \(3, 3\)"):
        read_graph(path)
    np.savez(path, edges=np.array([[0, 5]]), features=np.eye(3))
    with pytest.raises(InputError, match="nodes 0 to 5, features and labels are of \\[3\\] nodes"):
        read_graph(path)
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(InputError, match="cannot be read"):
        read_graph(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_graph(tmp_path / "none.npz")


def test_link_splits_share_nothing():
    graph = ring()
    split = split_links(graph, 0.1, 0.2, seed=3)
    parts = [set(map(tuple, np.sort(part, 1).tolist())) for part in split]
    links = set(map(tuple, graph.edges.tolist()))
    assert parts[0] | parts[1] | parts[2] == links
    assert sum(map(len, parts[:3])) == len(links)
    assert (len(parts[1]), len(parts[2])) == (len(parts[3]), len(parts[4])) == (5, 11)
    assert not (parts[3] | parts[4]) & links
    assert not parts[3] & parts[4]
    assert all(i != j for i, j in parts[3] | parts[4])
    again = split_links(graph, 0.1, 0.2, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(split, again, strict=True))
    with pytest.raises(InputError, match="leave a part"):
        split_links(graph, 0.001, 0.2)


def test_non_edges_are_uniform_and_may_run_out():
    edges, rng = np.array([[0, 1]]), np.random.default_rng(0)
    found = [tuple(pair) for _ in range(600) for pair in sample_non_edges(edges, 4, 1, rng).tolist()]
    counts = [found.count(pair) for pair in ((0, 2), (0, 3), (1, 2), (1, 3), (2, 3))]
    assert sum(counts) == 600
    assert min(counts) > 80
    with pytest.raises(InputError, match="fewer than 6 pairs"):
        sample_non_edges(edges, 4, 6, rng)


def test_clean_node_split_is_disjoint_and_stratified():
    graph = ring()
    split = split_nodes(graph, seed=1)
    assert sorted(np.concatenate(split).tolist()) == list(range(60))
    assert split.leaked == 0
    assert np.bincount(graph.labels[split.test]).tolist() == [3, 3, 3]
    with pytest.raises(InputError, match="came without a split"):
        split_nodes(graph, "public")
    with pytest.raises(InputError, match="expected clean, public or original"):
        split_nodes(graph, "dirty")


def test_the_original_airport_split_leaks(shared_data):
    """What hgcn publishes: 225 of 506 test nodes are trained on (44%)."""
    graph = read_graph(shared_data("graphs", "airport.npz"))
    for seed in (0, 1234):
        split = split_nodes(graph, "original", seed=seed)
        assert 0.4 < split.leaked < 0.5
        assert 490 < len(np.unique(split.test)) < 524 == len(split.test)
    assert split_nodes(graph, seed=0).leaked == 0


def test_one_column_of_disease_gives_its_links_away(shared_data):
    """Column 10 is a node's place in a drawing of the tree: pairs that are near in it are the links."""
    graph = read_graph(shared_data("graphs", "disease_lp.npz"))
    assert (graph.num_nodes, len(graph.edges)) == (2665, 2664)  # a tree
    split = split_links(graph)
    pairs = np.concatenate([split.test, split.test_negative])
    near = np.exp(-np.abs(np.diff(graph.features[pairs, 10], axis=1)))
    labels = (np.arange(len(pairs)) < len(split.test)).astype(int)
    assert scores(labels, np.concatenate([1 - near, near], axis=1))["auroc"] > 0.99


def test_features():
    bags = normalised_features(np.array([[1, 1, 0], [0, 0, 0]], np.float32))
    assert bags.tolist() == [[0.5, 0.5, 0], [0, 0, 0]]
    scaled = normalised_features(np.array([[1.0, 5.0], [3.0, 5.0]], np.float32))
    assert scaled.tolist() == [[-1, 0], [1, 0]]
    assert degree_features(np.array([[0, 1], [0, 2], [0, 3]]), 5, most=2).argmax(1).tolist() == [
        2,
        1,
        1,
        1,
        0,
    ]
