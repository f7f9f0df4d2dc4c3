"""Convolutions of the Poincare ball (HNN++) without unfolding."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Poincare, lorentz_to_poincare
from crocuta.manifolds.numerics import TINY, in_float32, norm, sinhc, sqrt
from crocuta.nn.convolution import convolve_windows
from crocuta.nn.linear import positive
from crocuta.nn.poincare.linear import from_hyperplanes

REACH = 20.0  # scaled radius at which a concatenated window is held: its square is finite in float32


def log_beta(n: int) -> float:
    """log B(n/2, 1/2), which HNN++ scales concatenated tangent vectors by."""
    return math.lgamma(n / 2) + math.lgamma(0.5) - math.lgamma((n + 1) / 2)


class _PoincareConv(nn.Module):
    """What the convolutions share: `PoincareLinear` on the beta-concatenation of each window.

    The window's points are mapped to tangents at the origin, scaled by `B(nK/2, 1/2) / B(n/2, 1/2)`, concatenated
    and mapped back (Shimizu et al. 2021, arXiv 2006.08210, section 3.3). Products with the concatenation are a
    convolution of the tangents, its length is a box sum of squares.
    """

    axes: int

    def __init__(
        self,
        manifold: Poincare,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = True,
    ):
        super().__init__()
        positive(in_channels=in_channels, out_channels=out_channels, stride=stride, dilation=dilation)
        kernel = (kernel_size,) * self.axes if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(kernel) != self.axes or min(kernel) < 1:
            raise ValueError(f"kernel_size must be one positive integer or {self.axes}, got {kernel_size}")
        self.manifold = manifold
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel
        self.window = {"stride": stride, "padding": padding, "dilation": dilation}
        features = in_channels * math.prod(kernel)
        self.ratio = math.exp(log_beta(features) - log_beta(in_channels))
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.normal_(self.weight, std=(2 * features * out_channels) ** -0.5)

    @property
    def in_features(self) -> int:
        """Intrinsic dimensions of the inputs: `in_channels`."""
        return self.in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Points `(batch, *axes, in_channels)` to points `(batch, *new axes, out_channels)`."""
        if x.ndim != self.axes + 2 or x.shape[-1] != self.in_channels:
            raise ValueError(
                f"x must have {self.axes + 2} axes, the last of size {self.in_channels} "
                f"(channels last), got shape {tuple(x.shape)}"
            )
        return self._map(x, self.weight, self.bias)

    @in_float32
    def _map(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        c = self.manifold.c
        u = (self.ratio * self.manifold.logmap0(x)).movedim(-1, 1)
        length = norm(weight.flatten(1))
        unit = weight / length.clamp_min(TINY).reshape(-1, 1, *(1,) * self.axes)
        along = convolve_windows(u, unit, None, **self.window).movedim(1, -1)
        box = u.new_ones((1, 1, *self.kernel_size))
        square = convolve_windows(u.square().sum(1, keepdim=True), box, None, **self.window).movedim(1, -1)
        # the window's point on the hyperboloid: x_s = sinh(t) / t * 2u, t = 2 sqrt(c) |u| its scaled radius
        t = 2 * (c * square.clamp_min(TINY**1.5)).sqrt()
        held = t.clamp(max=REACH)
        along = 2 * along * (held / t) * sinhc(held)
        bias = torch.zeros_like(length[:, 0]) if bias is None else bias
        s = from_hyperplanes(along, torch.cosh(held) / sqrt(c), length[:, 0], bias, c)
        return lorentz_to_poincare(F.pad(s, (1, 0)), c)


class PoincareConv1d(_PoincareConv):
    """Convolution of a sequence of ball points `(batch, length, in_channels)`; padding is with the origin.

    (HNN++, Shimizu et al. 2021, arXiv 2006.08210, section 3.3.)

    >>> m = Poincare()
    >>> PoincareConv1d(m, 4, 8, kernel_size=9, padding=4)(m.expmap0(torch.randn(2, 20, 4) / 4)).shape
    torch.Size([2, 20, 8])
    """

    axes = 1


class PoincareConv2d(_PoincareConv):
    """Convolution of an image of ball points `(batch, height, width, in_channels)`; see `PoincareConv1d`.

    >>> m = Poincare()
    >>> PoincareConv2d(m, 4, 8, kernel_size=3)(m.expmap0(torch.randn(2, 9, 9, 4) / 4)).shape
    torch.Size([2, 7, 7, 8])
    """

    axes = 2
