"""Where HyperCore or HGE crash or are silently wrong, and ours are not; by their names.

Others of the kind: the Poincare classifier in test_hyperbolic_heads, flattening in test_lorentz_pointwise, the tangent
activation in test_tangent, HyboNet's linear layer in test_lorentz_linear, distances and angles in tests/manifolds.
"""

import pytest
import torch
from safetensors.torch import load_file, load_model, save_model
from torch import nn as torch_nn

from crocuta import nn
from crocuta.manifolds import Lorentz, Poincare

M, BALL = Lorentz(0.5), Poincare(0.5)
CRASHES = {
    "HNNLayer": (torch_nn.Sequential(nn.TangentLinear(M, 4, 4), nn.TangentActivation(M)), M, (2, 3)),
    "PoincareLinear": (nn.PoincareLinear(BALL, 4, 5), BALL, (2, 3)),
    "PoincareConv1d": (nn.PoincareConv1d(BALL, 4, 5, 3), BALL, (2, 6)),
    "PoincareConv2d": (nn.PoincareConv2d(BALL, 4, 5, 3), BALL, (2, 6, 6)),
    "PoincareBatchNorm": (nn.PoincareBatchNorm1d(BALL, 4), BALL, (2, 6)),
    "PoincareAttention": (nn.PoincareMultiheadAttention(BALL, 4, 2), BALL, (2, 6)),
    "LorentzConv1d": (nn.LorentzConv1d(M, 4, 5, 3), M, (2, 6)),
    "LorentzConvTranspose2d": (nn.LorentzConvTranspose2d(M, 4, 5, 3), M, (2, 6, 6)),
    "LorentzBatchNorm1d": (nn.LorentzBatchNorm1d(M, 4), M, (2, 6)),
    "LorentzInputBlock": (nn.LorentzInputBlock(M, 4, 5), M, (2, 6, 6)),
    "LorentzBasicBlock": (nn.LorentzBasicBlock(M, 4, 5, stride=2), M, (2, 6, 6)),
    "LorentzBottleneck": (nn.LorentzBottleneckBlock(M, 4, 5), M, (2, 6, 6)),
    "linear_focused": (nn.LorentzFocusedAttention(M, 4, 2), M, (2, 6)),
    "LorentzLinear(bias=False)": (nn.LorentzLinear(M, 4, 5, bias=False), M, (2, 6)),
    "LorentzConv2d(bias=False)": (nn.LorentzConv2d(M, 4, 5, 3, bias=False), M, (2, 6, 6)),
    "LorentzMultiheadAttention(bias=False)": (
        nn.LorentzMultiheadAttention(M, 4, 2, bias=False),
        M,
        (2, 6),
    ),
}


@pytest.mark.parametrize("name", CRASHES)
def test_what_crashes_on_any_input_runs(name):
    torch.manual_seed(0)
    layer, manifold, lead = CRASHES[name]
    x = manifold.random((*lead, 4)).requires_grad_()
    y = layer(x)
    assert manifold.violation(y).max() < 1e-5
    y.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0


def test_residual_through_the_tangent_space_runs():
    """Their `HypResidual` crashes."""
    x, y = M.random((2, 3, 4))
    assert M.violation(nn.TangentResidual(M)(x, y)).max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_centroid_of_sixteen_bit_points(dtype):
    """Theirs is a KeyError. Points come out in float32, near those of the rounded inputs."""
    torch.manual_seed(0)
    x = M.random((2, 7, 4)).to(dtype)
    y = nn.LorentzGlobalPool(M)(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, M.centroid(M.lift(x[..., 1:].float())))


def test_half_on_one_layer_leaves_the_shared_curvature():
    """`.half()` on one of theirs converts the manifold that all layers share."""
    m = Lorentz(0.5, learnable=True)
    first, second = nn.LorentzLinear(m, 4, 4), nn.LorentzLinear(m, 4, 4)
    before = m.c.item()
    first.half()
    assert m.log_c.dtype == torch.float32
    assert m.c.item() == before
    x = m.random((3, 4))
    assert m.violation(second(x)).max() < 1e-6
    assert first(x.half()).dtype == torch.float32


def test_curvatures_do_not_fill_the_state_dict():
    """82 of the 128 keys of their two-layer vision transformer are copies of curvatures."""
    fixed = torch_nn.ModuleList(nn.LorentzTransformerBlock(M, 8, 2) for _ in range(2))
    assert not [key for key in fixed.state_dict() if "manifold" in key or "log_c" in key]
    m = Lorentz(0.5, learnable=True)
    shared = torch_nn.ModuleList(nn.LorentzTransformerBlock(m, 8, 2) for _ in range(2))
    assert sum(p is m.log_c for p in shared.parameters()) == 1
    assert len({t.data_ptr() for key, t in shared.state_dict().items() if "log_c" in key}) == 1


def test_a_shared_curvature_is_written_once(tmp_path):
    def stack():
        m = Lorentz(learnable=True)
        return torch_nn.Sequential(nn.LorentzTransformerBlock(m, 8, 2), nn.LorentzTransformerBlock(m, 8, 2))

    model, other, path = stack(), stack(), str(tmp_path / "model.safetensors")
    model[0].manifold.log_c.data.fill_(0.1)
    save_model(model, path)
    assert sum("log_c" in key for key in load_file(path)) == 1
    load_model(other, path)
    assert other[1].feed_forward.manifold.log_c.item() == pytest.approx(0.1)


@pytest.mark.parametrize("k", [0.1, 0.4, 2.5, 10.0])
def test_flatten_then_classify_learns_at_every_curvature(k):
    """HGE's flatten is right at k = 1 only; at k = 0.4 the first loss is NaN."""
    torch.manual_seed(0)
    m = Lorentz(1 / k, learnable=True)
    s, labels = torch.randn(32, 6, 3), torch.arange(32) % 2
    s[labels == 1] += 0.5
    model = torch_nn.Sequential(nn.LorentzFlatten(m), nn.LorentzLinear(m, 18, 8), nn.LorentzMLR(m, 8, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch_nn.functional.cross_entropy(model(m.lift(s)), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_batch_norm_stays_on_a_manifold_whose_curvature_moves_fast():
    """HGE's beta is a point: with a learning rate of 1e-2 for k it leaves the manifold, and training diverges."""
    torch.manual_seed(0)
    m = Lorentz(1.0, learnable=True)
    layer = nn.LorentzBatchNorm1d(m, 4)
    s = torch.randn(16, 5, 4)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    for _ in range(30):
        optimizer.zero_grad()
        y = layer(m.expmap0(s))
        assert m.violation(y).max() < 1e-6
        (m.dist0(y) - 3).square().mean().backward()
        optimizer.step()
    assert 0.1 <= m.c.item() <= 10
    assert abs(m.c.item() - 1) > 0.05
    layer.eval()
    assert m.violation(layer(m.expmap0(s))).max() < 1e-6
