"""What was measured to go wrong in HyperCore and geoopt, one test each, and is right here."""

import pytest
import torch

from crocuta.manifolds import Lorentz, Poincare, lorentz_to_poincare, poincare_to_lorentz

F64 = torch.float64


def test_distance_has_its_full_size():
    """`induced_distance` lost a sign: constant 0.00138 where 4-7 is right."""
    m = Lorentz()
    s = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    x = m.expmap0(s)
    assert m.dist(x[0], x[1]).item() == pytest.approx(6.309, abs=1e-3)  # acosh(cosh 3 cosh 4)


def test_exterior_angle_keeps_every_coordinate_and_one_value_per_pair():
    """The oxy angle dropped a coordinate and came back as batch x batch."""
    m = Lorentz()
    x, y = m.random((2, 7, 3), dtype=F64)
    angle = m.exterior_angle(x, y)
    assert angle.shape == (7,)
    for i in range(3):
        turned = y.clone()
        turned[:, 1 + i] += 0.5
        assert ((m.exterior_angle(x, m.project(turned)) - angle).abs() > 1e-4).all()


@pytest.mark.parametrize("c", [0.25, 4.0])
def test_half_aperture_away_from_unit_curvature(c):
    """It was 4 times too small: the cone of similar points is the same at every curvature."""
    unit = Lorentz(1.0)
    x = unit.random((9, 3), std=3.0, dtype=F64)
    similar = x / c**0.5
    torch.testing.assert_close(Lorentz(c).half_aperture(similar), unit.half_aperture(x))


@pytest.mark.parametrize("c", [0.25, 4.0])
def test_conversion_away_from_unit_curvature(c):
    """Lorentz to Poincare and back lost 62%."""
    m = Lorentz(c)
    x = m.random((9, 3), dtype=F64)
    torch.testing.assert_close(poincare_to_lorentz(lorentz_to_poincare(x, c), c), x)


@pytest.mark.parametrize("kind", [Lorentz, Poincare])
@pytest.mark.parametrize("std", [0.02, 0.5])
def test_random_obeys_its_std(kind, std):
    m = kind(2.0)
    x = m.random((4000, 3), std=std, generator=torch.Generator().manual_seed(0))
    assert m.dist0(x).square().mean().sqrt().item() == pytest.approx(std * 3**0.5, rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_centroid_of_16_bit_points(dtype):
    """Raised KeyError."""
    m = Lorentz()
    x = m.random((5, 3)).to(dtype)
    assert m.violation(m.centroid(x)) < 1e-6


@pytest.mark.parametrize("r", [1.0, 5.0, 10.0, 20.0])
def test_the_float32_table(r):
    """dist(x, x) was 0.044 at r = 5; its gradient 3e3, later NaN; log then exp NaN from r = 10."""
    m = Lorentz()
    s = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    x = m.expmap0(r * s / s.norm(dim=-1, keepdim=True)).requires_grad_()
    distance = m.dist(x, x)
    assert (distance == 0).all()
    assert (torch.autograd.grad(distance.sum(), x)[0] == 0).all()
    y = m.expmap(x, m.logmap(x, x.detach().flip(0)))
    assert y.isfinite().all()
    assert m.violation(y).max() < 1e-6


def test_strong_curvature_is_no_harder():
    """At curvature -100 their r = 1 looked like r = 10; only r sqrt(c) counts here."""
    s = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    errors = []
    for c in (1.0, 100.0):
        m = Lorentz(c)
        u = s / c**0.5
        errors.append(((m.logmap0(m.expmap0(u)) - u).norm() / u.norm()).item())
    assert max(errors) < 5e-7


def test_small_vectors_survive_the_round_trip():
    """log0(exp0(s)) lost 2% at 1e-3 and everything below 1e-4."""
    m = Lorentz()
    for length in (1e-3, 1e-5, 1e-8):
        s = torch.full((4,), length)
        torch.testing.assert_close(m.logmap0(m.expmap0(s)), s, rtol=1e-6, atol=0)


def test_ball_does_not_saturate_at_six():
    """PoincareBall stopped at r = 6.21 and gave 16.6 for 20."""
    m = Poincare()
    u = torch.tensor([[3.0, 4.0]])  # r = 10
    assert m.dist(m.expmap0(u), m.expmap0(-u)).item() == pytest.approx(20, rel=1e-3)
