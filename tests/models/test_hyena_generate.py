"""Generation against the naive forward, and sampling."""

import pytest
import torch

from crocuta.data.encoding import decode


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global hyena_lean, HyenaConfig, HyenaForCausalLM
    global HyenaStream, TokenSampler, generate, prompt_ids, stream_tokens
    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
    from crocuta.models.hyena import chunked as hyena_lean
    from crocuta.models.hyena.generation import HyenaStream, TokenSampler, generate, prompt_ids, stream_tokens


SMALL = {"d_model": 16, "n_layer": 2, "max_seq_len": 260, "initializer_range": 0.3}


def small(seed=0, **options):
    torch.manual_seed(seed)
    model = HyenaForCausalLM(HyenaConfig(**SMALL | options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "bias" in name:
                parameter += 0.2 * torch.randn_like(parameter)
    return model


def teacher_forced(model, ids, prompt):
    """Logits from the last token of the prompt on, read token by token."""
    stream = HyenaStream(model, ids[:, :prompt], ids.shape[1] - prompt)
    logits = [stream.logits]
    logits += [stream.step(ids[:, t]) for t in range(prompt, ids.shape[1])]
    return torch.stack(logits, dim=1)


@pytest.mark.parametrize("prompt", [1, 90])
@pytest.mark.parametrize("order", [2, 3])
def test_logits_are_those_of_the_whole_sequence(order, prompt):
    model = small(hyena_order=order, initializer_range=0.1)
    ids = torch.randint(7, 11, (2, 250))
    with torch.no_grad():
        expected = model(ids).logits[:, prompt - 1 :]
    assert expected.std() > 0.05
    torch.testing.assert_close(teacher_forced(model, ids, prompt), expected, rtol=0, atol=1e-5)
    model, expected = model.double(), model.double()(ids).logits[:, prompt - 1 :]
    torch.testing.assert_close(teacher_forced(model, ids, prompt), expected.detach(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", [{"hyena_order": 3}, {"short_filter_order": 1}, {}])
def test_a_long_prompt_is_read_in_chunks(monkeypatch, options):
    model = small(initializer_range=0.1, **options)
    ids = torch.randint(7, 11, (2, 250))
    expected = teacher_forced(model, ids, 150)
    monkeypatch.setattr("crocuta.models.hyena.chunked.LEAN_FROM", 100)
    monkeypatch.setitem(hyena_lean.TOKENS, "cpu", 64)
    monkeypatch.setattr(
        "crocuta.nn.hyena.streaming.OnlineConvolution.prime", None
    )  # which the plain path calls
    torch.testing.assert_close(teacher_forced(model, ids, 150), expected, rtol=0, atol=1e-5)


def test_training_mode_and_dropout_change_nothing():
    model, ids = small(), torch.randint(7, 11, (1, 50))
    expected = teacher_forced(model, ids, 20)
    torch.testing.assert_close(teacher_forced(model.train(), ids, 20), expected, rtol=0, atol=0)


def test_half_precision_streams():
    model, ids = small().bfloat16(), torch.randint(7, 11, (1, 60))
    with torch.no_grad():
        expected = model(ids).logits[:, 19:]
    found = teacher_forced(model, ids, 20)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1 * float(expected.abs().max()))


def test_greedy_is_the_naive_argmax():
    model = small().double()
    ids = prompt_ids(["ACGTTGCATT", "GGGTACCATA"])
    found = model.generate(["ACGTTGCATT", "GGGTACCATA"], 100, temperature=0, nucleotides=None)
    for _ in range(100):
        ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(found, ids[:, 10:])


def test_seed_repeats_and_letters_are_kept():
    model = small()
    first = generate(model, "ACGTTGCA", 200, seed=1, nucleotides="ACG")
    assert torch.equal(first, generate(model, "ACGTTGCA", 200, seed=1, nucleotides="ACG"))
    assert not torch.equal(first, generate(model, "ACGTTGCA", 200, seed=2, nucleotides="ACG"))
    assert set(decode(first[0].numpy())) == set("ACG")
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(first, generate(model, "ACGTTGCA", 200, generator=generator, nucleotides="ACG"))


def test_tokens_come_one_by_one():
    tokens = stream_tokens(small(), "ACGT", 250, seed=0)
    assert next(tokens).shape == (1,)
    assert len(list(tokens)) == 249


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (2.0, 3)])
def test_sampler_draws_from_the_tempered_softmax(temperature, top_k):
    logits = torch.tensor([0.0, 1.0, -1.0, 0.5, 9.0])
    sample = TokenSampler([0, 1, 2, 3], temperature, top_k, torch.Generator().manual_seed(0))
    drawn = sample(logits.expand(40_000, -1))
    kept = logits[:4] if top_k is None else torch.tensor([0.0, 1.0, -torch.inf, 0.5])
    expected = (kept / temperature).softmax(-1)
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.012)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.generate("A" * 200, 100), "200 and 100 new tokens are 40 more than max_seq_len = 260"),
        (lambda m: m.generate("", 10), "at least 1 token, got 0 and 10"),
        (lambda m: m.generate(["ACG", "A"], 10), r"equally long, got lengths \[1, 3\]"),
        (lambda m: m.generate("A", 10, temperature=-1), "temperature must be 0"),
        (lambda m: m.generate("A", 10, top_k=0), "top_k must be at least 1"),
        (lambda m: small(bidirectional=True).generate("A", 10), "a bidirectional model cannot generate"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(small())


def test_a_stream_ends():
    stream = HyenaStream(small(), torch.full((1, 5), 7), 1)
    stream.step(torch.tensor([7]))
    with pytest.raises(ValueError, match="opened for 6 tokens"):
        stream.step(torch.tensor([7]))
