"""The float32 bars: truth from mpmath on the float32 numbers that the functions receive."""

import mpmath
import pytest
import torch

from crocuta.manifolds import Lorentz, Poincare

CURVATURES = (0.01, 0.1, 1.0, 4.0, 100.0)


def directions(count, n=16, seed=0):
    unit = torch.randn(count, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return unit / unit.norm(dim=-1, keepdim=True)


def at_radius(m, r, count=8, seed=0):
    """float32 points at scaled radius r."""
    return m.expmap0((directions(count, seed=seed) * r / (m.scale0 * m.c**0.5)).float())


def near(m, x, gap, seed=5):
    """float32 points at about the scaled distance gap from x."""
    wide = x.double()
    u = m.project_tangent(
        wide, torch.cat([torch.zeros(len(x), 1), directions(len(x), seed=seed)], -1).double()
    )
    u = u * (gap / m.c**0.5 / m.inner(wide, u, u).sqrt())[:, None]
    return m.expmap(wide, u).float()


def true_dist(x, y, c):
    """Geodesic distance of the points over the given space parts, in 60 digits."""
    with mpmath.workdps(60):
        rows = []
        for a, b in zip(x[:, 1:].tolist(), y[:, 1:].tolist(), strict=True):
            a, b, k = [mpmath.mpf(v) for v in a], [mpmath.mpf(v) for v in b], 1 / mpmath.mpf(c)
            times = mpmath.sqrt(mpmath.fdot(a, a) + k) * mpmath.sqrt(mpmath.fdot(b, b) + k)
            cosh = max((times - mpmath.fdot(a, b)) / k, mpmath.mpf(1))  # 1 - 1e-59 where a equals b
            rows.append(float(mpmath.sqrt(k) * mpmath.acosh(cosh)))
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("r", [1e-3, 0.1, 1.0, 5.0, 10.0, 20.0, 40.0])
def test_distance_of_independent_points(c, r):
    m = Lorentz(c)
    x, y = at_radius(m, r), at_radius(m, 0.7 * r, seed=1)
    truth = true_dist(x, y, c)
    assert ((m.dist(x, y) - truth).abs() / truth).max() <= 1e-6


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("gap", [1e-4, 1e-2, 0.3])
@pytest.mark.parametrize("r", [1.0, 5.0, 10.0])
def test_distance_of_near_points(c, r, gap):
    """Better than the bar of 1e-3 (r = 5) and 5e-2 (r = 10): the rounding of the points is not our error."""
    m = Lorentz(c)
    x = at_radius(m, r)
    y = near(m, x, gap)
    truth = true_dist(x, y, c)
    apart = (x != y)[:, 1:].any(dim=-1)
    assert apart.any()
    assert ((m.dist(x, y) - truth).abs() / truth)[apart].max() <= 2e-6


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("r", [0.01, 0.3, 1.0, 2.0])
def test_every_formula_gives_one_answer(c, r, learnable):
    """Batches of mostly near, mostly far and mixed pairs, in float32, against the pairs one by one in
    float64.
    """
    m = Lorentz(c, learnable)
    fixed = Lorentz(c)
    x = at_radius(fixed, r, count=24)
    far, close = at_radius(fixed, r, count=24, seed=1), near(fixed, x, 1e-2 * r)
    wide = Lorentz(c, learnable).double()
    for share in (0, 6, 18, 24):
        y = torch.cat([close[:share], far[share:]])
        leaves = [x.clone().requires_grad_(), y.clone().requires_grad_(), *m.parameters()]
        distance = m.dist(*leaves[:2])
        gradients = torch.autograd.grad(distance.sum(), leaves)
        wide_leaves = [x.double().requires_grad_(), y.double().requires_grad_(), *wide.parameters()]
        rows = [wide.dist(wide_leaves[0][i], wide_leaves[1][i]) for i in range(24)]
        truth = torch.stack(rows)
        assert ((distance - truth).abs() / truth).max() <= 1e-6
        for actual, expected in zip(gradients, torch.autograd.grad(truth.sum(), wide_leaves), strict=True):
            torch.testing.assert_close(actual.double(), expected.double(), rtol=1e-4, atol=2e-6)


def test_quick_and_careful_rows_mix():
    m = Lorentz()
    x = at_radius(m, 8.0, count=40)
    y = at_radius(m, 8.0, count=40, seed=1)
    y[:3] = near(m, x[:3], 1e-2)
    y[3] = x[3]
    x, y = x.requires_grad_(), y.requires_grad_()
    gradient = torch.autograd.grad(m.dist(x, y).sum(), (x, y))
    for rows in (slice(0, 4), slice(4, 40)):
        pair = x[rows].detach().requires_grad_(), y[rows].detach().requires_grad_()
        alone = torch.autograd.grad(m.dist(*pair).sum(), pair)
        torch.testing.assert_close(m.dist(*pair), m.dist(x, y)[rows])
        for whole, part in zip(gradient, alone, strict=True):
            torch.testing.assert_close(whole[rows], part, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("length", [1e-6, 1e-4, 1e-2, 1.0, 10.0, 40.0])
def test_log_of_exp_at_the_origin(c, length):
    m = Lorentz(c)
    s = (directions(16) * length / c**0.5).float()
    error = (m.logmap0(m.expmap0(s)) - s).norm(dim=-1) / s.norm(dim=-1)
    assert error.max() <= 1e-6


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("r", [0.1, 1.0, 3.0, 5.0])
def test_exp_of_log_at_a_point(c, r):
    m = Lorentz(c)
    x, y = at_radius(m, r, 32), at_radius(m, 0.75 * r, 32, seed=1)
    for target in (y, near(m, x, 1e-2)):
        gap = m.dist(m.expmap(x, m.logmap(x, target)), target) / m.dist(x, target)
        assert gap.max() <= 1e-3


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("r", [1.0, 5.0, 10.0, 20.0])
def test_one_hot_centroid(c, r):
    m = Lorentz(c)
    x = torch.stack([at_radius(m, r, seed=seed) for seed in range(4)], dim=1)
    weight = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert (m.dist(m.centroid(x, weight), x[:, 0]) * c**0.5).max() <= 1e-2


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("kind", [Lorentz, Poincare])
def test_centroid_weights_may_have_any_scale(kind, c):
    m = kind(c)
    x = torch.stack([at_radius(m, r, seed=seed) for seed, r in enumerate((1.0, 2.0, 3.0))], dim=1)
    weight = torch.tensor([0.2, 0.5, 0.3])
    reference = m.centroid(x, weight)
    for scale in (1e-3, 1e3):
        torch.testing.assert_close(m.centroid(x, scale * weight), reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("r", [1.0, 5.0, 10.0, 12.0])
def test_poincare_antipodes(c, r):
    m = Poincare(c)
    s = (directions(64, n=3) * r / (2 * c**0.5)).float()
    distance = m.dist(m.expmap0(s), m.expmap0(-s)) * c**0.5
    assert ((distance - 2 * r).abs() / (2 * r)).max() <= 1e-3
    assert ((m.dist0(m.expmap0(s)) * c**0.5 - r).abs() / r).max() <= 1e-3


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("kind", [Lorentz, Poincare])
def test_pairs_with_the_origin_and_beyond_reach(kind, c):
    """Zero vectors, and vectors so long that exp must stop, stay finite in value and gradient."""
    m = kind(c)
    lengths = torch.tensor([0.0, 1e-30, 1e-10, 40.0, 100.0, 1e6])
    s = (directions(6) * lengths[:, None] / c**0.5).float().requires_grad_()
    x = m.expmap0(s)
    y = m.origin(16).expand(6, -1)
    values = (x, m.dist(x, y), m.dist(x, x.flip(0)), m.logmap0(x), m.logmap(x, y), m.logmap(y, x), m.dist0(x))
    for value in values:
        assert value.isfinite().all()
        scaled = value / value.detach().abs().clamp_min(1.0)
        (gradient,) = torch.autograd.grad(scaled.sum(), s, retain_graph=True)
        assert gradient.isfinite().all()


def test_points_reached_from_far_away_stay_finite():
    m = Lorentz(0.1)
    x = m.expmap0(torch.tensor([[27.0, 0.0]]))  # 8.5 radii of curvature
    for length in (100.0, 1e4, 1e30):
        v = torch.tensor([[length, 0.0]], requires_grad=True)
        y = m.from_normal_coordinates(x, v)
        m.logmap0(y).sum().backward()
        assert torch.isfinite(y).all()
        assert torch.isfinite(v.grad).all()


@pytest.mark.parametrize("r", [1e-3, 0.0501, 1.0, 20.0, 40.0])
def test_gradients_of_the_logarithm_at_any_radius(r):
    """At radius 40 the square of a space part times its product with a gradient is beyond float32."""
    x, g = at_radius(Lorentz(0.8), r).detach(), torch.randn(8, 16, generator=torch.Generator().manual_seed(2))
    found = []
    for dtype in (torch.float32, torch.float64):
        m = Lorentz(0.8, learnable=True)
        point = x.to(dtype, copy=True).requires_grad_()
        m.logmap0(point).mul(g.to(dtype)).sum().backward()
        found.append((point.grad.double(), m.log_c.grad.double()))
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-5 * double.abs().max().item())
