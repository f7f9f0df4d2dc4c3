"""The Hyena operator: gated long convolutions whose filters are functions of time (Poli et al. 2023, arXiv 2302.10866).

Shapes: B batch, L length, D width, N order of the recurrence, K filter length (= L).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.nn.linear import ResidualLinear

FAST_DECAY, SLOW_DECAY, DECAY_TARGET = 0.3, 1.5, 1e-2  # window reaches 1e-2 after 0.3 (1.5) filter lengths


def position_features(length: int, max_length: int, features: int, device: torch.device) -> Tensor:
    """Time and complex exponentials that the filter network reads: `[t, Re z_1.., Im z_1..]` (arXiv 2302.10866, D.3).

    Time runs from 0 to 1 over `max_length`, so that a filter does not change with the input's length. Always float32,
    as in released checkpoints; shape (length, features).
    """
    bands = (features - 1) // 2
    time = torch.linspace(0, 1, max_length, device=device)[:length, None]
    angle = (
        2 * math.pi * torch.linspace(0, max_length - 1, max_length, device=device)[:length, None] / max_length
    )
    frequency = torch.linspace(1e-4, bands - 1, bands, device=device)
    wave = torch.exp(-1j * frequency * angle)
    return torch.cat([time, wave.real, wave.imag], dim=-1)


class Sine(nn.Module):
    """`sin(w x)` with one learnable frequency per feature."""

    def __init__(self, features: int, frequency: float, learnable: bool):
        super().__init__()
        self.freq = nn.Parameter(torch.full((1, features), float(frequency)), requires_grad=learnable)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.freq * x)


class ImplicitFilter(nn.ModuleDict):
    """The filter network: linear layers with one shared sine between them.

    Keys count modules as the original does (`0` linear, `1` sine, `2` linear, `4` ...), so that its checkpoints fit.
    """

    def __init__(
        self, features: int, width: int, channels: int, inner_layers: int, frequency: float, learnable: bool
    ):
        layers = {"0": nn.Linear(features, width), "1": Sine(width, frequency, learnable)}
        layers |= {str(2 * i): nn.Linear(width, width) for i in range(1, inner_layers + 1)}
        layers |= {str(2 * inner_layers + 2): nn.Linear(width, channels, bias=False)}
        super().__init__(layers)

    def forward(self, z: Tensor) -> Tensor:
        sine = self["1"]
        first, *inner, last = (layer for layer in self.values() if layer is not sine)
        hidden = sine(first(z))
        for linear in inner:
            hidden = sine(linear(hidden))
        return last(hidden)


class HyenaFilter(nn.Module):
    """Long filters and skip weights of `channels` channels: network(position) x (exponential window + shift)."""

    def __init__(
        self,
        channels: int,
        max_length: int,
        *,
        features: int = 5,
        width: int = 64,
        inner_layers: int = 2,
        frequency: float = 10.0,
        learn_frequency: bool = True,
        modulate: bool = True,
        modulation_shift: float = 0.05,
        normalized: bool = False,
    ):
        super().__init__()
        self.max_length, self.features = max_length, features
        self.modulate, self.modulation_shift, self.normalized = modulate, modulation_shift, normalized
        self.bias = nn.Parameter(torch.randn(channels))
        self.implicit_filter = ImplicitFilter(
            features, width, channels, inner_layers, frequency, learn_frequency
        )

    def forward(self, length: int) -> Tensor:
        """Filters of shape (length, channels)."""
        weight = next(self.implicit_filter.parameters())
        z = position_features(length, self.max_length, self.features, weight.device).to(weight.dtype)
        h = self.implicit_filter(z)
        if self.modulate:
            h = h * (self.window(z[:, :1]) + self.modulation_shift)
        if self.normalized:
            h = h / h.norm(dim=-1, p=1, keepdim=True)
        return h

    def window(self, time: Tensor) -> Tensor:
        """Exponential decay, from slow in the first channel to fast in the last; (length, channels)."""
        slow, fast = (math.log(DECAY_TARGET) / share for share in (SLOW_DECAY, FAST_DECAY))
        decay = torch.linspace(slow, fast, self.bias.numel(), device=time.device).abs()
        return torch.exp(-time * decay.to(time.dtype))


def fft_size(least: int) -> int:
    """Smallest size of the form 2^k or 3 * 2^k that is at least `least`: real transforms of these sizes are fast."""
    power = 1 << max(least - 1, 1).bit_length()
    return 3 * power // 4 if 3 * power // 4 >= least else power


class _CircularConvolution(torch.autograd.Function):
    """First L values of the circular convolution of size n of u (B, D, L) and k (D, up to n), by real FFTs.

    Autograd would go back through complex FFTs of the full size and keep every spectrum; this keeps `u` and `k`.
    """

    @staticmethod
    def forward(u: Tensor, k: Tensor, n: int) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(u, n=n) * torch.fft.rfft(k, n=n), n=n)[..., : u.shape[-1]]

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        u, k, ctx.n = inputs
        ctx.save_for_backward(u, k)

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        (u, k), n = ctx.saved_tensors, ctx.n
        spectrum = torch.fft.rfft(gradients[0], n=n)
        into_u = torch.fft.irfft(spectrum * torch.fft.rfft(k, n=n).conj(), n=n)[..., : u.shape[-1]]
        into_k = torch.fft.irfft((spectrum * torch.fft.rfft(u, n=n).conj()).sum(0), n=n)[..., : k.shape[-1]]
        return into_u, into_k, None


def circular_convolution(u: Tensor, k: Tensor, n: int) -> Tensor:
    """`_CircularConvolution` in at least float32, whatever the dtype of `u`."""
    dtype = torch.promote_types(u.dtype, torch.float32)
    return _CircularConvolution.apply(u.to(dtype), k.to(dtype), n).to(u.dtype)


def causal_convolution(u: Tensor, k: Tensor, skip: Tensor) -> Tensor:
    """`y[t] = sum_{j <= t} k[j] u[t - j] + skip u[t]`: u (B, D, L), k (D, L), skip (D,)."""
    return circular_convolution(u, k, fft_size(2 * u.shape[-1] - 1)) + u * skip[:, None]


def two_sided_convolution(u: Tensor, k: Tensor, skip: Tensor) -> Tensor:
    """Convolution that looks both ways: k (2, D, L) holds the filter over the past and the one over the future.

    The future filter's tap at lag 0 is left out, so that each position is weighed once; other arguments as in
    `causal_convolution`.
    """
    length = u.shape[-1]
    n = fft_size(2 * length - 1)
    past, future = k
    kernel = torch.cat([F.pad(past, (0, n - 2 * length + 1)), future[..., 1:].flip(-1)], dim=-1)
    return circular_convolution(u, kernel, n) + u * skip[:, None]


def delayed_convolution(u: Tensor, k: Tensor, skip: Tensor) -> Tensor:
    """What the original calls bidirectional: it delays the input by L/2, so that tokens nearer than that are unseen.

    Kept for checkpoints that were trained with it; arguments as in `causal_convolution`.
    """
    length = u.shape[-1]
    return circular_convolution(F.pad(u, (length // 2, 0)), k, 2 * length)[..., :length] + u * skip[:, None]


class _ShortConvolution(torch.autograd.Function):
    """`y[t] = bias + sum_j w[K - 1 - j] u[t - j]`, one multiply-add for each tap: half the time of grouped `conv1d`."""

    @staticmethod
    def forward(u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = torch.addcmul(bias[:, None], u, weight[:, -1:])
        for lag, tap in enumerate(weight.T.flip(0)[1:, :, None], start=1):
            y[..., lag:].addcmul_(u[..., :-lag], tap)
        return y

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        (u, weight), gradient = ctx.saved_tensors, gradients[0]
        into_u = gradient * weight[:, -1:]
        into_taps = [(gradient * u).sum((0, 2))]
        for lag, tap in enumerate(weight.T.flip(0)[1:, :, None], start=1):
            into_u[..., :-lag].addcmul_(gradient[..., lag:], tap)
            into_taps.append((gradient[..., lag:] * u[..., :-lag]).sum((0, 2)))
        return into_u, torch.stack(into_taps[::-1], dim=1), gradient.sum((0, 2))


class ShortConvolution(nn.Conv1d):
    """Depthwise convolution of (B, D, L) over the last `kernel` positions, and `ahead` of those to come."""

    def __init__(self, channels: int, kernel: int, ahead: int = 0):
        super().__init__(channels, channels, kernel, groups=channels)
        self.ahead = ahead

    def forward(self, u: Tensor) -> Tensor:
        weight, bias = self.weight[:, 0].to(u.dtype), self.bias.to(u.dtype)  # type: ignore[union-attr]
        return _ShortConvolution.apply(F.pad(u, (0, self.ahead)), weight, bias)[..., self.ahead :]


class HyenaOperator(nn.Module):
    """Causal Hyena operator: projections, a short depthwise convolution, then N - 1 gated long convolutions.

    Maps (B, L, D) to (B, L, D). `mask` (B, L), 1 = token, keeps padding from telling anything: masked positions enter
    neither the short nor the long convolution. `order_last` gives the channel layout of filters of order above 2:
    True as in the original training code, False as in its standalone code.
    """

    directions, sees_ahead = 1, False

    def __init__(
        self,
        width: int,
        filter: dict,
        max_length: int,
        *,
        order: int = 2,
        short_filter_order: int = 3,
        bias: bool = True,
        dropout: float = 0.0,
        order_last: bool = True,
    ):
        super().__init__()
        self.width, self.order, self.order_last = width, order, order_last
        inner = (order + 1) * width
        self.in_proj = nn.Linear(width, inner, bias=bias)
        self.short_filter = ShortConvolution(
            inner, short_filter_order, ahead=self.sees_ahead * (short_filter_order // 2)
        )
        self.filter_fn = HyenaFilter(self.directions * (order - 1) * width, max_length, **filter)
        self.out_proj = ResidualLinear(width, width, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def long_convolution(self, v: Tensor, k: Tensor, skip: Tensor) -> Tensor:
        return causal_convolution(v, k[0], skip[0])

    def filters(self, length: int) -> tuple[Tensor, Tensor]:
        """Filters (N - 1, directions, D, L) and skip weights (N - 1, directions, D)."""
        layout = (-1, self.width, self.order - 1) if self.order_last else (-1, self.order - 1, self.width)
        k = self.filter_fn(length).T.reshape(*layout, length)
        skip = self.filter_fn.bias.reshape(*layout)
        if self.order_last:
            k, skip = k.transpose(1, 2), skip.transpose(1, 2)
        return k.transpose(0, 1), skip.transpose(0, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        length = x.shape[1]
        u = self.in_proj(x)
        if mask is not None:
            u = u * mask[..., None]
        u = self.short_filter(u.transpose(1, 2).contiguous())
        *gates, v = u.split(self.width, dim=1)
        k, skip = self.filters(length)
        for i, gate in enumerate(reversed(gates[1:])):
            v = v * gate
            if mask is not None:
                v = v * mask[:, None]
            v = self.long_convolution(self.dropout(v), k[i], skip[i])
        return self.out_proj((v * gates[0]).transpose(1, 2))


class BidirectionalHyenaOperator(HyenaOperator):
    """Hyena operator that sees every token on both sides, through one filter for each direction."""

    directions, sees_ahead = 2, True

    def long_convolution(self, v: Tensor, k: Tensor, skip: Tensor) -> Tensor:
        return two_sided_convolution(v, k, skip.sum(0))


class DelayedHyenaOperator(HyenaOperator):
    """The original's `bidirectional=True`, defect included; see `delayed_convolution`."""

    def long_convolution(self, v: Tensor, k: Tensor, skip: Tensor) -> Tensor:
        return delayed_convolution(v, k[0], skip[0])
