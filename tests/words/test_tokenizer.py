"""The word tokenizer of captions."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoTokenizer, word_tokenizer
    from transformers import AutoTokenizer

    from crocuta.words.tokenizer import word_tokenizer


CAPTIONS = ["a photo of the digit three", "a three to the left of a seven"]


def test_words_are_tokens_and_unknown_ones_say_so():
    tokenizer = word_tokenizer(CAPTIONS)
    assert len(tokenizer) == 3 + len({word for caption in CAPTIONS for word in caption.split()})
    ids = tokenizer("A Three of zebras")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "a", "three", "of", "[UNK]"]


def test_batches_are_padded_and_folders_reload(tmp_path):
    tokenizer = word_tokenizer(CAPTIONS)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    batch = again(["a seven", "a three to the left"], padding=True, return_tensors="pt")
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]
    assert batch["input_ids"][0].tolist() == tokenizer("a seven")["input_ids"] + [0, 0, 0]
