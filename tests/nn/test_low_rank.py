"""Low-rank maps by way of the hyperboloid: their formulas, their gradients at the start, and where others fail."""

from __future__ import annotations

import pytest
import torch

from crocuta import nn
from crocuta.manifolds import Lorentz

FORMS = (nn.TangentLowRank, nn.LorentzLowRank)


def drawn(form, c=1.0, dtype=torch.float64, learnable=False):
    """A map of 6 to 5 dimensions that is not 0, and vectors."""
    torch.manual_seed(0)
    layer = form(Lorentz(c, learnable), 6, 5, 3)
    torch.nn.init.normal_(layer.up)
    return layer.to(dtype), torch.randn(4, 6, dtype=dtype)


def lorentz_layers(layer):
    """A and B as Lorentz linear layers."""
    down = nn.LorentzLinear(layer.manifold, 6, 3, bias=False).double()
    up = nn.LorentzLinear(layer.manifold, 3, 5, bias=False).double()
    down.weight.data = torch.cat([layer.down_time[:, None], layer.down], dim=1)
    up.weight.data = layer.up
    return down, up


@pytest.mark.parametrize("c", [0.3, 1.0, 4.0])
def test_the_equations(c):
    layer, x = drawn(nn.TangentLowRank, c)
    (down, up), m, x = (
        lorentz_layers(layer),
        layer.manifold,
        1e4 * x,
    )  # beside which the floor of |x| is nothing
    entry = m.expmap0(layer.log_radius.exp() * x / x.norm(dim=-1, keepdim=True))
    torch.testing.assert_close(layer(x), m.logmap0(up(down(entry))), rtol=1e-11, atol=0)
    layer, x = drawn(nn.LorentzLowRank, c)
    down, up = lorentz_layers(layer)
    torch.testing.assert_close(layer(x), up(down(layer.manifold.lift(x)))[..., 1:], rtol=1e-12, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_it_starts_at_zero(form):
    assert not form(Lorentz(), 6, 5, 3)(torch.randn(4, 6)).any()


def test_points_enter_where_normalised_vectors_would():
    layer, x = drawn(nn.TangentLowRank, c=2.0)
    point = layer.manifold.expmap0(layer.log_radius.exp() * x / x.norm(dim=-1, keepdim=True))
    torch.testing.assert_close(
        point[..., 1:].norm(dim=-1), torch.full((4,), 6**0.5).double(), rtol=1e-6, atol=0
    )


def slope(layer, x, weight):
    """Gradient of a loss by B along a direction, at B = 0, and the central difference."""
    torch.nn.init.zeros_(layer.up)
    direction = torch.ones_like(layer.up)
    (gradient,) = torch.autograd.grad((weight * layer(x)).sum(), layer.up)
    ends = []
    for step in (1e-4, -1e-4):
        layer.up.data.copy_(step * direction)
        ends.append((weight * layer(x)).sum().item())
    layer.up.data.zero_()
    return (gradient * direction).sum().item(), (ends[0] - ends[1]) / 2e-4


@pytest.mark.parametrize("form", FORMS)
def test_gradient_at_the_start_is_that_of_finite_differences(form):
    weight = torch.linspace(-1, 2, 5)
    layer, x = drawn(form)
    exact, numeric = slope(layer, x, weight.double())
    assert exact == pytest.approx(numeric, rel=1e-7)
    single, _ = slope(layer.float(), x.float(), weight)
    assert single == pytest.approx(exact, rel=1e-5)


def clamped_logmap0(s):
    """The original's logarithm at c = 1: acosh of a time held above 1 + 1e-7, the norm below it held above 1e-7."""
    time = (1 + s.square().sum(-1, keepdim=True)).sqrt().clamp_min(1 + 1e-7)
    return torch.acosh(time) * s / s.norm(dim=-1, keepdim=True).clamp_min(1e-7)


def test_the_originals_gradient_at_the_start_is_4472_times_too_large():
    layer, x = drawn(nn.TangentLowRank)
    torch.nn.init.zeros_(layer.up)
    down, up = lorentz_layers(layer)
    entry = layer.manifold.expmap0(layer.log_radius.exp() * x / x.norm(dim=-1, keepdim=True))
    space = torch.nn.functional.linear(down(entry), up.weight)
    (theirs,) = torch.autograd.grad(clamped_logmap0(space).sum(), up.weight)
    (ours,) = torch.autograd.grad(layer(x).sum(), layer.up)
    torch.testing.assert_close(theirs / ours, torch.full_like(ours, 4472.1), rtol=1e-4, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_zero_is_an_input_like_any_other(form):
    layer, _ = drawn(form, learnable=True)
    x = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    layer(x).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in (x, *layer.parameters()))
    direction = torch.randn(1, 6, dtype=torch.float64)
    with torch.no_grad():
        ends = [layer(step * direction).sum() for step in (1e-7, -1e-7)]
    assert (x.grad * direction).sum() == pytest.approx(((ends[0] - ends[1]) / 2e-7).item(), rel=1e-6)
    assert form is nn.LorentzLowRank or x.grad.norm() > 1  # directions near 0 are told apart


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1e-20, 1e-4, 1e4, 1e15])
def test_any_size_of_input_in_float32(form, size):
    layer, x = drawn(form, dtype=torch.float32, learnable=True)
    x = (size * x).requires_grad_()
    out = layer(x)
    (out / out.detach().abs().clamp_min(1)).sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in (x, *layer.parameters()))


def test_sizes_must_be_positive():
    with pytest.raises(ValueError, match="rank must be positive, got 0"):
        nn.LorentzLowRank(Lorentz(), 6, 5, 0)
