"""Blocks in chunks against the plain equations: same numbers, same gradients, and who gets which path."""

import pytest
import torch
from torch.nn import functional as F

from crocuta.nn.hyena import channelwise


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global hyena_lean, HyenaConfig, HyenaForCausalLM, HyenaForSequenceClassification, HyenaModel
    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM, HyenaForSequenceClassification, HyenaModel
    from crocuta.models.hyena import chunked as hyena_lean


VARIANTS = {
    "plain": {},
    "order3": {"hyena_order": 3},
    "order3_standalone": {"hyena_order": 3, "order_last": False},
    "bidirectional": {"bidirectional": True},
    "delayed": {"bidirectional": True, "delayed": True},
    "wide_short_filter": {"short_filter_order": 5},
    "normalized": {"normalized": True},
}


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of time and channels far below the test's lengths."""
    monkeypatch.setitem(hyena_lean.TOKENS, "cpu", 48)
    monkeypatch.setitem(channelwise.CHANNEL_POINTS, "cpu", 700)


@pytest.fixture
def lean_everywhere(small_chunks, monkeypatch):
    monkeypatch.setattr(hyena_lean, "LEAN_FROM", 1)


def block_of(dtype, longest=1002, width=8, **options):
    torch.manual_seed(0)
    config = HyenaConfig(d_model=width, n_layer=1, max_seq_len=longest, initializer_range=0.2, **options)
    return HyenaModel(config).to(dtype).backbone.layers[0]


def check_block(block, length, mask, dtype, gradients=True):
    """The lean block against the plain: relative to the largest value, 1e-10 in float64 and 1e-5 in float32."""
    limit = 1e-10 if dtype == torch.float64 else 1e-5
    x = torch.randn(2, length, block.mixer.width, dtype=dtype, requires_grad=True)
    plain, lean = block(x, mask), hyena_lean.lean_block(block, x, mask)
    assert (lean - plain).abs().max() < limit * plain.abs().max()
    with torch.no_grad():
        over = hyena_lean.lean_block(block, x.clone(), mask, overwrite=True)
        last = hyena_lean.lean_block(block, x, mask, last=3)
    assert (over - plain).abs().max() < limit * plain.abs().max()
    assert (last - plain[:, -3:]).abs().max() < limit * plain.abs().max()
    if gradients:
        arriving, leaves = torch.randn_like(x), [x, *block.parameters()]
        wanted = torch.autograd.grad(plain, leaves, arriving)
        scale = max(gradient.abs().max() for gradient in wanted)
        for one, other in zip(torch.autograd.grad(lean, leaves, arriving), wanted, strict=True):
            assert (one - other).abs().max() < 5 * limit * max(other.abs().max(), 1e-3 * scale)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("variant", VARIANTS)
def test_same_numbers_and_gradients(small_chunks, variant, dtype, masked):
    block = block_of(dtype, **VARIANTS[variant])
    mask = (torch.rand(2, 333) > 0.2).long() if masked else None
    check_block(block, 333, mask, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [1, 2, 17, 1000])
