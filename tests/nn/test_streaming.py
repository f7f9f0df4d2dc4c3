"""Streaming Hyena operators against the whole-sequence operator, and the cost of a token."""

import pytest
import torch

from crocuta.nn.hyena import BidirectionalHyenaOperator, HyenaOperator
from crocuta.nn.hyena.streaming import BLOCK, OnlineConvolution, StreamingOperator

B, D = 2, 3


def cached_outputs(x, k, skip):
    """The O(t) step: each output is the dot product of the filter with all values so far."""
    return torch.stack(
        [(x[..., : t + 1] * k[:, : t + 1].flip(-1)).sum(-1) + skip * x[..., t] for t in range(x.shape[-1])],
        dim=-1,
    )


def stream(x, k, skip, prompt):
    """Outputs for x (S, B, D, L): the first `prompt` at once, the others one by one."""
    slots, batch, width, length = x.shape
    convolution = OnlineConvolution(slots, batch, width, length - prompt, x.dtype, x.device)
    parts = [torch.stack([convolution.prime(s, x[s, ..., :prompt], k[s], skip[s]) for s in range(slots)])]
    for t in range(prompt, length):
        parts.append(torch.stack([convolution.step(s, x[s, ..., t]) for s in range(slots)])[..., None])
        convolution.advance()
    return torch.cat(parts, dim=-1)


@pytest.mark.parametrize("prompt", [1, 7, 100])
@pytest.mark.parametrize("new", [1, BLOCK - 1, BLOCK, BLOCK + 1, 8 * BLOCK, 8 * BLOCK + 5, 300])
def test_online_convolution_is_the_cached_step(prompt, new):
    generator = torch.Generator().manual_seed(new)
    x, k, skip = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((2, B, D, prompt + new), (2, D, prompt + new), (2, D))
    )
    expected = torch.stack([cached_outputs(x[s], k[s], skip[s]) for s in range(2)])
    torch.testing.assert_close(stream(x, k, skip, prompt), expected, rtol=0, atol=1e-11)


def test_long_stream_in_chunks_of_channels(monkeypatch):
    monkeypatch.setattr("crocuta.nn.hyena.streaming.ELEMENTS_PER_CHUNK", 2048)
    generator = torch.Generator().manual_seed(0)
    x, k = (torch.randn(1, D, 2000, generator=generator) for _ in range(2))
    k, skip = k[0] * torch.exp(-torch.arange(2000) / 200), torch.zeros(D)
    expected = cached_outputs(x.double(), k.double(), skip)
    found = stream(x[None], k[None], skip[None], 500)[0]
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_half_precision_is_convolved_in_float32():
    x, k = torch.randn(1, B, D, 50).bfloat16(), torch.randn(1, D, 50).bfloat16()
    found = stream(x, k, torch.zeros(1, D), 10)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0], cached_outputs(x[0].float(), k[0].float(), 0), rtol=1e-5, atol=1e-4)


def transformed(monkeypatch, new):
    """Values that go through FFTs in a stream of `new` tokens."""
    values = []
    plain = torch.fft.rfft
    with monkeypatch.context() as patch:
        patch.setattr(torch.fft, "rfft", lambda x, n: values.append(n * x[..., 0].numel()) or plain(x, n=n))
        stream(torch.randn(1, 1, 1, new + 1), torch.randn(1, 1, new + 1), torch.zeros(1, 1), 1)
    return sum(values)


def test_work_per_token_grows_as_the_logarithm(monkeypatch):
    """Twice the tokens, little more than twice the work; the cached step would need four times."""
    short, long = transformed(monkeypatch, 1024), transformed(monkeypatch, 4096)
    assert 4 <= long / short < 6
    assert long < 4096 * 40


@pytest.mark.parametrize("prompt", [1, 2, 40])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"order": 3},
        {"order": 4, "order_last": False},
        {"short_filter_order": 1},
        {"short_filter_order": 5},
        {"bias": False},
    ],
)
def test_streaming_operator_is_the_operator(options, prompt):
    torch.manual_seed(0)
    operator = HyenaOperator(D, {}, 120, **options).double().eval()
    x = torch.randn(B, 120, D, dtype=torch.float64)
    slots = operator.order - 1
    with torch.inference_mode():
        convolution = OnlineConvolution(slots, B, D, 120 - prompt, x.dtype, x.device)
        streaming = StreamingOperator(operator, convolution, 0)
        outputs = [streaming.prime(x[:, :prompt], 120)]
        for t in range(prompt, 120):
            outputs.append(streaming.step(x[:, t])[:, None])
            convolution.advance()
        torch.testing.assert_close(torch.cat(outputs, dim=1), operator(x), rtol=0, atol=1e-12)


def test_an_operator_that_sees_ahead_cannot_stream():
    convolution = OnlineConvolution(1, 1, D, 5, torch.float32, torch.device("cpu"))
    with pytest.raises(ValueError, match=r"only causal .* got BidirectionalHyenaOperator"):
        StreamingOperator(BidirectionalHyenaOperator(D, {}, 20), convolution, 0)
