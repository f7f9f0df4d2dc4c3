"""Long convolutions in panels, in two-level transforms and by channels, against the plain one in float64."""

import pytest
import torch

from crocuta.nn.hyena import HyenaOperator, channelwise, implicit_filter, smooth_convolution, two_level
from crocuta.nn.hyena.channelwise import (
    ByAutograd,
    SpectralFilter,
    convolve,
    convolve_backward,
    convolve_last,
)
from crocuta.nn.hyena.implicit_filter import HyenaFilter
from crocuta.nn.hyena.long_convolution import causal_convolution, two_sided_convolution
from crocuta.nn.hyena.position_features import features_at, position_features
from crocuta.nn.hyena.smooth_convolution import SmoothFilter, lagrange, panel_values

CHANNELS = 3


def relative(found, expected):
    """Largest difference, against the largest value of the expected."""
    return ((found.double() - expected).abs().max() / expected.abs().max()).item()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def exact(filter, length):
    return filter.at(torch.arange(length, dtype=torch.float64)).T


def test_features_between_positions_agree_with_those_at_positions():
    grid = position_features(50, 60, 5, torch.device("cpu"))
    torch.testing.assert_close(features_at(torch.arange(50.0).double(), 60, 5).float(), grid)


def test_lagrange_basis_reproduces_polynomials():
    points = torch.linspace(-1, 1, 50, dtype=torch.float64)
    nodes = torch.cos((torch.arange(8, dtype=torch.float64) + 0.5) * torch.pi / 8)
    torch.testing.assert_close(lagrange(points, 8) @ nodes**7, points**7)
    torch.testing.assert_close(lagrange(nodes, 8), torch.eye(8, dtype=torch.float64))


@pytest.mark.parametrize(
    ("length", "longest"),
    [(1, 20_000), (2, 20_000), (17, 20_000), (1000, 20_000), (5000, 1_000_000), (16_386, 16_386)],
)
def test_panels_convolve_as_the_filter_itself(length, longest):
    """In value and gradient, into the input, the skip weight and the filter network."""
    filter, skip = HyenaFilter(CHANNELS, longest), torch.randn(CHANNELS, requires_grad=True)
    found = panel_values(filter, length)
    assert found is not None
    panels = SmoothFilter(found.values, found.panel, skip, length)
    u = torch.randn(2, CHANNELS, length, requires_grad=True)
    gradient = torch.randn(2, CHANNELS, length)
    expected = causal_convolution(u.double(), exact(filter, length), skip.double())
    with torch.no_grad():
        assert relative(panels.apply(u, *panels.pieces), expected) < 2e-6
        into_u, *into_pieces = panels.adjoint(u, gradient, *panels.pieces)
    parameters = [skip, *filter.implicit_filter.parameters()]
    into = torch.autograd.grad(panels.pieces, parameters, into_pieces)
    wanted = torch.autograd.grad(expected, [u, *parameters], gradient.double())
    for one, other in zip((into_u, *into), wanted, strict=True):
        assert relative(one, other.double()) < 1e-5


