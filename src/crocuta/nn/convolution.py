"""The Euclidean convolution that stands inside the convolutions of points."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Size = int | Sequence[int]


def convolve_windows(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """`F.conv1d` or `F.conv2d` by the axes of x; every convolution of points goes through here.

    A window of one position with a stride is a slice and a matrix product, and is computed as that. Torch's own kernel
    must not meet it: in torch 2.13.0 the weight's gradient of a strided 1 x 1 convolution in two dimensions, channels
    last (as points are) with fewer than 8 channels, writes beyond its buffer (oneDNN on processors with AVX2 and
    without AVX-512), and the process dies later, anywhere.

    Shapes: x `(B, C, *axes)`, weight `(D, C / groups, *kernel)`, bias `(D,)`, to `(B, D, *new axes)`.

    >>> convolve_windows(torch.randn(2, 4, 9), torch.randn(6, 4, 1), stride=2).shape
    torch.Size([2, 6, 5])
    """
    axes = x.ndim - 2
    strides = per_axis(stride, axes)
    if max(weight.shape[2:]) > 1 or max(strides) == 1:
        convolve = F.conv1d if axes == 1 else F.conv2d
        return convolve(x, weight, bias, stride, padding, dilation, groups)
    margins = [margin for size in reversed(per_axis(padding, axes)) for margin in (size, size)]
    x = F.pad(x, margins) if any(margins) else x
    x = x[(..., *(slice(None, None, step) for step in strides))].movedim(1, -1)
    by_group = weight.reshape(groups, len(weight) // groups, -1)
    y = torch.einsum("...gi,goi->...go", x.unflatten(-1, (groups, -1)), by_group).flatten(-2)
    return (y if bias is None else y + bias.to(y.dtype)).movedim(-1, 1)


def per_axis(size: Size, axes: int) -> tuple[int, ...]:
    """A size of a window for each axis."""
    return (size,) * axes if isinstance(size, int) else tuple(size)
