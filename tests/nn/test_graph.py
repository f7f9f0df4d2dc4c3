"""Message passing against dense products, and Euclidean layers against their formulas."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from crocuta.nn.graph import Graph, as_graph, at_source, at_target, propagate, segment_softmax, segment_sum
from crocuta.nn.graph.convolution import GATConv, GCNConv


def test_propagate_is_the_dense_product_with_both_gradients(small_graph, dense):
    graph = small_graph()
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    w = torch.rand(graph.num_edges, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(propagate(x, w, graph), dense(graph, w) @ x)
    assert torch.autograd.gradcheck(lambda x, w: propagate(x, w, graph), (x, w))


def test_gathers_and_segment_sums_are_each_others_transposes(small_graph):
    graph = small_graph()
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    values = torch.randn(graph.num_edges, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(at_source(x, graph), x[graph.source])
    for gather in (at_source, at_target):
        assert torch.autograd.gradcheck(lambda x, gather=gather: gather(x, graph), (x,))
    assert torch.autograd.gradcheck(lambda v: segment_sum(v, graph), (values,))
    expected = torch.zeros(6, 3, dtype=torch.float64).index_add(0, graph.target, values)
    assert torch.allclose(segment_sum(values, graph), expected)


def test_softmax_sums_to_one_at_each_target_and_survives_large_scores(small_graph):
    graph = small_graph()
    scores = torch.randn(graph.num_edges, 2, dtype=torch.float64, requires_grad=True)
    weight = segment_softmax(scores, graph)
    assert torch.allclose(segment_sum(weight, graph), torch.ones(6, 2, dtype=torch.float64))
    assert torch.allclose(segment_softmax(scores + 1e3, graph), weight)
    assert torch.autograd.gradcheck(lambda s: segment_softmax(s, graph), (scores,))


def test_normalisations(small_graph, dense):
    graph = small_graph()
    rows = dense(graph, graph.weight("row", torch.float64))
    assert torch.allclose(rows.sum(1), torch.ones(6, dtype=torch.float64))
    pattern = (rows > 0).double()
    degree = pattern.sum(1).rsqrt()
    expected = degree[:, None] * pattern * degree
    assert torch.allclose(dense(graph, graph.weight("symmetric", torch.float64)), expected)
    assert torch.equal(pattern.diagonal(), torch.ones(6, dtype=torch.float64))
    with pytest.raises(ValueError, match="normalisation must be one of"):
        graph.weight("column")


def test_edges_given_twice_count_once_or_with_their_weights():
    edges = torch.tensor([[0, 1, 0], [1, 0, 1]])
    assert Graph(edges, undirected=True, self_loops=False).num_edges == 2
    weighted = Graph(edges, edge_weight=torch.tensor([1.0, 2.0, 4.0]), self_loops=False)
    assert weighted.edge_weight.tolist() == [2.0, 5.0]  # edges by target: 1 -> 0, 0 -> 1


def test_takes_what_users_hold():
    edges = torch.tensor([[0, 1], [1, 2]])
    data = SimpleNamespace(x=torch.zeros(5, 2), edge_index=edges, y=None)  # as torch_geometric's Data
    assert as_graph(data).num_nodes == 5
    assert as_graph(edges).num_nodes == 3
    graph = as_graph(edges)
    assert as_graph(graph) is graph
    with pytest.raises(ValueError, match="got list"):
        as_graph([(0, 1)])
    with pytest.raises(ValueError, match=r"wants \.T"):
        as_graph(edges.T.repeat(2, 1))
    with pytest.raises(ValueError, match="must lie in 0 to 1, found 0 to 2"):
        Graph(edges, 2)


def test_gcn_is_its_formula(small_graph, dense):
    graph, x = small_graph(), torch.randn(6, 4)
    layer = GCNConv(4, 3)
    expected = dense(graph, graph.weight("symmetric")) @ (x @ layer.weight.T) + layer.bias
    assert torch.allclose(layer(x, graph), expected, atol=1e-6)


@pytest.mark.parametrize("concatenate", [True, False])
def test_gat_is_its_formula(concatenate, small_graph, dense):
    graph, x = small_graph(), torch.randn(6, 4)
    layer = GATConv(4, 6, heads=2, concatenate=concatenate)
    heads = []
    present = dense(graph, torch.ones(graph.num_edges)) > 0
    for k, weight in enumerate(layer.weight.chunk(2)):
        h = x @ weight.T
        scores = (h @ layer.attention.to_target[k])[:, None] + h @ layer.attention.to_source[k]
        scores = F.leaky_relu(scores, 0.2).masked_fill(~present, -torch.inf)
        heads.append(scores.softmax(1) @ h)
    expected = torch.cat(heads, 1) if concatenate else sum(heads) / 2
    assert torch.allclose(layer(x, graph), expected + layer.bias, atol=1e-6)


def test_heads_must_divide_the_features():
    with pytest.raises(ValueError, match="2 heads for 5 features"):
        GATConv(4, 5, heads=2)
