"""The Lorentz transformer as a language model: points, padding, cache, round trips, learning."""

import pytest
import torch
from safetensors.torch import load_file


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification
    global DynamicCache, LorentzTransformerConfig, LorentzTransformerForCausalLM
    global LorentzTransformerForMaskedLM, LorentzTransformerForSequenceClassification
    global LorentzTransformerModel
    from transformers import (
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoModelForSequenceClassification,
        DynamicCache,
    )

    from crocuta.models.lorentz_language import (
        LorentzTransformerConfig,
        LorentzTransformerForCausalLM,
        LorentzTransformerForMaskedLM,
        LorentzTransformerForSequenceClassification,
        LorentzTransformerModel,
    )


HEADS = {
    "AutoModel": "LorentzTransformerModel",
    "AutoModelForMaskedLM": "LorentzTransformerForMaskedLM",
    "AutoModelForCausalLM": "LorentzTransformerForCausalLM",
    "AutoModelForSequenceClassification": "LorentzTransformerForSequenceClassification",
}


def small(kind, **options):
    torch.manual_seed(0)
    return kind(LorentzTransformerConfig(d_model=16, n_head=2, initializer_range=0.3, **options)).eval()


def nucleotides(*shape):
    return torch.randint(7, 11, shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("c", [0.1, 1.0, 4.0])
def test_states_are_points_and_gradients_finite(c):
    model = small(LorentzTransformerModel, c=c)
    output = model(nucleotides(2, 9), output_hidden_states=True)
    for x in (output.last_hidden_state, *output.hidden_states):
        model.manifold.check(x)
    assert len(output.hidden_states) == 3
    output.last_hidden_state.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize("kind", ["LorentzTransformerForMaskedLM", "LorentzTransformerForCausalLM"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(kind, side):
    model, ids = small(globals()[kind]), nucleotides(1, 7)
    pad = (5, 0) if side == "left" else (0, 5)
    padded = model(torch.nn.functional.pad(ids, pad, value=4), torch.nn.functional.pad(torch.ones(1, 7), pad))
    inside = padded.logits[:, 5:] if side == "left" else padded.logits[:, :7]
    torch.testing.assert_close(inside, model(ids).logits, rtol=1e-4, atol=1e-5)


def test_a_causal_token_sees_those_before_it_alone_and_a_masked_one_all():
    ids = nucleotides(1, 8)
    changed = ids.clone()
    changed[0, 5] = 7 + (ids[0, 5] - 6) % 4
    for kind, same in ((LorentzTransformerForCausalLM, True), (LorentzTransformerForMaskedLM, False)):
        model = small(kind)
        difference = (model(ids).logits - model(changed).logits).abs().amax(-1)[0]
        assert bool((difference[:5] < 1e-6).all()) == same
        assert (difference[5:] > 1e-4).all()


def test_the_cache_gives_the_same_logits_letter_by_letter_and_in_pieces():
    model, ids = small(LorentzTransformerForCausalLM), nucleotides(2, 9)
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, :3] = 0
    whole = model(ids, mask).logits
    for cuts in ([4, 5, 6, 7, 8, 9], [4, 9]):
        cache, found, start = DynamicCache(config=model.config), [], 0
        for end in cuts:
            output = model(ids[:, start:end], mask[:, :end], past_key_values=cache, use_cache=True)
            found.append(output.logits)
            start = end
        torch.testing.assert_close(torch.cat(found, 1)[0], whole[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(torch.cat(found, 1)[1, 3:], whole[1, 3:], rtol=1e-4, atol=1e-5)


def test_generation_with_and_without_cache_agree_and_batches_do_not_matter():
    model, ids = small(LorentzTransformerForCausalLM), nucleotides(1, 6)
    options = {"max_new_tokens": 8, "do_sample": False, "suppress_tokens": [*range(7), 11]}
    plain = model.generate(ids, use_cache=False, attention_mask=torch.ones_like(ids), **options)
    assert plain.shape == (1, 14)
    batch = torch.cat([torch.cat([torch.full((1, 3), 4), ids], 1), nucleotides(1, 9)])
    mask = torch.tensor([[0] * 3 + [1] * 6, [1] * 9])
    found = model.generate(batch, attention_mask=mask, **options)
    assert torch.equal(found[0, 3:], plain[0])


@pytest.mark.parametrize("auto", HEADS)
def test_round_trip_saves_the_curvature_once(auto, tmp_path):
    auto, kind = globals()[auto], globals()[HEADS[auto]]
    model = small(kind)
    base = model.base_model
    base.manifold.log_c.data.fill_(0.7)
    model.save_pretrained(tmp_path)
    assert [name for name in load_file(tmp_path / "model.safetensors") if "log_c" in name] == [
        "manifold.log_c" if model is base else "transformer.manifold.log_c"
    ]
    again = auto.from_pretrained(tmp_path).eval()
    assert type(again) is kind
    ids = nucleotides(2, 9)
    for first, second in zip(model(ids).to_tuple(), again(ids).to_tuple(), strict=True):
        assert torch.equal(first, second)
    assert again.base_model.layers[1].attention.manifold is again.base_model.manifold
    if model is not base:
        body = AutoModel.from_pretrained(tmp_path).eval()
        assert torch.equal(body(ids).last_hidden_state, base(ids).last_hidden_state)


def test_the_causal_model_stays_causal_without_its_head(tmp_path):
    model = small(LorentzTransformerForCausalLM)
    model.save_pretrained(tmp_path)
    assert AutoModel.from_pretrained(tmp_path).config.causal
    assert not AutoModelForMaskedLM.from_pretrained(tmp_path).config.causal


@pytest.mark.filterwarnings(
    "ignore:`gradient_checkpointing_enable`:FutureWarning"
)  # of transformers 5.x alone
def test_gradient_checkpointing_gives_the_same_gradients():
    model, ids = small(LorentzTransformerForCausalLM).train(), nucleotides(2, 9)
    model(ids, labels=ids).loss.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.gradient_checkpointing_enable()
    model(ids, labels=ids).loss.backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, expected[name])


def test_prediction_does_not_depend_on_the_batch():
    model = small(LorentzTransformerForSequenceClassification)
    alone = model.predict(["ACGTTGCA"]).probabilities[0]
    beside = model.predict(["ACGTTGCA", "ACGTACGTACGTACGTACGT"]).probabilities[0]
    assert abs(beside - alone).max() < 1e-5


def test_a_causal_model_learns_a_repeat():
    model = small(LorentzTransformerForCausalLM).train()
    ids = torch.tensor([[7, 8, 8, 10, 9] * 6, [10, 9, 7, 8, 8] * 6])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        loss = model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


def test_what_is_refused():
    model, ids = small(LorentzTransformerForMaskedLM), nucleotides(1, 5)
    with pytest.raises(ValueError, match="causal=False"):
        model(ids, past_key_values=DynamicCache(config=model.config))
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        model(ids, inputs_embeds=torch.zeros(1, 5, 16))
    with pytest.raises(ValueError, match="multiple of n_head"):
        LorentzTransformerConfig(d_model=10, n_head=4)
