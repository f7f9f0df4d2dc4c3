"""Attention on the ball: by its definition, by isometry, and its laws."""

import pytest
import torch

from crocuta.manifolds import Lorentz, Poincare, lorentz_to_poincare
from crocuta.nn.lorentz.attention import LorentzMultiheadAttention
from crocuta.nn.poincare.attention import PoincareMultiheadAttention

CURVATURES = (0.1, 1.0, 2.7)


@pytest.mark.parametrize("c", CURVATURES)
def test_is_lorentz_attention_seen_in_the_ball(c):
    torch.manual_seed(0)
    hyperboloid = LorentzMultiheadAttention(Lorentz(c), 8, 2, num_kv_heads=1).double()
    ball = PoincareMultiheadAttention(Poincare(c), 8, 2, num_kv_heads=1).double()
    ball.load_state_dict(hyperboloid.state_dict())
    x, y = Lorentz(c).random((2, 3, 5, 8), dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1, 0]] * 3)
    out = ball(lorentz_to_poincare(x, c), lorentz_to_poincare(y, c), mask=mask)
    torch.testing.assert_close(out, lorentz_to_poincare(hyperboloid(x, y, mask=mask), c))


def test_weights_follow_the_distance_and_values_meet_in_the_gyromidpoint():
    """One head whose projections leave a point where it is."""
    torch.manual_seed(0)
    m = Poincare(0.5)
    layer = PoincareMultiheadAttention(m, 4, 1, bias=False).double()
    keep = torch.cat([torch.zeros(4, 1), torch.eye(4)], dim=1).double()
    for linear in (layer.q_proj, layer.k_proj, layer.v_proj, layer.out_proj):
        linear.weight.data.copy_(keep)
    x = m.random((1, 6, 4), dtype=torch.float64)
    d = m.dist(x[0, :, None], x[0])
    scores = -2 / 0.5 * torch.cosh(0.5**0.5 * d) / layer.log_scale.exp()
    expected = m.centroid(x.expand(6, 6, 4), scores.softmax(-1))
    torch.testing.assert_close(layer(x)[0], expected)
