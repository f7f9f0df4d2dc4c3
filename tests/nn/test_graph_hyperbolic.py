"""Hyperbolic graph layers against HyperCore where it is right, and against the papers' equations where it crashes."""

import math

import pytest
import torch
from torch.nn import functional as F

from crocuta.manifolds import Lorentz, Poincare, PseudoHyperboloid, lorentz_to_poincare
from crocuta.nn.graph import Graph
from crocuta.nn.graph.decoders import (
    CentroidDistance,
    DualDecoder,
    FermiDiracDecoder,
    TangentDecoder,
    distortion_loss,
)
from crocuta.nn.graph.lorentz import H2HGCNConv, HyboNetConv, LGCNConv, LorentzAggregation
from crocuta.nn.graph.tangent import GILConv, HGATConv, HGCNConv, HGNNConv, QGCNConv
from crocuta.nn.lorentz.linear import LorentzCentroidClassifier

KS = (1.0, 0.5, 2.0)
F64 = torch.float64


def graph_of(case) -> Graph:
    return from_dense(case["in.adj_row_normalised"])


def from_dense(adjacency: torch.Tensor) -> Graph:
    """A graph with the entries as weights, row i being the target; no loops are added."""
    target, source = adjacency.nonzero().T
    return Graph(torch.stack([source, target]), len(adjacency), adjacency[target, source], self_loops=False)


def put_boost(case, layer, prefix):
    case.put(
        layer,
        weight=case[f"state.{prefix}.weight.weight"],
        bias=case[f"state.{prefix}.weight.bias"],
        log_scale=case[f"state.{prefix}.scale"],
    )


def compare_boost(case, layer, prefix):
    case.close(layer.weight.grad, case[f"grad.{prefix}.weight.weight"])
    case.close(layer.bias.grad, case[f"grad.{prefix}.weight.bias"])
    case.close(layer.log_scale.grad, case[f"grad.{prefix}.scale"])


def run(case, y):
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()


@pytest.mark.parametrize("k", KS)
def test_aggregation_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "lorentz_agg", k)
    m = case.manifold()
    x, s = case.point(m, "in.x")
    run(case, LorentzAggregation(m, "none")(x, graph_of(case)))
    case.close(s.grad, case["grad.in.x_space"])


@pytest.mark.parametrize("k", KS)
def test_hybonet_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "hybonet_conv", k)
    m = case.manifold()
    layer = HyboNetConv(m, 8, 5, normalisation="none").double()
    put_boost(case, layer.linear, "linear")
    x, s = case.point(m, "in.x")
    run(case, layer(x, graph_of(case)))
    case.close(s.grad, case["grad.in.x_space"])
    compare_boost(case, layer.linear, "linear")


def test_hybonet_attention_against_hypercore(golden_case):
    case = golden_case("hypercore", "hybonet_conv_local_att", 1.0)
    m = case.manifold()
    layer = HyboNetConv(m, 8, 5, normalisation="none", attention=True).double()
    attention = layer.attention
    names = {"linear": layer.linear, "agg.key_linear": attention.key, "agg.query_linear": attention.query}
    for prefix, part in names.items():
        put_boost(case, part, prefix)
    case.put(attention, bias=case["state.agg.bias"], scale=case["state.agg.scale"])
    x, s = case.point(m, "in.x")
    run(case, layer(x, graph_of(case)))
    case.close(s.grad, case["grad.in.x_space"])
    for prefix, part in names.items():
        compare_boost(case, part, prefix)
    case.close(attention.bias.grad, case["grad.agg.bias"])
    case.close(attention.scale.grad, case["grad.agg.scale"])


@pytest.mark.parametrize("k", KS)
def test_lgcn_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "lgcn_conv", k)
    m = case.manifold()
    layer = LGCNConv(m, 8, 5, normalisation="none").double()
    case.put(layer.linear, weight=case["state.linear.weight"], bias=case["state.linear.bias"])
    x, s = case.point(m, "in.x")
    run(case, layer(x, graph_of(case)))
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.linear.weight.grad, case["grad.linear.weight"])
    case.close(layer.linear.bias.grad, case["grad.linear.bias"])


