"""Maps between manifolds, cones, the wrapped normal, horospheres."""

import math

import pytest
import torch

from crocuta.manifolds import (
    Euclidean,
    Lorentz,
    Poincare,
    Remap,
    Rescale,
    WrappedNormal,
    busemann,
    lorentz_to_poincare,
    poincare_to_lorentz,
)

CURVATURES = (0.01, 0.1, 1.0, 4.0, 100.0)
F64 = torch.float64


@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("c", CURVATURES)
def test_models_are_isometric(c, learnable):
    lorentz, ball = Lorentz(c, learnable), Poincare(c, learnable)
    x, y = lorentz.random((2, 20, 5), std=2 / c**0.5, dtype=F64)
    p, q = lorentz_to_poincare(x, lorentz), lorentz_to_poincare(y, lorentz)
    torch.testing.assert_close(ball.dist(p, q), lorentz.dist(x, y), rtol=1e-9, atol=0)
    torch.testing.assert_close(poincare_to_lorentz(p, ball), x, rtol=1e-9, atol=1e-9)
    s = lorentz.logmap0(x)
    torch.testing.assert_close(ball.expmap0(s / 2), p, rtol=1e-9, atol=1e-12)
    middle = lorentz_to_poincare(lorentz.centroid(x), lorentz)
    torch.testing.assert_close(ball.centroid(p), middle, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("kind", [Lorentz, Poincare])
def test_rescale_is_a_similarity(kind):
    a, b = kind(0.3), kind(2.0, learnable=True)
    x, y = a.random((2, 10, 4), dtype=F64)
    rescale = Rescale(a, b)
    ratio = b.dist(rescale(x), rescale(y)) / a.dist(x, y)
    torch.testing.assert_close(ratio, torch.full_like(ratio, math.sqrt(0.3 / 2.0)), rtol=1e-6, atol=0)
    assert b.violation(rescale(x)).max() < 1e-12
    with pytest.raises(ValueError, match="Remap"):
        Rescale(Lorentz(), Poincare())


def test_remap_keeps_distances_from_the_origin():
    manifolds = (Lorentz(0.3), Poincare(2.0), Euclidean(), Lorentz(4.0))
    for a in manifolds:
        x = a.random((10, 4), dtype=F64)
        for b in manifolds:
            y = Remap(a, b)(x)
            torch.testing.assert_close(b.dist0(y), a.dist0(x))
            torch.testing.assert_close(Remap(b, a)(y), x)


def test_rescale_and_remap_differ():
    a, b = Lorentz(1.0), Lorentz(0.25)
    x = a.random((10, 4), dtype=F64)
    assert (Rescale(a, b)(x) - Remap(a, b)(x)).abs().max() > 0.1


@pytest.mark.parametrize("c", CURVATURES)
def test_cone_of_a_point_holds_what_lies_behind_it(c):
    m = Lorentz(c)
    s = torch.randn(10, 4, dtype=F64)
    s = s / s.norm(dim=-1, keepdim=True) / c**0.5
    x, behind, before = m.expmap0(s), m.expmap0(3 * s), m.expmap0(0.5 * s)
    assert m.exterior_angle(x, behind).max() < 1e-6
    torch.testing.assert_close(m.exterior_angle(x, before), torch.full((10,), math.pi, dtype=F64))
    angle = m.exterior_angle(x, m.expmap0(-s))
    assert angle.shape == (10,)
    assert (angle > 3).all()
    assert (m.half_aperture(behind) < m.half_aperture(x)).all()


def test_exterior_angle_by_the_law_of_cosines():
    """As MERU defines it: pi minus the angle at x of the triangle (origin, x, y)."""
    m = Lorentz(0.5)
    x, y = m.random((2, 50, 3), dtype=F64)
    a, b, d = (v * m.c**0.5 for v in (m.dist0(x), m.dist0(y), m.dist(x, y)))
    cosine = (torch.cosh(a) * torch.cosh(d) - torch.cosh(b)) / (torch.sinh(a) * torch.sinh(d))
    torch.testing.assert_close(m.exterior_angle(x, y), math.pi - torch.acos(cosine))


def test_cone_gradients():
    m = Lorentz(0.7)
    s, t = torch.randn(2, 4, 3, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, t: m.exterior_angle(m.expmap0(s), m.expmap0(t)), (s, t))
    assert torch.autograd.gradcheck(lambda s: m.half_aperture(m.expmap0(s)), (s,))
    x = m.random((5, 3)).requires_grad_()
    (gradient,) = torch.autograd.grad(m.exterior_angle(x, x).sum() + m.half_aperture(x * 0).sum(), x)
    assert (gradient == 0).all()


@pytest.mark.parametrize("kind", [Lorentz, Poincare])
@pytest.mark.parametrize("c", [0.1, 1.0, 4.0])
def test_wrapped_normal_density_integrates_to_one(kind, c):
    """By importance: the mean of p(x) / q(x) over samples of another wrapped normal q is 1."""
    m = kind(c)
    generator = torch.Generator().manual_seed(0)
    loc = m.expmap0(torch.tensor([0.3, -0.2], dtype=F64))
    p = WrappedNormal(m, loc, torch.tensor([0.5, 0.8], dtype=F64))
    q = WrappedNormal(m, m.origin(2, dtype=F64), 1.2)
    x = q.sample((10000,), generator)
    ratio = (p.log_prob(x) - q.log_prob(x)).exp()
    error = ratio.std() / 100
    assert abs(ratio.mean() - 1) < 5 * error
    assert error < 0.05
    # and samples lie at the distance that the scale promises
    alone = WrappedNormal(m, loc, 0.3).sample((2000,), generator)
    assert m.dist(alone, loc).square().mean().item() == pytest.approx(2 * 0.09, rel=0.1)


def test_wrapped_normal_agrees_across_models():
    lorentz, ball = Lorentz(0.7), Poincare(0.7)
    loc, x = lorentz.random((2, 6, 4), dtype=F64)
    a = WrappedNormal(lorentz, loc, 0.5).log_prob(x)
    p, q = lorentz_to_poincare(loc, lorentz), lorentz_to_poincare(x, lorentz)
    torch.testing.assert_close(WrappedNormal(ball, p, 0.5).log_prob(q), a)


def test_wrapped_normal_is_differentiable_and_refuses_nonsense():
    m = Lorentz(1.0, learnable=True)
    loc = m.random((3, 4)).detach().requires_grad_()
    scale = torch.full((4,), 0.3, requires_grad=True)
    sample = WrappedNormal(m, loc, scale).rsample((5,))
    assert sample.shape == (5, 3, 5)
    WrappedNormal(m, loc, scale).log_prob(sample).sum().backward()
    assert all(t.grad.isfinite().all() for t in (loc, scale, m.log_c))
    with pytest.raises(ValueError, match="got Euclidean"):
        WrappedNormal(Euclidean(), loc, 1.0)
    with pytest.raises(ValueError, match=r"scale must be positive, got -1\.0"):
        WrappedNormal(m, loc.detach(), -1.0)


@pytest.mark.parametrize("c", CURVATURES)
def test_busemann(c):
    lorentz = Lorentz(c)
    ideal = torch.tensor([0.6, 0.8], dtype=F64)
    steps = torch.linspace(-10, 10, 9, dtype=F64)[:, None] / c**0.5
    on_ray = lorentz.expmap0(steps * ideal)
    torch.testing.assert_close(busemann(lorentz, on_ray, ideal), -steps[:, 0])
    x = lorentz.random((20, 2), std=2 / c**0.5, dtype=F64)
    ball = Poincare(c)
    other = busemann(ball, lorentz_to_poincare(x, lorentz), 5 * ideal)
    torch.testing.assert_close(other, busemann(lorentz, x, ideal))
    far = lorentz.expmap0(25 * ideal / c**0.5)
    limit = lorentz.dist(x, far) - lorentz.dist0(far)
    torch.testing.assert_close(busemann(lorentz, x, ideal), limit)


@pytest.mark.parametrize(("c_in", "c_out"), [(1.0, 1.0), (0.3, 2.7), (4.0, 0.01)])
def test_remap_between_hyperboloids(c_in, c_out):
    """One function, equal to the logarithm and the exponential that it stands for, also twice differentiated."""
    a, b = Lorentz(c_in, learnable=True).double(), Lorentz(c_out, learnable=True).double()
    torch.manual_seed(0)
    s = torch.randn(6, 4, dtype=torch.float64) * torch.tensor([1e-9, 1e-3, 0.1, 1.0, 3.0, 5.0])[:, None]
    x = a.expmap0(s).detach().requires_grad_()
    weight = torch.randn(6, 5, dtype=torch.float64)
    results = []
    for y in (Remap(a, b)(x), b.expmap0(a.logmap0(x))):
        results.append((y, *torch.autograd.grad((y * weight).sum(), (x, a.log_c, b.log_c))))
    for fused, plain in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-9, atol=1e-11)
    assert torch.autograd.gradgradcheck(
        lambda x: b.logmap0(Remap(a, b)(x)), (x[2:4].detach().requires_grad_(),)
    )
    far = Lorentz(1.0).expmap0(torch.tensor([[30.0, 0.0]])).requires_grad_()
    y = Remap(Lorentz(1.0), Lorentz(9.0))(far)  # scaled radius 90: held where float32 is finite
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert torch.isfinite(far.grad).all()
