"""The Hyena operator: implicit filters, long convolutions in blocks and by FFT, streaming, and context parallelism."""

from crocuta.nn.hyena.operator import (
    BidirectionalHyenaOperator,
    DelayedHyenaOperator,
    HyenaFilter,
    HyenaOperator,
    ImplicitFilter,
    ShortConvolution,
    Sine,
    causal_convolution,
    circular_convolution,
    delayed_convolution,
    fft_size,
    position_features,
    two_sided_convolution,
)

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