@pytest.mark.parametrize("c", KS)
@pytest.mark.parametrize("name", ["hgcn_ball_same_c", "hgcn_ball_out_1.5c"])
def test_hgcn_against_hypercore(golden_case, c, name):
    case = golden_case("hypercore", name, c, letter="c")
    ball = case.manifold(Poincare, c=c)
    out = case.manifold(Poincare, c=case.meta["args"]["c_out"])
    layer = HGCNConv(ball, 8, 5, manifold_out=out, normalisation="none").double()
    case.put(layer.linear, weight=case["state.linear.weight"], bias=case["state.linear.bias"])
    x = case["in.x"].clone().requires_grad_()
    run(case, layer(x, graph_of(case)))
    case.close(x.grad, case["grad.in.x"])
    case.close(layer.linear.weight.grad, case["grad.linear.weight"])
    case.close(layer.linear.bias.grad, case["grad.linear.bias"])


@pytest.mark.parametrize("c", KS)
def test_hgnn_against_hypercore(golden_case, c):
    case = golden_case("hypercore", "hgnn_ball", c, letter="c")
    ball = case.manifold(Poincare, c=c)
    layer = HGNNConv(ball, 8, 5, activation=torch.tanh).double()
    case.put(layer.conv, weight=case["state.conv.weight"].T, bias=case["state.conv.bias"])
    x = case["in.x"].clone().requires_grad_()
    pattern = case["in.adj_row_normalised"] > 0  # theirs ignores the weights
    run(case, layer(x, from_dense(pattern.double())))
    case.close(x.grad, case["grad.in.x"])
    case.close(layer.conv.weight.grad, case["grad.conv.weight"].T)
    case.close(layer.conv.bias.grad, case["grad.conv.bias"])


@pytest.mark.parametrize("k", KS)
def test_lorentz_decoder_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "lorentz_decoder", k)
    m = case.manifold()
    layer = LorentzCentroidClassifier(m, 8, 3).double()
    case.put(layer, weight=case["state.cls"][:, 1:], bias=case["state.bias"])
    x, s = case.point(m, "in.x")
    run(case, layer(x))
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.weight.grad, case["grad.cls.space_chart"])
    case.close(layer.bias.grad, case["grad.bias"])


@pytest.mark.parametrize("k", KS)
def test_linear_decoder_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "linear_decoder_lorentz", k)
    m = case.manifold()
    layer = TangentDecoder(m, 8, 3).double()  # theirs has a column for the tangent's time, which is 0
    case.put(layer.linear, weight=case["state.cls.linear.weight"][:, 1:], bias=case["state.cls.linear.bias"])
    x, s = case.point(m, "in.x")
    run(case, layer(x))
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.linear.weight.grad, case["grad.cls.linear.weight"][:, 1:])
    case.close(layer.linear.bias.grad, case["grad.cls.linear.bias"])


@pytest.mark.parametrize("c", KS)
def test_linear_decoder_of_the_ball_against_hypercore(golden_case, c):
    case = golden_case("hypercore", "linear_decoder_ball", c, letter="c")
    layer = TangentDecoder(case.manifold(Poincare, c=c), 8, 3).double()
    case.put(layer.linear, weight=case["state.cls.linear.weight"], bias=case["state.cls.linear.bias"])
    x = case["in.x"].clone().requires_grad_()
    run(case, layer(x))
    case.close(x.grad, case["grad.in.x"])
    case.close(layer.linear.weight.grad, case["grad.cls.linear.weight"])


@pytest.mark.parametrize("k", KS)
def test_fermi_dirac_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "fermi_dirac_lorentz", k)
    m = case.manifold()
    (x, s), (y, t) = case.point(m, "in.x"), case.point(m, "in.y")
    run(case, FermiDiracDecoder(m, chordal=True)(x, y).sigmoid())
    case.close(s.grad, case["grad.in.x_space"])
    case.close(t.grad, case["grad.in.y_space"])


@pytest.mark.parametrize("c", KS)
def test_fermi_dirac_of_the_ball_against_hypercore(golden_case, c):
    case = golden_case("hypercore", "fermi_dirac_ball", c, letter="c")
    x, y = (case[f"in.{name}"].clone().requires_grad_() for name in "xy")
    run(case, FermiDiracDecoder(case.manifold(Poincare, c=c))(x, y).sigmoid())
    case.close(x.grad, case["grad.in.x"])
    case.close(y.grad, case["grad.in.y"])


