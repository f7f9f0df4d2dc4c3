"""Long convolutions against their definitions, and the operator's laws."""

import pytest
import torch

from crocuta.nn.hyena import (
    BidirectionalHyenaOperator,
    HyenaFilter,
    HyenaOperator,
    ShortConvolution,
    causal_convolution,
    delayed_convolution,
    fft_size,
    two_sided_convolution,
)

B, D, L = 2, 3, 11


@pytest.fixture
def arrays():
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return draw(B, D, L), draw(2, D, L), draw(D)


def test_causal_convolution_is_its_definition(arrays):
    u, k, skip = arrays
    expected = torch.stack(
        [sum(k[0][:, j] * u[..., t - j] for j in range(t + 1)) + skip * u[..., t] for t in range(L)], dim=-1
    )
    torch.testing.assert_close(causal_convolution(u, k[0], skip), expected)


def test_two_sided_convolution_weighs_every_position_once(arrays):
    u, k, skip = arrays
    past, future = k

    def at(t):
        seen = sum(past[:, t - s] * u[..., s] for s in range(t + 1))
        return seen + sum(future[:, s - t] * u[..., s] for s in range(t + 1, L)) + skip * u[..., t]

    expected = torch.stack([at(t) for t in range(L)], dim=-1)
    torch.testing.assert_close(two_sided_convolution(u, k, skip), expected)


def test_delayed_convolution_reproduces_the_original_defect(arrays):
    """Of one impulse, the original's "bidirectional" filter tells nothing to positions nearer than L/2."""
    _, k, skip = arrays
    u = torch.zeros(1, D, L, dtype=torch.float64)
    u[..., 2] = 1
    response = delayed_convolution(u, k[0], 0 * skip)[0]
    assert (response[:, 2 : 2 + L // 2].abs() < 1e-12).all()
    torch.testing.assert_close(response[:, 2 + L // 2 :], k[0][:, : L - 2 - L // 2])


@pytest.mark.parametrize("convolution", [causal_convolution, delayed_convolution])
def test_convolution_gradients(arrays, convolution):
    u, k, skip = (tensor.requires_grad_() for tensor in arrays)
    assert torch.autograd.gradcheck(convolution, (u, k[0], skip))


def test_two_sided_convolution_gradients(arrays):
    u, k, skip = (tensor.requires_grad_() for tensor in arrays)
    assert torch.autograd.gradcheck(two_sided_convolution, (u, k, skip))


def test_convolution_computes_in_float32_for_half_precision(arrays):
    u, k, skip = (tensor.to(torch.bfloat16) for tensor in arrays)
    y = causal_convolution(u, k[0], skip)
    exact = causal_convolution(u.double(), k[0].double(), skip.double())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.double(), exact, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("least", "size"), [(1, 1), (2, 2), (3, 3), (5, 6), (6, 6), (7, 8), (9, 12), (13, 16), (143, 192)]
)
def test_fft_size(least, size):
    assert fft_size(least) == size


@pytest.mark.parametrize(("kernel", "ahead"), [(3, 0), (3, 1), (5, 2), (1, 0)])
def test_short_convolution_is_a_grouped_convolution(arrays, kernel, ahead):
    u = arrays[0].requires_grad_()
    short = ShortConvolution(D, kernel, ahead).double()
    padded = torch.nn.functional.pad(u, (kernel - 1 - ahead, ahead))
    expected = torch.nn.functional.conv1d(padded, short.weight, short.bias, groups=D)
    torch.testing.assert_close(short(u), expected)
    assert torch.autograd.gradcheck(lambda u, *_: short(u), (u, short.weight, short.bias))


def test_filter_does_not_depend_on_the_length_asked():
    torch.manual_seed(0)
    filter = HyenaFilter(4, max_length=64)
    torch.testing.assert_close(filter(64)[:20], filter(20))


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("kind", [HyenaOperator, BidirectionalHyenaOperator])
def test_operator_sees_what_it_should(kind, order):
    """A change at one position reaches later positions, and earlier ones only if the operator is bidirectional."""
    torch.manual_seed(0)
    operator = kind(4, {}, 32, order=order).double()
    x = torch.randn(1, 32, 4, dtype=torch.float64)
    y = x.clone()
    y[:, 16] += 1
    difference = (operator(y) - operator(x)).abs().amax(dim=-1)[0]
    assert (difference[16:] > 1e-9).all()
    if kind is HyenaOperator:
        assert (difference[:16] < 1e-12).all()
    else:
        assert (difference > 1e-9).all()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", [HyenaOperator, BidirectionalHyenaOperator])
def test_masked_positions_tell_nothing(kind, side):
    torch.manual_seed(0)
    operator = kind(4, {}, 32).double()
    x = torch.randn(2, 20, 4, dtype=torch.float64)
    padding = torch.randn(2, 7, 4, dtype=torch.float64)
    ones, zeros = torch.ones(2, 20), torch.zeros(2, 7)
    before = side == "left"
    padded = torch.cat([padding, x] if before else [x, padding], dim=1)
    mask = torch.cat([zeros, ones] if before else [ones, zeros], dim=1)
    kept = operator(padded, mask)[mask.bool()].view(2, 20, 4)
    torch.testing.assert_close(kept, operator(x, torch.ones(2, 20)))
