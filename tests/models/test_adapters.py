"""Prompts: where they stand, and that padding tells nothing."""

import pytest
import torch

from crocuta.data.encoding import VOCABULARY, encode


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global HyenaInContextConfig, HyenaInContextForSequenceClassification, HyenaLabelPromptConfig
    global HyenaLabelPromptForSequenceClassification, HyenaPromptConfig
    global HyenaPromptForSequenceClassification, prepend, HyenaForCausalLM
    from crocuta.models.adapters import (
        HyenaInContextConfig,
        HyenaInContextForSequenceClassification,
        HyenaLabelPromptConfig,
        HyenaLabelPromptForSequenceClassification,
        HyenaPromptConfig,
        HyenaPromptForSequenceClassification,
        prepend,
    )
    from crocuta.models.hyena import HyenaForCausalLM


SMALL = {"d_model": 16, "n_layer": 2, "filter_order": 16, "max_seq_len": 80, "initializer_range": 0.2}
KINDS = {
    "prompt": lambda: (HyenaPromptForSequenceClassification, HyenaPromptConfig(**SMALL, prompt_tokens=5)),
    "prompt, bidirectional": lambda: (
        HyenaPromptForSequenceClassification,
        HyenaPromptConfig(**SMALL, prompt_tokens=5, bidirectional=True),
    ),
    "label prompt": lambda: (
        HyenaLabelPromptForSequenceClassification,
        HyenaLabelPromptConfig(**SMALL, prompt_tokens=5),
    ),
    "in context": lambda: (
        HyenaInContextForSequenceClassification,
        HyenaInContextConfig(**SMALL, shots=2, pool_size=3, pool_length=7),
    ),
}


def build(kind, config):
    torch.manual_seed(0)
    model = kind(config).eval()
    if kind is HyenaInContextForSequenceClassification:
        model.examples.copy_(torch.randint(7, 11, model.examples.shape))
        model.examples[0, 0, 4:] = 4
    return model


def test_a_prompt_stands_after_padding_and_before_the_sequence():
    prompt = torch.tensor([[10.0], [11.0]])
    embedded = torch.tensor([[[0.0], [0.0], [1.0]], [[3.0], [4.0], [5.0]], [[6.0], [7.0], [0.0]]])
    mask = torch.tensor([[0, 0, 1], [1, 1, 1], [1, 1, 0]])
    found = prepend(prompt, embedded, mask)
    assert found.embedded[..., 0].tolist() == [[0, 0, 10, 11, 1], [10, 11, 3, 4, 5], [10, 11, 6, 7, 0]]
    assert found.mask.tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]
    assert found.own.tolist() == [[0, 0, 0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0]]


@pytest.mark.parametrize("kind", KINDS)
def test_padding_tells_nothing(kind):
    model = build(*KINDS[kind]())
    alone = torch.tensor([[7, 8, 9, 10, 10, 1]])
    padded = torch.tensor([[4, 4, 7, 8, 9, 10, 10, 1]])
    with torch.no_grad():
        expected = model(input_ids=alone).logits
        found = model(input_ids=padded, attention_mask=(padded != 4).long()).logits
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_prompt_matters_and_survives_saving(kind, tmp_path):
    kind, config = KINDS[kind]()
    model = build(kind, config)
    ids = torch.tensor([[7, 8, 9, 10, 10, 1]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
        model.save_pretrained(tmp_path)
        again = kind.from_pretrained(tmp_path).eval()
        assert torch.equal(again(input_ids=ids).logits, before)
        prompt = getattr(model, "prompt", None)
        (model.examples.fill_(7) if prompt is None else prompt.weight.normal_())
        assert not torch.allclose(model(input_ids=ids).logits, before, atol=1e-4)


def test_label_tokens_answer_as_the_language_model_does():
    kind, config = KINDS["label prompt"]()
    model = build(kind, config)
    language = HyenaForCausalLM(config).eval()
    language.hyena.load_state_dict(model.hyena.state_dict())
    ids = torch.tensor([[7, 8, 9, 10, 10, 1]])
    with torch.no_grad():
        embedded = prepend(model.prompt.weight, model.get_input_embeddings()(ids)).embedded
        expected = language.lm_head(language.hyena(inputs_embeds=embedded).last_hidden_state)[:, -1]
        found = model(input_ids=ids).logits
    torch.testing.assert_close(found, expected[:, [VOCABULARY["A"], VOCABULARY["N"]]])


def test_an_in_context_prompt_in_nucleotides():
    config = HyenaInContextConfig(**SMALL, shots=1, pool_size=2, pool_length=3)
    model = HyenaInContextForSequenceClassification(config).eval()
    for label, row, text in ((0, 0, "ACG"), (0, 1, "GGG"), (1, 0, "TT"), (1, 1, "CCC")):
        model.examples[label, row] = 4
        model.examples[label, row, : len(text)] = torch.from_numpy(encode(text).copy())
    assert model.prompt_ids().tolist() == [7, 8, 9, 1, 7, 1, 10, 10, 1, 11, 1]
    assert config.longest_sequence == 80 - 1 - 2 * 6
    seen = {tuple(model.train().prompt_ids().tolist()) for _ in range(40)}
    assert len(seen) == 8  # two examples of each class, in either order


def test_without_shots_there_is_no_prompt():
    config = HyenaInContextConfig(**SMALL, shots=0, pool_size=1, pool_length=3)
    model = HyenaInContextForSequenceClassification(config).eval()
    assert model.prompt_ids().tolist() == []
    assert model(input_ids=torch.tensor([[7, 8, 1]])).logits.shape == (1, 2)