@pytest.mark.parametrize("count", [1, 3, 100, 700])
@pytest.mark.parametrize("length", [60, 700, 1024])
def test_last_positions_alone(length, count):
    filter, skip = HyenaFilter(CHANNELS, 20_000), torch.randn(CHANNELS)
    found = panel_values(filter, length)
    assert found is not None
    panels, u = SmoothFilter(found.values, found.panel, skip, length), torch.randn(2, CHANNELS, length)
    with torch.no_grad():
        whole = panels.apply(u, *panels.pieces)[..., -count:]
        torch.testing.assert_close(panels.last(u, count, *panels.pieces), whole, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(convolve_last(panels, u, count), whole, rtol=1e-4, atol=1e-5)


def test_a_rough_filter_is_noticed():
    """Sines that turn within a panel leave no polynomial; the operator then takes the FFT."""
    operator = HyenaOperator(4, {"frequency": 3000.0}, 20_000)
    assert panel_values(operator.filter_fn, 2000) is None
    assert type(operator.long_filters(2000)[0]) is SpectralFilter
    smooth = HyenaOperator(4, {}, 20_000)
    assert type(smooth.long_filters(2000)[0]) is SmoothFilter
    assert type(smooth.double().long_filters(2000)[0]) is SpectralFilter


@pytest.mark.parametrize("length", [1, 17, 100, 96])
def test_two_level_transform_convolves(length):
    transform = two_level.TwoLevel(length, 16, torch.float64, torch.device("cpu"))
    u, k = torch.randn(2, length, dtype=torch.float64), torch.randn(2, length, dtype=torch.float64)
    found = transform.inverse(transform.forward(u) * transform.forward(k))
    expected = causal_convolution(u[None], k, torch.zeros(2, dtype=torch.float64))[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("longest_direct", [10, 10_000])
def test_filters_by_channel_have_the_gradients_of_the_plain_convolution(monkeypatch, longest_direct):
    monkeypatch.setattr(two_level, "DIRECT_BELOW", longest_direct)
    monkeypatch.setitem(channelwise.CHANNEL_POINTS, "cpu", 150)
    u, k = torch.randn(2, CHANNELS, 67).double(), torch.randn(2, CHANNELS, 67).double()
    skip, gradient = torch.randn(CHANNELS).double(), torch.randn(2, CHANNELS, 67).double()
    cases = [
        (SpectralFilter(k[0], skip), causal_convolution, k[0]),
        (ByAutograd(lambda u, k, skip: two_sided_convolution(u, k, skip[0]), k.transpose(0, 1), skip[:, None]),
         two_sided_convolution, k),
    ]  # fmt: skip
    for filter, plain, kernel in cases:
        leaves = [tensor.clone().requires_grad_() for tensor in (u, kernel, skip)]
        expected = plain(*leaves)
        torch.testing.assert_close(convolve(filter, u, torch.empty_like(u)), expected.detach())
        into, arriving = [torch.empty_like(piece) for piece in filter.pieces], gradient.clone()
        convolve_backward(filter, u, arriving, into)
        wanted = torch.autograd.grad(expected, leaves, gradient)
        torch.testing.assert_close(arriving, wanted[0])
        into_k = into[0] if kernel.dim() == 2 else into[0].transpose(0, 1)
        torch.testing.assert_close(into_k, wanted[1])
        torch.testing.assert_close(into[1].flatten(), wanted[2])


def test_filters_are_read_in_float32_whatever_the_weights():
    """16-bit time cannot tell neighbours apart: the filter must not become a staircase."""
    filter = HyenaFilter(CHANNELS, 10_000)
    half = HyenaFilter(CHANNELS, 10_000).bfloat16()
    half.load_state_dict(filter.state_dict())
    rounded = HyenaFilter(CHANNELS, 10_000)
    rounded.load_state_dict(half.state_dict())
    assert half(500).dtype == torch.float32
    torch.testing.assert_close(half(500), rounded(500))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(filter(500), HyenaFilter.forward(filter, 500))
        assert filter(500).dtype == torch.float32


def test_points_in_cache_do_not_change_numbers(monkeypatch):
    filter, skip = HyenaFilter(CHANNELS, 20_000), torch.randn(CHANNELS)
    found = panel_values(filter, 3000)
    assert found is not None
    panels, u = SmoothFilter(found.values, found.panel, skip, 3000), torch.randn(2, CHANNELS, 3000)
    with torch.no_grad():
        before = panels.apply(u, *panels.pieces)
        monkeypatch.setattr(smooth_convolution, "CACHED_POINTS", 300)
        torch.testing.assert_close(panels.apply(u, *panels.pieces), before)


def test_filters_are_kept_in_inference_until_a_parameter_changes():
    operator = HyenaOperator(4, {}, 20_000).eval()
    with torch.no_grad():
        first = operator.long_filters(5000)
        assert operator.long_filters(5000) is first
        assert operator.long_filters(4999) is not first
        first = operator.long_filters(5000)
        operator.filter_fn.bias.data.add_(1)
        assert operator.long_filters(5000) is not first
    assert operator.long_filters(5000)[0].pieces[0].requires_grad


def test_filters_in_chunks(monkeypatch):
    filter = HyenaFilter(CHANNELS, 1000)
    monkeypatch.setattr(implicit_filter, "CHUNK", 300)
    whole, chunked = filter(1000).T, filter.by_channel(1000)
    torch.testing.assert_close(chunked, whole)
    parameters, gradient = list(filter.implicit_filter.parameters()), torch.randn_like(whole)
    for found, expected in zip(
        torch.autograd.grad(chunked, parameters, gradient),
        torch.autograd.grad(whole, parameters, gradient),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    with torch.no_grad():
        torch.testing.assert_close(filter.by_channel(1000), whole)


def test_training_can_use_what_inference_kept(monkeypatch):
    monkeypatch.setattr(two_level, "DIRECT_BELOW", 100)
    for table in (smooth_convolution.basis, two_level.two_level):
        table.cache_clear()
    filter, u = HyenaFilter(3, 20_000), torch.randn(3, 500)

    def work(u):
        values = panel_values(filter, 500)
        assert values is not None
        near, far = SmoothFilter(values.values, values.panel, filter.bias, 500).pieces
        return near.sum() + far.sum() + two_level.transform(500, u).forward(u).abs().sum()

    with torch.inference_mode():
        work(u)
    work(u.requires_grad_()).backward()
    assert filter.bias.grad is not None
    assert u.grad is not None
