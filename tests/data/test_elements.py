"""Libraries of repeated elements: headers, captions, groups of like sequences."""

import gzip

import numpy as np
import pytest

from crocuta.data.elements import element_caption, read_elements, with_enough_groups
from crocuta.data.encoding import decode, encode, reverse_complement
from crocuta.data.leakage import similarity_groups
from crocuta.data.sequences import Sequences
from crocuta.errors import InputError


def test_reads_headers_over_several_lines(tmp_path):
    path = tmp_path / "library.fa.gz"
    with gzip.open(path, "wt") as file:
        file.write(">AluY#SINE/Alu (a note)\nACGT\nacgn\n>x#Satellite\nTTT\n")
    found = read_elements(path)
    assert found.labels == ["SINE/Alu", "Satellite"]
    assert found.sequences.names == ["AluY", "x"]
    assert [decode(ids) for ids in found.sequences] == ["ACGTACGN", "TTT"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (">AluY\nACGT\n", "line 1: header '>AluY' names no class"),
        ("", "no elements"),
        ("ACGT\n", "before the first"),
    ],
)
def test_what_is_refused(text, said, tmp_path):
    path = tmp_path / "library.fa"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_elements(path)


def test_captions_say_class_superfamily_and_species():
    assert element_caption("DNA/P", "fly") == "a DNA transposon of the P superfamily in fly"
    assert element_caption("tRNA") == "a transfer RNA repeat"
    assert element_caption("Novel/X") == "a Novel of the X superfamily"


def test_like_sequences_share_a_group_on_either_strand():
    generator = np.random.default_rng(0)
    first, second, third = ("".join(generator.choice(list("ACGT"), 200)) for _ in range(3))
    turned = decode(reverse_complement(encode(first)))[:120]
    groups = similarity_groups(Sequences.from_strings([first, second, turned, second[50:] + third, third]))
    assert groups[0] == groups[2]
    assert groups[1] == groups[3] == groups[4]  # connected through what lies between
    assert groups[0] != groups[1]


def test_a_short_stretch_in_common_does_not_join():
    generator = np.random.default_rng(0)
    first, second = ("".join(generator.choice(list("ACGT"), 1000)) for _ in range(2))
    pair = Sequences.from_strings([first + "ACGTTGCAACGTGGCATT", second + "ACGTTGCAACGTGGCATT"])
    assert len(set(similarity_groups(pair, share=0.05))) == 2
    assert len(set(similarity_groups(pair, share=0.001))) == 1


def test_labels_of_too_few_groups_are_left_out():
    kept = with_enough_groups(["a", "a", "b", "b"], np.array([0, 1, 2, 2]), 2)
    assert kept.tolist() == [True, True, False, False]
