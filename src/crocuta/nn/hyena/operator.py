"""The Hyena operator: gated long convolutions whose filters are functions of time (Poli et al. 2023, arXiv 2302.10866).

Shapes: B batch, L length, D width, N order of the recurrence, K filter length (= L).
"""

from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from crocuta.nn.hyena.channelwise import ByAutograd, LongFilter, SpectralFilter
from crocuta.nn.hyena.fused import is_plain, linear, linear_channels_first
from crocuta.nn.hyena.implicit_filter import HyenaFilter, ImplicitFilter, Sine
from crocuta.nn.hyena.long_convolution import (
    causal_convolution,
    circular_convolution,
    delayed_convolution,
    fft_size,
    two_sided_convolution,
)
from crocuta.nn.hyena.position_features import position_features
from crocuta.nn.hyena.short_convolution import ShortConvolution
from crocuta.nn.hyena.smooth_convolution import SmoothFilter, panel_values
from crocuta.nn.linear import ResidualLinear

__all__ = [
    "BidirectionalHyenaOperator",
    "DelayedHyenaOperator",
    "HyenaFilter",
    "HyenaOperator",
    "ImplicitFilter",
    "ShortConvolution",
    "Sine",
    "causal_convolution",
    "circular_convolution",
    "delayed_convolution",
    "fft_size",
    "position_features",
    "two_sided_convolution",
]

MOST_KEPT = 1 << 25  # bytes of one operator's filters that inference keeps between calls


class KeptFilters(NamedTuple):
    """Filters and the tensors they were made from: version counters do not see writes through `.data`."""

    length: int
    tensors: list[Tensor]
    filters: Sequence[LongFilter]


KEPT: WeakKeyDictionary[nn.Module, KeptFilters] = WeakKeyDictionary()


def same_tensors(kept: list[Tensor], now: list[Tensor]) -> bool:
    return len(kept) == len(now) and all(
        one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)
        for one, other in zip(kept, now, strict=True)
    )


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
        return self.arranged(self.filter_fn(length).T), self.arranged(self.filter_fn.bias)

    def arranged(self, by_channel: Tensor) -> Tensor:
        """Channels of the filter network (directions (N - 1) D, ...) as (N - 1, directions, D, ...)."""
        if self.order_last:
            return by_channel.unflatten(0, (-1, self.width, self.order - 1)).movedim(2, 0)
        return by_channel.unflatten(0, (-1, self.order - 1, self.width)).transpose(0, 1)

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

    def gate_out(self, v: Tensor, gate: Tensor) -> Tensor:
        """The last gate and the output projection: two of (B, D, L) to (B, L, D)."""
        return linear(self.out_proj, (v * gate).transpose(1, 2))

    def project(self, x: Tensor, first: int, count: int, mask: Tensor | None = None) -> Tensor:
        """`count` of the N + 1 projections of x (B, L, D), from `first` on, after the short filter; (B, count D, L)."""
        start, stop = first * self.width, (first + count) * self.width
        if is_plain(self.in_proj):
            bias = None if self.in_proj.bias is None else self.in_proj.bias[start:stop]
            u = linear_channels_first(x, self.in_proj.weight[start:stop], bias)
        else:
            u = self.in_proj(x)[..., start:stop].transpose(1, 2).contiguous()
        if mask is not None:
            u = u * mask[:, None].to(u.dtype)
        return self.short_filter.part(u, start, stop)

    def long_filters(self, length: int) -> Sequence[LongFilter]:
        """The N - 1 long convolutions for sequences of `length`, to be applied to some channels at a time.

        In inference they are kept for the next call, if they are small, with the parameters that they came from.
        """
        if self.training or torch.is_grad_enabled() or not self.filter_fn.is_plain:
            return self.build_long_filters(length)
        kept = KEPT.get(self)
        tensors = [*self.filter_fn.parameters(), *self.filter_fn.buffers()]
        if kept is not None and kept.length == length and same_tensors(kept.tensors, tensors):
            return kept.filters
        filters = self.build_long_filters(length)
        if (
            sum(piece.numel() * piece.element_size() for filter in filters for piece in filter.pieces)
            <= MOST_KEPT
        ):
            KEPT[self] = KeptFilters(length, [tensor.clone() for tensor in tensors], filters)
        return filters

    def build_long_filters(self, length: int) -> Sequence[LongFilter]:
        in_panels = (
            self.filter_fn.dtype == torch.float32 and self.filter_fn.bias.device.type != "mps"
        )  # no float64
        values = panel_values(self.filter_fn, length) if in_panels else None
        skip = self.arranged(self.filter_fn.bias)[:, 0]
        if values is None:
            k = self.arranged(self.filter_fn.by_channel(length))[:, 0]
            return [SpectralFilter(k[i], skip[i]) for i in range(self.order - 1)]
        by_order = self.arranged(values.values.movedim(-1, 0))[:, 0].movedim(1, -1)
        return [SmoothFilter(by_order[i], values.panel, skip[i], length) for i in range(self.order - 1)]


class GeneralHyenaOperator(HyenaOperator):
    """A Hyena operator whose long convolution is not the plain causal one."""

    def build_long_filters(self, length: int) -> Sequence[LongFilter]:
        k, skip = self.filters(length)
        return [
            ByAutograd(self.long_convolution, k[i].transpose(0, 1), skip[i].T) for i in range(self.order - 1)
        ]


class BidirectionalHyenaOperator(GeneralHyenaOperator):
    """Hyena operator that sees every token on both sides, through one filter for each direction."""

    directions, sees_ahead = 2, True

    def long_convolution(self, v: Tensor, k: Tensor, skip: Tensor) -> Tensor:
        return two_sided_convolution(v, k, skip.sum(0))


class DelayedHyenaOperator(GeneralHyenaOperator):
    """The original's `bidirectional=True`, defect included; see `delayed_convolution`."""

    def long_convolution(self, v: Tensor, k: Tensor, skip: Tensor) -> Tensor:
        return delayed_convolution(v, k[0], skip[0])
