"""k-mer tokens: what they are, and that padding tells nothing."""

from itertools import product

import pytest
import torch

from crocuta.data.batch import pad_batch
from crocuta.data.encoding import encode


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global presets, load_classifier, HyenaForSequenceClassification, KmerHyenaConfig
    global KmerHyenaForSequenceClassification, kmer_tokens
    from crocuta import presets
    from crocuta.models.ensemble import load_classifier
    from crocuta.models.hyena import HyenaForSequenceClassification
    from crocuta.models.hyena.kmer import KmerHyenaConfig, KmerHyenaForSequenceClassification, kmer_tokens


SMALL = {"d_model": 16, "n_layer": 2, "filter_order": 16, "max_seq_len": 20, "initializer_range": 0.2}


def batch(*sequences):
    ids, mask = pad_batch([encode(sequence) for sequence in sequences])
    return torch.from_numpy(ids), torch.from_numpy(mask)


def test_tokens_are_kmers_side_by_side():
    tokens, mask = kmer_tokens(*batch("AAAAACTTT", "ACGNNN", "AAACC", "", "CCC"), 3)
    assert tokens.tolist() == [
        [7, 8, 70, 1],
        [13, 6, 1, 4],
        [7, 6, 1, 4],
        [1, 4, 4, 4],
        [28, 1, 4, 4],
    ]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]]


def test_every_kmer_has_its_own_token():
    sequences = ["".join(nucleotides) for nucleotides in product("ACGT", repeat=3)]
    tokens, _ = kmer_tokens(*batch(*sequences), 3)
    assert tokens[:, 0].tolist() == list(range(7, 7 + 64))
    assert KmerHyenaConfig(k=3).vocab_size == 7 + 64


def test_padding_tells_nothing_and_models_are_saved(tmp_path):
    torch.manual_seed(0)
    model = KmerHyenaForSequenceClassification(KmerHyenaConfig(**SMALL, k=2)).eval()
    alone, _ = batch("ACGTACG")
    together, mask = batch("ACGTACG", "ACGTACGTACGTACGT")
    with torch.no_grad():
        expected = model(input_ids=alone).logits[0]
        torch.testing.assert_close(model(input_ids=together, attention_mask=mask).logits[0], expected)
        model.save_pretrained(tmp_path)
        assert torch.equal(load_classifier(tmp_path).eval()(input_ids=alone).logits[0], expected)
    with pytest.raises(ValueError, match="k must be from 1 to 8"):
        KmerHyenaConfig(k=0)


def test_the_longest_sequence_fits():
    config = presets.PRESETS["hyenadna-tiny-kmer"].build(300)
    assert 300 <= config.longest_sequence <= 306
    model = KmerHyenaForSequenceClassification(config).eval()
    assert len(model.predict(["A" * config.longest_sequence, "ACGT"]).labels) == 2


def test_the_bidirectional_preset_sees_both_sides():
    config = presets.PRESETS["hyenadna-tiny-bidirectional"].build(50)
    config.pool = "first"
    torch.manual_seed(0)
    model = HyenaForSequenceClassification(config).eval()
    a, b = (torch.from_numpy(encode("A" * 40 + end)[None].astype("int64")) for end in "CG")
    with torch.no_grad():
        assert not torch.allclose(model(input_ids=a).logits, model(input_ids=b).logits, atol=1e-7)
