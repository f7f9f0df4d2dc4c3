"""Convolutions of points: one Euclidean convolution of the space parts plus the window's joint time.

A window's points are concatenated, which gives the point of joint time `sqrt(sum t^2 - (K - 1) / c)` =
`sqrt(sum |s|^2 + 1/c)`, and sent through a Lorentz linear layer (Bdeir et al. 2023, arXiv 2303.15919, eq. 4). So
    y_s = conv(s) + weight_time * sqrt(box(|s|^2) + 1/c) + bias,
where `box` sums over windows: nothing is unfolded, and zero padding *is* padding with the origin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz
from crocuta.manifolds.numerics import Scalar, in_float32
from crocuta.manifolds.radial import sum_to_scalar
from crocuta.nn.convolution import convolve_windows
from crocuta.nn.linear import fan_in_uniform, positive

Size = int | tuple[int, ...]


class _Emerge(torch.autograd.Function):
    """Convolved points `(B, C + 1, H, W)` plus `weight_time` times the joint time `(B, 1, H, W)`, lifted in place.

    Saves its output, which the next layer keeps anyway, and the joint time.
    """

    @staticmethod
    def forward(ctx, y: Tensor, joint: Tensor, weight_time: Tensor, c: Scalar) -> Tensor:
        weight = F.pad(weight_time, (1, 0))
        x, flat_joint = y.movedim(1, -1), joint.movedim(1, -1)
        if torch.compiler.is_compiling():
            s = torch.addcmul(x, flat_joint, weight)[..., 1:]
            y = torch.cat([(s.square().sum(-1, keepdim=True) + 1 / c).sqrt(), s], dim=-1).movedim(-1, 1)
        else:
            x.addcmul_(flat_joint, weight)
            x[..., 0] = 0
            x[..., 0] = (torch.linalg.vector_norm(x, dim=-1).square_() + 1 / c).sqrt_()
            ctx.mark_dirty(y)
        ctx.save_for_backward(y, joint, weight, *((c,) if isinstance(c, Tensor) else ()))
        return y

    @staticmethod
    def backward(ctx, *grads):
        y, joint, weight, *curvature = ctx.saved_tensors
        g, x = grads[0].movedim(1, -1), y.movedim(1, -1)
        ratio = g[..., :1] / x[..., :1]
        grad_c = None
        if curvature and ctx.needs_input_grad[3]:
            grad_c = sum_to_scalar(ratio, curvature[0]) * (-0.5 / curvature[0] ** 2)
        grad = torch.addcmul(g, ratio, x)
        grad[..., 0] = 0
        flat = grad.flatten(0, -2)
        grad_joint = (flat @ weight).reshape(g.shape[:-1]).unsqueeze(1)
        grad_weight = joint.movedim(1, -1).reshape(-1) @ flat
        return grad.movedim(-1, 1), grad_joint, grad_weight[1:], grad_c


class _LorentzConv(nn.Module):
    """What the convolutions share; subclasses say which Euclidean convolution stands inside."""

    convolve: Callable
    axes: int
    kernel_size: tuple[int, ...]
    window: dict[str, tuple[int, ...]]  # stride, padding and so on, one number per axis

    def __init__(self, manifold: Lorentz, in_channels: int, out_channels: int, groups: int, bias: bool):
        super().__init__()
        positive(in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"in_channels and out_channels must be multiples of groups={groups}, "
                f"got {in_channels} and {out_channels}"
            )
        self.manifold = manifold
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.weight_time = nn.Parameter(torch.empty(out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None

    @property
    def in_features(self) -> int:
        """Intrinsic dimensions of the inputs: `in_channels`."""
        return self.in_channels

    def _tuple(self, size: Size, name: str, least: int) -> tuple[int, ...]:
        size = (size,) * self.axes if isinstance(size, int) else tuple(size)
        if len(size) != self.axes or min(size) < least:
            raise ValueError(
                f"{name} must be one integer >= {least}, or one per axis ({self.axes}), got {size}"
            )
        return size

    def _slide(self, kernel_size: Size, **window: Size) -> None:
        """Keep the kernel's size and, by torch's names, how the window moves."""
        self.kernel_size = self._tuple(kernel_size, "kernel_size", 1)
        self.window = {
            name: self._tuple(size, name, 0 if "padding" in name else 1) for name, size in window.items()
        }

    def _weight(self, *shape: int) -> None:
        self.weight = nn.Parameter(torch.empty(*shape, *self.kernel_size))
        fan_in = self.in_channels // self.groups * self.weight[0, 0].numel() + 1
        fan_in_uniform(fan_in, self.weight, self.weight_time, self.bias)

    def _plane(self) -> dict[str, tuple[int, ...]]:
        """The window in two dimensions: a sequence is an image of height 1 (on a CPU at half the cost)."""
        neutral = {"stride": 1, "dilation": 1}
        return {name: ((neutral.get(name, 0), *size))[-2:] for name, size in self.window.items()}

    def forward(self, x: Tensor) -> Tensor:
        """Points `(batch, *axes, in_channels + 1)` to points `(batch, *new axes, out_channels + 1)`."""
        if x.ndim != self.axes + 2 or x.shape[-1] != self.in_channels + 1:
            raise ValueError(
                f"x must have {self.axes + 2} axes, the last of size {self.in_channels + 1} "
                f"(channels and time, coordinates last), got shape {tuple(x.shape)}"
            )
        if self.axes == 1:
            return self._convolve(x.unsqueeze(1), self.weight.unsqueeze(-2)).squeeze(1)
        return self._convolve(x, self.weight)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        image, joint = x.movedim(-1, 1), self._joint_time(x, weight.shape[-2:])
        if self.groups > 1:
            y = type(self).convolve(image[:, 1:], weight, self.bias, groups=self.groups, **self._plane())
            return self._lift_groups(y, joint, self.weight_time)
        # the time channel rides along with weights of 0: no gaps to copy around
        bias = None if self.bias is None else F.pad(self.bias, (1, 0))
        y = type(self).convolve(image, F.pad(weight, (0, 0, 0, 0, 1, 0, 1, 0)), bias, **self._plane())
        return self._emerge(y, joint, self.weight_time).movedim(1, -1)

    @in_float32
    def _joint_time(self, x: Tensor, kernel: Sequence[int]) -> Tensor:
        """`sqrt(box(|s|^2) + 1/c)` of each window and group, `(batch, groups, *new axes)`."""
        if self.groups == 1:
            square = (x[..., 0].square() - 1 / self.manifold.c).unsqueeze(1)
        else:
            square = x[..., 1:].unflatten(-1, (self.groups, -1)).square().sum(-1).movedim(-1, 1)
        return (self._box(square, kernel).clamp_min(0.0) + 1 / self.manifold.c).sqrt()

    def _box(self, square: Tensor, kernel: Sequence[int]) -> Tensor:
        """Sum over each window."""
        ones = square.new_ones((self.groups, 1, *kernel))
        return type(self).convolve(square, ones, groups=self.groups, **self._plane())

    @in_float32
    def _emerge(self, y: Tensor, joint: Tensor, weight_time: Tensor) -> Tensor:
        return _Emerge.apply(y, joint, weight_time, self.manifold.c)  # type: ignore[return-value]

    @in_float32
    def _lift_groups(self, y: Tensor, joint: Tensor, weight_time: Tensor) -> Tensor:
        weight = weight_time.reshape(self.groups, -1, 1, 1)
        y = y + (weight * joint.unsqueeze(2)).flatten(1, 2)
        return self.manifold.lift(y.movedim(1, -1))

    def extra_repr(self) -> str:
        window = ", ".join(f"{name}={value}" for name, value in self.window.items())
        return f"{self.in_channels}, {self.out_channels}, {self.kernel_size}, {window}, groups={self.groups}"


class _Forward(_LorentzConv):
    def __init__(
        self,
        manifold: Lorentz,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ):
        super().__init__(manifold, in_channels, out_channels, groups, bias)
        self._slide(kernel_size, stride=stride, padding=padding, dilation=dilation)
        self._weight(out_channels, in_channels // groups)

    def _box(self, square: Tensor, kernel: Sequence[int]) -> Tensor:
        plane = self._plane()
        half = all(2 * p <= k for p, k in zip(plane["padding"], kernel, strict=True))
        if max(plane["dilation"]) > 1 or not half:  # what pooling does not offer
            return super()._box(square, kernel)
        return F.avg_pool2d(square, tuple(kernel), plane["stride"], plane["padding"], divisor_override=1)


class _Transposed(_LorentzConv):
    def __init__(
        self,
        manifold: Lorentz,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
    ):
        super().__init__(manifold, in_channels, out_channels, groups, bias)
        self._slide(
            kernel_size, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
        )
        self._weight(in_channels, out_channels // groups)


class LorentzConv1d(_Forward):
    """Convolution of a sequence of points, arguments as `nn.Conv1d`'s; padding is with the origin.

    With groups, each group of space channels is a point of its own, and the outputs are concatenated.
    `weight` is that of `nn.Conv1d`; `weight_time` `(out_channels,)` multiplies the window's joint time.

    Shapes: `(batch, length, in_channels + 1)` to `(batch, new length, out_channels + 1)`.

    Raises:
        ValueError: sizes that do not fit together, or an input of another shape.

    >>> m = Lorentz()
    >>> LorentzConv1d(m, 4, 8, kernel_size=9, padding=4)(m.expmap0(torch.randn(2, 20, 4))).shape
    torch.Size([2, 20, 9])
    """

    convolve, axes = convolve_windows, 1


class LorentzConv2d(_Forward):
    """Convolution of an image of points, arguments as `nn.Conv2d`'s; see `LorentzConv1d`.

    Shapes: `(batch, height, width, in_channels + 1)` to `(batch, new height, new width, out_channels + 1)`.

    >>> m = Lorentz()
    >>> LorentzConv2d(m, 4, 8, kernel_size=3, stride=2)(m.expmap0(torch.randn(2, 9, 9, 4))).shape
    torch.Size([2, 4, 4, 9])
    """

    convolve, axes = convolve_windows, 2


class LorentzConvTranspose1d(_Transposed):
    """Transposed convolution: a convolution of the points with origins set between them (`stride` - 1 each).

    Arguments and weights as `nn.ConvTranspose1d`'s. Shapes: `(batch, length, in_channels + 1)` to
    `(batch, new length, out_channels + 1)`.

    >>> m = Lorentz()
    >>> LorentzConvTranspose1d(m, 4, 8, kernel_size=2, stride=2)(m.expmap0(torch.randn(2, 9, 4))).shape
    torch.Size([2, 18, 9])
    """

    convolve, axes = F.conv_transpose2d, 1


class LorentzConvTranspose2d(_Transposed):
    """Transposed convolution of an image of points; see `LorentzConvTranspose1d`.

    >>> m = Lorentz()
    >>> LorentzConvTranspose2d(m, 4, 8, kernel_size=2, stride=2)(m.expmap0(torch.randn(2, 5, 5, 4))).shape
    torch.Size([2, 10, 10, 9])
    """

    convolve, axes = F.conv_transpose2d, 2
