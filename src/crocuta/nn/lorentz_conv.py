"""Convolutions of points: one Euclidean convolution of the space parts plus the window's joint time.

A window's points are concatenated, which gives the point of joint time `sqrt(sum t^2 - (K - 1) / c)` =
`sqrt(sum |s|^2 + 1/c)`, and sent through a Lorentz linear layer (Bdeir et al. 2023, arXiv 2303.15919, eq. 4). So
    y_s = conv(s) + weight_time * sqrt(box(|s|^2) + 1/c) + bias,
where `box` sums over windows: nothing is unfolded, and zero padding *is* padding with the origin.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz
from crocuta.manifolds.numerics import Scalar, in_float32
from crocuta.manifolds.radial import sum_to_scalar
from crocuta.nn.lorentz_linear import fan_in_uniform, positive

Size = int | tuple[int, ...]


class _Emerge(torch.autograd.Function):
    """Convolved spaces `(B, C, ...)` and joint time `(B, 1, ...)` to points `(B, ..., C + 1)`, in one pass each way.

    Saves its output, which the next layer keeps anyway, and the joint time.
    """

    @staticmethod
    def forward(ctx, y: Tensor, joint: Tensor, weight_time: Tensor, c: Scalar) -> Tensor:
        joint = joint.movedim(1, -1)
        y = y.movedim(1, -1)
        if torch.compiler.is_compiling():
            s = torch.addcmul(y, joint, weight_time)
            x = torch.cat([(s.square().sum(-1, keepdim=True) + 1 / c).sqrt(), s], dim=-1)
        else:
            x = y.new_empty((*y.shape[:-1], y.shape[-1] + 1))
            s = torch.addcmul(y, joint, weight_time, out=x[..., 1:])
            x[..., 0] = (torch.linalg.vector_norm(s, dim=-1).square_() + 1 / c).sqrt_()
        ctx.save_for_backward(x, joint, weight_time, *((c,) if isinstance(c, Tensor) else ()))
        return x

    @staticmethod
    def backward(ctx, *grads):
        (g,) = grads
        x, joint, weight_time, *curvature = ctx.saved_tensors
        ratio = g[..., :1] / x[..., :1]
        grad_c = None
        if curvature and ctx.needs_input_grad[3]:
            grad_c = sum_to_scalar(ratio, curvature[0]) * (-0.5 / curvature[0] ** 2)
        grad = torch.addcmul(g[..., 1:], ratio, x[..., 1:])
        flat = grad.flatten(0, -2)
        grad_joint = (flat @ weight_time).reshape(joint.shape).movedim(-1, 1)
        return grad.movedim(-1, 1), grad_joint, joint.reshape(-1) @ flat, grad_c


class _LorentzConv(nn.Module):
    """What the convolutions share; subclasses say which Euclidean convolution stands inside."""

    convolve: Callable
    axes: int
    transposed = False

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

    def _weight(self, *shape: int) -> None:
        self.weight = nn.Parameter(torch.empty(*shape, *self.kernel_size))
        fan_in = self.in_channels // self.groups * self.weight[0, 0].numel() + 1
        fan_in_uniform(fan_in, self.weight, self.weight_time, self.bias)

    def _window(self) -> dict:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Points `(batch, *axes, in_channels + 1)` to points `(batch, *new axes, out_channels + 1)`."""
        if x.ndim != self.axes + 2 or x.shape[-1] != self.in_channels + 1:
            raise ValueError(
                f"x must have {self.axes + 2} axes, the last of size {self.in_channels + 1} "
                f"(channels and time, coordinates last), got shape {tuple(x.shape)}"
            )
        s = x[..., 1:].movedim(-1, 1)
        y = type(self).convolve(s, self.weight, self.bias, groups=self.groups, **self._window())
        return self._emerge(y, self._joint_time(x), self.weight_time)

    @in_float32
    def _joint_time(self, x: Tensor) -> Tensor:
        """`sqrt(box(|s|^2) + 1/c)` of each window and group, `(batch, groups, *new axes)`."""
        if self.groups == 1:
            square = (x[..., 0].square() - 1 / self.manifold.c).unsqueeze(1)
        else:
            square = x[..., 1:].unflatten(-1, (self.groups, -1)).square().sum(-1).movedim(-1, 1)
        box = square.new_ones((self.groups, 1, *self.kernel_size))
        total = type(self).convolve(square, box, groups=self.groups, **self._window())
        return (total.clamp_min(0.0) + 1 / self.manifold.c).sqrt()

    @in_float32
    def _emerge(self, y: Tensor, joint: Tensor, weight_time: Tensor) -> Tensor:
        if self.groups == 1:
            return _Emerge.apply(y, joint, weight_time, self.manifold.c)  # type: ignore[return-value]
        weight = weight_time.reshape(self.groups, -1, *(1,) * self.axes)
        y = y + (weight * joint.unsqueeze(2)).flatten(1, 2)
        return self.manifold.lift(y.movedim(1, -1))

    def extra_repr(self) -> str:
        window = ", ".join(f"{name}={value}" for name, value in self._window().items())
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
        self.kernel_size = self._tuple(kernel_size, "kernel_size", 1)
        self.stride = self._tuple(stride, "stride", 1)
        self.padding = self._tuple(padding, "padding", 0)
        self.dilation = self._tuple(dilation, "dilation", 1)
        self._weight(out_channels, in_channels // groups)

    def _window(self) -> dict:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}


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
        self.kernel_size = self._tuple(kernel_size, "kernel_size", 1)
        self.stride = self._tuple(stride, "stride", 1)
        self.padding = self._tuple(padding, "padding", 0)
        self.output_padding = self._tuple(output_padding, "output_padding", 0)
        self.dilation = self._tuple(dilation, "dilation", 1)
        self._weight(in_channels, out_channels // groups)

    def _window(self) -> dict:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "output_padding": self.output_padding,
            "dilation": self.dilation,
        }


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

    convolve, axes = F.conv1d, 1


class LorentzConv2d(_Forward):
    """Convolution of an image of points, arguments as `nn.Conv2d`'s; see `LorentzConv1d`.

    Shapes: `(batch, height, width, in_channels + 1)` to `(batch, new height, new width, out_channels + 1)`.

    >>> m = Lorentz()
    >>> LorentzConv2d(m, 4, 8, kernel_size=3, stride=2)(m.expmap0(torch.randn(2, 9, 9, 4))).shape
    torch.Size([2, 4, 4, 9])
    """

    convolve, axes = F.conv2d, 2


class LorentzConvTranspose1d(_Transposed):
    """Transposed convolution: a convolution of the points with origins set between them (`stride` - 1 each).

    Arguments and weights as `nn.ConvTranspose1d`'s. Shapes: `(batch, length, in_channels + 1)` to
    `(batch, new length, out_channels + 1)`.

    >>> m = Lorentz()
    >>> LorentzConvTranspose1d(m, 4, 8, kernel_size=2, stride=2)(m.expmap0(torch.randn(2, 9, 4))).shape
    torch.Size([2, 18, 9])
    """

    convolve, axes = F.conv_transpose1d, 1


class LorentzConvTranspose2d(_Transposed):
    """Transposed convolution of an image of points; see `LorentzConvTranspose1d`.

    >>> m = Lorentz()
    >>> LorentzConvTranspose2d(m, 4, 8, kernel_size=2, stride=2)(m.expmap0(torch.randn(2, 5, 5, 4))).shape
    torch.Size([2, 10, 10, 9])
    """

    convolve, axes = F.conv_transpose2d, 2
