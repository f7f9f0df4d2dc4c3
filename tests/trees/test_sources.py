"""Distances of sequences, alignments, embeddings and files, against their definitions."""

import numpy as np
import pytest
import torch

from crocuta.analysis.distances import AlignmentDistances, HyperbolicPoints, Points, kmer_points
from crocuta.data.phylogeny import Alignment
from crocuta.data.sequences import Sequences
from crocuta.errors import InputError
from crocuta.manifolds import Lorentz, Poincare
from crocuta.trees.sources import open_distances

ALL = np.arange(4)


def test_hamming_and_jukes_cantor_ignore_what_is_unknown():
    bases = np.array([[0, 1, 2, 3, 4, 0], [0, 1, 2, 0, 1, 0], [0, 0, 4, 3, 1, 1]], np.uint8)
    alignment = Alignment(["a", "b", "c"], bases)
    truth = np.array([[0, 1 / 5, 2 / 4], [1 / 5, 0, 3 / 5], [2 / 4, 3 / 5, 0]])
    np.testing.assert_allclose(AlignmentDistances(alignment).matrix(np.arange(3)), truth, atol=1e-7)
    corrected = AlignmentDistances(alignment, correct=True).matrix(np.arange(3))
    np.testing.assert_allclose(corrected, -0.75 * np.log(1 - 4 / 3 * truth), atol=1e-6)


def test_saturated_and_incomparable_sequences():
    far = Alignment(["a", "b"], np.array([[0, 0, 0, 0], [1, 1, 1, 1]], np.uint8))
    assert np.isfinite(AlignmentDistances(far, correct=True).matrix(np.arange(2))).all()
    blank = Alignment(["a", "b"], np.array([[0, 4], [4, 0]], np.uint8))
    with pytest.raises(InputError, match="a and b have no site"):
        AlignmentDistances(blank).matrix(np.arange(2))


def test_kmers():
    points = kmer_points(Sequences.from_strings(["AAAA", "AAACCC", "CCNCC", "GGTT"]), 2)
    D = points.matrix(ALL)
    assert D[0, 2] == pytest.approx(1)  # AA against CC: nothing in common
    share = np.sqrt([1 * 2 / 5])  # AA: all of the first, 2 of 5 windows of the second
    assert D[0, 1] == pytest.approx(np.sqrt(1 - share.sum()))
    with pytest.raises(InputError, match="row_2: no 3-mer"):
        kmer_points(Sequences.from_strings(["AAAA", "AANCC"]), 3)


