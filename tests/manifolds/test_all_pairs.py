"""`cdist` is `dist` of every pair: values, gradients, near pairs and far, at a fraction of the memory."""

import pytest
import torch

from crocuta.manifolds import Euclidean, Lorentz, Poincare, Product

KINDS = [
    Lorentz(),
    Lorentz(0.1, learnable=True),
    Lorentz(4.0),
    Poincare(),
    Poincare(2.7, learnable=True),
    Euclidean(),
]
NAMES = ["lorentz", "lorentz-learnable", "lorentz-4", "ball", "ball-learnable", "euclidean"]


def cloud(manifold, std, dtype, rows=20):
    """Points and others, some of which are the same, or nearly."""
    generator = torch.Generator().manual_seed(0)
    s = torch.randn(rows, 5, dtype=dtype, generator=generator) * std
    t = torch.randn(rows + 7, 5, dtype=dtype, generator=generator) * std
    t[:3], t[3:6] = s[:3], s[:3] * (1 + 1e-4)
    return [manifold.expmap0(v).detach().requires_grad_() for v in (s, t)]


def both(manifold, x, y):
    """Distances and gradients by `cdist`, and by `dist` of every pair, on the hyperboloid in float64."""
    wide = torch.float64 if isinstance(manifold, Lorentz) else x.dtype
    weight = torch.randn(len(x), len(y), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wide_x, wide_y = (p.detach().to(wide).requires_grad_() for p in (x, y))
    for distances, points in (
        (manifold.cdist(x, y), (x, y)),
        (manifold.dist(wide_x[:, None], wide_y), (wide_x, wide_y)),
    ):
        gradients = torch.autograd.grad((distances * weight).sum(), [*points, *manifold.parameters()])
        yield distances.double(), [g.double() for g in gradients]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("std", [0.01, 0.5, 3.0])
@pytest.mark.parametrize("manifold", KINDS, ids=NAMES)
def test_is_the_distance_of_every_pair(manifold, std, dtype):
    x, y = cloud(manifold, std / getattr(manifold, "initial_c", 1.0) ** 0.5, dtype)
    (found, gradients), (expected, expected_gradients) = both(manifold, x, y)
    tolerance = {torch.float32: 2e-5, torch.float64: 1e-9}[dtype]
    torch.testing.assert_close(found, expected, rtol=tolerance / 10, atol=1e-12)
    assert (found[range(3), range(3)] == 0).all()
    for name, g, e in zip(("x", "y", "c"), gradients, expected_gradients, strict=False):
        worst = (g - e).abs().max() / e.abs().max()
        assert worst < 5 * tolerance, f"{name}: {worst:.2g}"


@pytest.mark.parametrize("radius", [5.0, 10.0, 20.0, 38.0])
def test_far_out(radius):
    manifold = Lorentz()
    directions = torch.nn.functional.normalize(
        torch.randn(30, 6, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    x = manifold.expmap0(radius * directions).requires_grad_()
    y = manifold.expmap0((radius - 1) * directions).requires_grad_()
    (found, gradients), (expected, expected_gradients) = both(manifold, x, y)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    for g, e in zip(gradients, expected_gradients, strict=True):
        assert g.isfinite().all()
        torch.testing.assert_close(g, e, rtol=1e-4, atol=1e-5 * float(e.abs().max()))


@pytest.mark.parametrize("manifold", [Lorentz(0.7, learnable=True), Poincare(0.7)], ids=["lorentz", "ball"])
def test_gradients_are_finite_differences(manifold):
    x, y = (p.detach() for p in cloud(manifold, 0.8, torch.float64, rows=4))
    s, t = (manifold.logmap0(p).requires_grad_() for p in (x, y[6:]))
    torch.autograd.gradcheck(lambda s, t: manifold.cdist(manifold.expmap0(s), manifold.expmap0(t)), (s, t))


def test_second_derivatives():
    manifold = Lorentz()
    s = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    t = torch.randn(2, 4, dtype=torch.float64)
    torch.autograd.gradgradcheck(lambda s: manifold.cdist(manifold.lift(s), manifold.lift(t)), (s,))


@pytest.mark.parametrize(
    "manifold", [*KINDS, Product((Lorentz(), 2), (Euclidean(), 3))], ids=[*NAMES, "product"]
)
def test_any_shape(manifold):
    x, y = manifold.random((2, 3, 5)), manifold.random((4, 5))
    assert manifold.cdist(x, y).shape == (2, 3, 4)
    assert manifold.cdist(x[:0], y).shape == (0, 3, 4)
    torch.testing.assert_close(manifold.cdist(x, y), manifold.dist(x[:, :, None], y), rtol=1e-5, atol=1e-6)


def test_memory_is_that_of_the_distances():
    manifold = Lorentz()
    x, y = manifold.random((200, 64)).requires_grad_(), manifold.random((300, 64)).requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.nbytes) or t, lambda t: t):
        manifold.cdist(x, y)
    assert sum(saved) < 2 * (x.nbytes + y.nbytes) + 8 * 200 * 300
