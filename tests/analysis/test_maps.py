"""Maps of embeddings: exact where geometry says so, and honest about what they keep."""

import sys
import warnings

import numpy as np
import pytest
import torch

from crocuta.analysis.embeddings import Embeddings, read_embeddings
from crocuta.analysis.maps import make_map, principal
from crocuta.errors import InputError
from crocuta.manifolds import Lorentz, lorentz_to_poincare


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global anndata, pandas, sparse
    import anndata
    import pandas
    from scipy import sparse


def hyperbolic(v, c=0.5, manifold="lorentz"):
    """Points whose tangent vectors at the origin are v."""
    x = Lorentz(c).expmap0(torch.tensor(v))
    x = x if manifold == "lorentz" else lorentz_to_poincare(x, c)
    return Embeddings(x.numpy(), pandas.DataFrame(index=range(len(v))), manifold, c)


@pytest.fixture
def flat():
    x = np.random.default_rng(0).standard_normal((60, 5)) * [3, 2, 0.1, 0.1, 0.1] + 7
    return Embeddings(x, pandas.DataFrame(index=range(60)))


def pairwise(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def test_pca_keeps_what_varies_most(flat):
    found = make_map(flat, "pca")
    assert make_map(flat).method == "pca"
    np.testing.assert_allclose(found.points.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(pairwise(found.points), pairwise(flat.x[:, :2]), atol=0.5)
    variances = np.linalg.eigvalsh(np.cov(flat.x.T))
    share = variances[-1] / variances.sum()
    assert float(found.axes[0].split("(")[1].rstrip("%)")) == pytest.approx(100 * share, abs=0.6)


def test_principal_pads_and_has_fixed_signs():
    points, shares = principal(np.array([[2.0], [-3.0], [1.0]]), 2)
    np.testing.assert_allclose(points, [[-2, 0], [3, 0], [-1, 0]])
    assert shares.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("manifold", ["lorentz", "poincare"])
def test_the_disk_of_a_plane_is_isometric_from_the_centroid(manifold):
    c = 0.5
    v = np.random.default_rng(1).standard_normal((40, 2))
    v = np.concatenate([v, -v])  # the origin is the centroid
    embedded = np.hstack([v, np.zeros((80, 3))])
    found = make_map(hyperbolic(embedded, c, manifold))
    assert found.method == "disk"
    radius = 2 * np.arctanh(np.linalg.norm(found.points, axis=1)) / c**0.5
    np.testing.assert_allclose(radius, np.linalg.norm(v, axis=1), rtol=1e-5)
    assert "keep 100%" in found.caption
    angle = np.arctan2(*found.points[:40].T) - np.arctan2(*found.points[40:].T)
    np.testing.assert_allclose(np.abs(angle), np.pi, atol=1e-4)  # opposite points stay opposite


def test_the_disk_is_centred_wherever_the_points_lie():
    generator = np.random.default_rng(2)
    manifold = Lorentz(1.0)
    centre = manifold.expmap0(torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64))
    x = manifold.from_normal_coordinates(centre, torch.tensor(generator.standard_normal((50, 3))))
    found = make_map(Embeddings(x.numpy(), pandas.DataFrame(index=range(50)), "lorentz", 1.0), "disk")
    assert np.linalg.norm(found.points, axis=1).max() < 0.98
    assert np.linalg.norm(found.points.mean(0)) < 0.15


def groups(space):
    """60 points in 4 groups."""
    generator = np.random.default_rng(0)
    centres = np.repeat(np.eye(4) * 6, 15, axis=0)
    v = centres + 0.2 * generator.standard_normal(centres.shape)
    return hyperbolic(v) if space == "hyperbolic" else Embeddings(v, pandas.DataFrame(index=range(60)))


def share_of_near_ones_in_the_group(points):
    nearest = np.argsort(pairwise(points), axis=1)[:, 1:6]
    return ((nearest // 15) == (np.arange(60) // 15)[:, None]).mean()


@pytest.mark.parametrize("space", ["flat", "hyperbolic"])
def test_tsne_keeps_neighbours(space):
    points = make_map(groups(space), "tsne").points
    assert share_of_near_ones_in_the_group(points) > 0.95
    np.testing.assert_array_equal(points, make_map(groups(space), "tsne").points)


@pytest.mark.slow  # numba compiles for half a minute
@pytest.mark.parametrize("space", ["flat", "hyperbolic"])
def test_umap_keeps_neighbours(space):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba, as it is imported
        pytest.importorskip("umap")
    points = make_map(groups(space), "umap").points
    assert share_of_near_ones_in_the_group(points) > 0.95


def test_umap_that_is_not_installed(flat, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match=r"pip install 'crocuta\[map\]', or use tsne"):
        make_map(flat, "umap")


def test_mistakes_are_named(flat, tmp_path):
    with pytest.raises(InputError, match="disk shows hyperbolic embeddings, these are euclidean"):
        make_map(flat, "disk")
    with pytest.raises(InputError, match="method 'mds', expected pca"):
        make_map(flat, "mds")
    with pytest.raises(InputError, match="no such file"):
        read_embeddings(tmp_path / "none.h5ad")
    (tmp_path / "text.h5ad").write_text("no")
    with pytest.raises(InputError, match=r"text.h5ad: not an .h5ad file"):
        read_embeddings(tmp_path / "text.h5ad")


def test_files_of_others_and_subsets(tmp_path):
    x = np.random.default_rng(0).random((30, 4)).astype(np.float32)
    obs = pandas.DataFrame({"n": np.arange(30)}, index=[f"c{i}" for i in range(30)])
    anndata.AnnData(sparse.csr_matrix(x), obs=obs).write_h5ad(tmp_path / "s.h5ad")
    anndata.AnnData(x, obs=obs, uns={"manifold": "lorentz", "curvature": 0.3}).write_h5ad(tmp_path / "d.h5ad")
    whole = read_embeddings(tmp_path / "s.h5ad")
    np.testing.assert_allclose(whole.x, x)
    assert (whole.manifold, len(whole)) == ("euclidean", 30)
    part = read_embeddings(tmp_path / "d.h5ad", most=7)
    assert (part.manifold, part.c, len(part)) == ("lorentz", 0.3, 7)
    np.testing.assert_allclose(part.x, x[part.column("n")])