def test_awkward_lengths(small_chunks, length, dtype):
    check_block(block_of(dtype), length, torch.ones(2, length), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_level_length(dtype):
    length = 65_537
    mask = torch.ones(2, length)
    mask[0, :99] = 0
    check_block(
        block_of(dtype, longest=65_540, width=2), length, mask, dtype, gradients=dtype == torch.float64
    )


def models(**options):
    torch.manual_seed(0)
    config = HyenaConfig(d_model=16, n_layer=2, max_seq_len=402, embed_dropout=0.0, **options)
    return HyenaForCausalLM(config), torch.randint(7, 11, (2, 400))


def test_model_outputs_do_not_depend_on_the_path(small_chunks, monkeypatch):
    model, ids = models()
    mask = torch.ones_like(ids)
    mask[0, :20] = 0
    model.eval()
    with torch.no_grad():
        plain = model(ids, mask, labels=ids, output_hidden_states=True)
        embedded = model.get_input_embeddings()(ids)
        before = embedded.clone()
        monkeypatch.setattr(hyena_lean, "LEAN_FROM", 1)
        lean = model(ids, mask, labels=ids, output_hidden_states=True)
        model(input_ids=None, inputs_embeds=embedded, attention_mask=mask)
    torch.testing.assert_close(lean.logits, plain.logits, rtol=1e-4, atol=1e-5)
    for one, other in zip(lean.hidden_states, plain.hidden_states, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert torch.equal(embedded, before)


@pytest.mark.parametrize("keep", [1, 5])
@pytest.mark.parametrize("lean_from", [1, 1000])
def test_last_logits_and_loss_without_all_logits(small_chunks, monkeypatch, lean_from, keep):
    monkeypatch.setattr(hyena_lean, "LEAN_FROM", lean_from)
    monkeypatch.setattr(hyena_lean, "LOSS_TOKENS", 100)
    model, ids = models()
    labels = ids.clone()
    labels[0, 50:70] = -100
    whole, part = model(ids, labels=labels), model(ids, labels=labels, logits_to_keep=keep)
    torch.testing.assert_close(part.logits, whole.logits[:, -keep:])
    torch.testing.assert_close(part.loss, whole.loss)
    parameters = list(model.parameters())
    for one, other in zip(
        torch.autograd.grad(part.loss, parameters), torch.autograd.grad(whole.loss, parameters), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(
            model(ids, logits_to_keep=keep).logits, whole.logits[:, -keep:], rtol=1e-4, atol=1e-5
        )


def test_classifier_with_padding(small_chunks, monkeypatch):
    torch.manual_seed(0)
    model = HyenaForSequenceClassification(HyenaConfig(d_model=16, n_layer=2, max_seq_len=402)).eval()
    ids, mask = torch.randint(7, 11, (2, 300)), torch.ones(2, 300, dtype=torch.long)
    mask[1, :100] = 0
    plain = model(ids, mask).logits
    monkeypatch.setattr(hyena_lean, "LEAN_FROM", 1)
    torch.testing.assert_close(model(ids, mask).logits, plain, rtol=1e-4, atol=1e-5)


def test_frozen_model_passes_gradients_to_its_input(lean_everywhere):
    """Soft prompts: only the embedded input learns."""
    model, ids = models()
    model.requires_grad_(False)
    embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
    model.hyena(inputs_embeds=embedded).last_hidden_state.sum().backward()
    assert embedded.grad is not None
    assert embedded.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft's
def test_low_rank_adapters_are_heard(lean_everywhere):
    from peft import LoraConfig, get_peft_model

    model, ids = models()
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=["in_proj", "out_proj", "fc1", "fc2"]))
    wrapped(input_ids=ids, labels=ids).loss.backward()
    touched = [name for name, p in wrapped.named_parameters() if "lora_B" in name and p.grad.abs().sum() > 0]
    assert len(touched) == 8


def test_whoever_listens_gets_the_plain_path(lean_everywhere):
    model, ids = models()
    seen = []
    layer = model.hyena.backbone.layers[0]
    assert hyena_lean.lean_applies(layer, torch.empty(1, 400, 16))
    layer.mixer.register_forward_hook(lambda *_: seen.append(1))
    assert not hyena_lean.lean_applies(layer, torch.empty(1, 400, 16))
    model(ids)
    assert seen == [1]


def test_dropout_inside_the_operator_gets_the_plain_path(lean_everywhere):
    model, _ = models(hyena_dropout=0.1)
    layer, x = model.hyena.backbone.layers[0], torch.empty(1, 400, 16)
    assert not hyena_lean.lean_applies(layer.train(), x)
    assert hyena_lean.lean_applies(layer.eval(), x)


def test_bfloat16_and_autocast(small_chunks, monkeypatch):
    """FFTs and filters in float32; results near those of float32."""
    model, ids = models()
    exact = model(ids).logits
    with torch.autocast("cpu", torch.bfloat16):
        plain_loss = model(ids, labels=ids).loss
        monkeypatch.setattr(hyena_lean, "LEAN_FROM", 1)
        output = model(ids, labels=ids)
    output.loss.backward()
    assert abs(output.loss - plain_loss) < 1e-3
    assert (output.logits - exact).abs().max() < 0.03 * exact.abs().max()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    half = model.bfloat16()(ids).logits
    assert half.dtype == torch.bfloat16
    assert (half.float() - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning"
)  # torch's own, while tracing
def test_compiles(lean_everywhere):
    """One graph, without breaks, whatever the length: a compiled model takes the plain equations."""
    model, ids = models()
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    found, expected = compiled(ids, labels=ids), model(ids, labels=ids)
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-5, atol=1e-6)
    found.loss.backward()
    assert model.get_input_embeddings().weight.grad is not None


def test_loss_of_the_reference_implementation(lean_everywhere):
    """`benchmarks/reference_hyena.py` computes the same function from the same parameters."""
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        from reference_hyena import ReferenceHyena
    finally:
        sys.path.pop(0)
    model, ids = models()
    reference = ReferenceHyena(model.config)
    reference.load_state_dict(model.state_dict())
    torch.testing.assert_close(reference(ids), model(ids).logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        reference.loss(ids), F.cross_entropy(model(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    )
