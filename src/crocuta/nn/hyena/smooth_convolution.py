"""Causal convolution with a filter that is a smooth function of time, in O(L) instead of O(L log L).

An implicit filter of HyenaDNA turns a few dozen times over the longest sequence, so that on a panel of m positions
it is a polynomial through its values at p Chebyshev nodes, to float32 precision with p = 8 to 16. Then

    y = near + far,
    near[t] = sum of k[r] u[t - r] over the panel that holds t: a real FFT of 2m points, in cache;
    far: panel b receives from panel a < b through the p x p matrix A_{b-a}[i, j] = k((b - a) m + tau_i - tau_j),
         y[b m + t] = sum_i l_i(t) sum_{a < b} sum_j A_{b-a}[i, j] sum_s l_j(s) u[a m + s],

with l the Lagrange basis on the nodes tau: two thin matrix products, and between them a convolution over L / m panels.
This is the one-level case of fast summation by interpolation (Fong and Darve 2009, 10.1016/j.jcp.2009.08.031).

Shapes: B batch, D channels, L length, m panel, p nodes, n panels (n m >= L), F frequencies over panels.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from crocuta.nn.hyena.implicit_filter import HyenaFilter
from crocuta.nn.hyena.long_convolution import fft_size

TRIALS = ((1, 8), (1, 12), (1, 16), (4, 12), (4, 16))  # panels to `panel_size`, and nodes; tried in turn
TOLERANCE = (
    1e-6  # of a channel's largest value, between nodes: an eighth of the rounding of float32 time features
)
PANEL_SHARE, LEAST_PANEL, LARGEST_PANEL = (
    128,
    64,
    2048,
)  # of max_length; 2048 is where the FFT of 2m leaves L1
CACHED_POINTS = 1 << 16  # positions of near convolutions at a time on a CPU


class Basis(NamedTuple):
    """Interpolation from the nodes of one panel, in float64."""

    nodes: Tensor  # (p,) positions in [0, m)
    values: Tensor  # (m, p): l_j at every position
    same: Tensor  # (p p, p): l at tau_i - tau_j where that is at least 0, else 0
    before: Tensor  # (p p, p): l at tau_i - tau_j + m where the difference is negative, else 0


def lagrange(points: Tensor, count: int) -> Tensor:
    """Lagrange basis on `count` Chebyshev nodes of [-1, 1] at points (n,), by Chebyshev sums; (n, count)."""
    # As a sum of Chebyshev polynomials (discrete orthogonality on the nodes): no quotient of differences of nodes,
    # which would be 0 / 0 at a node.
    degree = torch.arange(count, dtype=torch.float64)
    weight = torch.where(degree == 0, 1.0, 2.0) / count
    at_points = torch.cos(degree * torch.acos(points.clamp(-1, 1))[:, None])
    angles = (torch.arange(count, dtype=torch.float64) + 0.5) * (math.pi / count)
    return at_points @ (weight * torch.cos(degree * angles[:, None])).T


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # kept: training must be able to use what inference made
def basis(panel: int, count: int) -> Basis:
    angles = (torch.arange(count, dtype=torch.float64) + 0.5) * (math.pi / count)
    nodes = (1 + angles.cos()) * panel / 2
    # k((b - a) m + tau_i - tau_j) lies on panel b - a where tau_i >= tau_j, on the panel before where not: either way
    # it is interpolated from values at nodes, so that the filter is never evaluated at p^2 n points.
    difference = (nodes[:, None] - nodes).flatten()
    ahead = difference >= 0
    inside = lagrange((difference + panel * ~ahead) * 2 / panel - 1, count)
    values = lagrange(torch.arange(panel, dtype=torch.float64) * 2 / panel - 1, count)
    return Basis(nodes, values, inside * ahead[:, None], inside * ~ahead[:, None])


class PanelValues(NamedTuple):
    """A filter through its values at the nodes of every panel."""

    values: Tensor  # (n, p, channels) float64
    panel: int


def panel_size(max_length: int) -> int:
    return min(max(1 << (max_length // PANEL_SHARE).bit_length() - 1, LEAST_PANEL), LARGEST_PANEL)


def panel_values(filter: HyenaFilter, length: int) -> PanelValues | None:
    """The filter on panels over `length` positions; None where it is not smooth to `TOLERANCE` on them."""
    if not filter.evaluates_anywhere:
        return None
    largest = panel_size(filter.max_length)
    for share, count in TRIALS:
        panel = max(largest // share, LEAST_PANEL)
        found = values_at_nodes(filter, length, panel, count)
        if found is not None:
            return PanelValues(found, panel)
    return None


def values_at_nodes(filter: HyenaFilter, length: int, panel: int, count: int) -> Tensor | None:
    """Values at `count` nodes of each panel (n, p, channels); None if interpolation between them is not exact."""
    device = filter.bias.device
    starts = torch.arange(-(-length // panel), dtype=torch.float64, device=device)[:, None] * panel
    values = filter.at((starts + basis(panel, count).nodes.to(device)).flatten()).unflatten(0, (-1, count))
    # Between nodes the error is largest near the extrema of the Chebyshev polynomial: a third of them is enough to see
    # whether p nodes suffice.
    with torch.no_grad():
        extrema = torch.cos(torch.arange(0, count + 1, 3, dtype=torch.float64) * (math.pi / count))
        exact = filter.at((starts + ((extrema + 1) * panel / 2).to(device)).flatten())
        exact = exact.unflatten(0, (-1, len(extrema)))
        error = (lagrange(extrema, count).to(values) @ values - exact).abs().amax((0, 1))
        return values if bool((error <= TOLERANCE * exact.abs().amax((0, 1))).all()) else None


class SmoothFilter:
    """A smooth causal filter of D channels and its skip weight, ready to be applied to some channels at a time.

    `pieces` are `near` (D, m), the taps of a panel's own past with the skip weight added at lag 0, and `far`
    (D, p, p, n), the matrices A_d. Both are differentiable functions of the values at the nodes.
    """

    def __init__(self, values: Tensor, panel: int, skip: Tensor, length: int):
        """`values` (n, p, D) as in `PanelValues`, `skip` (D,)."""
        panels, count, channels = values.shape
        self.length, self.panel, self.panels = length, panel, panels
        table = Basis(*(tensor.to(values.device) for tensor in basis(panel, count)))
        self.interpolation = table.values.float()
        near = (table.values @ values[0]).T
        near = torch.cat([near[:, :1] + skip[:, None].to(near), near[:, 1:]], dim=1).float()
        by_channel = values.permute(2, 0, 1).float()
        # A_0 stays 0: within a panel `near` does all.
        far = by_channel[:, 1:] @ table.same.float().T + by_channel[:, :-1] @ table.before.float().T
        far = F.pad(far.transpose(1, 2), (1, 0)).reshape(channels, count, count, panels)
        self.pieces: tuple[Tensor, ...] = (near, far)

    @property
    def size(self) -> int:
        """Points of the transform over panels."""
        return fft_size(2 * self.panels - 1)

    def moments(self, u: Tensor) -> Tensor:
        """Spectra over panels of the projections of u (B, c, n, m) on the basis; (B, c, p, F)."""
        return torch.fft.rfft((u @ self.interpolation).transpose(2, 3), n=self.size)

    def panelled(self, u: Tensor) -> Tensor:
        """u (B, c, L) as float32 panels (B, c, n, m)."""
        short = self.panels * self.panel - self.length
        padded = F.pad(u.float(), (0, short)) if short else u.float()
        return padded.reshape(*u.shape[:2], self.panels, self.panel)

    def spread(self, y: Tensor, received: Tensor) -> Tensor:
        """Adds to contiguous y (B, c, n, m) what panels receive, given at their nodes (B, c, n, p)."""
        y.view(-1, self.panel).addmm_(received.reshape(-1, received.shape[-1]), self.interpolation.T)
        return y

    def over_panels(self, spectrum: Tensor) -> Tensor:
        """What panels receive (B, c, n, p) from its spectrum over panels (B, c, p, F)."""
        return torch.fft.irfft(spectrum, n=self.size)[..., : self.panels].transpose(2, 3)

    def within(self, u: Tensor, spectrum: Tensor, overwrite: bool = False) -> Tensor:
        """Convolution inside each panel of u (B, c, n, m) with filters of the given spectrum (c, m + 1)."""
        y = u if overwrite else torch.empty_like(u, memory_format=torch.contiguous_format)
        for tile in panel_tiles(u):
            transformed = torch.fft.rfft(F.pad(u[tile], (0, self.panel))).mul_(spectrum[tile[1], None])
            y[tile] = torch.fft.irfft(transformed, n=2 * self.panel)[..., : self.panel]
        return y

    def apply(self, u: Tensor, near: Tensor, far: Tensor, *, overwrite: bool = False) -> Tensor:
        """The convolution of u (B, c, L) by pieces of its channels; float32, over u where it can and is allowed."""
        padded = u.shape[-1] % self.panel != 0
        u = self.panelled(u)
        moments = self.moments(u) if self.panels > 1 else None
        overwrite = (overwrite or padded) and u.is_contiguous()
        y = self.within(u, torch.fft.rfft(near, n=2 * self.panel), overwrite)
        if moments is not None:
            matrices = torch.fft.rfft(far, n=self.size)
            y = self.spread(y, self.over_panels(sum_over_nodes(matrices, moments)))
        return y.flatten(2)[..., : self.length]

    def adjoint(self, u: Tensor, gradient: Tensor, near: Tensor, far: Tensor) -> tuple[Tensor, ...]:
        """Gradients of `apply` into u (B, c, L) and the pieces, from the gradient of its result."""
        u, gradient = self.panelled(u), self.panelled(gradient)
        spectrum = torch.fft.rfft(near, n=2 * self.panel)
        into_u = self.within(gradient, spectrum.conj())
        into_near, into_far = self.near_gradient(u, gradient), torch.zeros_like(far)
        if self.panels > 1:
            moments, arriving = self.moments(u), self.moments(gradient)
            matrices = torch.fft.rfft(far, n=self.size)
            sent = self.over_panels(sum_over_nodes(matrices.conj().transpose(1, 2), arriving))
            into_u = self.spread(into_u, sent)
            for i in range(far.shape[1]):
                pairs = (arriving[:, :, i : i + 1] * moments.conj()).sum(0)
                into_far[:, i] = torch.fft.irfft(pairs, n=self.size)[..., : self.panels]
        return into_u.flatten(2)[..., : self.length], into_near, into_far

    def near_gradient(self, u: Tensor, gradient: Tensor) -> Tensor:
        """Gradient into `near` (c, m): correlations inside panels, summed in the frequency domain."""
        total = u.new_zeros(u.shape[1], self.panel + 1, dtype=torch.complex64)
        for tile in panel_tiles(u):
            spectrum = torch.fft.rfft(F.pad(u[tile], (0, self.panel))).conj_physical_()
            arriving = torch.fft.rfft(F.pad(gradient[tile], (0, self.panel)))
            total[tile[1]] += spectrum.mul_(arriving).sum((0, 2))
        return torch.fft.irfft(total, n=2 * self.panel)[:, : self.panel]

    def last(self, u: Tensor, count: int, near: Tensor, far: Tensor) -> Tensor:
        """`apply(u)[..., -count:]`: beside the moments of u, only its last panels are worked on."""
        first = max(self.panels - 2, 0)
        if count > self.length - first * self.panel:
            return self.apply(u, near, far)[..., -count:]
        u = self.panelled(u)
        moments = u @ self.interpolation
        y = self.within(u[:, :, first:].contiguous(), torch.fft.rfft(near, n=2 * self.panel))
        received = [
            torch.einsum("cija,bcaj->bci", far[..., 1 : panel + 1].flip(-1), moments[:, :, :panel])
            for panel in range(first, self.panels)
        ]
        y = self.spread(y, torch.stack(received, dim=2)).flatten(2)
        return y[..., : self.length - first * self.panel][..., -count:]


def panel_tiles(u: Tensor) -> Iterator[tuple[slice, slice, slice]]:
    """Slices of (B, c, n, m) over the first three: on a CPU as much as stays in cache at a time."""
    batch, channels, panels, panel = u.shape
    points = CACHED_POINTS if u.device.type == "cpu" else u.numel()
    sizes = [max(points // least, 1) for least in (channels * panels * panel, panels * panel, panel)]
    starts = (range(0, total, size) for total, size in zip((batch, channels, panels), sizes, strict=True))
    for corner in product(*starts):
        b, c, n = (slice(start, start + size) for start, size in zip(corner, sizes, strict=True))
        yield b, c, n


def sum_over_nodes(matrices: Tensor, moments: Tensor) -> Tensor:
    """`sum_j A[i, j] M[j]` at every frequency: A (c, p, p, F), M (B, c, p, F), result (B, c, p, F)."""
    total = matrices[None, :, :, 0] * moments[:, :, None, 0]
    for j in range(1, matrices.shape[2]):
        total.addcmul_(matrices[None, :, :, j], moments[:, :, None, j])
    return total
