"""Fused linear layers and GELU against torch's own, in value and gradient."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from crocuta.nn.hyena.fused import is_plain, linear, linear_channels_first, linear_gelu


@pytest.fixture(params=[torch.float32, torch.float64])
def case(request):
    torch.manual_seed(0)
    return nn.Linear(6, 5).to(request.param), torch.randn(3, 7, 6, dtype=request.param, requires_grad=True)


PAIRS = {
    "linear": (linear, lambda module, x: module(x)),
    "gelu": (linear_gelu, lambda module, x: F.gelu(module(x), approximate="tanh")),
    "first": (
        lambda module, x: linear_channels_first(x, module.weight, module.bias),
        lambda module, x: module(x).transpose(1, 2),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients(case, name):
    module, x = case
    fused, plain = (function(module, x) for function in PAIRS[name])
    torch.testing.assert_close(fused, plain)
    with torch.no_grad():
        torch.testing.assert_close(PAIRS[name][0](module, x), plain)
    gradient = torch.randn_like(plain)
    leaves = [x, module.weight, module.bias]
    for found, expected in zip(
        torch.autograd.grad(fused, leaves, gradient),
        torch.autograd.grad(plain, leaves, gradient),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


def test_wrapped_and_hooked_layers_are_called():
    """An adapter, or somebody who listens, must not be passed by."""

    class Adapter(nn.Linear):
        def forward(self, input):
            return super().forward(input) + 1

    x, adapted, heard = torch.randn(2, 6), Adapter(6, 5), nn.Linear(6, 5)
    calls = []
    heard.register_forward_hook(lambda *_: calls.append(1))
    assert not is_plain(adapted)
    assert not is_plain(heard)
    torch.testing.assert_close(linear(adapted, x), F.linear(x, adapted.weight, adapted.bias) + 1)
    linear(heard, x)
    assert calls == [1]
