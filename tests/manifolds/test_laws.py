"""Every manifold obeys every law, at every curvature, in both dtypes."""

import pytest
import torch

from crocuta.manifolds import Euclidean, Lorentz, Poincare, Product, PseudoHyperboloid
from crocuta.testing import assert_manifold

CURVATURES = (0.01, 0.1, 1.0, 4.0, 100.0)
DTYPES = (torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("kind", [Lorentz, Poincare])
def test_hyperbolic(kind, c, learnable, dtype):
    assert_manifold(kind(c, learnable=learnable), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_euclidean(dtype):
    assert_manifold(Euclidean(), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("c", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("signature", [(1, 4), (2, 3), (3, 2)])
def test_pseudo_hyperboloid(signature, c, dtype):
    assert_manifold(PseudoHyperboloid(signature, c, learnable=c == 4.0), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_product_with_a_shared_curvature(dtype):
    shared = Lorentz(0.7, learnable=True)
    product = Product((shared, 3), (Poincare(0.5), 2), (shared, 2), (Euclidean(), 2))
    assert_manifold(product, dtype)
    assert sum(p.numel() for p in product.parameters()) == 1


@pytest.mark.parametrize("n", [1, 2, 17])
@pytest.mark.parametrize("kind", [Lorentz, Poincare])
def test_any_dimension(kind, n):
    assert_manifold(kind(0.8), torch.float32, n=n)


def test_one_time_dimension_is_lorentz():
    pseudo, lorentz = PseudoHyperboloid((1, 4), c=0.6), Lorentz(0.6)
    s, t = torch.randn(2, 9, 4, dtype=torch.float64)
    x, y = lorentz.expmap0(s), lorentz.expmap0(t)
    u = lorentz.logmap(x, y)
    torch.testing.assert_close(pseudo.expmap0(s), x)
    torch.testing.assert_close(pseudo.dist(x, y), lorentz.dist(x, y))
    torch.testing.assert_close(pseudo.logmap(x, y), u)
    torch.testing.assert_close(pseudo.transport(x, y, u), lorentz.transport(x, y, u))
    torch.testing.assert_close(pseudo.centroid(x), lorentz.centroid(x))


def test_points_that_no_geodesic_joins():
    m = PseudoHyperboloid((2, 2), c=1.0)
    x = m.origin(3, dtype=torch.float64)
    y = m.expmap0(torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64))
    assert m.logmap(x, y).isnan().all()
    across = torch.pi + m.dist(-x, y)
    torch.testing.assert_close(m.dist(x, y), across)


def test_fixed_dimensions_are_enforced():
    with pytest.raises(ValueError, match="got 4"):
        Product((Lorentz(), 3), (Euclidean(), 2)).ambient(4)
    with pytest.raises(ValueError, match="got 2"):
        PseudoHyperboloid((2, 3)).ambient(2)
    with pytest.raises(ValueError, match="signature"):
        PseudoHyperboloid((0, 3))
    with pytest.raises(TypeError, match="per factor"):
        _ = Product((Lorentz(), 3)).c


def test_broadcasting():
    m = Lorentz()
    x, y = m.random((4, 1, 3)), m.random((5, 3))
    assert m.dist(x, y).shape == (4, 5)
    assert m.logmap(x, y).shape == (4, 5, 4)
    assert m.transport(x, y, m.logmap(x, y)).shape == (4, 5, 4)
    assert m.centroid(m.random((2, 7, 3)), torch.rand(2, 7)).shape == (2, 4)
    assert m.dist(m.random((3,)), m.random((3,))).shape == ()
