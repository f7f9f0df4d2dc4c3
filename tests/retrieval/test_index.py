"""The index finds what brute force finds, near and far from the origin, with either library."""

import importlib.util
import math
from types import SimpleNamespace

import pytest
import torch

from crocuta.errors import InputError
from crocuta.manifolds import Euclidean, Lorentz, Poincare, lorentz_to_poincare


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global HyperbolicIndex
    from crocuta.retrieval import HyperbolicIndex


BACKENDS = [
    "torch",
    pytest.param(
        "faiss",
        marks=pytest.mark.skipif(not importlib.util.find_spec("faiss"), reason="faiss is not installed"),
    ),
]


def cloud(manifold, n: int, radius: float, dimension: int = 6, seed: int = 0) -> torch.Tensor:
    """Points in clusters of 50 whose centres lie at one radius: in float32 their inner products are all but equal."""
    generator = torch.Generator().manual_seed(seed)
    s = torch.randn(n // 50, 1, dimension, generator=generator)
    centres = manifold.expmap0(s / s.norm(dim=-1, keepdim=True) * radius / manifold.scale0)
    offsets = 0.5 * torch.randn(n // 50, 50, dimension, generator=generator)
    return manifold.from_normal_coordinates(centres, offsets).flatten(0, 1)


def by_distance(manifold, points, queries, k):
    return torch.topk(manifold.dist(queries.double()[:, None], points.double()), k, largest=False)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("c", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("radius", [0.01, 1.0, 6.0, 10.0, 14.0])
def test_nearest_are_those_of_brute_force(backend, c, radius):
    m = Lorentz(c)
    points = cloud(m, 600, radius / math.sqrt(c))
    close = torch.cat([points[::20], cloud(m, 50, radius / math.sqrt(c), seed=1)])
    index = HyperbolicIndex(m, 6, backend)
    index.add(points[:350])
    index.add(points[350:])
    found, expected = index.search(close, 5), by_distance(m, points, close, 5)
    torch.testing.assert_close(found.distances.double(), expected.values, rtol=2e-5, atol=1e-6)
    assert (found.indices == expected.indices).float().mean() > 0.99


def test_inner_products_alone_would_not_do():
    """What the second ranking is for: at radius 10 float32's best inner product is often another point."""
    m = Lorentz()
    points = cloud(m, 600, 10.0)
    queries = points[::3]
    negated = torch.cat([-queries[:, :1], queries[:, 1:]], dim=1)
    alone = (negated @ points.T).argmax(1)
    expected = by_distance(m, points, queries, 1).indices[:, 0]
    assert (alone == expected).float().mean() < 0.9
    index = HyperbolicIndex(m, 6, "torch")
    index.add(points)
    assert (index.search(queries).indices[:, 0] == expected).all()


@pytest.mark.parametrize("radius", [1.0, 10.0])
def test_repeated_points_are_found_as_ties(radius):
    m = Lorentz()
    points = cloud(m, 50, radius)[:4].repeat(100, 1)
    index = HyperbolicIndex(m, 6, "torch")
    index.add(points)
    found = index.search(points[:4], 60)
    assert (found.distances < 1e-6).all()
    assert (found.indices % 4 == torch.arange(4)[:, None]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_ball_is_searched_through_its_isometry(backend):
    points, queries = cloud(Lorentz(2.0), 500, 2.0), cloud(Lorentz(2.0), 50, 1.9, seed=1)
    results = []
    for m, convert in ((Lorentz(2.0), lambda x: x), (Poincare(2.0), lambda x: lorentz_to_poincare(x, 2.0))):
        index = HyperbolicIndex(m, 6, backend)
        index.add(convert(points))
        torch.testing.assert_close(index.points, convert(points), rtol=1e-4, atol=1e-5)
        results.append(index.search(convert(queries), 3))
    assert (results[0].indices == results[1].indices).all()
    torch.testing.assert_close(results[0].distances, results[1].distances, rtol=1e-4, atol=1e-5)


def test_flat_space_for_comparison():
    points, queries = torch.randn(500, 6), torch.randn(20, 6)
    index = HyperbolicIndex(Euclidean(), 6, "torch")
    index.add(points)
    expected = torch.topk(torch.cdist(queries, points), 4, largest=False)
    found = index.search(queries, 4)
    torch.testing.assert_close(found.distances, expected.values)
    assert (found.indices == expected.indices).all()


@pytest.mark.parametrize("manifold", [Lorentz(0.5), Poincare(0.5), Euclidean()])
def test_saved_and_loaded(manifold, tmp_path):
    index = HyperbolicIndex(manifold, 3, "torch")
    points = manifold.random((50, 3), generator=torch.Generator().manual_seed(0))
    index.add(points)
    index.save(tmp_path / "index.safetensors")
    loaded = HyperbolicIndex.load(tmp_path / "index.safetensors", "torch")
    assert type(loaded.manifold) is type(manifold)
    assert loaded.manifold.c == manifold.c
    first, second = index.search(points[:9], 4), loaded.search(points[:9], 4)
    assert (first.indices == second.indices).all()
    assert (first.distances == second.distances).all()


def test_bad_files_are_named(tmp_path):
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"\x08\0\0\0\0\0\0\0{")
    for path in (torn, tmp_path / "none.safetensors"):
        with pytest.raises(InputError, match=f"{path.name}.*expected an index"):
            HyperbolicIndex.load(path)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"fixed curvature.*Lorentz\(c=1\)"):
        HyperbolicIndex(Lorentz(learnable=True), 3)
    with pytest.raises(ValueError, match="backend must be one of auto, faiss, torch"):
        HyperbolicIndex(Lorentz(), 3, "annoy")
    with pytest.raises(ValueError, match="manifold must be Lorentz"):
        HyperbolicIndex(SimpleNamespace(), 3)  # type: ignore[arg-type]
    index = HyperbolicIndex(Lorentz(), 3, "torch")
    with pytest.raises(ValueError, match="k must be between 1 and the 0 points"):
        index.search(Lorentz().random((1, 3)))
    with pytest.raises(ValueError, match=r"points must be \(n, 4\), 3 dimensions"):
        index.add(Lorentz().random((2, 4)))
    with pytest.raises(ValueError, match="points must lie on"):
        index.add(Lorentz(2.0).random((2, 3)))
    index.add(Lorentz().random((2, 3)))
    with pytest.raises(ValueError, match="queries must be finite"):
        index.search(torch.full((1, 4), torch.nan))
    with pytest.raises(ValueError, match="got 3"):
        index.search(Lorentz().random((1, 3)), 3)
    assert index.search(Lorentz().random((0, 3)), 2).indices.shape == (0, 2)
