"""Training graph encoders: they learn what can be learned, score as defined, and resume."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from crocuta.data.graphs import GraphData
from crocuta.errors import InputError
from crocuta.manifolds import Euclidean, Lorentz, Poincare
from crocuta.runs.progress import Stage


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global GraphForLinkPrediction, GraphRecipe, GraphRun, seeds_summary, train_graph, train_seed
    global DistanceProblem, Features, LinkProblem, hop_distances, reconstruction_scores, breadth_first
    global tree_layout
    from crocuta.graphs.problems import DistanceProblem, Features, LinkProblem
    from crocuta.graphs.scores import hop_distances, reconstruction_scores
    from crocuta.graphs.start import breadth_first, tree_layout
    from crocuta.graphs.training import GraphRecipe, GraphRun, seeds_summary, train_graph, train_seed
    from crocuta.models.graph import GraphForLinkPrediction


def tree(depth: int = 5) -> GraphData:
    """A complete binary tree; features tell a node's branch and depth, labels its branch at the root."""
    n = 2**depth - 1
    children = np.arange(1, n)
    edges = np.stack([(children - 1) // 2, children], axis=1)
    path = np.array([[int(bit) for bit in f"{i + 1:b}"[1:].ljust(depth, "2")] for i in range(n)])
    labels = np.where(path[:, 0] == 2, 0, path[:, 0])
    features = np.concatenate([path == bit for bit in range(3)], axis=1).astype(np.float32)
    return GraphData("tree", edges, n, features, labels)


def run_of(task: str, encoder: str, **changes):
    recipe = GraphRecipe(**{"epochs": 60, "learning_rate": 0.03, "every": 10, **changes})
    return GraphRun(task, {"encoder": encoder, "hidden_size": 8}, recipe, seeds=2)


@pytest.mark.parametrize("encoder", ["gcn", "hybonet", "hgcn"])
def test_links_of_a_tree_are_learned(encoder):
    model, found = train_seed(run_of("lp", encoder), tree(8), seed=0)
    assert found["test"]["auroc"] > 0.75
    assert not model.training


def test_classes_are_learned():
    _, found = train_seed(run_of("nc", "hybonet"), tree(7), seed=0)
    assert found["test"]["accuracy"] > 0.9
    assert found["leaked"] == 0


def test_distances_of_a_tree_are_learned():
    """From the start on, as its layout is a tree; training brings neighbours nearer still."""
    run = run_of("md", "embedding", epochs=40, floor=0.01)
    _, found = train_seed(run, tree(), seed=0)
    assert found["test"]["map"] > 0.97
    assert found["test"]["distortion"] < 0.1


@pytest.mark.parametrize("manifold", [Lorentz(0.7), Poincare(0.7), Euclidean()])
def test_a_tree_is_laid_out_with_edges_of_one_length(manifold):
    data = tree()
    points, length = tree_layout(manifold, data.edges, 31, 10, torch.Generator().manual_seed(0))
    i, j = torch.from_numpy(data.edges).T
    assert torch.allclose(manifold.dist(points[i], points[j]), torch.tensor(length, dtype=torch.float64))


def test_breadth_first_tree_starts_in_the_middle_and_takes_other_components_in():
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [5, 6]])
    parent, depth = breadth_first(edges, 7)
    assert depth.tolist() == [2, 1, 0, 1, 2, 1, 2]
    assert parent.tolist() == [1, 2, 2, 2, 3, 2, 5]


def test_the_loop_is_asked_for_what_the_recipe_says():
    course = GraphRecipe(epochs=12, patience=6, every=5, clip=0.3, floor=0.2).course(4, "cpu")
    assert (course.steps, course.patience, course.clip, course.floor) == (12, 6, 0.3, 0.2)
    assert (set(course.evaluate), course.seed, course.device) == ({5, 10, 12}, 4, "cpu")


def test_training_repeats():
    results = [train_seed(run_of("lp", "hybonet", epochs=10), tree(), seed=1)[1]["test"] for _ in range(2)]
    assert results[0] == results[1]


def test_held_out_links_carry_no_messages_and_are_no_negatives_by_name():
    data = tree()
    problem = LinkProblem(data, Features(degrees=True), seed=0)
    seen = {
        tuple(sorted(pair))
        for pair in zip(problem.graph.source.tolist(), problem.graph.target.tolist(), strict=True)
    }
    for part in ("valid", "test"):
        pairs, count = problem.parts[part]
        assert not seen & {tuple(sorted(pair)) for pair in pairs[:count].tolist()}
    assert problem.features.shape[1] == data.features.shape[1] + 6
    assert problem.features.square().sum(1).mean().item() == pytest.approx(1)


def test_training_negatives_are_no_training_links(monkeypatch):
    problem = LinkProblem(tree(), Features(), seed=0)
    model = GraphForLinkPrediction.__new__(GraphForLinkPrediction)
    asked = {}

    def forward(x, graph, pairs, labels):
        asked["pairs"], asked["labels"] = pairs, labels
        return type("Out", (), {"loss": torch.tensor(0.0)})

    monkeypatch.setattr(GraphForLinkPrediction, "__call__", lambda self, *args: forward(*args))
    problem.loss(model)
    pairs = [tuple(sorted(pair)) for pair in asked["pairs"].tolist()]
    links = {pair for pair, label in zip(pairs, asked["labels"], strict=True) if label == 1}
    others = {pair for pair, label in zip(pairs, asked["labels"], strict=True) if label == 0}
    assert links == {tuple(pair) for pair in problem.links.tolist()}
    assert others
    assert not others & links
    assert all(i != j for i, j in others)


