import json

import pytest
import torch

from crocuta.data.encoding import VOCABULARY, encode


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoTokenizer, DNATokenizer
    from transformers import AutoTokenizer

    from crocuta.data.tokenizer import DNATokenizer


PORT = {  # the tokenizer_config.json that HyenaDNA's Hugging Face port publishes
    "add_prefix_space": False,
    "added_tokens_decoder": {
        str(VOCABULARY[token]): {
            "content": token,
            "lstrip": token == "[MASK]",
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for token in ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[UNK]")
    },
    "auto_map": {"AutoTokenizer": ["tokenization_hyena.HyenaDNATokenizer", None]},
    "bos_token": "[BOS]",
    "clean_up_tokenization_spaces": True,
    "cls_token": "[CLS]",
    "eos_token": "[SEP]",
    "mask_token": "[MASK]",
    "model_max_length": 1024,
    "pad_token": "[PAD]",
    "padding_side": "left",
    "sep_token": "[SEP]",
    "tokenizer_class": "HyenaDNATokenizer",
    "unk_token": "[UNK]",
}


@pytest.fixture
def tokenizer():
    return DNATokenizer()


@pytest.mark.parametrize("sequence", ["ACGTN", "acgtn", "RYKMSWBDHVU", "ACGT" * 300, "AC-GT 5"])
def test_ids_are_those_of_encode_and_a_separator(tokenizer, sequence):
    assert tokenizer(sequence)["input_ids"] == [*encode(sequence).tolist(), VOCABULARY["[SEP]"]]
    assert tokenizer.encode(sequence, add_special_tokens=False) == encode(sequence).tolist()
    assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(sequence)) == encode(sequence).tolist()


def test_special_tokens_have_their_ids(tokenizer):
    roles = ("cls", "sep", "bos", "mask", "pad", "unk", "eos")
    assert [getattr(tokenizer, f"{role}_token_id") for role in roles] == [0, 1, 2, 3, 4, 6, 1]
    assert len(tokenizer) == tokenizer.vocab_size == 12
    assert tokenizer.get_vocab() == VOCABULARY
    assert tokenizer("AC[MASK]T")["input_ids"] == [7, 8, 3, 10, 1]


def test_batches_pad_on_the_left(tokenizer):
    batch = tokenizer(["ACGT", "R"], padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], torch.tensor([[7, 8, 9, 10, 1], [4, 4, 4, 11, 1]]))
    assert torch.equal(batch["attention_mask"], torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 1, 1]]))
    right = tokenizer(["ACGT", "R"], padding="max_length", max_length=6, padding_side="right")
    assert right["input_ids"] == [[7, 8, 9, 10, 1, 4], [11, 1, 4, 4, 4, 4]]


def test_truncation_keeps_the_separator(tokenizer):
    assert tokenizer(["ACGTACGT"], truncation=True, max_length=4)["input_ids"] == [[7, 8, 9, 1]]


def test_pairs_and_empty_sequences(tokenizer):
    assert (
        tokenizer("AC", "GT")["input_ids"] == tokenizer([("AC", "GT")])["input_ids"][0] == [7, 8, 1, 9, 10, 1]
    )
    assert tokenizer("")["input_ids"] == [1]
    assert tokenizer(["", "A"], padding=True)["input_ids"] == [[4, 1], [7, 1]]


def test_special_token_masks(tokenizer):
    assert tokenizer("AC", return_special_tokens_mask=True)["special_tokens_mask"] == [0, 0, 1]


def test_decoding(tokenizer):
    assert tokenizer.decode([7, 8, 11, 1]) == "ACN[SEP]"
    assert tokenizer.batch_decode([[4, 7, 1], [8, 9, 1]], skip_special_tokens=True) == ["A", "CG"]
    assert tokenizer.decode([12, 7]) == "[UNK]A"


def test_other_letters_are_counted(tokenizer):
    assert tokenizer.count_other_nucleotides("acgtnRYU") == 3
    assert tokenizer.count_other_nucleotides(["R", "ACGT", "xx"]) == 3


def test_added_tokens_are_kept(tokenizer):
    tokenizer.add_tokens(["<tss>"])
    assert tokenizer("AC<tss>G")["input_ids"] == [7, 8, 12, 9, 1]


def test_save_and_load(tokenizer, tmp_path):
    tokenizer.model_max_length = 77
    tokenizer.save_pretrained(tmp_path)
    for loaded in (DNATokenizer.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)):
        assert isinstance(loaded, DNATokenizer)
        assert loaded.model_max_length == 77
        assert loaded.padding_side == "left"
        assert loaded(["ACg", "[MASK]"], padding=True) == tokenizer(["ACg", "[MASK]"], padding=True)


def test_folders_of_the_port_load_without_remote_code(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(PORT))
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({role: token for role, token in PORT.items() if role.endswith("_token")})
    )
    for loaded in (DNATokenizer.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)):
        assert isinstance(loaded, DNATokenizer)
        assert loaded.model_max_length == 1024
        assert loaded(["ACGT", "n"], padding=True)["input_ids"] == [[7, 8, 9, 10, 1], [4, 4, 4, 11, 1]]
        assert loaded.decode(loaded("ACGT")["input_ids"]) == "ACGT[SEP]"
