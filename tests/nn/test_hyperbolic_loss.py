"""Entailment cones against the 70-digit oracle, contrast against its definition."""

import math

import numpy as np
import pytest
import torch

from crocuta.manifolds import Lorentz, Poincare
from crocuta.nn.hyperbolic_loss import EntailmentConeLoss, HyperbolicContrastiveLoss

CURVATURES = (0.1, 1.0, 2.7)


def test_cone_excess_against_the_oracle(golden):
    """HyperCore's angle drops a coordinate (3.14 for 2.88) and its aperture is 4 times too small at c != 1."""
    with np.load(golden("manifolds") / "oracle_lorentz_f64.npz") as file:
        data = {name: torch.from_numpy(file[name]) for name in file.files if file[name].dtype.kind == "f"}
    used = 0
    for c in data["c"].unique().tolist():
        rows = (data["c"] == c) & data["half_aperture_x"].isfinite() & (data["r_sqrtc"] <= 10)
        loss = EntailmentConeLoss(Lorentz(c))
        excess = loss.excess(data["x"][rows], data["y"][rows])
        expected = (data["exterior_angle_xy"] - data["half_aperture_x"])[rows]
        torch.testing.assert_close(excess, expected, rtol=1e-9, atol=1e-9)
        mean = loss(data["x"][rows], data["y"][rows])
        torch.testing.assert_close(mean, expected.clamp_min(0).mean(), rtol=1e-9, atol=1e-9)
        used += int(rows.sum())
    assert used > 50


@pytest.mark.parametrize("c", CURVATURES)
def test_points_on_the_same_ray_entail_outwards_only(c):
    m, loss = Lorentz(c), EntailmentConeLoss(Lorentz(c))
    u = torch.nn.functional.normalize(torch.randn(8, 5), dim=-1) / c**0.5
    near, far = m.expmap0(u), m.expmap0(2 * u)
    assert loss(near, far) == 0
    assert loss(far, near) > 2
    everywhere = torch.ones(8)
    assert loss(near, far, negative=everywhere) > loss.margin
    assert loss(far, near, negative=everywhere) == 0


@pytest.mark.parametrize("c", CURVATURES)
def test_cone_loss_pulls_points_into_their_cones(c):
    torch.manual_seed(0)
    m = Lorentz(c, learnable=True)
    loss = EntailmentConeLoss(m)
    s = (torch.randn(2, 16, 4) / c**0.5).requires_grad_()
    optimizer = torch.optim.Adam([s], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        value = loss(m.lift(s[0]), m.lift(s[1]))
        value.backward()
        assert torch.isfinite(s.grad).all()
        optimizer.step()
    assert value < 0.01


@pytest.mark.parametrize("kind", [Lorentz, Poincare])
@pytest.mark.parametrize("c", CURVATURES)
def test_contrast_is_cross_entropy_of_distances(kind, c):
    torch.manual_seed(0)
    m = kind(c)
    x, y = m.random((2, 7, 4), dtype=torch.float64)
    loss = HyperbolicContrastiveLoss(m, 0.2).double()
    distance = torch.stack([torch.stack([m.dist(a, b) for b in y]) for a in x])
    p, q = (-distance / 0.2).log_softmax(1).diagonal(), (-distance / 0.2).log_softmax(0).diagonal()
    torch.testing.assert_close(loss(x, y), -(p.mean() + q.mean()) / 2, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(loss.logits(x, y), -distance / loss.log_temperature.exp())


def test_contrast_is_finite_where_partners_coincide_and_far_out():
    torch.manual_seed(0)
    m = Lorentz(learnable=True)
    s = (torch.nn.functional.normalize(torch.randn(6, 4), dim=-1) * 10).requires_grad_()
    loss = HyperbolicContrastiveLoss(m)
    value = loss(m.expmap0(s), m.expmap0(s))
    value.backward()
    assert value < 1e-3
    assert torch.isfinite(s.grad).all()
    assert math.isfinite(m.log_c.grad.item())
    assert torch.isfinite(loss.log_temperature.grad)


def test_temperature_stays_away_from_zero():
    m = Lorentz()
    loss = HyperbolicContrastiveLoss(m, 1e-9)
    x, y = m.random((3, 4)), m.random((3, 4))
    torch.testing.assert_close(loss.logits(x, y), -m.dist(x[:, None], y) / 0.01)


def test_errors_name_the_argument():
    m = Lorentz()
    with pytest.raises(ValueError, match="pair up"):
        HyperbolicContrastiveLoss(m)(m.random((3, 4)), m.random((2, 4)))
    with pytest.raises(ValueError, match="temperature"):
        HyperbolicContrastiveLoss(m, 0.0)
    with pytest.raises(ValueError, match="minimum_radius"):
        EntailmentConeLoss(m, minimum_radius=0)
