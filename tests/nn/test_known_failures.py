"""What was measured to go wrong in HyperCore's and HGE's layers and has no test beside its own layer."""

import pytest
import torch
from safetensors.torch import load_file, load_model, save_model
from torch import nn

from crocuta.manifolds import Lorentz, Poincare
from crocuta.nn import (
    LorentzActivation,
    LorentzBatchNorm1d,
    LorentzDropout,
    LorentzLinear,
    LorentzNormalize,
    LorentzTransformerBlock,
    TangentLinear,
)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 3, 4)])
def test_layers_take_any_number_of_axes(lead):
    """HyperCore's activation through the tangent space left the manifold by 2.27 on three axes."""
    torch.manual_seed(0)
    m = Lorentz(0.5)
    x = m.random((*lead, 4))
    for layer in (LorentzActivation(m), LorentzDropout(m), LorentzLinear(m, 4, 4), TangentLinear(m, 4, 4)):
        y = layer(x)
        assert y.shape == x.shape
        assert m.violation(y).max() < 1e-6
    ball = TangentLinear(Poincare(0.5), 4, 4)
    assert ball(Poincare(0.5).random((*lead, 4))).shape == (*lead, 4)


def test_normalisation_brings_space_parts_to_length_one():
    m = Lorentz(0.5)
    x = m.random((5, 4), std=3.0, dtype=torch.float64)
    y = LorentzNormalize(m)(x)
    torch.testing.assert_close(y[:, 1:], x[:, 1:] / x[:, 1:].norm(dim=-1, keepdim=True))
    assert torch.equal(LorentzNormalize(m)(m.origin(4)), m.origin(4))


def test_a_fixed_curvature_is_not_stored_and_a_shared_one_once(tmp_path):
    """82 of 128 keys of HyperCore's two-layer transformer repeat curvatures."""

    def stack(m):
        return nn.Sequential(LorentzTransformerBlock(m, 8, 2), LorentzTransformerBlock(m, 8, 2))

    assert not any("log_c" in name for name in stack(Lorentz()).state_dict())
    model, other = stack(Lorentz(learnable=True)), stack(Lorentz(learnable=True))
    model[0].manifold.log_c.data.fill_(0.1)
    save_model(model, str(tmp_path / "model.safetensors"))
    assert sum("log_c" in name for name in load_file(tmp_path / "model.safetensors")) == 1
    load_model(other, str(tmp_path / "model.safetensors"))
    assert other[1].feed_forward.manifold.log_c.item() == pytest.approx(0.1)


def test_batch_norm_follows_a_moving_curvature():
    """HGE's beta is a point, which stays behind when the curvature moves; ours is lifted in each pass."""
    torch.manual_seed(0)
    m = Lorentz(1.0, learnable=True)
    layer = LorentzBatchNorm1d(m, 4).double()
    nn.init.normal_(layer.beta)
    s = torch.randn(4).double().expand(20, 4)  # one point: it moves to beta
    for log_c in (0.0, 1.0, -1.0):
        m.log_c.data.fill_(log_c)
        y = layer(m.lift(s))
        assert m.violation(y).max() < 1e-6
        torch.testing.assert_close(y, m.lift(layer.beta).expand_as(y), rtol=1e-6, atol=1e-6)
