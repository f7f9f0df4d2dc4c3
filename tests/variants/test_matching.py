"""Matching of sites: alleles as the reference counts them, and one clear line where files do not belong together."""

import numpy as np
import pytest

from crocuta.errors import InputError
from crocuta.variants import MISSING, Panel, Samples, Sites
from crocuta.variants.matching import match, shift


def sites(rows, chromosome="22"):
    position, ref, alt = zip(*(row.split() for row in rows), strict=True)
    position = np.array(position, np.int32)
    return Sites(chromosome, position, np.array(ref, "S"), np.array(alt, "S"), position / 1e6)


def many(n=2000, seed=0, chromosome="22"):
    random = np.random.default_rng(seed)
    position = np.sort(random.choice(4_000_000, n, replace=False)).astype(np.int32) + 10_000_000
    nucleotides = random.permuted(np.tile(np.array([b"A", b"C", b"G", b"T"]), (n, 1)), axis=1)
    return Sites(chromosome, position, nucleotides[:, 0], nucleotides[:, 1], position / 1e6)


REFERENCE = [
    "10 A C",
    "20 A G",
    "30 C T",
    "40 G T",
    "50 A T",
    "60 A T",
    "70 C G",
    "80 AT A",
    "90 A C",
    "90 A G",
]


def test_same_swapped_and_on_the_other_strand():
    query = sites(
        ["10 A C", "20 G A", "30 G A", "40 A C", "50 A T", "60 T A", "70 G C", "80 AT A", "90 A C", "90 A G"],
        "chr22",
    )
    reference = sites(REFERENCE)
    found = match(query, reference, least=0.5)
    assert found.reference.tolist() == [0, 1, 2, 3, 4, 7, 8, 9]
    assert found.query.tolist() == [0, 1, 2, 3, 4, 7, 8, 9]
    assert found.swapped.tolist() == [False, True, False, True, False, False, False, False]
    assert (found.flipped, found.ambiguous) == (2, 2)
    assert found.share == 0.8


def test_aligned_alleles_are_the_references():
    query = sites(["5 A C", "20 G A", "30 C T", "40 G C"])
    reference = sites(["10 A C", "20 A G", "30 C T", "40 G T"])
    samples = Samples(*np.array([["a"], ["X"], [""], ["a"]]))
    panel = Panel(samples, query, np.array([[[0, 0, 1, 1], [1, MISSING, 0, 1]]], np.uint8), phased=False)
    aligned = match(query, reference, least=0.5).align(panel, reference)
    assert aligned.allele.tolist() == [[[2, 1, 1, 2], [2, 2, 0, 2]]]
    assert aligned.sites is reference
    assert not aligned.phased


def test_as_brute_force_on_random_sites():
    random = np.random.default_rng(1)
    reference = many(500, 3)
    keep = np.sort(random.choice(500, 450, replace=False))
    query = reference.at(keep)
    found = match(query, reference)
    assert (found.reference == keep).all()
    assert (found.query == np.arange(450)).all()
    assert not found.swapped.any()
    assert found.share == 0.9


def test_too_few_sites_says_the_figure():
    reference = many()
    query = reference.at(slice(0, 1240))
    with pytest.raises(
        InputError,
        match=r"^q\.vcf: 62\.0% of the 2,000 sites of chromosome 22 are in it.*at least 80%; impute",
    ):
        match(query, reference, source="q.vcf")
    assert match(query, reference, least=0.6).share == 0.62


def test_nothing_in_common():
    with pytest.raises(InputError, match=r"query: 0\.0%"):
        match(many(30, 1), many(30, 2))
    empty = many(30, 1).at(slice(0, 0))
    with pytest.raises(InputError, match=r"query: 0\.0%"):
        match(empty, many(30, 2))


def test_another_build_is_suspected_from_positions():
    reference = many()
    moved = Sites("22", reference.position + 412_345, reference.ref, reference.alt, reference.cm)
    with pytest.raises(
        InputError, match=r"agree if moved by -412,345: is it on another build\? Lift it over"
    ):
        match(moved, reference)
    with pytest.raises(InputError, match=r"it is on GRCh37 and the reference on GRCh38, lift it over first"):
        match(moved, reference, builds=("GRCh37", "GRCh38"))


def test_shift_needs_agreement():
    assert shift(many(seed=1).position, many(seed=2).position) == 0
    assert shift(many().position[::2] - 777, many().position) == -777


def test_other_chromosome():
    with pytest.raises(InputError, match="query: chromosome 21; expected chr22"):
        match(many(chromosome="21"), many(chromosome="chr22"))
