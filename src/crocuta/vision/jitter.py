"""Small random shifts, turns and changes of size of images in training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Jitter:
    """Each image shifted, turned and resized at random, uniformly up to these amounts.

    Args:
        shift: of the width, either way along both axes.
        degrees: either way.
        zoom: of the size, larger or smaller.
        flip: turn left to right with probability one half.
    """

    shift: float = 0.0
    degrees: float = 0.0
    zoom: float = 0.0
    flip: bool = False

    def __call__(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images (B, C, H, W) of floats to the same, bilinear; what comes in at a border is 0."""
        if not (self.shift or self.degrees or self.zoom or self.flip):
            return pixels
        batch = len(pixels)

        def uniform(most: float, *shape: int) -> Tensor:
            return (2 * torch.rand(batch, *shape, generator=generator) - 1) * most

        angle, size = uniform(math.radians(self.degrees)), 1 + uniform(self.zoom)
        mirror = torch.where(torch.rand(batch, generator=generator) < 0.5, -1.0, 1.0) if self.flip else 1.0
        cos, sin = angle.cos() * size, angle.sin() * size
        rows = torch.stack([torch.stack([mirror * cos, -sin], -1), torch.stack([mirror * sin, cos], -1)], 1)
        turn = torch.cat([rows, uniform(2 * self.shift, 2, 1)], dim=-1)
        grid = F.affine_grid(turn.to(pixels.device), list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
