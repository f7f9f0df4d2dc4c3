"""Filters that are functions of time: a small network of sines read at each position (arXiv 2302.10866, 3.3)."""

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from crocuta.nn.fused import is_plain

CHUNK = 1 << 14  # positions at which the network is read at a time, where memory matters
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


def features_at(positions: Tensor, max_length: int, features: int) -> Tensor:
    """`position_features` at any real positions (n,), in their dtype; shape (n, features)."""
    bands = (features - 1) // 2
    frequency = torch.linspace(1e-4, bands - 1, bands, dtype=positions.dtype, device=positions.device)
    angle = 2 * math.pi / max_length * positions[:, None] * frequency
    return torch.cat([positions[:, None] / max(max_length - 1, 1), angle.cos(), -angle.sin()], dim=-1)


ALL = slice(None)


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
    """Long filters and skip weights of `channels` channels: network(position) x (exponential window + shift).

    Filters are evaluated in at least float32, under autocast too: 16 bits cannot tell neighbouring positions apart.
    """

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

    @property
    def dtype(self) -> torch.dtype:
        """What the filters are evaluated in: the weights' dtype, float32 at least."""
        return torch.promote_types(self.bias.dtype, torch.float32)

    @property
    def is_plain(self) -> bool:
        """Whether the parameters alone say what the filters are: no adapter that can be switched."""
        return all(is_plain(layer) or type(layer) is Sine for layer in self.implicit_filter.values())

    def forward(self, length: int) -> Tensor:
        """Filters of shape (length, channels)."""
        z = position_features(length, self.max_length, self.features, self.bias.device)
        return self.read(z.to(self.dtype))

    def by_channel(self, length: int) -> Tensor:
        """Filters of shape (channels, length), of which the network's activations are held for a chunk at a time."""
        z = position_features(length, self.max_length, self.features, self.bias.device).to(self.dtype)
        if torch.is_grad_enabled():
            return torch.cat(
                [checkpoint(self.read, part, use_reentrant=False).T for part in z.split(CHUNK)], 1
            )  # type: ignore[union-attr]
        filters = z.new_empty(self.bias.numel(), length)
        for part, into in zip(z.split(CHUNK), filters.split(CHUNK, dim=1), strict=True):
            into.copy_(self.read(part).T)
        return filters

    def at(self, positions: Tensor) -> Tensor:
        """Filters at real positions (n,) of float64, evaluated in float64; (n, channels)."""
        return self.read(features_at(positions, self.max_length, self.features))

    def read(self, z: Tensor, channels: Tensor | slice = ALL) -> Tensor:
        """Filters for position features (n, features), in the dtype of these; only some channels if wanted.

        Filters that are normalised over channels are built whole.
        """
        built = ALL if self.normalized else channels
        with torch.autocast(z.device.type, enabled=False):
            h = self.network(z, built)
            if self.modulate:
                h = h * (self.window(z[:, :1])[:, built] + self.modulation_shift)
            if self.normalized:
                h = (h / h.norm(dim=-1, p=1, keepdim=True))[:, channels]
            return h

    def network(self, z: Tensor, channels: Tensor | slice = ALL) -> Tensor:
        if z.dtype == self.bias.dtype and channels is ALL:
            return self.implicit_filter(z)
        parameters = {name: value.to(z.dtype) for name, value in self.implicit_filter.named_parameters()}
        *_, last = parameters
        parameters[last] = parameters[last][channels]
        return torch.func.functional_call(self.implicit_filter, parameters, (z,))

    def window(self, time: Tensor) -> Tensor:
        """Exponential decay, from slow in the first channel to fast in the last; (length, channels)."""
        slow, fast = (math.log(DECAY_TARGET) / share for share in (SLOW_DECAY, FAST_DECAY))
        decay = torch.linspace(slow, fast, self.bias.numel(), device=time.device).abs()
        return torch.exp(-time * decay.to(time.dtype))
