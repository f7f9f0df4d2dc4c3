import doctest
import subprocess
import sys

import numpy as np
import pytest

from crocuta.data import encoding, labelled, records, sequences
from crocuta.data.encoding import (
    VOCABULARY,
    canonical,
    count_other_nucleotides,
    decode,
    encode,
    encode_counted,
    encode_joined,
    reverse_complement,
)

EVERY_BYTE = bytes(range(256))


def test_vocabulary_is_hyenadnas():
    tokens = ["[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]", "A", "C", "G", "T", "N"]
    assert {token: i for i, token in enumerate(tokens)} == VOCABULARY


def test_every_byte_becomes_its_letter_or_n():
    expected = [VOCABULARY.get(chr(byte).upper(), VOCABULARY["N"]) for byte in EVERY_BYTE]
    assert encode(EVERY_BYTE).tolist() == expected
    assert count_other_nucleotides(EVERY_BYTE) == 256 - len("ACGTNacgtn")


def test_text_and_bytes_agree():
    text = "ACGTNacgtnRYKMÄ漢"
    assert encode(text).tolist() == [7, 8, 9, 10, 11, 7, 8, 9, 10, 11, *[11] * 6]
    assert count_other_nucleotides(text) == 6
    assert encode(text).tolist() == encode(text.encode("ascii", "replace")).tolist()


@pytest.mark.parametrize("sequence", ["", "acgt", "NNRRA"])
def test_one_pass_equals_two(sequence):
    ids, others = encode_counted(sequence)
    assert ids.tolist() == encode(sequence).tolist()
    assert others == count_other_nucleotides(sequence)


@pytest.mark.parametrize("sequences", [[], [""], ["ACGT", "", b"rrA", "N", "é"], ["", "A", ""]])
def test_joined_equals_one_by_one(sequences):
    ids, offsets, others = encode_joined(sequences)
    alone = [encode_counted(sequence) for sequence in sequences]
    assert [part.tolist() for part in np.split(ids, offsets[1:-1])][: len(alone)] == [
        i.tolist() for i, _ in alone
    ]
    assert others.tolist() == [other for _, other in alone]
    assert (ids.dtype, offsets.dtype, others.dtype) == (np.uint8, np.int64, np.int64)


def test_ids_are_small_and_writable():
    ids = encode("ACGT")
    assert ids.dtype == np.uint8
    ids[0] = VOCABULARY["N"]
    assert decode(ids) == "NCGT"


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_reverse_complement_of_ids_is_that_of_nucleotides(dtype):
    ids = encode("AACGTN").astype(dtype)
    other = reverse_complement(ids)
    assert decode(other) == "NACGTT"
    assert other.dtype == dtype
    assert np.array_equal(reverse_complement(other), ids)


def test_reverse_complement_of_a_batch_keeps_specials():
    batch = np.array([[4, 7, 1], [4, 10, 1]])
    assert reverse_complement(batch).tolist() == [[1, 10, 4], [1, 7, 4]]


def test_canonical_is_the_same_on_both_strands_only():
    ids = encode("AACGT")
    assert canonical(ids) == canonical(reverse_complement(ids))
    assert canonical(ids) != canonical(ids[::-1])


def test_decode_names_specials_and_refuses_foreign_ids():
    assert decode(np.array([2, 7, 1])) == "[BOS]A[SEP]"
    with pytest.raises(ValueError, match=r"ids must lie in 0\.\.11, found 7\.\.12"):
        decode(np.array([7, 12]))


@pytest.mark.parametrize("module", [encoding, labelled, records, sequences])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


def test_reading_data_loads_no_framework():
    modules = ["encoding", "records", "sequences", "labelled", "leakage", "tasks", "demo"]
    imports = "; ".join(f"import crocuta.data.{module}" for module in modules)
    check = "import sys; sys.exit(' '.join({'torch', 'transformers', 'pandas'} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", f"{imports}; {check}"], check=True)