def points(m, n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return m.random((6, n), dtype=F64, generator=generator)


@pytest.mark.parametrize("kind", [Lorentz, Poincare])
def test_hgcn_is_the_same_network_on_both_models(kind, small_graph):
    """One layer on hyperboloid and ball: tangents of the ball are half as long, so W acts alike and b halves."""
    graph, c = small_graph(), 0.7
    layer = HGCNConv(Lorentz(c), 4, 3).double()
    ball = HGCNConv(Poincare(c), 4, 3).double()
    ball.linear.weight.data.copy_(layer.linear.weight)
    torch.nn.init.normal_(layer.linear.bias)
    ball.linear.bias.data.copy_(layer.linear.bias / 2)
    x = points(Lorentz(c), 4)
    expected = lorentz_to_poincare(layer(x, graph), c)
    assert torch.allclose(ball(lorentz_to_poincare(x, c), graph), expected, atol=1e-9)


def test_hgcn_with_attention_averages_in_each_nodes_own_tangent_space(small_graph, dense):
    graph, m = small_graph(), Lorentz(0.7)
    layer = HGCNConv(m, 4, 3, attention=True).double()
    x = points(m, 4)
    h = layer.linear(x)
    weight = dense(graph, layer.attention(m.logmap0(h)[:, None], graph)[:, 0])
    for i in range(6):
        tangent = sum(weight[i, j] * m.logmap(h[i], h[j]) for j in range(6))
        expected = m.expmap0(m.logmap0(m.expmap(h[i], tangent)).relu())
        assert torch.allclose(layer(x, graph)[i], expected, atol=1e-9)


@pytest.mark.parametrize("kind", [Lorentz, Poincare])
@pytest.mark.parametrize("distance", [False, True])
def test_hgat_is_its_formula(kind, distance, small_graph, dense):
    graph, m = small_graph(), kind(0.7)
    layer = HGATConv(m, 4, 6, heads=2, distance=distance).double()
    torch.nn.init.normal_(layer.bias)
    x = points(m, 4)
    h = layer.linear(x)
    present = dense(graph, torch.ones(graph.num_edges, dtype=F64)) > 0
    scale = m.dist(h[:, None], h).masked_fill(~present, -torch.inf).softmax(1) if distance else 1.0
    heads = []
    for k, u in enumerate(m.logmap0(h).chunk(2, dim=1)):
        attention = layer.attention
        scores = (u @ attention.to_target[k])[:, None] + u @ attention.to_source[k]
        scores = F.leaky_relu(scores * scale, 0.2).masked_fill(~present, -torch.inf)
        heads.append(scores.softmax(1) @ u)
    expected = m.expmap0(F.elu(torch.cat(heads, 1) + layer.bias))
    assert torch.allclose(layer(x, graph), expected, atol=1e-9)


def test_gil_fuses_both_spaces_by_its_formula(small_graph):
    """On the ball, with Mobius addition and multiplication written out."""
    graph, c = small_graph(), 0.7
    m = Poincare(c)
    layer = GILConv(m, 4, 4).double()
    x, z = points(m, 4) / 2, torch.randn(6, 4, dtype=F64) / 4
    h, e = layer.hyperbolic(x, graph), F.elu(layer.euclidean(z, graph))
    factor = layer.to_hyperbolic * m.dist(h, m.expmap0(e))[:, None]
    length = e.norm(dim=1, keepdim=True)
    moved = torch.tanh(factor * math.sqrt(c) * length) * e / (math.sqrt(c) * length)  # factor (x) exp0(e)
    fused = mobius_add(h, moved, c)
    u = m.logmap0(fused)
    out = layer(x, z, graph)
    assert torch.allclose(out[0], fused, atol=1e-9)
    square = (u - e).square().sum(1, keepdim=True)
    assert torch.allclose(out[1], e + layer.to_euclidean * square * u, atol=1e-9)


def mobius_add(x, y, c):
    xy, xx, yy = ((a * b).sum(1, keepdim=True) for a, b in ((x, y), (x, x), (y, y)))
    return ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c**2 * xx * yy)


