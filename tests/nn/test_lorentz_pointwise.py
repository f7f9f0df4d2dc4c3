"""Pointwise layers against both reference systems, and their laws."""

import math

import pytest
import torch

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.pointwise import (
    LorentzActivation,
    LorentzDropout,
    LorentzFlatten,
    LorentzResidual,
    LorentzScaledResidual,
    concatenate,
    split,
)

KS = (1.0, 0.5, 2.0)


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("functional", ["Lspace", "Lall"])
@pytest.mark.parametrize(("name", "function"), [("relu", torch.relu), ("tanh", torch.tanh)])
def test_activation_against_hge(golden_case, name, function, functional, k):
    case = golden_case("hge", f"activation_{name}", k)
    m = case.manifold()
    x, s = case.point(m, "in.x")
    y = LorentzActivation(m, function)(x)
    case.close(y, case["out.y"])
    (case["functional.w"] * y)[..., 1 if functional == "Lspace" else 0 :].sum().backward()
    case.close(s.grad, case[f"grad.{functional}.x_space"])
    case.close(case.by_k(m), case[f"grad.{functional}.k"])


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize(("name", "function"), [("relu", torch.relu), ("gelu_exact", torch.nn.GELU())])
def test_activation_against_hypercore(golden_case, name, function, k):
    case = golden_case("hypercore", f"activation_{name}", k)
    m = case.manifold()
    x, s = case.point(m, "in.x")
    y = LorentzActivation(m, function)(x)
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize(
    "name", ["plain", "weight_0.6", "scale_fixed_2.5", "scale_learned_2.5", "scale_learned_default"]
)
def test_residual_against_hypercore(golden_case, name, k):
    case = golden_case("hypercore", f"lresnet_{name}", k)
    m = case.manifold()
    weight = case["state.w_y"] if "state.w_y" in case.arrays else torch.tensor(0.6, dtype=torch.float64)
    if "scale" in name:
        layer = LorentzScaledResidual(m).double()
        fixed = torch.tensor(math.log(2.5), dtype=torch.float64)
        case.put(layer, log_scale=case["state.scale"] if "learned" in name else fixed)
    else:
        layer = LorentzResidual(m).double()
    case.put(layer, log_weight=weight.log())
    (x, s), (y, t) = case.point(m, "in.x"), case.point(m, "in.y")
    out = layer(x, y)
    case.close(out, case["out"])
    (case["functional.w"] * out).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])
    case.close(t.grad, case["grad.in.y_space"])
    if "grad.w_y" in case.arrays:
        case.close(layer.log_weight.grad / weight, case["grad.w_y"])
    if "grad.scale" in case.arrays:
        case.close(layer.log_scale.grad, case["grad.scale"])


@pytest.mark.parametrize("functional", ["Lspace", "Lall"])
def test_flatten_against_hge(golden_case, functional):
    case = golden_case("hge", "flatten", 1.0)
    m = case.manifold()
    x, s = case.point(m, "in.x")
    y = LorentzFlatten(m)(x)
    case.close(y, case["out.y"])
    (case["functional.w"] * y)[..., 1 if functional == "Lspace" else 0 :].sum().backward()
    case.close(s.grad, case[f"grad.{functional}.x_space"])


@pytest.mark.parametrize("c", [0.1, 0.5, 1.0, 2.5])
def test_flatten_is_right_at_every_curvature(c):
    """HGE's subtracts (n - 1)/k where (n - 1)k is right: NaN at k = 0.4 (c = 2.5)."""
    m = Lorentz(c)
    x = m.random((3, 10, 4), std=0.3, dtype=torch.float64)
    y = LorentzFlatten(m)(x)
    time = (x[..., 0].square().sum(1) - 9 / c).sqrt()
    torch.testing.assert_close(y[:, 0], time)
    assert m.violation(y).max() < 1e-14
    assert torch.equal(y[:, 1:], x[..., 1:].flatten(1))


def test_concatenate_and_split_are_inverse():
    m = Lorentz(0.3)
    x, y = m.random((5, 3), dtype=torch.float64), m.random((5, 2), dtype=torch.float64)
    joined = concatenate(m, [x, y])
    assert joined.shape == (5, 6)
    first, second = split(m, joined, [3, 2])
    torch.testing.assert_close(first, x)
    torch.testing.assert_close(second, y)


@pytest.mark.parametrize("c", [0.1, 1.0, 2.7])
def test_residual_gradients_equal_finite_differences(c):
    m = Lorentz(c).double()
    layer = LorentzScaledResidual(m).double()
    s, t = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(
        lambda s, t, w, a: torch.func.functional_call(
            layer, {"log_weight": w, "log_scale": a}, (m.lift(s), m.lift(t))
        ),
        (s, t, layer.log_weight, layer.log_scale),
    )


def test_residual_of_equal_points_is_that_point():
    m = Lorentz()
    x = m.expmap0(8 * torch.nn.functional.normalize(torch.randn(20, 4), dim=-1))
    assert m.dist(LorentzResidual(m, 0.4)(x, x), x).max() < 1e-4


def test_dropout_drops_in_training_only():
    m, s = Lorentz(0.5), torch.ones(1000, 4)
    layer, x = LorentzDropout(m, 0.25), Lorentz(0.5).lift(s)
    assert torch.equal(layer.eval()(x), x)
    y = layer.train()(x)
    assert 0.2 < (y[:, 1:] == 0).float().mean() < 0.3
    assert m.violation(y).max() < 1e-6


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="weight must be positive"):
        LorentzResidual(Lorentz(), weight=0.0)
    with pytest.raises(ValueError, match="p must be in"):
        LorentzDropout(Lorentz(), p=1.0)
