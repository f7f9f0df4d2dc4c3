"""Residual blocks for images of points, channels (and time) last."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.conv import LorentzConv2d
from crocuta.nn.lorentz.norm import LorentzBatchNorm2d
from crocuta.nn.lorentz.pointwise import LorentzActivation, LorentzSpaceAddition

if TYPE_CHECKING:
    from jaxtyping import Float


def normalised_conv(
    manifold: Lorentz, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
) -> nn.Sequential:
    """A convolution without bias that keeps height and width (up to the stride), and batch normalisation."""
    conv = LorentzConv2d(
        manifold, in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
    )
    return nn.Sequential(conv, LorentzBatchNorm2d(manifold, out_channels))


class LorentzInputBlock(nn.Module):
    """What a residual network begins with: a convolution, batch norm and activation (Bdeir et al. 2024, section 4.4).

    Args:
        in_channels, channels: intrinsic dimensions of inputs and outputs; `manifold.lift(image)` makes points of
            pixels, channels last.
        kernel_size: odd; height and width stay, up to the stride.

    Shapes: `(B, H, W, in_channels + 1)` to `(B, ceil(H / stride), ceil(W / stride), channels + 1)`.

    >>> m = Lorentz()
    >>> LorentzInputBlock(m, 3, 8)(m.lift(torch.randn(2, 6, 6, 3))).shape
    torch.Size([2, 6, 6, 9])
    """

    def __init__(
        self,
        manifold: Lorentz,
        in_channels: int,
        channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        *,
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ):
        super().__init__()
        self.manifold, self.in_features = manifold, in_channels
        self.convolution = normalised_conv(manifold, in_channels, channels, kernel_size, stride)
        self.activation = LorentzActivation(manifold, activation)

    def forward(self, x: Float[Tensor, "B H W n+1"]) -> Float[Tensor, "B H2 W2 m+1"]:
        """Images of points to images of points."""
        return self.activation(self.convolution(x))


class _ResidualBlock(nn.Module):
    """A branch, a shortcut, their residual and an activation; subclasses build the branch."""

    expansion: int

    def __init__(
        self,
        manifold: Lorentz,
        in_channels: int,
        channels: int,
        stride: int = 1,
        *,
        residual: Callable[[Lorentz], nn.Module] = LorentzSpaceAddition,
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ):
        super().__init__()
        if min(in_channels, channels, stride) < 1:
            raise ValueError(
                f"in_channels, channels and stride must be positive, got {in_channels}, {channels}, {stride}"
            )
        self.manifold, self.in_features = manifold, in_channels
        self.out_channels = self.expansion * channels
        self.activation = LorentzActivation(manifold, activation)
        self.branch = self._branch(in_channels, channels, stride)
        same = stride == 1 and in_channels == self.out_channels
        self.shortcut = (
            nn.Identity() if same else normalised_conv(manifold, in_channels, self.out_channels, 1, stride)
        )
        self.residual = residual(manifold)

    def _branch(self, in_channels: int, channels: int, stride: int) -> nn.Sequential:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "B H W n+1"]) -> Float[Tensor, "B H2 W2 m+1"]:
        """Images of points to images of points."""
        return self.activation(self.residual(self.shortcut(x), self.branch(x)))


class LorentzBasicBlock(_ResidualBlock):
    """Two 3 x 3 convolutions with batch norm (He et al. 2016, fig. 5 left; Bdeir et al. 2024, arXiv 2303.15919).

    Args:
        in_channels, channels: intrinsic dimensions of inputs and outputs.
        stride: of the first convolution; where it or the channels change the shape, the shortcut is a normalised 1 x 1
            convolution.
        residual: makes the residual from the manifold, e.g. `LorentzResidual`.

    Shapes: `(B, H, W, in_channels + 1)` to `(B, ceil(H / stride), ceil(W / stride), channels + 1)`.

    >>> m = Lorentz()
    >>> LorentzBasicBlock(m, 4, 8, stride=2)(m.random((2, 6, 6, 4))).shape
    torch.Size([2, 3, 3, 9])
    """

    expansion = 1

    def _branch(self, in_channels: int, channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            normalised_conv(self.manifold, in_channels, channels, 3, stride),
            self.activation,
            normalised_conv(self.manifold, channels, channels, 3),
        )


class LorentzBottleneckBlock(_ResidualBlock):
    """1 x 1, 3 x 3 and 1 x 1 convolutions with batch norm (He et al. 2016, fig. 5 right), the last to 4 times channels.

    Arguments as `LorentzBasicBlock`; the stride is that of the 3 x 3 convolution.

    Shapes: `(B, H, W, in_channels + 1)` to `(B, ceil(H / stride), ceil(W / stride), 4 channels + 1)`.

    >>> m = Lorentz()
    >>> LorentzBottleneckBlock(m, 8, 2)(m.random((2, 6, 6, 8))).shape
    torch.Size([2, 6, 6, 9])
    """

    expansion = 4

    def _branch(self, in_channels: int, channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            normalised_conv(self.manifold, in_channels, channels, 1),
            self.activation,
            normalised_conv(self.manifold, channels, channels, 3, stride),
            self.activation,
            normalised_conv(self.manifold, channels, self.expansion * channels, 1),
        )
