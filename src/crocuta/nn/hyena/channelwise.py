"""Long convolutions applied to a few channels at a time, so that memory beyond input and output stays small.

A `LongFilter` holds `pieces`, tensors with channels first, and applies those of some channels to the same channels of
the input; its `adjoint` recomputes what the backward pass needs from the input alone.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from crocuta.nn.hyena.two_level import transform

CHANNEL_POINTS = {"cpu": 1 << 18, "cuda": 1 << 25}  # points of input convolved at a time


class LongFilter(Protocol):
    """A filter for (B, D, L).

    `apply(u, *pieces, overwrite=False)` convolves u (B, c, L) by the pieces of its c channels, over u if allowed;
    `last(u, count, *pieces)` gives the last `count` positions of that alone; `adjoint(u, gradient, *pieces)` gives
    the gradients into u and the pieces from that of the result.
    """

    pieces: tuple[Tensor, ...]

    @property
    def apply(self) -> Callable[..., Tensor]: ...

    @property
    def last(self) -> Callable[..., Tensor]: ...

    @property
    def adjoint(self) -> Callable[..., tuple[Tensor, ...]]: ...


class SpectralFilter:
    """Any causal filter k (D, L) with its skip weight (D,), by FFTs in at least float32."""

    def __init__(self, k: Tensor, skip: Tensor):
        dtype = torch.promote_types(k.dtype, torch.float32)
        self.pieces: tuple[Tensor, ...] = (k.to(dtype), skip.to(dtype))

    def apply(self, u: Tensor, k: Tensor, skip: Tensor, *, overwrite: bool = False) -> Tensor:
        u, fft = u.to(k.dtype), transform(u.shape[-1], k)
        spectrum = fft.forward(u).mul_(fft.forward(k))
        return fft.inverse(spectrum).addcmul_(u, skip[:, None])

    def last(self, u: Tensor, count: int, k: Tensor, skip: Tensor) -> Tensor:
        return self.apply(u, k, skip)[..., -count:]

    def adjoint(self, u: Tensor, gradient: Tensor, k: Tensor, skip: Tensor) -> tuple[Tensor, ...]:
        u, gradient, fft = u.to(k.dtype), gradient.to(k.dtype), transform(u.shape[-1], k)
        arriving = fft.forward(gradient)
        into_k = fft.inverse((fft.forward(u).conj_physical_().mul_(arriving)).sum(0))
        into_u = fft.inverse(arriving.mul_(fft.forward(k).conj_physical_())).addcmul_(gradient, skip[:, None])
        return into_u, into_k, (u * gradient).sum((0, 2))


class ByAutograd:
    """Any convolution `function(u, k, skip)` whose filter (directions, c, L) and skip weight come second and third."""

    def __init__(self, function: Callable[[Tensor, Tensor, Tensor], Tensor], k: Tensor, skip: Tensor):
        """`k` (D, directions, L), `skip` (D, directions)."""
        self.function = function
        self.pieces: tuple[Tensor, ...] = (k, skip)

    def apply(self, u: Tensor, k: Tensor, skip: Tensor, *, overwrite: bool = False) -> Tensor:
        return self.function(u, k.transpose(0, 1), skip.T)

    def last(self, u: Tensor, count: int, k: Tensor, skip: Tensor) -> Tensor:
        return self.apply(u, k, skip)[..., -count:]

    def adjoint(self, u: Tensor, gradient: Tensor, k: Tensor, skip: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            inputs = [tensor.detach().requires_grad_() for tensor in (u, k, skip)]
            return torch.autograd.grad(self.apply(*inputs), inputs, gradient.to(u.dtype))


def channel_chunks(u: Tensor) -> list[slice]:
    points = CHANNEL_POINTS.get(u.device.type, CHANNEL_POINTS["cuda"])
    size = min(max(points // (u.shape[0] * u.shape[2]), 1), u.shape[1])
    return [slice(start, start + size) for start in range(0, u.shape[1], size)]


def convolve(filter: LongFilter, u: Tensor, out: Tensor) -> Tensor:
    """The convolution of u (B, D, L), written to `out`, which may be u."""
    with torch.autocast(u.device.type, enabled=False):
        for part in channel_chunks(u):
            into = out[:, part]
            found = filter.apply(u[:, part], *(piece[part] for piece in filter.pieces), overwrite=out is u)
            if found.data_ptr() != into.data_ptr():
                into.copy_(found)
    return out


def convolve_last(filter: LongFilter, u: Tensor, count: int) -> Tensor:
    """The convolution of u (B, D, L) at its last `count` positions."""
    parts = [
        filter.last(u[:, part], count, *(piece[part] for piece in filter.pieces))
        for part in channel_chunks(u)
    ]
    return torch.cat(parts, dim=1).to(u.dtype)


def convolve_backward(filter: LongFilter, u: Tensor, gradient: Tensor, into: Sequence[Tensor]) -> None:
    """Replaces `gradient` (B, D, L), of the result, by that of u, and fills those of the pieces."""
    for part in channel_chunks(u):
        first, *others = filter.adjoint(
            u[:, part], gradient[:, part], *(piece[part] for piece in filter.pieces)
        )
        gradient[:, part].copy_(first)
        for total, other in zip(into, others, strict=True):
            total[part].copy_(other)