def test_hops_and_unreachable_nodes():
    hops = hop_distances(np.array([[0, 1], [1, 2], [3, 4]]), 5)
    assert hops[0].tolist() == [0, 1, 2, -1, -1]
    assert torch.equal(hop_distances(np.array([[0, 1], [1, 2], [3, 4]]), 5, np.array([3]))[0], hops[3])


def test_reconstruction_scores_by_hand():
    """A path 0 - 1 - 2 whose node 2 is put nearest to node 0."""
    hops = hop_distances(np.array([[0, 1], [1, 2]]), 3)
    perfect = reconstruction_scores(lambda nodes: hops[nodes].float(), hops, torch.arange(3))
    assert perfect == {"map": 1.0, "distortion": 0.0}
    wrong = torch.tensor([[0.0, 2.0, 1.0], [2.0, 0.0, 1.0], [1.0, 2.0, 0.0]])
    found = reconstruction_scores(lambda nodes: wrong[nodes], hops, torch.arange(3))
    assert found["map"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)


def test_large_graphs_are_learned_from_landmarks(monkeypatch):
    for name, value in (("ALL_PAIRS", 10), ("LANDMARKS", 4), ("EVALUATED", 6)):
        monkeypatch.setattr(f"crocuta.graphs.problems.{name}", value)
    problem = DistanceProblem(tree(), Features(), seed=0)
    assert problem.hops.shape == (4, 31)
    assert len(problem.evaluated[0]) == 6


def save(data: GraphData, path):
    np.savez(path, edges=data.edges, features=data.features, labels=data.labels)
    return path


def test_run_folder_resumes_and_searches(tmp_path):
    path, output, run = save(tree(), tmp_path / "tree.npz"), tmp_path / "run", run_of("lp", "hgcn", epochs=10)
    first = train_graph(path, run, output, search=(0.5, 2.0))
    assert set(first["searched"]) == {"0.5", "2"}
    assert first["curvature"] in (0.5, 2.0)
    assert first["seeds"][0]["curvatures"] == [first["curvature"]] * 3
    assert GraphForLinkPrediction.from_pretrained(output / "models" / "seed-1").config.c == first["curvature"]
    assert json.loads((output / "manifest.json").read_text())["data"][0]["path"] == str(path)
    (output / "models" / "seed-1" / "fit.json").unlink()
    (output / "manifest.json").unlink()
    before = (output / "models" / "seed-0" / "fit.json").stat().st_mtime_ns
    again = train_graph(path, run, output, search=(0.5, 2.0), resume=True)
    assert (output / "models" / "seed-0" / "fit.json").stat().st_mtime_ns == before
    assert again["test"] == first["test"]
    with pytest.raises(InputError, match="holds a finished run already"):
        train_graph(path, run, output)
    with pytest.raises(InputError, match='began with task = "lp", now it is "nc"'):
        train_graph(path, run_of("nc", "hgcn", epochs=10), output, search=(0.5, 2.0), resume=True)
    more = train_graph(path, replace(run, seeds=3), output, search=(0.5, 2.0), resume=True)
    assert more["seeds"][:2] == again["seeds"]
    assert len(more["seeds"]) == 3


def test_summary_is_mean_and_spread():
    fits = [{"metric": "auroc", "valid": {"auroc": v}, "test": {"auroc": v}} for v in (0.5, 0.7)]
    found = seeds_summary(fits)["test"]["auroc"]
    assert found["mean"] == pytest.approx(0.6)
    assert found["sd"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert seeds_summary(fits[:1])["test"]["auroc"]["sd"] is None


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="`task` is 'links'"):
        train_seed(run_of("links", "gcn"), tree(), 0)
    with pytest.raises(InputError, match="encoder must be one of"):
        train_seed(run_of("lp", "gnc"), tree(), 0)
    with pytest.raises(InputError, match="no `labels`"):
        train_seed(run_of("nc", "gcn"), GraphData("bare", tree().edges, 31), 0)
    with pytest.raises(InputError, match=r"stopped at step \d+: .* lower `learning_rate`"):
        train_seed(run_of("lp", "gcn", learning_rate=1e30), tree(), 0)


@pytest.mark.parametrize(("task", "encoder"), [("lp", "hybonet"), ("md", "embedding")])
def test_a_stopped_training_ends_as_an_unbroken_one(tmp_path, monkeypatch, task, encoder):
    """Riemannian Adam's moments and float64 points survive the checkpoint."""
    run, data = run_of(task, encoder, epochs=20, every=5), tree()
    course = GraphRecipe.course
    monkeypatch.setattr(
        GraphRecipe, "course", lambda *given: replace(course(*given), checkpoint_seconds=0, log_every=1)
    )
    whole, found = train_seed(run, data, 0, "cpu")

    class Stops(Stage):
        def show(self):
            if self.done == 13:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_seed(run, data, 0, "cpu", folder=tmp_path, stage=Stops("seed 0"))
    assert (tmp_path / "checkpoint").exists()
    resumed, again = train_seed(run, data, 0, "cpu", folder=tmp_path)
    assert again["history"] == found["history"]
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
