"""Graph models: every encoder on every task, curvatures, saving, what users pass in."""

from types import SimpleNamespace

import pytest
import torch

from crocuta.manifolds import Lorentz
from crocuta.optim import parameter_groups


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global ENCODERS, GraphConfig, GraphForLinkPrediction, GraphForNodeClassification
    global GraphForReconstruction
    from crocuta.models.graph import (
        ENCODERS,
        GraphConfig,
        GraphForLinkPrediction,
        GraphForNodeClassification,
        GraphForReconstruction,
    )


EDGES = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 4]])
PAIRS = torch.tensor([[0, 1], [1, 3], [2, 4]])
FEATURES = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
MODELS = {
    "GraphForNodeClassification": {"labels": torch.tensor([0, 1, 2, 0, -100])},
    "GraphForLinkPrediction": {"pairs": PAIRS, "labels": torch.tensor([1, 0, 0])},
    "GraphForReconstruction": {"pairs": PAIRS, "labels": torch.tensor([1, 2, 3])},
}
HYPERBOLIC = ("hgcn", "hgnn", "hybonet", "lgcn", "hgat", "gil", "h2h-gcn")
EVERY = ("gcn", "gat", *HYPERBOLIC, "q-gcn", "embedding")


def make(cls, encoder="hybonet", **changes):
    torch.manual_seed(0)
    inputs = {"num_nodes": 5} if encoder == "embedding" else {"in_features": 4}
    return cls(GraphConfig(encoder=encoder, hidden_size=6, num_labels=3, **inputs, **changes)).eval()


def run(model):
    x = FEATURES if model.config.in_features else None
    return model(x, EDGES, **MODELS[type(model).__name__])


def test_every_encoder_is_tested():
    assert set(EVERY) == set(ENCODERS)


@pytest.mark.parametrize("encoder", EVERY)
@pytest.mark.parametrize("name", MODELS)
def test_every_encoder_does_every_task_and_reloads(name, encoder, tmp_path):
    cls = globals()[name]
    model = make(cls, encoder, learnable=True)
    out = run(model)
    out.loss.backward()
    assert torch.isfinite(out.loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
    assert model.encoder.manifold.violation(out.points).max() <= 1e-5
    model.save_pretrained(tmp_path)
    again = run(cls.from_pretrained(tmp_path).eval())
    assert torch.equal(again.points, out.points)
    assert torch.equal(again.loss, out.loss)


def curvature_parameters(model) -> int:
    groups = {group["name"]: group["params"] for group in parameter_groups(model)}
    return len(groups.get("curvature", []))


@pytest.mark.parametrize("encoder", HYPERBOLIC)
def test_curvatures_shared_or_of_each_layer(encoder):
    assert curvature_parameters(make(GraphForLinkPrediction, encoder)) == 0
    assert curvature_parameters(make(GraphForLinkPrediction, encoder, learnable=True)) == 1
    own = make(GraphForLinkPrediction, encoder, learnable=True, per_layer=True)
    assert curvature_parameters(own) == 3
    fixed = make(GraphForLinkPrediction, encoder, c=[0.5, 1.0, 2.0])
    assert fixed.curvatures() == [0.5, 1.0, 2.0]
    assert fixed.encoder.manifold.violation(run(fixed).points).max() <= 1e-5
    run(own).loss.backward()
    learned = [p for p in own.parameters() if p.ndim == 0 and p.grad is not None]
    assert len(learned) >= 3


def test_shared_curvature_is_one_object():
    encoder = make(GraphForLinkPrediction, "hgcn").encoder
    assert all(layer.manifold_out is encoder.manifold_in for layer in encoder.layers)
    assert isinstance(encoder.manifold, Lorentz)


def test_a_data_object_an_edge_index_and_a_sorted_graph_are_the_same():
    model = make(GraphForLinkPrediction)
    expected = run(model).points
    data = SimpleNamespace(x=FEATURES, edge_index=EDGES, y=None)
    assert torch.equal(model(data).points, expected)
    assert torch.equal(model(FEATURES, model.encoder.graph(EDGES, 5)).points, expected)


def test_edges_are_sorted_once_and_again_when_they_change():
    encoder, edges = make(GraphForLinkPrediction).encoder, EDGES.clone()
    first = encoder.graph(edges, 5)
    assert encoder.graph(edges, 5) is first
    edges[0, 0] = 2
    assert encoder.graph(edges, 5) is not first


def test_lifted_features_follow_the_features():
    model, x = make(GraphForLinkPrediction), FEATURES.clone()
    before = model(x, EDGES).points
    x.mul_(2)
    assert not torch.equal(model(x, EDGES).points, before)


def test_nodes_without_features_learn_their_inputs():
    model = GraphForLinkPrediction(GraphConfig(encoder="hgcn", num_nodes=5))
    model(edge_index=EDGES, pairs=PAIRS, labels=torch.tensor([1, 0, 0])).loss.backward()
    assert model.encoder.inputs.grad.abs().sum() > 0


def test_gcn_averages_neighbours_or_weighs_them_by_degree():
    """Under a mean, nodes with the same features all give the same, however many links they have."""
    same = torch.ones(5, 4)
    spread = {}
    for normalisation in (None, "symmetric", "row"):
        model = make(GraphForLinkPrediction, "gcn", normalisation=normalisation, num_layers=1)
        points = model(same, EDGES, PAIRS).points
        spread[normalisation] = (points - points[:1]).abs().max().item()
    assert spread[None] == spread["symmetric"] > 0.01
    assert spread["row"] < 1e-6


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="encoder must be one of gcn, gat"):
        GraphConfig(encoder="gnc", in_features=4)
    with pytest.raises(ValueError, match="c must be one number or 3"):
        GraphConfig(in_features=4, c=[1.0, 2.0])
    with pytest.raises(ValueError, match="in_features or num_nodes must be positive"):
        GraphConfig()
    with pytest.raises(ValueError, match="no key 'heds'; did you mean 'heads'"):
        GraphConfig(in_features=4, heds=2)
    with pytest.raises(ValueError, match=r"x must be features \(N, 4\)"):
        make(GraphForLinkPrediction)(None, EDGES)