@pytest.mark.parametrize("space", ["lorentz", "poincare"])
def test_hyperbolic_distances_and_coordinates(space):
    c, m = 0.5, {"lorentz": Lorentz, "poincare": Poincare}[space](0.5)
    x = m.expmap0(torch.randn(70, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    points = HyperbolicPoints(x.numpy(), space, c)
    truth = m.dist(x[:, None], x).numpy()
    np.testing.assert_allclose(points.matrix(np.arange(70)), truth, atol=1e-9)
    coordinates = points.coordinates(np.arange(70))
    assert coordinates.shape == (70, 3)
    np.testing.assert_allclose(points.of_coordinates(coordinates), truth, atol=1e-6)


def test_classical_scaling_keeps_euclidean_distances():
    x = np.random.default_rng(0).standard_normal((12, 3))
    D = Points(x).matrix(np.arange(12))
    from crocuta.analysis.distances import DistanceMatrix

    source = DistanceMatrix(D)
    np.testing.assert_allclose(source.of_coordinates(source.coordinates(np.arange(12))), D, atol=1e-9)


def write(path, content):
    path.write_text(content)
    return path


def test_each_kind_of_file(tmp_path):
    x = np.random.default_rng(0).standard_normal((6, 3))
    np.save(tmp_path / "x.npy", x)
    D = open_distances(tmp_path / "x.npy").matrix(np.arange(6))
    header = "," + ",".join("abcdef") + "\n"
    named = "".join(f"{n},{','.join(map(repr, row.tolist()))}\n" for n, row in zip("abcdef", D, strict=True))
    bare = "\n".join("\t".join(map(repr, row)) for row in D.tolist())
    for path in (write(tmp_path / "named.csv", header + named), write(tmp_path / "bare.tsv", bare)):
        np.testing.assert_allclose(open_distances(path).matrix(np.arange(6)), D)
    fasta = write(tmp_path / "a.fa", ">a\nACGT\n>b\nACGA\n>c\nAAAA\n>d\nACGT\n")
    assert open_distances(fasta, distance="hamming").matrix(ALL)[0].tolist() == [0, 0.25, 0.75, 0]
    table = write(tmp_path / "t.csv", "name,sequence,label\na,ACGT,0\nb,ACGA,1\n")
    for path, n in ((fasta, 4), (table, 2)):
        assert open_distances(path, k=2).n == n
    tree = write(tmp_path / "t.nwk", "((a:1,b:1):1,c:2);")
    np.testing.assert_array_equal(open_distances(tree).matrix(np.arange(3))[0], [0, 2, 4])


def test_h5ad(tmp_path):
    import anndata
    from scipy import sparse

    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    path = tmp_path / "cells.h5ad"
    anndata.AnnData(sparse.csr_matrix(x), obsm={"X_pca": x[:, :2]}).write_h5ad(path)
    np.testing.assert_allclose(open_distances(path).matrix(ALL), Points(x).matrix(ALL), rtol=1e-6)
    found = open_distances(path, key="X_pca").matrix(ALL)
    np.testing.assert_allclose(found, Points(x[:, :2]).matrix(ALL), rtol=1e-6)
    with pytest.raises(InputError, match=r"cells.h5ad: no 'X_umap'; found X and obsm \['X_pca'\]"):
        open_distances(path, key="X_umap")


MISTAKES = {
    "m.tsv": {
        "": "empty",
        "0\t1\n1\t0\t2\n": "line 2: 3 distances, expected 2",
        "0\t1\n1\tx\n": "line 2: 'x', expected a number",
        "0\t1\n2\t0\n": r"entry \(1, 2\), 1, differs from its mirror",
        "0\t-1\n-1\t0\n": "is negative",
        "1\t1\n1\t0\n": "on the diagonal is not 0",
        "0\tnan\nnan\t0\n": "is not a finite number",
    },
    "x.npy": {"text": "not a .npy file"},
    "x.h5ad": {"text": "not an .h5ad file"},
    "x.bam": {"text": "unknown suffix '.bam'"},
}


@pytest.mark.parametrize(
    ("name", "content"), [(name, content) for name, cases in MISTAKES.items() for content in cases]
)
def test_mistakes_are_named(tmp_path, name, content):
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=f"{name}.*{MISTAKES[name][content]}"):
        open_distances(path)


def test_other_mistakes(tmp_path):
    for name in ("x.npy", "x.h5ad", "x.fa", "x.nwk", "x.tsv"):
        with pytest.raises(InputError, match="no such file"):
            open_distances(tmp_path / name)
    np.save(tmp_path / "x.npy", np.full((5, 2), 2.0))
    with pytest.raises(
        InputError, match="row 1: not a point of the poincare model with c = 1; expected a norm below 1"
    ):
        open_distances(tmp_path / "x.npy", space="poincare")
    with pytest.raises(InputError, match="row 1: not a point of the lorentz"):
        open_distances(tmp_path / "x.npy", space="lorentz")
    with pytest.raises(InputError, match="space 'ball', expected euclidean"):
        open_distances(tmp_path / "x.npy", space="ball")
    np.save(tmp_path / "x.npy", np.array([[1, 2], [3, np.nan]]))
    with pytest.raises(InputError, match="row 2: a coordinate is not finite"):
        open_distances(tmp_path / "x.npy")
