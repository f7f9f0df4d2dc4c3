"""The tree example, reduced, and the promise it makes: hyperbolic space keeps a tree, Euclidean space does not."""

import json
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import embed_tree

    yield embed_tree
    for name in ("embed_tree", "trees"):
        sys.modules.pop(name)


def test_hyperbolic_space_wins_on_a_small_tree(example, tmp_path):
    picture, table = tmp_path / "disk.png", tmp_path / "results.json"
    arguments = ["--dimensions", "2", "--steps", "60", "--picture", str(picture), "--json", str(table)]
    results = example.main(arguments)
    assert results["nodes"] == 121
    for space in ("Lorentz", "Poincare"):
        assert results[f"{space} 2"]["distortion"] < 0.05 < 0.2 < results["Euclidean 2"]["distortion"]
        assert results[f"{space} 2"]["mAP"] > 0.95 > 0.5 > results["Euclidean 2"]["mAP"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(table.read_text()) == results


def test_training_improves_on_the_start(example):
    parent = example.rooted(example.read_tree(None))
    distance = example.tree_distances(parent)
    for space in example.SPACES:
        model = example.TreeEmbedding(space, 2, parent, distance, radius=12.0)
        before = example.score(model, distance)["distortion"]
        example.fit(model, distance, example.LR[space], steps=60)
        assert example.score(model, distance)["distortion"] < before
        model.manifold.check(model.points)


def test_newick_topology_and_contraction(example, tmp_path):
    path = tmp_path / "tree.nwk"
    path.write_text("(('a, (1)':5,b:0)ab:2[note],c:7,(d:3,e:4):0.5)root;\n")
    assert example.read_tree(path) == [(0, 1), (1, 2), (1, 3), (0, 4), (0, 5), (5, 6), (5, 7)]
    assert example.read_tree(path, collapse=1) == [(0, 1), (1, 2), (0, 3), (0, 4), (0, 5)]
    distance = example.tree_distances(example.rooted(example.read_tree(path), root=4))
    assert distance[2, 3] == 2
    assert distance[2, 7] == 4
    assert torch.equal(distance, distance.T)


def test_a_real_phylogeny(example, shared_data):
    tree = shared_data("phylogeny", "dengue_all", "tree.nwk")
    results = example.main([str(tree), "--collapse", "25", "--dimensions", "5", "--steps", "60"])
    assert results["nodes"] == 800
    assert results["Lorentz 5"]["distortion"] < 0.1 < results["Euclidean 5"]["distortion"]
