"""Linear layers: what those of hyperbolic space share, and the one that ends a residual branch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from crocuta.manifolds import Manifold


class ResidualLinear(nn.Linear):
    """A linear layer that ends a residual branch: models of n layers draw its weights 1/sqrt(2 n) times smaller.

    From GPT-2 (Radford et al. 2019); a class of its own so that initialisation can tell it from other layers.
    """


class IntrinsicLinear(nn.Module):
    """What layers share whose weight `(out_features, in_features)` and bias meet intrinsic vectors, time aside."""

    def __init__(self, manifold: Manifold, in_features: int, out_features: int, bias: bool = True):
        super().__init__()
        positive(in_features=in_features, out_features=out_features)
        self.manifold = manifold
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight as `nn.Linear` does; the bias starts at 0."""
        fan_in_uniform(self.in_features, self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


def at_least_float32(x: Tensor) -> Tensor:
    """A 16-bit result of an autocast product, widened: what follows is geometry."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def fan_in_uniform(fan_in: int, *parameters: nn.Parameter | None) -> None:
    """Draw parameters from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as torch's linear and convolution layers do."""
    bound = 1 / math.sqrt(fan_in)
    for parameter in parameters:
        if parameter is not None:
            nn.init.uniform_(parameter, -bound, bound)


def positive(**sizes: int) -> None:
    """Raise a `ValueError` for a size that is not positive."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be positive, got {size}")
