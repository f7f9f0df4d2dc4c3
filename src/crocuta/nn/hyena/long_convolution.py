"""Convolutions as long as the sequence, by real FFTs."""

import torch
from torch import Tensor
from torch.nn import functional as F


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
