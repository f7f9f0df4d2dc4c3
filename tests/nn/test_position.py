"""Positions: what they depend on, and their laws."""

import pytest
import torch

from crocuta.manifolds import Lorentz
from crocuta.nn.position import (
    LorentzLearnedPosition,
    LorentzRelativePosition,
    LorentzSinusoidalPosition,
    Rotary,
)

CURVATURES = (0.1, 1.0, 2.7)


@pytest.mark.parametrize("width", [4, 5])
def test_rotary_scores_depend_on_the_difference_of_positions(width):
    torch.manual_seed(0)
    rotary = Rotary(width)
    q, k = torch.randn(2, 1, 1, 1, width, dtype=torch.float64)
    for start in (3, 100_000):
        score = (rotary(q, start + 2) * rotary(k, start)).sum()
        torch.testing.assert_close(score, (rotary(q, 2) * rotary(k, 0)).sum(), rtol=1e-9, atol=1e-9)
    assert (rotary(q, 5) * k).sum() != (q * k).sum()
    torch.testing.assert_close(rotary(q, 7).norm(), q.norm())


def test_rotary_keeps_its_digits_at_a_million_in_float32():
    rotary, s = Rotary(4), torch.tensor([1.0, 0.0, 0.0, 1.0]).reshape(1, 1, 4)
    wide = rotary(s.double(), 999_983)
    torch.testing.assert_close(rotary(s, 999_983), wide.float(), rtol=0, atol=1e-6)


def test_a_chunk_with_its_start_is_a_slice_of_the_whole():
    torch.manual_seed(0)
    m = Lorentz(0.5)
    x = m.random((2, 9, 6))
    for layer in (LorentzLearnedPosition(m, 9, 6, std=1.0), LorentzSinusoidalPosition(m, 6)):
        torch.testing.assert_close(layer(x[:, 4:], start=4), layer(x)[:, 4:])
        assert m.dist(layer(x[:, 4:]), layer(x)[:, 4:]).max() > 0.1


def test_learned_position_is_the_weighted_midpoint():
    """As in HyperCore's embedding layer: `(x + w p) / (sqrt(c) |x + w p|_L)`."""
    m = Lorentz()
    layer = LorentzLearnedPosition(m, 9, 7, std=1.0).double()
    x = m.random((2, 6, 7), dtype=torch.float64)
    with torch.no_grad():
        layer.residual.log_weight.fill_(-0.5)
    total = x + torch.exp(torch.tensor(-0.5, dtype=torch.float64)) * m.lift(layer.weight[:6])
    expected = total / (total[..., :1].square() - total[..., 1:].square().sum(-1, keepdim=True)).sqrt()
    torch.testing.assert_close(layer(x), expected)


def test_relative_position_of_weight_zero_is_the_point():
    torch.manual_seed(0)
    m = Lorentz()
    x = m.random((2, 5, 6))
    torch.testing.assert_close(LorentzRelativePosition(m, 6, weight=1e-9)(x), x)


def test_errors_name_the_argument():
    m = Lorentz()
    with pytest.raises(ValueError, match="max_length = 4"):
        LorentzLearnedPosition(m, 4, 6)(m.random((2, 5, 6)))
    with pytest.raises(ValueError, match="head_dim = 4"):
        Rotary(4)(torch.randn(1, 2, 1, 6))
    with pytest.raises(ValueError, match="features"):
        LorentzSinusoidalPosition(m, 1)
