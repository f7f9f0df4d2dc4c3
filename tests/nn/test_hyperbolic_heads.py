"""Hyperplane heads against both reference systems, geometry, and the failures of HyperCore's."""

import pytest
import torch

from crocuta.manifolds import Lorentz, Poincare, lorentz_to_poincare, poincare_to_lorentz
from crocuta.nn.lorentz.head import LorentzMLR
from crocuta.nn.poincare.head import PoincareMLR

KS = (1.0, 0.5, 2.0)
CURVATURES = (0.1, 1.0, 2.7)


@pytest.mark.parametrize("k", KS)
def test_lorentz_mlr_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "mlr", k)
    m = case.manifold()
    layer = LorentzMLR(m, 8, 4).double()
    case.put(layer, weight=case["state.z"], offset=case["state.a"])
    x, s = case.point(m, "in.x")
    y = layer(x)
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.weight.grad, case["grad.z"])
    case.close(layer.offset.grad, case["grad.a"])


@pytest.mark.parametrize("k", KS)
def test_lorentz_mlr_against_hge(golden_case, k):
    case = golden_case("hge", "mlr", k)
    m = case.manifold()
    layer = LorentzMLR(m, 8, 4).double()
    case.put(layer, weight=case["param.z"], offset=case["param.a"])
    x, s = case.point(m, "in.x")
    y = layer(x)
    case.close(y, case["out.logits"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.L.x_space"])
    case.close(layer.weight.grad, case["grad.L.z"])
    case.close(layer.offset.grad, case["grad.L.a"])
    case.close(case.by_k(m), case["grad.L.k"])


def test_hyperplanes_far_out_are_finite_and_right():
    """HyperCore's beta is NaN in float32 from a / sqrt(k) = 10."""
    torch.manual_seed(0)
    m = Lorentz()
    for offset in (10.0, 15.0, 100.0):
        layer = LorentzMLR(m, 6, 3)
        torch.nn.init.constant_(layer.offset, offset)
        out = layer(m.random((20, 6)))
        assert torch.isfinite(out).all()
        out.sum().backward()
        assert torch.isfinite(layer.weight.grad).all()
        if offset < 20:
            # the origin's distance to the hyperplane is the offset, on the negative side
            logits = layer(m.origin(6))
            torch.testing.assert_close(logits, -offset * layer.weight.norm(dim=-1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("c", CURVATURES)
def test_logit_is_the_distance_to_the_hyperplane(c):
    """The hyperplane's nearest point, found by walking along its perpendicular, is |logit| / |z| away."""
    torch.manual_seed(0)
    m = Lorentz(c)
    layer = LorentzMLR(m, 4, 1).double()
    direction = torch.nn.functional.normalize(layer.weight[0], dim=0).detach()
    foot = m.expmap0(layer.offset.detach() * direction)
    origin = m.origin(4, dtype=torch.float64)
    normal = torch.cat([torch.zeros(1, dtype=torch.float64), direction])
    across = torch.linalg.qr(torch.cat([direction[:, None], torch.randn(4, 3).double()], 1)).Q[:, 1]
    inside = torch.cat([torch.zeros(1, dtype=torch.float64), across * 0.7])
    base = m.expmap(foot, m.transport(origin, foot, inside))  # a point of the hyperplane
    perpendicular = m.transport(foot, base, m.transport(origin, foot, normal))
    for distance in (-1.5, 0.2, 2.0):
        logit = layer(m.expmap(base, distance * perpendicular))
        torch.testing.assert_close(logit, distance * layer.weight.norm(dim=-1), rtol=1e-9, atol=1e-9)


def ganea(x, p, a, c):
    """Ganea et al. 2018, eq. 25, with the gyrovector addition written out: x (n), p and a (n)."""
    u, v = -p, x
    uv, uu, vv = (u @ v), (u @ u), (v @ v)
    z = ((1 + 2 * c * uv + c * vv) * u + (1 - c * uu) * v) / (1 + 2 * c * uv + c**2 * uu * vv)
    size = 2 * a.norm() / (1 - c * (p @ p))
    return size / c**0.5 * torch.asinh(2 * c**0.5 * (z @ a) / ((1 - c * (z @ z)) * a.norm()))


@pytest.mark.parametrize("c", CURVATURES)
def test_poincare_mlr_has_the_conformal_factor_the_right_way_up(c):
    """HyperCore's is inverted: 0.04 to 0.10 of the true logit at norm 0.9."""
    torch.manual_seed(0)
    m = Poincare(c)
    layer = PoincareMLR(m, 5, 3).double()
    torch.nn.init.normal_(layer.offset, std=0.3)
    x = torch.nn.functional.normalize(torch.randn(10, 5).double(), dim=-1) * 0.9 / c**0.5
    logits = layer(x)
    for j in range(3):
        direction = torch.nn.functional.normalize(layer.weight[j], dim=0)
        p = m.expmap0(layer.offset[j] * direction)
        # parallel transport of z from the origin to p: the metric length stays 2 |z|
        a = layer.weight[j] * (1 - c * (p @ p))
        expected = torch.stack([ganea(row, p, a, c) for row in x])
        torch.testing.assert_close(logits[:, j], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("c", CURVATURES)
def test_both_heads_are_one(c):
    torch.manual_seed(0)
    ball, hyperboloid = PoincareMLR(Poincare(c), 5, 3).double(), LorentzMLR(Lorentz(c), 5, 3).double()
    with torch.no_grad():
        ball.offset.normal_()
        hyperboloid.weight.copy_(2 * ball.weight)
        hyperboloid.offset.copy_(2 * ball.offset)
    x = Lorentz(c).random((7, 5), dtype=torch.float64)
    torch.testing.assert_close(poincare_to_lorentz(lorentz_to_poincare(x, c), c), x)
    torch.testing.assert_close(ball(lorentz_to_poincare(x, c)), hyperboloid(x))
