"""Lorentz attention against HyperCore, against its definition, and its laws."""

import math

import pytest
import torch

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.attention import (
    LorentzCentroidMultiheadAttention,
    LorentzFocusedAttention,
    LorentzMultiheadAttention,
    lorentz_attention,
)
from crocuta.nn.position import Rotary
from crocuta.testing import assert_layer

KS = (1.0, 0.5, 2.0)
CURVATURES = (0.1, 1.0, 2.7)
LAYERS = (LorentzMultiheadAttention, LorentzCentroidMultiheadAttention, LorentzFocusedAttention)


def put(case, layer, prefix="state."):
    """HyperCore's weights into ours; its score bias cancels in the softmax."""
    names = {"q_proj": "Wq", "k_proj": "Wk", "v_proj": "Wv", "out_proj": "final_linear"}
    values = {
        f"{ours}.{part}": case[f"{prefix}{theirs}.{part}"]
        for ours, theirs in names.items()
        for part in ("weight", "bias")
        if hasattr(layer, ours)
    }
    case.put(layer, log_scale=case[f"{prefix}scale"].log(), **values)


def gradients_agree(case, layer):
    case.close(layer.q_proj.weight.grad, case["grad.Wq.weight"])
    case.close(layer.k_proj.weight.grad, case["grad.Wk.weight"])
    case.close(layer.v_proj.bias.grad, case["grad.Wv.bias"])
    case.close(layer.log_scale.grad, (case["state.scale"] * case["grad.scale"])[0])
    if hasattr(layer, "out_proj"):
        case.close(layer.out_proj.weight.grad, case["grad.final_linear.weight"])


def masks(name, case):
    if name == "causal":
        return {"is_causal": True}
    return {"mask": 1 - case["in.mask"]} if name == "keypad" else {}


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("mask", ["nomask", "causal", "keypad"])
@pytest.mark.parametrize("join", ["concat", "centroid"])
def test_against_hypercore(golden_case, k, mask, join):
    case = golden_case("hypercore", f"mha_{join}_{mask}", k)
    m = case.manifold()
    cls = LorentzMultiheadAttention if join == "concat" else LorentzCentroidMultiheadAttention
    layer = cls(m, 14, 3, head_dim=4).double()
    put(case, layer)
    x, s = case.point(m, "in.x")
    y = layer(x, **masks(mask, case))
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])
    gradients_agree(case, layer)


@pytest.mark.parametrize("k", KS)
def test_cross_attention_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "mha_cross", k)
    m = case.manifold()
    layer = LorentzMultiheadAttention(m, 14, 3, head_dim=4).double()
    put(case, layer)
    (q, sq), (s, ss) = case.point(m, "in.q"), case.point(m, "in.s")
    y = layer(q, s)
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(sq.grad, case["grad.in.q_space"])
    case.close(ss.grad, case["grad.in.s_space"])


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize(("name", "tolerance"), [("mha_rope_f64", 1e-9), ("mha_rope_f32rot", 1e-6)])
def test_rotary_against_hypercore(golden_case, k, name, tolerance):
    case = golden_case("hypercore", name, k)
    m = case.manifold()
    layer = LorentzMultiheadAttention(m, 14, 3, head_dim=4, rotary=Rotary(4)).double()
    put(case, layer)
    x, s = case.point(m, "in.x")
    y = layer(x)
    case.close(y, case["out"], tolerance)
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"], 10 * tolerance if tolerance > 1e-9 else tolerance)


def test_laws_with_groups_masks_and_dropout():
    torch.manual_seed(0)
    m = Lorentz()
    layer = LorentzMultiheadAttention(m, 8, 4, num_kv_heads=2, dropout=0.3)
    mask = torch.tensor([[1, 1, 0], [0, 1, 1]])
    assert_layer(layer, lead=(2, 3), call=lambda module, x: module(x, mask=mask, is_causal=True))


def defined(q, k, v, c, scale, visible=None):
    """The definition, score matrix and all, in the dtype of the points."""
    inner = q[..., 1:] @ k[..., 1:].mT - q[..., :1] * k[..., :1].mT
    scores = (2 / c + 2 * inner) / scale
    if visible is not None:
        scores = scores.masked_fill(~visible, -math.inf)
    total = scores.softmax(-1) @ v
    square = total[..., :1].square() - total[..., 1:].square().sum(-1, keepdim=True)
    return total / (c * square).sqrt()


def test_mask_and_causality_together_are_the_definition():
    torch.manual_seed(0)
    m = Lorentz(0.5)
    q, k, v = (m.random((2, 2, 6, 4), dtype=torch.float64) for _ in range(3))
    mask = torch.tensor([[1, 1, 1, 0, 1, 0], [1, 0, 1, 1, 1, 1]])
    visible = mask[:, None, None].bool() & torch.ones(6, 6).tril().bool()
    out = lorentz_attention(q, k, v, 0.5, 2.0, mask=mask, is_causal=True)
    torch.testing.assert_close(out, defined(q, k, v, 0.5, 2.0, visible), rtol=1e-12, atol=1e-12)
    bias = torch.where(visible, 0.0, -math.inf).double()
    torch.testing.assert_close(lorentz_attention(q, k, v, 0.5, 2.0, attn_mask=visible), out)
    torch.testing.assert_close(lorentz_attention(q, k, v, 0.5, 2.0, attn_mask=bias), out)


