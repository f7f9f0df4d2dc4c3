"""Layers of the Poincare ball against their published definitions, and their laws.

In HyperCore these crash on any input, or (the classifier) have the conformal factor upside down.
"""

import math

import pytest
import torch

from crocuta.manifolds import Poincare
from crocuta.nn.poincare.conv import PoincareConv1d, PoincareConv2d
from crocuta.nn.poincare.linear import PoincareLinear
from crocuta.nn.poincare.norm import PoincareBatchNorm1d

CURVATURES = (0.1, 1.0, 2.7)


def published(layer, x, weight):
    """HNN++ eqs. 6 and 7 as they stand in the paper, `weight` (out, in)."""
    c = layer.manifold.c
    factor = 2 / (1 - c * x.square().sum(-1, keepdim=True))
    length, r = weight.norm(dim=-1), layer.bias
    inner = math.sqrt(c) * (x @ (weight / length[:, None]).T) * torch.cosh(2 * math.sqrt(c) * r)
    v = (
        2
        * length
        / math.sqrt(c)
        * torch.asinh(factor * inner - (factor - 1) * torch.sinh(2 * math.sqrt(c) * r))
    )
    w = torch.sinh(math.sqrt(c) * v) / math.sqrt(c)
    return w / (1 + (1 + c * w.square().sum(-1, keepdim=True)).sqrt())


def ball(c, *shape):
    m = Poincare(c)
    return m, m.random(shape, std=0.4, dtype=torch.float64)


@pytest.mark.parametrize("c", CURVATURES)
def test_linear_is_the_published_formula(c):
    torch.manual_seed(0)
    m, x = ball(c, 7, 5)
    layer = PoincareLinear(m, 5, 4).double()
    layer.bias.data.normal_(std=0.2)
    torch.testing.assert_close(layer(x), published(layer, x, layer.weight), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("c", CURVATURES)
def test_conv_is_the_published_linear_on_beta_concatenated_windows(c):
    torch.manual_seed(0)
    m, x = ball(c, 2, 9, 3)
    layer = PoincareConv1d(m, 3, 4, 3, stride=2, padding=1).double()
    layer.bias.data.normal_(std=0.2)

    def beta(n):
        return math.gamma(n / 2) * math.gamma(0.5) / math.gamma((n + 1) / 2)

    padded = torch.nn.functional.pad(m.logmap0(x), (0, 0, 1, 1)) * beta(9) / beta(3)
    windows = m.expmap0(padded.unfold(1, 3, 2).flatten(2))
    expected = published(layer, windows, layer.weight.flatten(1))
    torch.testing.assert_close(layer(x), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("c", CURVATURES)
def test_batch_norm_centres_on_the_gyromidpoint(c):
    torch.manual_seed(0)
    m, x = ball(c, 60, 3)
    layer = PoincareBatchNorm1d(m, 3).double()
    mean = m.centroid(x)
    expected = m.mobius_add(
        -mean.expand_as(x), x
    )  # recentred by a gyrotranslation, then scaled along geodesics
    scale = 1 / (m.dist(mean.expand_as(x), x).mean() + layer.eps)
    torch.testing.assert_close(layer(x), m.expmap0(scale * m.logmap0(expected)), rtol=1e-10, atol=1e-10)


def test_inputs_are_checked():
    with pytest.raises(ValueError, match="channels last"):
        PoincareConv1d(Poincare(), 3, 4, 3)(torch.zeros(2, 9, 4))
    with pytest.raises(ValueError, match="kernel_size must be"):
        PoincareConv2d(Poincare(), 3, 4, (3,))
