"""The transformer block against HyperCore, its feed-forwards against their formulas, and their laws."""

import pytest
import torch
from torch.nn import functional as F

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.linear import LorentzLinear
from crocuta.nn.lorentz.norm import LorentzLayerNorm
from crocuta.nn.lorentz.pointwise import LorentzActivation, LorentzScaledResidual
from crocuta.nn.lorentz.transformer import LorentzFeedForward, LorentzSwiGLU, LorentzTransformerBlock

CURVATURES = (0.1, 1.0, 2.7)
HYPERCORE = {
    "attention.q_proj": "attn.Wq",
    "attention.k_proj": "attn.Wk",
    "attention.v_proj": "attn.Wv",
    "attention.out_proj": "attn.final_linear",
    "attention_norm": "ln_1.layer",
    "feed_forward_norm": "ln_2.layer",
    "feed_forward.up_proj": "mlp.c_fc.linear",
    "feed_forward.down_proj": "mlp.c_proj.linear",
}


def hypercore_block(case, m):
    def residual(manifold):
        return LorentzScaledResidual(manifold, 0.7, scale=50.0, learn_scale=False)

    layer = LorentzTransformerBlock(
        m,
        11,
        2,
        head_dim=5,
        feed_forward=LorentzFeedForward(m, 11, 47),
        norm=LorentzLayerNorm,
        residual=residual,
    ).double()
    parts = {
        f"{ours}.{part}": case[f"state.{theirs}.{part}"]
        for ours, theirs in HYPERCORE.items()
        for part in ("weight", "bias")
    }
    residuals = {
        "attention_residual.log_weight": case["state.res1.w_y"].log(),
        "feed_forward_residual.log_weight": case["state.res2.w_y"].log(),
    }
    fifty = torch.tensor(50.0).double().log()
    scales = {"attention_residual.log_scale": fifty, "feed_forward_residual.log_scale": fifty}
    attention = {"attention.log_scale": case["state.attn.scale"].log()}
    case.put(layer, **parts, **residuals, **scales, **attention)
    return layer


@pytest.mark.parametrize("k", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("name", ["nomask", "causal"])
def test_block_against_hypercore(golden_case, k, name):
    case = golden_case("hypercore", f"transformer_block_{name}", k)
    m = case.manifold()
    layer = hypercore_block(case, m)
    x, s = case.point(m, "in.x")
    y = layer(x, is_causal=name == "causal")
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.attention.q_proj.weight.grad, case["grad.attn.Wq.weight"])
    case.close(layer.feed_forward.up_proj.weight.grad, case["grad.mlp.c_fc.linear.weight"])
    case.close(layer.attention_norm.weight.grad, case["grad.ln_1.layer.weight"])
    weight = case["state.res1.w_y"]
    case.close(layer.attention_residual.log_weight.grad, weight * case["grad.res1.w_y"])


def test_feed_forward_is_two_linear_layers_and_an_activation():
    torch.manual_seed(0)
    m = Lorentz(0.5)
    layer = LorentzFeedForward(m, 6, 10, activation=F.silu)
    up, down = LorentzLinear(m, 6, 10), LorentzLinear(m, 10, 6)
    up.load_state_dict(layer.up_proj.state_dict())
    down.load_state_dict(layer.down_proj.state_dict())
    x = m.random((4, 6))
    torch.testing.assert_close(layer(x), down(LorentzActivation(m, F.silu)(up(x))))


def test_swiglu_is_its_formula():
    torch.manual_seed(0)
    m = Lorentz(2.0)
    layer = LorentzSwiGLU(m, 6, 11)
    x = m.random((4, 6))
    gate, value = x @ layer.gate_proj.weight.T, x @ layer.up_proj.weight.T
    hidden = m.lift(gate * torch.sigmoid(gate) * value)
    torch.testing.assert_close(layer(x), m.lift(hidden @ layer.down_proj.weight.T))


def test_causal_block_does_not_look_ahead():
    torch.manual_seed(0)
    m = Lorentz()
    layer = LorentzTransformerBlock(m, 8, 2)
    x = m.random((1, 6, 8))
    y = x.clone()
    y[:, 4:] = m.random((1, 2, 8))
    torch.testing.assert_close(layer(x, is_causal=True)[:, :4], layer(y, is_causal=True)[:, :4])
    assert m.dist(layer(x)[:, :4], layer(y)[:, :4]).max() > 1e-3


def test_deep_stack_keeps_points_in_range():
    """Midpoints alone would draw everything together; scale 2 adds near the origin."""
    torch.manual_seed(0)
    m = Lorentz()
    x = m.random((2, 12, 16))
    blocks = torch.nn.Sequential(*(LorentzTransformerBlock(m, 16, 2) for _ in range(12)))
    y = blocks(x)
    assert 0.5 < m.dist0(y).mean() < 10
    y.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in blocks.parameters())
    assert blocks[0].attention.q_proj.weight.grad.norm() > 1e-6
