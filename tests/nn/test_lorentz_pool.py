"""Centroid pooling against HyperCore, its definition, and its laws."""

import pytest
import torch

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.pool import LorentzAvgPool1d, LorentzAvgPool2d, LorentzGlobalPool

CURVATURES = (0.1, 1.0, 2.7)


@pytest.mark.parametrize("k", [1.0, 0.5, 2.0])
def test_global_pool_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "global_avg_pool", k)
    m = case.manifold()
    x, s = case.point(m, "in.x")
    y = LorentzGlobalPool(m)(x)
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])


def test_masked_points_do_not_count():
    torch.manual_seed(0)
    m = Lorentz(0.5)
    x = m.random((2, 6, 4), dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 1, 1]])
    pooled = LorentzGlobalPool(m)(x, mask)
    for i in range(2):
        torch.testing.assert_close(pooled[i], m.centroid(x[i, mask[i].bool()]))
    windows = LorentzAvgPool1d(m, 3)(x, mask)
    torch.testing.assert_close(windows[0, 0], m.centroid(x[0, :3]))
    torch.testing.assert_close(windows[0, 1], m.origin(4, dtype=torch.float64))
    torch.testing.assert_close(windows[1, 0], x[1, 1])
    torch.testing.assert_close(windows[1, 1], m.centroid(x[1, 3:]))


def test_padding_of_windows_does_not_count():
    torch.manual_seed(0)
    m = Lorentz(2.0)
    x = m.random((2, 4, 4, 3), dtype=torch.float64)
    y = LorentzAvgPool2d(m, 3, stride=2, padding=1)(x)
    assert y.shape == (2, 2, 2, 4)
    torch.testing.assert_close(y[:, 0, 0], m.centroid(x[:, :2, :2].flatten(1, 2)))
    torch.testing.assert_close(y[:, 1, 1], m.centroid(x[:, 1:4, 1:4].flatten(1, 2)))


@pytest.mark.parametrize("radius", [5.0, 8.0])
def test_equal_points_pool_to_themselves_in_float32(radius):
    torch.manual_seed(0)
    m = Lorentz()
    x = m.expmap0(torch.nn.functional.normalize(torch.randn(16, 1, 5), dim=-1) * radius)
    pooled = LorentzAvgPool1d(m, 4)(x.expand(-1, 8, -1))
    assert m.dist(pooled, x.expand(-1, 2, -1)).median() < 0.01


def test_errors_name_the_argument():
    m = Lorentz()
    with pytest.raises(ValueError, match="padding"):
        LorentzAvgPool1d(m, 3, padding=2)
    with pytest.raises(ValueError, match="kernel_size"):
        LorentzAvgPool2d(m, (3, 3, 3))
    with pytest.raises(ValueError, match="mask must have"):
        LorentzGlobalPool(m)(m.random((2, 3, 4)), torch.ones(2, 4))
