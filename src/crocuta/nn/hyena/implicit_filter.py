"""Filters that are functions of time: a small network of sines read at each position (arXiv 2302.10866, 3.3)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from crocuta.nn.hyena.fused import is_plain
from crocuta.nn.hyena.position_features import decay_rates, features_at, position_features

CHUNK = 1 << 14  # positions at which the network is read at a time, where memory matters
ALL = slice(None)
STORED = (
    "pos_emb.z",
    "pos_emb.t",
    "modulation.deltas",
)  # what the original's checkpoints hold beside parameters
ROUNDING = 1e-6  # two float32 computations of the position features differ by less


def follows_formula(name: str, tensor: Tensor, tolerance: float = 0.0) -> bool:
    """Whether a checkpoint's tensor of `STORED` is what we compute anyway, to the last bit of its dtype or nearly."""
    if tensor.ndim != 3:
        return False
    (length, width), cpu = tensor.shape[1:], torch.device("cpu")
    rates = name == "modulation.deltas"
    expected = (
        decay_rates(width, cpu)[None, None] if rates else position_features(length, length, width, cpu)[None]
    )
    if tensor.shape != expected.shape:
        return False
    return bool(((tensor.cpu() - expected.to(tensor.dtype)).abs() <= tolerance).all())


class Stored(nn.Module):
    """Tensors of a checkpoint that stand in place of what a formula gives; in 16 bits they would say nothing."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Stored":
        exact = dict(self.named_buffers())
        super()._apply(fn, recurse)
        for name, buffer in self.named_buffers():
            if buffer.element_size() < exact[name].element_size() == 4:
                self.register_buffer(name, exact[name].to(buffer.device))
        return self


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
    Position features, time and decay rates are computed, unless a checkpoint holds others (the original can train
    them): those are then buffers of the original's names, and of the state dict.
    """

    evaluates_anywhere = True  # not only at the positions of which a checkpoint holds the features

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

    def stored(self, name: str) -> Tensor | None:
        """A tensor of `STORED` that came with a checkpoint, None where the formula holds."""
        module, buffer = name.split(".")
        return (
            dict(self.get_submodule(module).named_buffers()).get(buffer) if module in self._modules else None
        )

    def adopt(self, tensors: Mapping[str, Tensor]) -> None:
        """Make room for those tensors of a checkpoint, by their names in `STORED`, that differ from the formula."""
        rows, channels = self.max_length, self.bias.numel()
        for name, tensor in tensors.items():
            module, buffer = name.split(".")
            shape = {"z": (1, rows, self.features), "t": (1, rows, 1), "deltas": (1, 1, channels)}[buffer]
            if tensor.shape == shape and follows_formula(name, tensor):
                continue
            if module not in self._modules:
                self.add_module(module, Stored())
            room = torch.empty(shape, device=self.bias.device, dtype=self.dtype)
            self.get_submodule(module).register_buffer(buffer, room)
        positions = [name for name in tensors if name.startswith("pos_emb.")]
        self.evaluates_anywhere = all(follows_formula(name, tensors[name], ROUNDING) for name in positions)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest) -> None:
        held = {name: state_dict[prefix + name] for name in STORED if prefix + name in state_dict}
        if held:
            self.adopt(held)
        for name in held:
            if self.stored(name) is None:
                del state_dict[prefix + name]
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def inputs(self, length: int) -> tuple[Tensor, Tensor]:
        """Position features (length, features) and time (length, 1), in the dtype of the filters."""
        device, dtype = self.bias.device, self.dtype
        z, time = self.stored("pos_emb.z"), self.stored("pos_emb.t")
        computed = position_features(length, self.max_length, self.features, device).to(dtype)
        z = computed if z is None else z[0, :length].to(dtype)
        return z, computed[:, :1] if time is None else time[0, :length].to(dtype)

    def forward(self, length: int) -> Tensor:
        """Filters of shape (length, channels)."""
        return self.read(*self.inputs(length))

    def by_channel(self, length: int) -> Tensor:
        """Filters of shape (channels, length), of which the network's activations are held for a chunk at a time."""
        z, time = self.inputs(length)
        parts = zip(z.split(CHUNK), time.split(CHUNK), strict=True)
        if torch.is_grad_enabled():
            return torch.cat([checkpoint(self.read, *part, use_reentrant=False).T for part in parts], 1)  # type: ignore[union-attr]
        filters = z.new_empty(self.bias.numel(), length)
        for part, into in zip(parts, filters.split(CHUNK, dim=1), strict=True):
            into.copy_(self.read(*part).T)
        return filters

    def at(self, positions: Tensor) -> Tensor:
        """Filters at real positions (n,) of float64, evaluated in float64; (n, channels)."""
        z = features_at(positions, self.max_length, self.features)
        return self.read(z, z[:, :1])

    def read(self, z: Tensor, time: Tensor, channels: Tensor | slice = ALL) -> Tensor:
        """Filters for position features (n, features) and time (n, 1), in their dtype; only some channels if wanted.

        Filters that are normalised over channels are built whole.
        """
        built = ALL if self.normalized else channels
        with torch.autocast(z.device.type, enabled=False):
            h = self.network(z, built)
            if self.modulate:
                h = h * (self.window(time)[:, built] + self.modulation_shift)
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
        rates = self.stored("modulation.deltas")
        decay = decay_rates(self.bias.numel(), time.device).abs() if rates is None else rates[0, 0].abs()
        return torch.exp(-time * decay.to(time.dtype))
