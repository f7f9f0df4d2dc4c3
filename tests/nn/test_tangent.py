"""Layers through the tangent space: their formulas. (HyperCore's crash, or leave the manifold.)"""

import math

import pytest
import torch
from torch import nn

from crocuta.manifolds import Lorentz, Poincare, PseudoHyperboloid
from crocuta.nn.tangent import PseudoHyperboloidLinear, TangentActivation, TangentLinear, TangentResidual

KINDS = (Lorentz, Poincare)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("c", [0.1, 1.0, 2.7])
def test_activation_of_three_axes_stays_on_the_manifold(kind, c):
    """HyperCore's is off it by 2.27 there."""
    torch.manual_seed(0)
    m = kind(c)
    x = m.random((2, 5, 8), dtype=torch.float64)
    y = TangentActivation(m)(x)
    assert m.violation(y).max() < 1e-12
    torch.testing.assert_close(m.logmap0(y), m.logmap0(x).relu())


def test_activation_to_another_manifold_keeps_distances_from_the_origin():
    torch.manual_seed(0)
    a, b = Lorentz(0.5), Poincare(2.0)
    x = a.random((5, 8), dtype=torch.float64)
    y = TangentActivation(a, torch.abs, b)(x)
    torch.testing.assert_close(b.dist0(y), a.dist0(x))


@pytest.mark.parametrize("kind", KINDS)
def test_residual_adds_at_the_origin(kind):
    torch.manual_seed(0)
    m = kind(0.7)
    s = 0.3 * torch.randn(2, 4, 8, dtype=torch.float64)
    y = TangentResidual(m)(m.expmap0(s[0]), m.expmap0(s[1]))
    torch.testing.assert_close(m.logmap0(y), s[0] + s[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_hyperbolic_neural_network_of_two_layers_learns(kind):
    """HyperCore's `HNNLayer` and `HypResidual` crash on any input."""
    torch.manual_seed(0)
    m = kind(1.0, learnable=True)
    s = 0.5 * torch.randn(64, 4)
    target = (s[:, -1] > 0).double()
    model = nn.Sequential(TangentLinear(m, 4, 8), TangentActivation(m), TangentLinear(m, 8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        logit = m.logmap0(model(m.expmap0(s))).squeeze(-1).double()
        loss = nn.functional.binary_cross_entropy_with_logits(4 * logit, target)
        loss.backward()
        optimizer.step()
    assert ((logit > 0) == (target > 0)).double().mean() > 0.9


def test_pseudo_hyperboloid_linear_with_one_time_is_the_lorentz_one():
    torch.manual_seed(0)
    pseudo, m = PseudoHyperboloid((1, 5), c=0.7), Lorentz(0.7)
    layer, tangent = (
        PseudoHyperboloidLinear(pseudo, pseudo).double(),
        TangentLinear(m, 5, 5, bias=False).double(),
    )
    layer.linear.bias.data.zero_()
    tangent.weight = layer.linear.weight
    x = m.random((9, 5), dtype=torch.float64)
    torch.testing.assert_close(layer(x), tangent(x))


def test_pseudo_hyperboloid_linear_turns_the_sphere_and_boosts_space():
    """Between signatures, against the diffeomorphism by hand: angles on the sphere, sinh along space."""
    a, b = PseudoHyperboloid((2, 1), c=1.0), PseudoHyperboloid((2, 1), c=4.0)
    layer = PseudoHyperboloidLinear(a, b).double()
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, -1.0]]))
        layer.linear.bias.copy_(torch.tensor([0.1, 0.2]))
    angle, rise = 0.4, 0.6
    x = [math.cosh(rise) * math.cos(angle), math.cosh(rise) * math.sin(angle), math.sinh(rise)]
    y = layer(torch.tensor(x, dtype=torch.float64))
    angle, rise = 2 * (2 * angle + 0.1), 2 * (0.2 - rise)  # scaled by sqrt(4)
    expected = [math.cosh(rise) * math.cos(angle), math.cosh(rise) * math.sin(angle), math.sinh(rise)]
    torch.testing.assert_close(y, torch.tensor(expected, dtype=torch.float64) / 2)


def test_features_are_checked():
    with pytest.raises(ValueError, match="in_features must be positive"):
        TangentLinear(Lorentz(), 0, 3)
