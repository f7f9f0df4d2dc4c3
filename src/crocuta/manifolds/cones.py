"""Entailment cones on the hyperboloid: y follows from x when y lies in x's cone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crocuta.manifolds.distance import separate
from crocuta.manifolds.numerics import TINY, Scalar, in_float32, norm, safe_sqrt, sqrt

if TYPE_CHECKING:
    from jaxtyping import Float


@in_float32
def half_aperture(
    x: Float[Tensor, "*batch n+1"], c: Scalar, minimum_radius: float = 0.1
) -> Float[Tensor, "*batch"]:
    """Half the opening of x's cone, radians: `asin(2 K / (sqrt(c) |x_s|))`, K = `minimum_radius`.

    (Desai et al. 2023, MERU, eq. 4.) Points with `sqrt(c) |x_s| <= 2 K` have no cone; they get the widest,
    pi/2, with gradient 0.
    """
    length = sqrt(c) * norm(x[..., 1:]).squeeze(-1)
    outside = length > 2 * minimum_radius
    sine = 2 * minimum_radius / torch.where(outside, length, 4 * minimum_radius)
    return torch.where(outside, torch.asin(sine), math.pi / 2)


@in_float32
def exterior_angle(
    x: Float[Tensor, "*batch n+1"], y: Float[Tensor, "*batch n+1"], c: Scalar
) -> Float[Tensor, "*batch"]:
    """Angle at x between the geodesic on to y and the ray from the origin through x, radians in [0, pi].

    (MERU, eq. 5.) From `atan2` of the transverse and the radial part of the direction to y, neither of which
    cancels; 0 with gradient 0 where x = y.
    """
    x, y = torch.broadcast_tensors(x, y)
    parts = separate(x[..., 1:], y[..., 1:], c)
    turned = norm(
        parts.w / torch.maximum(parts.norm_x, parts.norm_y).clamp_min(TINY)
    )  # 2 sin(half angle at 0)
    outward = -parts.rise - parts.cosh_x * sqrt(c) * parts.norm_y * turned.square() / 2
    across = sqrt(c) * parts.norm_y * turned * safe_sqrt((1 - turned.square() / 4).clamp_min(0.0))
    apart = (across != 0) | (outward != 0)
    angle = torch.atan2(across, torch.where(apart, outward, 1.0))
    return torch.where(apart, angle, 0.0).squeeze(-1)