def test_h2h_gcn_is_its_formula(small_graph, dense):
    """Einstein midpoints in Klein coordinates, as the paper has them."""
    graph, c = small_graph(), 0.7
    m = Lorentz(c)
    layer = H2HGCNConv(m, 4, activation=torch.tanh).double()
    x = points(m, 4)
    W = layer.rotation
    assert torch.allclose(W @ W.T, torch.eye(4, dtype=F64), atol=1e-12)
    turned = torch.cat([x[:, :1], x[:, 1:] @ W.T], dim=1)
    klein, gamma = turned[:, 1:] / turned[:, :1], math.sqrt(c) * turned[:, :1]
    A = dense(graph, graph.weight("row", F64))
    mean = (A @ (gamma * klein)) / (A @ gamma)
    time = 1 / (c * (1 - mean.square().sum(1, keepdim=True))).sqrt()
    ball = torch.tanh(lorentz_to_poincare(torch.cat([time, time * mean], dim=1), c))
    assert torch.allclose(lorentz_to_poincare(layer(x, graph), c), ball, atol=1e-9)


def test_q_gcn_with_one_time_dimension_is_hgcn(small_graph):
    """Where both are defined: HGCN without bias, whose bias ours adds elsewhere."""
    graph, x = small_graph(), points(Lorentz(0.7), 4)
    pseudo_in, pseudo_out = PseudoHyperboloid((1, 4), 0.7), PseudoHyperboloid((1, 3), 0.7)
    layer = QGCNConv(pseudo_in, pseudo_out, bias=False).double()
    twin = HGCNConv(Lorentz(0.7), 4, 3, bias=False).double()
    twin.linear.weight.data.copy_(layer.linear.linear.weight)
    assert torch.allclose(layer(x, graph), twin(x, graph), atol=1e-9)


def test_q_gcn_keeps_angles_on_the_sphere(small_graph):
    m = PseudoHyperboloid((3, 2), 0.7)
    y = QGCNConv(m, m).double()(points(m, 4), small_graph())
    assert m.violation(y).max() < 1e-12


def test_aggregation_far_out_in_float32():
    """A node alone with itself stays where it is; HyperCore's centroid is off by up to 6.9."""
    m, graph = Lorentz(), Graph(torch.zeros(2, 0, dtype=torch.long), 50)
    for radius, tolerance in ((1.0, 1e-6), (3.1, 5e-5), (5.0, 1e-6), (10.0, 1e-6), (15.0, 1e-3)):
        x = m.expmap0(radius * F.normalize(torch.randn(50, 8), dim=-1))
        torch.testing.assert_close(LorentzAggregation(m)(x, graph), x, rtol=tolerance, atol=1e-5)


def test_centroid_distance_is_the_distance():
    m = Lorentz(0.7)
    layer, x = CentroidDistance(m, 4, 3).double(), points(m, 4)
    expected = torch.stack([m.dist(x, m.expmap0(w)) for w in layer.weight], dim=1)
    assert torch.allclose(layer(x), expected)


def test_dual_decoder_lies_between_its_two_sides():
    m = Lorentz(0.7)
    layer, x, z = DualDecoder(m, 4, 3).double(), points(m, 4), torch.randn(6, 4, dtype=F64)
    sides = torch.stack([layer.hyperbolic(x), layer.euclidean(z)])
    y = layer(x, z)
    assert (sides.amin(0) <= y).all()
    assert (y <= sides.amax(0)).all()


def test_distortion_of_true_distances_is_zero():
    truth = torch.tensor([1.0, 2.0, 3.0])
    assert distortion_loss(truth, truth) == 0
    assert distortion_loss(2 * truth, truth) == 3


def test_decoder_arguments_are_checked():
    with pytest.raises(ValueError, match="need Lorentz, got Poincare"):
        FermiDiracDecoder(Poincare(), chordal=True)
    with pytest.raises(ValueError, match="temperature must be positive"):
        FermiDiracDecoder(Lorentz(), temperature=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("factor", [1e-12, 1e-30, 1e12])
def test_a_common_factor_of_a_node_s_weights_changes_nothing(factor, dtype):
    """Attention among points far apart gives all of a node's neighbours weights whose squares float32 has not."""
    m, generator = Lorentz(0.5), torch.Generator().manual_seed(0)
    graph = Graph(torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]]), 4, undirected=True)
    s = torch.randn(4, 5, generator=generator, dtype=F64).to(dtype).requires_grad_()
    weight = torch.rand(len(graph.source), generator=generator, dtype=F64).to(dtype).requires_grad_()
    slopes, points = [], []
    for scale in (1.0, factor):
        points.append(LorentzAggregation(m)(m.expmap0(s), graph, weight * scale))
        slopes.append(torch.autograd.grad(points[-1].square().sum(), [s, weight]))
    torch.testing.assert_close(points[1], points[0])
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-5)