@pytest.mark.parametrize("causal", [False, True])
def test_padding_changes_nothing(causal):
    torch.manual_seed(0)
    m = Lorentz()
    layer = LorentzMultiheadAttention(m, 8, 2)
    x = m.random((1, 9, 8))
    whole = layer(x[:, :6], is_causal=causal)
    right = layer(x, mask=(torch.arange(9) < 6)[None], is_causal=causal)[:, :6]
    torch.testing.assert_close(right, whole)
    left = layer(x.roll(3, dims=1), mask=(torch.arange(9) >= 3)[None], is_causal=causal)[:, 3:]
    torch.testing.assert_close(left, whole)


def test_a_query_without_keys_gets_the_origin():
    torch.manual_seed(0)
    m = Lorentz(2.7)
    x = m.random((2, 1, 4, 3)).requires_grad_()
    mask = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]])
    out = lorentz_attention(x, x, x, 2.7, 1.0, mask=mask, is_causal=True)
    torch.testing.assert_close(out[1, 0], m.origin(3).expand(4, -1))
    torch.testing.assert_close(out[0, 0, :2], m.origin(3).expand(2, -1))
    out.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_grouped_queries_are_repeated_keys():
    torch.manual_seed(0)
    m = Lorentz()
    q = m.random((2, 6, 5, 4), dtype=torch.float64)
    k, v = (m.random((2, 2, 5, 4), dtype=torch.float64) for _ in range(2))
    out = lorentz_attention(q, k, v, 1.0, 1.5)
    repeated = [t.repeat_interleave(3, dim=1) for t in (k, v)]
    torch.testing.assert_close(out, lorentz_attention(q, *repeated, 1.0, 1.5))


def test_dropout_leaves_points_and_keeps_lone_values():
    torch.manual_seed(0)
    m = Lorentz(0.1)
    q, k = m.random((1, 2, 16, 4), std=3.0), m.random((1, 2, 16, 4), std=3.0)
    v = m.expmap0(torch.tensor([40.0, 0.0, 0.0, 0.0])).expand(1, 2, 16, 5)
    out = lorentz_attention(q, k, v, 0.1, 1.0, dropout_p=0.5)
    assert m.violation(out).max() < 1e-6
    assert (m.dist(out, v) < 1e-2).float().mean() > 0.9  # equal values: the centroid is that value


@pytest.mark.parametrize("radius", [10.0, 40.0])
def test_far_points_give_finite_values_and_gradients(radius):
    torch.manual_seed(0)
    m = Lorentz()
    s = torch.nn.functional.normalize(torch.randn(1, 2, 8, 4), dim=-1) * radius
    s.requires_grad_()
    x = m.expmap0(s)
    out = m.logmap0(lorentz_attention(x, x, x, 1.0, 4.0))
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(s.grad).all()


@pytest.mark.parametrize(("radius", "bound"), [(5, 0.002), (6, 0.01), (7, 0.1), (8, 0.4)])
def test_float32_knows_the_centroid_as_well_as_the_page_says(radius, bound):
    """A sum of float32 points has no more digits of its Lorentz norm; float64 has."""
    torch.manual_seed(0)
    m = Lorentz()
    direction = torch.nn.functional.normalize(torch.randn(64, 1, 1, 16, dtype=torch.float64), dim=-1)
    value = m.expmap0(radius * direction).expand(64, 1, 8, 17)
    q, k = m.random((2, 64, 1, 8, 16), dtype=torch.float64)
    y = lorentz_attention(q.float(), k.float(), value.float(), 1.0, 2.0)
    assert m.violation(y).max() < 1e-6
    assert m.dist(y.double(), value).max() < bound
    assert m.dist(lorentz_attention(q, k, value, 1.0, 2.0), value).max() < 1e-7 * bound
    assert (m.dist0(y) < radius + 1e-5).all()  # the error is inwards


def test_memory_is_linear_in_the_length():
    m = Lorentz()
    layer = LorentzMultiheadAttention(m, 8, 2)
    length = 1024

    def largest(**options):
        sizes = [0]
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            layer(m.random((1, length, 8)), mask=torch.ones(1, length), **options)
        return max(sizes)

    assert largest(is_causal=True) < length * 64


@pytest.mark.parametrize("masked", [False, True])
def test_focused_attention_is_its_definition(masked):
    torch.manual_seed(0)
    m = Lorentz()
    layer = LorentzFocusedAttention(m, 6, 2, power=3.0).double()
    x = m.random((2, 5, 6), dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]) if masked else None
    q, k, v = (p(x).unflatten(-1, (2, 3)) for p in (layer.q_proj, layer.k_proj, layer.v_proj))

    def focus(s):
        u = torch.relu(s) + 1e-6
        return u.norm(dim=-1, keepdim=True) * u**3 / (u**3).norm(dim=-1, keepdim=True)

    scores = torch.einsum("blhi,bshi->bhls", focus(q), focus(k))
    if mask is not None:
        scores = scores * mask[:, None, None]
    mixed = torch.einsum("bhls,bshi->blhi", scores / scores.sum(-1, keepdim=True), v)
    heads = m.lift(mixed + layer.value_map(v))
    torch.testing.assert_close(layer(x, mask=mask), m.lift(layer.out_proj(heads.flatten(-2))))


def test_errors_name_the_argument():
    m = Lorentz()
    with pytest.raises(ValueError, match="embed_dim must be a multiple"):
        LorentzMultiheadAttention(m, 10, 4)
    with pytest.raises(ValueError, match="num_kv_heads"):
        LorentzMultiheadAttention(m, 8, 4, num_kv_heads=3)
    with pytest.raises(ValueError, match="dropout"):
        LorentzMultiheadAttention(m, 8, 4, dropout=1.5)
    with pytest.raises(ValueError, match=r"mask must be \(batch, keys\)"):
        LorentzMultiheadAttention(m, 8, 4)(m.random((2, 3, 8)), mask=torch.ones(3, 2))
