"""torch's machinery around the maps: compilation, second derivatives, inference."""

import pytest
import torch

from crocuta.manifolds import Lorentz, Poincare


def everything(m, s, t):
    x, y = m.expmap0(s), m.expmap0(t)
    u = m.logmap(x, y)
    parts = (
        m.dist(x, y),
        m.cdist(x, y),
        m.dist0(x),
        m.logmap0(m.centroid(torch.stack([x, y], dim=-2))),
        m.inner(x, u, u),
        m.logmap0(m.expmap(x, u / 2)),
        m.transport(x, y, u),
        m.logmap0(m.retract(x, u / 9)),
        m.egrad2rgrad(x, u),
    )
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning"
)  # torch's tracer does so
@pytest.mark.parametrize(
    ("kind", "learnable"),
    [
        (Lorentz, True),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in ((Lorentz, False), (Poincare, False), (Poincare, True))
        ),
    ],
)
def test_compiles_whole_also_under_autocast(kind, learnable):
    m = kind(0.7, learnable)
    s, t = torch.randn(2, 4, 5).unbind()
    s, t = s.requires_grad_(), t.requires_grad_()
    compiled = torch.compile(lambda s, t: everything(m, s, t), fullgraph=True, backend="aot_eager")
    inputs = (s, t, *m.parameters())
    expected, actual = everything(m, s, t), compiled(s, t)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad(out.sum(), inputs) for out in (expected, actual)]
    for eager, traced in zip(*gradients, strict=True):
        torch.testing.assert_close(traced, eager, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fenced = compiled(s, t)
    assert fenced.dtype == torch.float32
    assert torch.equal(fenced, actual)


@pytest.mark.parametrize("learnable", [False, True])
def test_second_derivatives(learnable):
    m = Lorentz(0.7, learnable).double()
    s, t = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True).unbind()
    s, t = s.detach().requires_grad_(), t.detach().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda s, t: m.dist(m.expmap0(s), m.expmap0(t)), (s, t))
    assert torch.autograd.gradgradcheck(lambda s: m.logmap0(m.lift(m.logmap0(m.expmap0(s)))), (s,))


def test_gradient_of_expmap0_beyond_its_largest_radius():
    m = Lorentz()
    s = torch.tensor([[60.0, 0.0, 0.0]], requires_grad=True)
    direction = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    x = m.expmap0(s)
    assert m.dist0(x).item() == pytest.approx(41.0)
    (along,) = torch.autograd.grad((x * direction).sum(), s, retain_graph=True)
    (across,) = torch.autograd.grad((x * direction.roll(1)).sum(), s)
    assert across[0, 1] > 1e15  # the direction still turns the point
    assert along[0, 0].abs() < 1e-6 * across[0, 1]  # the length no longer moves it


def test_expanded_inputs_and_no_gradient():
    m = Lorentz()
    x, y = m.random((6, 1, 3)).requires_grad_(), m.random((1, 7, 3)).requires_grad_()
    m.dist(x, y).sum().backward()
    assert x.grad.shape == x.shape
    assert y.grad.shape == y.shape
    with torch.inference_mode():
        assert m.dist(x, y).shape == (6, 7)
    only = m.dist(x, y.detach())
    only.sum().backward()
    assert m.dist(x.detach(), y.detach()).grad_fn is None


@pytest.mark.parametrize("kind", [Lorentz, Poincare])
def test_empty_batches(kind):
    m = kind()
    x = m.expmap0(torch.zeros(0, 3))
    assert m.dist(x, x).shape == (0,)
    assert m.logmap(x, x).shape == x.shape
    assert m.check(x) is x


@pytest.mark.parametrize("kind", [Lorentz, Poincare])
def test_meta_device(kind):
    """Modules place points in `__init__`, which loaders run without memory."""
    with torch.device("meta"):
        m = kind(0.7, learnable=True)
        assert m.random((4, 3)).is_meta
