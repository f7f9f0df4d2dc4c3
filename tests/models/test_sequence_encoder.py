"""The sequence encoder: counts against strings, both strands, padding, components, round trip."""

from collections import Counter

import numpy as np
import pytest
import torch

from crocuta.data.encoding import encode, reverse_complement
from crocuta.data.sequences import Sequences


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoModel, KmerHyenaConfig, SequenceEncoder, SequenceEncoderConfig, as_row, kmer_counts
    global length_counts, peptide_counts, prefix_counts
    from transformers import AutoModel

    from crocuta.models.clip.sequence_encoder import (
        SequenceEncoder,
        SequenceEncoderConfig,
        as_row,
        kmer_counts,
        length_counts,
        peptide_counts,
        prefix_counts,
    )
    from crocuta.models.hyena.kmer import KmerHyenaConfig


NUCLEOTIDES = "ATGGCCTTTAAACGATCGATTNCGTAGCTAGCTTTAGGCCCAAATGACCGATAGCA"
WHOLE = {"kmers": [2, 3], "peptide": 2, "prefixes": [2, 3], "length_bins": 20}
HYENA = {"d_model": 8, "n_layer": 1, "k": 3, "max_seq_len": 12, "embed_dropout": 0.0}


def turned(nucleotides):
    return nucleotides[::-1].translate(str.maketrans("ACGT", "TGCA"))


def test_kmers_of_both_strands_are_counted():
    expected = Counter(
        strand[i : i + 3]
        for strand in (NUCLEOTIDES, turned(NUCLEOTIDES))
        for i in range(len(NUCLEOTIDES) - 2)
    )
    found = kmer_counts(as_row(encode(NUCLEOTIDES)), None, 3)[0]
    for i, word in enumerate(a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"):
        assert found[i] == expected[word]


def test_peptides_of_a_reading_frame_are_counted_and_stops_end_them():
    # Met-Ala-Phe, stop, Trp-Trp: in this frame one peptide of three, none across the stop
    found = peptide_counts(as_row(encode("ATGGCCTTTTAATGGTGG")), None, 3)[0]
    place = lambda peptide: sum("ACDEFGHIKLMNPQRSTVWY*".index(a) * 21**i for i, a in enumerate(peptide[::-1]))  # noqa: E731
    assert found[place("MAF")] == 1
    assert found[place("F*W")] == 0
    assert found[place("AF*")] == 0
    assert found[place("GLL")] == 1  # the third frame: GGC CTT TTA
    assert found[place("PPL")] == found[place("PLK")] == 1  # the other strand: CCA CCA TTA AAA GGC CAT


def test_prefixes_are_what_both_strands_begin_with():
    found = prefix_counts(as_row(encode(NUCLEOTIDES)), None, [2, 3])[0]
    pairs, triples = found[:16], found[16:]
    assert pairs.nonzero().flatten().tolist() == [
        "ACGT".index("A") * 4 + 3,
        3 * 4 + 2,
    ]  # AT..., and TG... behind
    assert triples.sum() == 2
    assert triples[3 * 16 + 2 * 4 + 1] == triples[0 * 16 + 3 * 4 + 2] == 1  # TGC, ATG
    assert prefix_counts(as_row(encode("A")), None, [2, 3]).sum() == 0
    assert prefix_counts(as_row(encode("ANGGT")), None, [2]).nonzero()[:, 1].tolist() == [
        1
    ]  # AC, of the other


def test_length_is_told_in_half_octaves():
    found = length_counts(torch.full((1, 64), 7), None, 8)[0]
    assert found.tolist() == [0, 0, 0, 1, 2, 1, 0, 0]  # 64 is two octaves above 16
    assert length_counts(torch.full((1, 9), 7), None, 3)[0].tolist() == [2, 1, 0]
    assert length_counts(torch.full((1, 999), 7), None, 3)[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("hyena", [None, HYENA], ids=["counts", "hyena"])
def test_padding_changes_nothing(hyena):
    torch.manual_seed(0)
    hyena = hyena and KmerHyenaConfig(**hyena)
    encoder = SequenceEncoder(SequenceEncoderConfig(**WHOLE, components=6, hidden_size=8, hyena=hyena)).eval()
    ids = as_row(encode(NUCLEOTIDES))
    longer = torch.nn.functional.pad(ids, (0, 9), value=4)
    mask = torch.nn.functional.pad(torch.ones_like(ids), (0, 9))
    expected = encoder(ids).pooler_output
    torch.testing.assert_close(encoder(longer, mask).pooler_output, expected, rtol=1e-5, atol=1e-6)


def test_without_hyena_both_strands_give_one_vector():
    encoder = SequenceEncoder(SequenceEncoderConfig(**WHOLE, components=6, hidden_size=8)).eval()
    ids = encode(NUCLEOTIDES)
    there, back = (encoder(as_row(strand.copy())).pooler_output for strand in (ids, reverse_complement(ids)))
    torch.testing.assert_close(there, back)


def test_components_are_the_principal_ones():
    generator = np.random.default_rng(0)
    sequences = Sequences.from_strings(["".join(generator.choice(list("ACGT"), 80)) for _ in range(12)])
    encoder = SequenceEncoder(SequenceEncoderConfig(kmers=[2, 3], peptide=0, components=12, hidden_size=8))
    encoder.fit(sequences)
    counts = torch.cat([encoder.counts(as_row(ids)) for ids in sequences])
    weighted, found = encoder.weighted(counts), encoder.components(counts) + encoder.centre
    torch.testing.assert_close(found @ found.T / 12, weighted @ weighted.T, rtol=1e-3, atol=1e-3)
    spread = found.square().sum(0)
    assert (spread[:-1] >= spread[1:] - 1e-3).all()


def test_round_trip(tmp_path):
    torch.manual_seed(0)
    config = SequenceEncoderConfig(
        kmers=[2], peptide=0, components=4, hidden_size=8, hyena=KmerHyenaConfig(**HYENA)
    )
    encoder = SequenceEncoder(config).eval()
    encoder.fit(Sequences.from_strings([NUCLEOTIDES, NUCLEOTIDES[:30], NUCLEOTIDES[10:50], "ACGTTTGC"]))
    encoder.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    ids = as_row(encode(NUCLEOTIDES))
    assert torch.equal(again(ids).pooler_output, encoder(ids).pooler_output)
