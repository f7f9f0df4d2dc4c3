"""Features of positions that HyenaDNA's filter networks read, the same to the last bit on every processor.

The original makes them with float32 functions of torch, whose last digit changes with the vector instructions that a
processor has and with the C library: a model's answers would change with them by 4e-7. Here the same numbers come out
of additions and multiplications in float64, whose results IEEE 754 fixes: what torch's `linspace` gives with fused
multiply-adds, and what the sine and cosine of the GNU C library give, as in checkpoints of the original.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

FAST_DECAY, SLOW_DECAY, DECAY_TARGET = 0.3, 1.5, 1e-2  # window reaches 1e-2 after 0.3 (1.5) filter lengths

# Polynomials of sin(x) / x - 1 and cos(x) in x^2 for |x| <= pi / 4, from the GNU C library (Arm's optimized routines).
SINE = tuple(map(float.fromhex, ("-0x1.555545995a603p-3", "0x1.1107605230bc4p-7", "-0x1.994eb3774cf24p-13")))
COSINE = tuple(
    map(
        float.fromhex,
        ("-0x1.ffffffd0c621cp-2", "0x1.55553e1068f19p-5", "-0x1.6c087e89a359dp-10", "0x1.99343027bf8c3p-16"),
    )
)
QUARTER_HIGH = float.fromhex("0x1.921fb54442dp0")  # pi / 2 to 45 bits: its multiples up to 128 are exact
QUARTER_LOW = float.fromhex("0x1.921fb54442d18p0") - QUARTER_HIGH
LARGEST_ANGLE = 120.0  # up to which that library reduces angles so


def position_features(length: int, max_length: int, features: int, device: torch.device) -> Tensor:
    """Time and complex exponentials that the filter network reads: `[t, Re z_1.., Im z_1..]` (arXiv 2302.10866, D.3).

    Time runs from 0 to 1 over `max_length`, so that a filter does not change with the input's length. Always float32,
    as in released checkpoints; shape (length, features).
    """
    make = computed_features if torch.compiler.is_compiling() else kept_features
    return torch.from_numpy(make(max_length, features)[:length]).to(device)


def computed_features(max_length: int, features: int) -> np.ndarray:
    """Position features of `max_length` positions."""
    bands = (features - 1) // 2
    turn = np.float32(2 * math.pi) * linspace(0, max_length - 1, max_length) / np.float32(max_length)
    sine, cosine = sine_and_cosine(turn[:, None] * linspace(1e-4, bands - 1, bands))
    return np.concatenate([linspace(0, 1, max_length)[:, None], cosine, -sine], axis=1)


kept_features = lru_cache(maxsize=4)(computed_features)  # for all layers; 20 MB where max_length is a million


def features_at(positions: Tensor, max_length: int, features: int) -> Tensor:
    """`position_features` at any real positions (n,), in their dtype; shape (n, features)."""
    bands = (features - 1) // 2
    frequency = torch.linspace(1e-4, bands - 1, bands, dtype=positions.dtype, device=positions.device)
    angle = 2 * math.pi / max_length * positions[:, None] * frequency
    return torch.cat([positions[:, None] / max(max_length - 1, 1), angle.cos(), -angle.sin()], dim=-1)


def decay_rates(channels: int, device: torch.device) -> Tensor:
    """Logarithms of what the filters' windows fall to at time 1, from the slowest to the fastest; float32, all < 0."""
    slow, fast = (math.log(DECAY_TARGET) / share for share in (SLOW_DECAY, FAST_DECAY))
    return torch.from_numpy(linspace(slow, fast, channels)).to(device)


def linspace(start: float, stop: float, count: int) -> np.ndarray:
    """`count` float32 numbers from start to stop, each half counted from its own end with one rounding."""
    low, high = np.float32(start), np.float32(stop)
    step = float((high - low) / np.float32(max(count - 1, 1)))
    index = np.arange(count, dtype=np.float64)
    from_low, from_high = float(low) + step * index, float(high) - step * (count - 1 - index)
    return np.where((index < count // 2) | (count == 1), from_low, from_high).astype(np.float32)


def sine_and_cosine(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Float32 sine and cosine of float32 angles >= 0."""
    wide = angle.astype(np.float64)
    quarter = np.floor(wide * (2 / math.pi) + 0.5)
    x = (wide - quarter * QUARTER_HIGH) - quarter * QUARTER_LOW
    square = x * x
    s1, s2, s3 = SINE
    c1, c2, c3, c4 = COSINE
    cube, fourth = square * x, square * square
    sine = (x + cube * s1) + cube * square * (s2 + square * s3)
    cosine = ((1 + square * c1) + fourth * c2) + fourth * square * (c3 + square * c4)
    odd, half = quarter % 2 == 1, quarter % 4 >= 2
    sine, cosine = np.where(odd, cosine, sine), np.where(odd, -sine, cosine)
    sine, cosine = np.where(half, -sine, sine), np.where(half, -cosine, cosine)
    large = wide >= LARGEST_ANGLE
    sine, cosine = np.where(large, np.sin(wide), sine), np.where(large, np.cos(wide), cosine)
    return sine.astype(np.float32), cosine.astype(np.float32)
