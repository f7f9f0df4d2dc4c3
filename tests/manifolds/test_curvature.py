"""Curvature: bounded, shared, saved, and refused when it makes no sense."""

import copy
import pickle

import pytest
import torch
from torch import nn

from crocuta.manifolds import Euclidean, Lorentz, Manifold, Poincare


@pytest.mark.parametrize("c", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("kind", [Lorentz, Poincare])
def test_wrong_curvature(kind, c):
    with pytest.raises(ValueError, match=f"c must be .*got c={c!r}"):
        kind(c)


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_learnable_curvature_is_bounded_and_smooth(c):
    m = Lorentz(c, learnable=True)
    assert m.c.item() == pytest.approx(c, rel=1e-6)
    start = m.log_c.item()
    for offset in (-1e6, -10.0, 10.0, 1e6):
        m.log_c.data.fill_(start + offset)
        assert c / 10 <= m.c.item() <= 10 * c
        assert torch.autograd.grad(m.c, m.log_c)[0].isfinite()
    m.log_c.data.fill_(start)
    slope = torch.autograd.grad(m.c, m.log_c)[0].item()
    assert slope == pytest.approx(c, rel=1e-5)


def test_descent_on_the_curvature_stays_positive():
    """HyperCore's curvature turned negative after four steps."""
    m = Lorentz(1.0, learnable=True)
    optimizer = torch.optim.SGD(m.parameters(), lr=50.0)
    x, y = torch.randn(2, 8, 4)
    for _ in range(20):
        optimizer.zero_grad()
        m.dist(m.expmap0(x), m.expmap0(y)).mean().neg().backward()
        optimizer.step()
        assert 0.1 <= m.c.item() <= 10.0
        assert m.dist(m.expmap0(x), m.expmap0(y)).isfinite().all()


def test_fixed_curvature_has_no_state():
    m = Lorentz(0.5)
    assert m.c == 0.5
    assert isinstance(m.c, float)
    assert not m.state_dict()
    assert not list(m.parameters())
    assert Euclidean().c == 0.0


def test_sharing_is_holding_the_same_object():
    shared = Lorentz(2.0, learnable=True)
    model = nn.ModuleDict({"a": nn.ModuleList([shared]), "b": nn.ModuleList([shared])})
    assert len(list(model.parameters())) == 1
    twin = copy.deepcopy(model)
    assert twin["a"][0] is twin["b"][0]
    twin = pickle.loads(pickle.dumps(model))
    assert twin["a"][0] is twin["b"][0]
    assert [m for m in model.modules() if isinstance(m, Manifold)] == [shared]


@pytest.mark.parametrize("convert", [nn.Module.half, nn.Module.bfloat16])
def test_half_precision_spares_the_curvature(convert):
    m = Lorentz(0.37, learnable=True)
    before = m.c.item()
    convert(m)
    assert m.log_c.dtype == torch.float32
    assert m.c.item() == before
    assert m.double().log_c.dtype == torch.float64


@pytest.mark.parametrize("kind", [Lorentz, Poincare])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_inputs_become_float32_points(kind, dtype):
    m = kind()
    s = torch.randn(5, 4).to(dtype)
    x = m.expmap0(s)
    assert x.dtype == torch.float32
    assert torch.equal(x, m.expmap0(s.float()))
    assert m.centroid(x.to(dtype)).dtype == torch.float32


def test_check_names_argument_and_value():
    m = Lorentz()
    x = m.random((4, 3))
    assert m.check(x) is x
    x[2, 1] = float("nan")
    with pytest.raises(ValueError, match=r"embeddings must be finite, got nan at index \(2, 1\)"):
        m.check(x, name="embeddings")
    with pytest.raises(ValueError, match=r"x must lie on .*project"):
        m.check(torch.randn(4, 4))
    with pytest.raises(ValueError, match="must lie on"):
        Poincare(4.0).check(torch.tensor([0.6, 0.0]))


def test_representation_shows_the_curvature():
    assert repr(Lorentz(0.5)) == "Lorentz(c=0.5)"
    assert repr(Poincare(2.0, learnable=True)) == "Poincare(c=2, learnable=True)"
