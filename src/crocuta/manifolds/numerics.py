"""Scalar functions that do not cancel, and the fence that keeps geometry out of 16-bit arithmetic."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Scalar = float | Tensor  # a curvature: a float when fixed, a 0-d tensor when learnable
F = TypeVar("F", bound=Callable)

TINY = 1e-20  # stands in for a zero norm in a denominator; squares of it vanish in float32


def in_float32(function: F) -> F:
    """Run a function of tensors in at least float32, whatever autocast says.

    16-bit arguments are widened to float32 and the result stays float32: a point has no faithful 16-bit form.
    float32 and float64 come back as they came. Works inside `torch.compile(fullgraph=True)`.
    """

    @functools.wraps(function)
    def fenced(*args, **kwargs):
        args = [_at_least_float32(value) for value in args]
        kwargs = {name: _at_least_float32(value) for name, value in kwargs.items()}
        device = next((a.device.type for a in (*args, *kwargs.values()) if isinstance(a, Tensor)), "cpu")
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return function(*args, **kwargs)
        return function(*args, **kwargs)

    return fenced  # type: ignore[return-value]


def _at_least_float32(value):
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return value.float()
    return value


def widen(x: Tensor) -> Tensor:
    """The tensor in float64, where the device has it (Apple's GPU does not: there, float32)."""
    return x if x.device.type == "mps" else x.double()


def sqrt(c: Scalar) -> Scalar:
    """Square root of a curvature, a float or a tensor."""
    return c.sqrt() if isinstance(c, Tensor) else math.sqrt(c)


def norm(x: Tensor) -> Tensor:
    """Euclidean norm over the last axis, kept as an axis of size 1; its gradient at 0 is 0."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean inner product over the last axis, kept as an axis of size 1."""
    return (x * y).sum(-1, keepdim=True)


def euclidean_cdist(x: Tensor, y: Tensor) -> Tensor:
    """Distances of vectors `(..., n)` from `(points, n)`, from their differences: products would lose digits."""
    found = torch.cdist(x.reshape(-1, x.shape[-1]), y, compute_mode="donot_use_mm_for_euclid_dist")
    return found.reshape(*x.shape[:-1], len(y))


def _ratio(
    function: Callable[[Tensor], Tensor], coefficients: tuple[float, ...]
) -> Callable[[Tensor], Tensor]:
    """f(t) / t for an odd f and t >= 0, by its Taylor series in t^2 below 1e-2 (next term < 1e-16)."""

    def ratio(t: Tensor) -> Tensor:
        small = t < 1e-2
        square = torch.where(small, t, 0.0).square()
        series = torch.full_like(square, coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            series = series * square + coefficient
        away = torch.where(small, 1.0, t)
        return torch.where(small, series, function(away) / away)

    return ratio


sinhc = _ratio(torch.sinh, (1.0, 1 / 6, 1 / 120, 1 / 5040))
asinhc = _ratio(torch.asinh, (1.0, -1 / 6, 3 / 40, -15 / 336))
tanhc = _ratio(torch.tanh, (1.0, -1 / 3, 2 / 15, -17 / 315))
sinc = _ratio(torch.sin, (1.0, -1 / 6, 1 / 120, -1 / 5040))


def log_sinhc(t: Tensor) -> Tensor:
    """log(sinh(t) / t) for t >= 0 without overflow."""
    small = t < 1e-2
    square = torch.where(small, t, 0.0).square()
    series = square * (1 / 6 + square * (-1 / 180 + square / 2835))
    away = torch.where(small, 1.0, t)
    return torch.where(small, series, away + torch.log1p(-torch.exp(-2 * away)) - torch.log(2 * away))


def safe_sqrt(square: Tensor) -> Tensor:
    """Square root with gradient 0 at 0; NaN below."""
    zero = square == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt())
