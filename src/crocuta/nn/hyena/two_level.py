"""Real Fourier transforms of zero-padded sequences that stay in cache however long the sequence.

A library's transform of two million points misses every cache. Here the padded sequence is a matrix of 2P rows of R
positions (P of them zero): the DFT over rows is one real matrix product, and after the twiddle factors the transforms
along rows are of R points each (Bailey 1990, "FFTs in external or hierarchical memory"). P may be any integer.
"""

import math
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from crocuta.nn.hyena.long_convolution import fft_size

ROW = 1 << 14  # positions per row: 128 KB of complex float32
DIRECT_BELOW = 1 << 16  # shorter sequences go to the library as they are


class Transform(Protocol):
    """Spectra in some order of frequencies: products of spectra are circular convolutions of 2L - 1 points or more."""

    def forward(self, u: Tensor) -> Tensor:
        """Spectrum of real u (..., up to L)."""
        ...

    def inverse(self, spectrum: Tensor) -> Tensor:
        """First L values of the real sequence (..., L); may overwrite the spectrum."""
        ...


class Direct:
    """The library's real transform of a good size."""

    def __init__(self, length: int):
        self.length, self.size = length, fft_size(2 * length - 1)

    def forward(self, u: Tensor) -> Tensor:
        return torch.fft.rfft(u, n=self.size)

    def inverse(self, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft(spectrum, n=self.size)[..., : self.length]


class TwoLevel:
    """Spectra of shape (..., P + 1, R): the other P - 1 rows are conjugates of these."""

    def __init__(self, length: int, row: int, dtype: torch.dtype, device: torch.device):
        self.length, self.row, self.rows = length, row, -(-length // row)
        at, frequency = torch.arange(self.rows), torch.arange(self.rows + 1)
        angle = (frequency[:, None] * at % (2 * self.rows)).double() * (math.pi / self.rows)
        self.split = torch.cat([angle.cos(), -angle.sin()]).to(device, dtype)  # (2 (P + 1), P)
        twice = torch.full((self.rows + 1,), 2.0, dtype=torch.float64)
        twice[0] = twice[-1] = 1
        self.join = (torch.cat([twice * angle.T.cos(), -twice * angle.T.sin()], 1) / (2 * self.rows)).to(
            device, dtype
        )
        turn = frequency[:, None].double() * torch.arange(row) * (-math.pi / (self.rows * row))
        self.twiddle = torch.polar(torch.ones_like(turn), turn).to(device, dtype.to_complex())

    def forward(self, u: Tensor) -> Tensor:
        matrix = F.pad(u, (0, self.rows * self.row - u.shape[-1])).unflatten(-1, (self.rows, self.row))
        planes = self.split @ matrix
        spectrum = torch.complex(*planes.split(self.rows + 1, dim=-2)).mul_(self.twiddle)
        return torch.fft.fft(spectrum)

    def inverse(self, spectrum: Tensor) -> Tensor:
        spectrum = torch.fft.ifft(spectrum).mul_(self.twiddle.conj())
        planes = torch.cat([spectrum.real, spectrum.imag], dim=-2)
        return (self.join @ planes).flatten(-2)[..., : self.length]


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # kept: training must be able to use what inference made
def two_level(length: int, dtype: torch.dtype, device: torch.device) -> TwoLevel:
    return TwoLevel(length, ROW, dtype, device)


def transform(length: int, like: Tensor) -> Transform:
    """The transform for sequences of `length` with the dtype and device of `like`."""
    if length <= DIRECT_BELOW or like.device.type != "cpu":
        return Direct(length)
    return two_level(length, like.dtype, like.device)
