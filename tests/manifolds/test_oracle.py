"""Both hyperbolic models against 70-digit arithmetic."""

import numpy as np
import pytest
import torch

from crocuta.manifolds import Lorentz, Poincare, lorentz_to_poincare, poincare_to_lorentz

KINDS = {"lorentz": Lorentz, "ball": Poincare}


class Case:
    """All rows of one oracle file at one curvature, as tensors."""

    def __init__(self, data, model, precision, c):
        rows = np.isclose(data["c"], c, rtol=1e-6)
        dtype = torch.float64 if precision == "f64" else torch.float32
        self.radius = torch.tensor(data["r_sqrtc"][rows])
        self.near = torch.tensor(data["kind"][rows] == 1)
        self.truth = {name: torch.tensor(values[rows]) for name, values in data.items()}
        self.m = KINDS[model](float(data["c"][rows][0]))
        self.x, self.y, self.z = (self.m.expmap0(self.truth[u].to(dtype)) for u in ("ux", "uy", "uz"))
        self.origin = self.m.origin(5, dtype=dtype)
        self.v = self.truth["v"].to(dtype)
        if model == "lorentz":
            self.v = torch.cat([torch.zeros_like(self.v[:, :1]), self.v], dim=-1)
        self.w = self.truth["w"].to(dtype)

    def frame(self, u, at):
        """Tangent carried to the origin: its intrinsic coordinates."""
        return self.m.transport(at, self.origin, u)[:, -5:]

    def error(self, actual, name, absolute=0.0):
        """Relative error per row (norms over coordinates), in excess of an absolute one."""
        expected = self.truth[name]
        difference = (actual.double() - expected).abs()
        size = expected.abs()
        if expected.ndim == 2:
            difference, size = difference.norm(dim=-1), size.norm(dim=-1)
        return (difference - absolute).clamp_min(0) / size


@pytest.fixture(params=[0.01, 0.1, 1.0, 4.0, 100.0])
def curvature(request):
    return request.param


@pytest.mark.parametrize("model", KINDS)
def test_float64_within_1e9(oracle, model, curvature):
    case = Case(oracle(model, "f64"), model, "f64", curvature)
    m, x, y = case.m, case.x, case.y
    carried = m.transport(case.origin, x, case.v)
    both = m.transport(x, y, carried)
    centroid = m.centroid(torch.stack([x, y, case.z], dim=-2), case.w)
    errors = {
        "x": case.error(x, "x"),
        "dist_xy": case.error(m.dist(x, y), "dist_xy", absolute=1e-11),  # rounding of the ball's coordinates
        "dist_0x": case.error(m.dist0(x), "dist_0x"),
        "ux": case.error(m.logmap0(x), "ux"),
        "logmap_xy_frame": case.error(case.frame(m.logmap(x, y), x), "logmap_xy_frame", absolute=1e-11),
        "normal_coordinates": case.error(m.normal_coordinates(x, y), "logmap_xy_frame", absolute=1e-11),
        "tv_x": case.error(carried, "tv_x"),
        "tv_y": case.error(both, "tv_y"),
        "tv_y_frame": case.error(case.frame(both, y), "tv_y_frame"),
        "centroid_logmap0": case.error(m.logmap0(centroid), "centroid_logmap0"),
    }
    for name, error in errors.items():
        assert error.max() <= 1e-9, f"{name}: {error.max().item():.2g} at r = {case.radius[error.argmax()]}"


@pytest.mark.parametrize("model", KINDS)
def test_float32(oracle, model, curvature):
    case = Case(oracle(model, "f32"), model, "f32", curvature)
    m, x, y, ball = case.m, case.x, case.y, model == "ball"
    distance = case.error(m.dist(x, y), "dist_xy")
    # near the rim the ball's coordinates hold a radius to a few times 2^-25 e^r / 2
    allowed = 1e-6 + (4 * 2.0**-25 * torch.expm1(case.radius) / case.radius if ball else 0.0)
    assert (distance <= allowed)[~case.near].all()
    wide = case.near & (case.truth["gap"] >= 1e-2)
    assert (distance[wide & (case.radius <= 5)] <= 1e-3).all()
    assert (distance[wide & (case.radius > 5)] <= 5e-2).all()
    inverse = case.error(m.logmap0(x), "ux")
    assert (inverse <= allowed).all()
    centroid = m.centroid(torch.stack([x, y, case.z], dim=-2), case.w)
    assert (case.error(m.logmap0(centroid), "centroid_logmap0") <= 1e-5 + 10 * allowed).all()


def test_normal_coordinates_in_float32(oracle, curvature):
    """At r = 5 `expmap(x, logmap(x, y))` ends up to 1.1e-3 of the way from y."""
    case = Case(oracle("lorentz", "f32"), "lorentz", "f32", curvature)
    m, x, y = case.m, case.x, case.y
    v = m.normal_coordinates(x, y)
    assert (case.error(v, "logmap_xy_frame") <= 1e-6)[~case.near & (case.radius <= 10)].all()
    reached = m.from_normal_coordinates(x, v)
    gap = m.dist(reached.double(), y.double()) / m.dist(x.double(), y.double())
    assert gap[~case.near & (case.radius <= 5)].max() <= 2e-5


def test_lorentz_cones(oracle, curvature):
    case = Case(oracle("lorentz", "f64"), "lorentz", "f64", curvature)
    aperture, truth = case.m.half_aperture(case.x), case.truth["half_aperture_x"]
    defined = ~truth.isnan()
    torch.testing.assert_close(aperture[defined], truth[defined], rtol=1e-9, atol=0)
    assert (aperture[~defined] == torch.pi / 2).all()
    angle = case.m.exterior_angle(case.x, case.y)
    near_error = (angle - case.truth["exterior_angle_xy"]).abs()
    assert (near_error[~case.near] <= 1e-9).all()
    # the angle to a point at gap h is known to rounding / h
    assert (near_error <= 1e-9 + 1e-13 * case.radius.exp()).all()


def test_mobius_addition(oracle, curvature):
    case = Case(oracle("ball", "f64"), "ball", "f64", curvature)
    for x, name in ((case.x, "mobius_add_x_y"), (-case.x, "mobius_add_negx_y")):
        error = case.error(case.m.mobius_add(x, case.y), name, absolute=1e-11)
        assert (error <= 1e-9).all()


def test_models_hold_the_same_points(oracle, curvature):
    lorentz = Case(oracle("lorentz", "f64"), "lorentz", "f64", curvature)
    ball = Case(oracle("ball", "f64"), "ball", "f64", curvature)
    c = ball.m.c
    assert ball.error(lorentz_to_poincare(lorentz.x, c), "x").max() <= 1e-9
    assert lorentz.error(poincare_to_lorentz(ball.x, c), "x").max() <= 1e-9
