"""Linear layers between hyperboloids against both reference systems, and their laws."""

import pytest
import torch

from crocuta.manifolds import Lorentz, Poincare
from crocuta.nn.lorentz.linear import (
    LorentzBoostLinear,
    LorentzCentroidClassifier,
    LorentzLinear,
)
from crocuta.nn.tangent import TangentLinear

KS = (1.0, 0.5, 2.0)
CURVATURES = (0.1, 1.0, 2.7)


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("functional", ["Lspace", "Lall"])
def test_linear_against_hge(golden_case, k, functional):
    case = golden_case("hge", "fc", k)
    m = case.manifold()
    layer = LorentzLinear(m, 12, 8).double()
    case.put(layer, weight=case["param.weight"][1:], bias=case["param.bias"][1:])
    x, s = case.point(m, "in.x")
    y = layer(x)
    case.close(y, case["out.y"])
    start = 1 if functional == "Lspace" else 0
    (case["functional.w"] * y)[..., start:].sum().backward()
    case.close(s.grad, case[f"grad.{functional}.x_space"])
    case.close(layer.weight.grad, case[f"grad.{functional}.weight"][1:])
    case.close(layer.bias.grad, case[f"grad.{functional}.bias"][1:])
    case.close(case.by_k(m), case[f"grad.{functional}.k"])


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("name", ["lorentz_linear", "lorentz_linear_out3k"])
def test_linear_against_hypercore(golden_case, k, name):
    case = golden_case("hypercore", name, k)
    m = case.manifold()
    out = case.manifold(c=1 / case.meta["args"]["manifold_out_k"]) if "out3k" in name else m
    layer = LorentzLinear(m, 8, 6, manifold_out=out).double()
    case.put(layer, weight=case["state.linear.weight"], bias=case["state.linear.bias"])
    x, s = case.point(m, "in.x")
    y = layer(x)
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.weight.grad, case["grad.linear.weight"])
    case.close(layer.bias.grad, case["grad.linear.bias"])


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("name", ["hybonet_linear", "hybonet_linear_relu"])
def test_boost_linear_against_hybonet(golden_case, k, name):
    case = golden_case("hypercore", name, k)
    m = case.manifold()
    layer = LorentzBoostLinear(m, 8, 6).double()
    case.put(
        layer,
        weight=case["state.weight.weight"],
        bias=case["state.weight.bias"],
        log_scale=case["state.scale"],
    )
    x, s = case.point(m, "in.x")
    y = layer(x.relu() if "relu" in name else x)  # theirs rectifies coordinates, time included
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.weight.grad, case["grad.weight.weight"])
    case.close(layer.bias.grad, case["grad.weight.bias"])
    case.close(layer.log_scale.grad, case["grad.scale"])


@pytest.mark.parametrize("c", KS)
def test_tangent_linear_against_hypercore(golden_case, c):
    case = golden_case("hypercore", "hyp_linear_ball", c, letter="c")
    layer = TangentLinear(case.manifold(Poincare, c=c), 8, 5).double()
    case.put(layer, weight=case["state.weight"], bias=case["state.bias"])
    x = case["in.x"].clone().requires_grad_()
    y = layer(x)
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(x.grad, case["grad.in.x"])
    case.close(layer.weight.grad, case["grad.weight"])
    case.close(layer.bias.grad, case["grad.bias"])


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("cls_neg_dist", lambda y: y),
        ("cls_prob", lambda y: 10 / (1 - y)),
        ("cls_neg_log_prob", lambda y: -10 * (1 - y).log()),
    ],
)
def test_centroid_classifier_against_hypercore(golden_case, k, name, link):
    case = golden_case("hypercore", name, k)
    m = case.manifold()
    layer = LorentzCentroidClassifier(m, 8, 4).double()
    case.put(layer, weight=case["state.cls"][:, 1:], bias=-case["state.bias"])  # theirs adds to the distance
    x, s = case.point(m, "in.x")
    y = link(layer(x))
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.weight.grad, case["grad.cls.space_chart"])
    case.close(-layer.bias.grad, case["grad.bias"])


def test_boost_linear_stays_on_the_manifold_far_out():
    """HyperCore's leaves it at scaled radius 10: its scale is clamped, ours is not."""
    m = Lorentz()
    x = m.expmap0(10 * torch.nn.functional.normalize(torch.randn(50, 8), dim=-1))
    y = LorentzBoostLinear(m, 8, 8, scale=1e5)(x)
    assert m.violation(y).max() <= 1e-6


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="out_features must be positive, got 0"):
        LorentzLinear(Lorentz(), 3, 0)
