import numpy as np
import pytest

from crocuta.data import leakage as module
from crocuta.data.encoding import decode, reverse_complement
from crocuta.data.labelled import Sequences
from crocuta.data.leakage import leakage, sharing, window_hash


def random_texts(n, length, seed):
    return ["".join(row) for row in np.random.default_rng(seed).choice(list("ACGT"), (n, length))]


def strands(text):
    complement = str.maketrans("ACGT", "TGCA")
    return text, text[::-1].translate(complement)


def kmers(texts, k):
    return {
        strand[i : i + k]
        for text in texts
        for strand in strands(text)
        for i in range(len(text) - k + 1)
        if "N" not in strand[i : i + k]
    }


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6, 7, 8])
def test_sharing_is_that_of_python_sets(k):
    generator = np.random.default_rng(k)
    train = ["".join(generator.choice(list("ACGTN"), n, p=[0.3, 0.2, 0.2, 0.2, 0.1])) for n in range(40)]
    test = ["".join(generator.choice(list("ACGTN"), n % 13, p=[0.3, 0.2, 0.2, 0.2, 0.1])) for n in range(300)]
    known = kmers(train, k)
    expected = [bool(kmers([text], k) & known) for text in test]
    assert sharing(Sequences.from_strings(train), Sequences.from_strings(test), k).tolist() == expected
    assert 0 < sum(expected) < 300


@pytest.mark.parametrize("k", [1, 2, 31, 32, 33, 50, 64])
def test_windows_of_equal_letters_and_no_others_hash_equally(k):
    ids = np.random.default_rng(0).integers(7, 11, 400).astype(np.uint8)
    ids[200:300] = ids[:100]
    hashes = window_hash(ids, k)
    windows = {}
    for i, value in enumerate(hashes.tolist()):
        windows.setdefault(ids[i : i + k].tobytes(), set()).add(value)
    assert len(hashes) == 400 - k + 1
    assert all(len(values) == 1 for values in windows.values())
    assert len(set(hashes.tolist())) == len(windows)


def test_duplicates_on_either_strand():
    train = random_texts(20, 60, seed=0)
    half = train[3][:50] + "A" * 10
    test = [train[0], strands(train[1])[1], half, strands(half)[1], *random_texts(4, 60, seed=1), "ACGT"]
    found = leakage(Sequences.from_strings(train), Sequences.from_strings(test), k=50)
    assert (found.n_test, found.duplicates, found.shared_kmer, found.shorter) == (9, 2, 4, 1)
    assert found.duplicate_fraction == 2 / 9
    assert found.shared_kmer_fraction == 4 / 9
    assert found.statement == (
        "Of 9 test sequences, 2 (22.2%) are also in the training set and 4 (44.4%) share at least one 50-mer"
        " with it, either strand counted; 1 are shorter than 50."
    )


def test_kmers_do_not_run_across_sequences():
    train, across = ["ACAACAACA", "GAGGAGGAG"], ["ACAGAG", "CCTGTT"]
    assert sharing(Sequences.from_strings(["".join(train)]), Sequences.from_strings(across), 5).any()
    assert not sharing(Sequences.from_strings(train), Sequences.from_strings(across), 5).any()


def test_n_is_shared_by_nobody():
    unknown = Sequences.from_strings(["N" * 60])
    assert leakage(unknown, unknown).shared_kmer == 0
    assert leakage(unknown, unknown).duplicates == 1


def test_chunks_change_nothing(monkeypatch):
    train, test = (Sequences.from_strings(random_texts(40, 30, seed)) for seed in (0, 1))
    whole = sharing(train, test, 8)
    monkeypatch.setattr(module, "CHUNK", 70)
    assert np.array_equal(sharing(train, test, 8), whole)
    assert 0 < whole.sum() < 40


def test_a_large_test_set_is_judged_by_a_sample(monkeypatch):
    train, test = (Sequences.from_strings(random_texts(30, 2000, seed)) for seed in (0, 1))
    monkeypatch.setattr(module, "MOST_KMERS", 10_000)
    overlapping = Sequences.from_strings([decode(ids[1000:]) + decode(test[0][:1000]) for ids in train])
    found = leakage(train, overlapping, k=20)
    assert (found.shared_kmer, found.looked_at) == (30, 1 / 8)
    assert found.statement.endswith("either strand counted (estimated from one 20-mer in 8).")
    assert leakage(train, test, k=20).shared_kmer == 0
    hashes = [sum(len(part) for part, _ in module.kmer_hashes(test, 20, one_in)) for one_in in (1, 4)]
    assert hashes[1] / hashes[0] == pytest.approx(1 / 4, abs=0.02)
    turned = Sequences.from_strings([decode(reverse_complement(ids)) for ids in overlapping])
    assert sharing(train, turned, 20, 4).all()


def test_nothing_to_compare():
    empty = Sequences.from_strings([])
    assert leakage(empty, empty).statement.startswith("Of 0 test sequences, 0 (0.0%)")
    with pytest.raises(ValueError, match="k must be at least 1"):
        leakage(empty, empty, k=0)


def test_ids_of_both_strands_give_the_same_answer():
    train = Sequences.from_strings(random_texts(30, 80, 0))
    test = Sequences.from_strings([decode(reverse_complement(ids))[10:70] for ids in train])
    assert leakage(train, test).shared_kmer == 30
