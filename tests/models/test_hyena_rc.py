"""The strand-symmetric HyenaDNA: exact symmetry, saving, and training."""

import pytest
import torch

from crocuta.data.encoding import encode
from crocuta.data.encoding import reverse_complement as reverse_complement_bytes
from crocuta.nn.pool import POOLS


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, HyenaConfig
    global HyenaForCausalLM, RCHyenaConfig, RCHyenaForMaskedLM, RCHyenaForSequenceClassification
    global RCHyenaModel, complement, reverse_complement, PRESETS
    from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
    from crocuta.models.hyena.reverse_complement import (
        RCHyenaConfig,
        RCHyenaForMaskedLM,
        RCHyenaForSequenceClassification,
        RCHyenaModel,
        complement,
        reverse_complement,
    )
    from crocuta.presets import PRESETS


SMALL = {"d_model": 16, "n_layer": 2, "max_seq_len": 40, "initializer_range": 0.2}
PADDING, MASK = 4, 3


def build(kind, **options):
    torch.manual_seed(0)
    return kind(RCHyenaConfig(**SMALL | options)).double().eval()


def batch():
    """Ids (3, 30) with N and [MASK], left-padded, their mask, and the reverse complements padded as well."""
    torch.manual_seed(1)
    ids = torch.randint(7, 12, (3, 30))
    ids[:, 21] = MASK
    lengths = torch.tensor([30, 24, 9])
    mask = (torch.arange(30) >= 30 - lengths[:, None]).long()
    ids[mask == 0] = PADDING
    turned = ids.clone()
    for row, length in enumerate(lengths):
        turned[row, 30 - length :] = reverse_complement(ids[row : row + 1, 30 - length :])[0]
    return ids, mask, turned, lengths


def test_reverse_complement_is_that_of_strings():
    ids = encode("AACGTNTTGC")
    expected = torch.from_numpy(reverse_complement_bytes(ids))
    assert torch.equal(reverse_complement(torch.from_numpy(ids)[None])[0], expected)
    assert complement(torch.arange(7)).tolist() == list(range(7))


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_hidden_states_are_equivariant(bidirectional, order):
    model = build(RCHyenaModel, bidirectional=bidirectional, hyena_order=order)
    ids, mask, turned, lengths = batch()
    states = model(ids, mask, output_hidden_states=True).hidden_states
    others = model(turned, mask, output_hidden_states=True).hidden_states
    assert len(states) == 3
    for state, other in zip(states, others, strict=True):
        for row, length in enumerate(lengths):
            expected = state[row, 30 - length :].flip(0).roll(16, dims=-1)
            torch.testing.assert_close(other[row, 30 - length :], expected, rtol=0, atol=1e-12)
    assert (states[-1] - others[-1]).abs().max() > 0.1


@pytest.mark.parametrize("pool", POOLS)
def test_classification_is_invariant(pool):
    model = build(RCHyenaForSequenceClassification, pool=pool, num_labels=3)
    ids, mask, turned, _ = batch()
    logits = model(ids, mask).logits
    torch.testing.assert_close(model(turned, mask).logits, logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        model(reverse_complement(ids), mask.flip(1)).logits, logits, rtol=0, atol=1e-12
    )
    torch.testing.assert_close(model(ids[2:, 21:]).logits, logits[2:], rtol=0, atol=1e-12)
    other = ids.clone()
    other[:, 25] = (other[:, 25] + 1 - 7) % 4 + 7
    assert (model(other, mask).logits - logits).abs().max() > 1e-3


def test_predictions_of_strings_are_invariant():
    model = build(RCHyenaForSequenceClassification)
    first, second = model.predict(["AACGTTTGC", "GCAAACGTT"]).probabilities
    assert first == pytest.approx(second, abs=1e-7)


def test_masked_logits_are_equivariant():
    model = build(RCHyenaForMaskedLM)
    ids, mask, turned, lengths = batch()
    logits, others = model(ids, mask).logits, model(turned, mask).logits
    exchange = complement(torch.arange(logits.shape[-1]))
    for row, length in enumerate(lengths):
        expected = logits[row, 30 - length :].flip(0)[:, exchange]
        torch.testing.assert_close(others[row, 30 - length :], expected, rtol=0, atol=1e-12)
    labels = torch.where(ids == MASK, 9, -100)
    turned_labels = torch.where(turned == MASK, 8, -100)
    torch.testing.assert_close(
        model(turned, mask, labels=turned_labels).loss, model(ids, mask, labels=labels).loss
    )


@pytest.mark.parametrize(
    ("kind", "auto"),
    [
        ("RCHyenaModel", "AutoModel"),
        ("RCHyenaForMaskedLM", "AutoModelForMaskedLM"),
        ("RCHyenaForSequenceClassification", "AutoModelForSequenceClassification"),
    ],
)
def test_save_and_load_through_auto_classes(kind, auto, tmp_path):
    kind, auto = globals()[kind], globals()[auto]
    model = build(kind).float()
    model.save_pretrained(tmp_path)
    again = auto.from_pretrained(tmp_path).eval()
    assert type(again) is kind
    ids = torch.randint(7, 11, (2, 30))
    assert torch.equal(again(ids)[0], model(ids)[0])


def test_weights_of_a_causal_model_fit(tmp_path):
    torch.manual_seed(0)
    causal = HyenaForCausalLM(HyenaConfig(**SMALL))
    causal.save_pretrained(tmp_path)
    config = RCHyenaConfig(**SMALL, bidirectional=False)
    model = RCHyenaForSequenceClassification.from_pretrained(tmp_path, config=config).eval()
    ids = torch.randint(7, 11, (2, 30))
    hidden = model.hyena(ids).last_hidden_state
    expected = causal.eval().hyena(ids).last_hidden_state
    torch.testing.assert_close(hidden[..., :16], expected)


def test_embeddings_in_place_of_ids_are_refused():
    with pytest.raises(ValueError, match="give input_ids"):
        build(RCHyenaModel)(inputs_embeds=torch.zeros(1, 5, 16))


def descend(model, loss, steps):
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        losses.append(loss())
        losses[-1].backward()
        optimizer.step()
    return losses[0].item(), losses[-1].item()


def test_masked_model_learns_a_repeat():
    model = build(RCHyenaForMaskedLM, initializer_range=0.08, embed_dropout=0.0).float().train()
    ids = torch.tensor([[7, 8, 9, 9, 10]]).repeat(4, 6)
    masked = torch.rand(ids.shape) < 0.2
    labels = torch.where(masked, ids, -100)
    before, after = descend(model, lambda: model(ids.masked_fill(masked, MASK), labels=labels).loss, 100)
    assert after < 0.3 < before


def test_classifier_learns_a_motif_on_either_strand():
    """AAAA or TTTT against neither: one example on one strand teaches the other."""
    model = build(RCHyenaForSequenceClassification, initializer_range=0.08, embed_dropout=0.0).float().train()
    ids = torch.randint(8, 10, (16, 30))
    ids[:8, 10:14] = 7
    labels = torch.tensor([1] * 8 + [0] * 8)
    before, after = descend(model, lambda: model(ids, labels=labels).loss, 200)
    assert after < 0.3 < before
    with torch.no_grad():
        other = model.eval()(reverse_complement(ids)).logits.argmax(-1)
    assert torch.equal(other, labels)


def test_preset_builds_it():
    config = PRESETS["hyenadna-rc"].build(70)
    assert isinstance(config, RCHyenaConfig)
    assert config.longest_sequence == 70
    assert config.bidirectional
