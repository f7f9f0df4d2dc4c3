"""Embeddings and patches against HyperCore; placement of points."""

import pytest
import torch

from crocuta.manifolds import Lorentz, Poincare, Rescale
from crocuta.nn.hyperbolic_embedding import LorentzEmbedding, LorentzPositionalEmbedding, PoincareEmbedding
from crocuta.nn.patch import LorentzPatchEmbedding
from crocuta.optim import RiemannianAdam, parameter_groups, placement

KS = (1.0, 0.5, 2.0)


@pytest.mark.parametrize("k", KS)
def test_plain_embedding_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "embeddings_plain", k)
    m = case.manifold()
    layer = LorentzEmbedding(m, 11, 7).double()
    case.put(layer, weight=case["state.embedding"])
    y = layer(case["in.ids"])
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(layer.weight.grad[:, 1:], case["grad.embedding.space_chart"])


@pytest.mark.parametrize("k", KS)
def test_word_and_position_against_hypercore(golden_case, k):
    """Theirs end by a change of curvature, which for them multiplies coordinates: our `Rescale`."""
    case = golden_case("hypercore", "embeddings_positional", k)
    m = case.manifold()
    layer = LorentzPositionalEmbedding(m, 11, 7, max_length=9).double()
    case.put(
        layer,
        **{
            "word.weight": case["state.embedding"],
            "position.weight": case["state.poisitional_encoding"],
            "linear.weight": case["state.point.linear.weight"],
            "linear.bias": case["state.point.linear.bias"],
            "residual.log_weight": case["state.add_pos.w_y"].log(),
            "residual.log_scale": case["state.add_pos.scale"],
        },
    )
    y = Rescale(m, Lorentz(1 / case.meta["args"]["manifold_out_k"]))(layer(case["in.ids"]))
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(layer.word.weight.grad[:, 1:], case["grad.embedding.space_chart"])
    case.close(layer.position.weight.grad[:, 1:], case["grad.poisitional_encoding.space_chart"][:, 0])
    case.close(layer.linear.weight.grad, case["grad.point.linear.weight"])
    case.close(layer.linear.bias.grad, case["grad.point.linear.bias"])
    case.close(layer.residual.log_weight.grad, case["state.add_pos.w_y"] * case["grad.add_pos.w_y"])
    case.close(layer.residual.log_scale.grad, case["grad.add_pos.scale"])


@pytest.mark.parametrize("k", KS)
def test_patches_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "patch_embedding", k)
    m = case.manifold()
    layer = LorentzPatchEmbedding(m, 3, 7, 4).double()
    prefix = "projection.linearized_kernel.linear"
    weight = case[f"state.{prefix}.weight"]  # joint time, then kernel position by kernel position
    case.put(
        layer.projection,
        weight_time=weight[:, 0],
        weight=weight[:, 1:].reshape(7, 4, 4, 3).movedim(-1, 1).contiguous(),
        bias=case[f"state.{prefix}.bias"],
    )
    x, s = case.point(m, "in.x")
    y = layer(x)
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])


@pytest.mark.parametrize(("kind", "table"), [(Lorentz, LorentzEmbedding), (Poincare, PoincareEmbedding)])
def test_points_are_placed_and_stay(kind, table):
    torch.manual_seed(0)
    m = kind(0.5, learnable=True)
    layer = table(m, 11, 4)
    assert placement(layer) == {layer.weight: m}
    optimizer = RiemannianAdam(parameter_groups(layer, lr=0.1))
    ids = torch.randint(11, (3, 5))
    for _ in range(5):
        optimizer.zero_grad()
        m.dist0(layer(ids)).sub(2).square().sum().backward()
        optimizer.step()
    assert m.violation(layer(ids)).max() < 1e-5  # although the curvature moved


@pytest.mark.parametrize("c", [0.1, 1.0, 2.7])
def test_word_and_position(c):
    torch.manual_seed(0)
    m = Lorentz(c)
    layer = LorentzPositionalEmbedding(m, 11, 4, max_length=6)
    y = layer(torch.randint(11, (2, 5)))
    assert y.shape == (2, 5, 5)
    assert m.violation(y).max() < 1e-6
    y.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())
    with pytest.raises(ValueError, match="max_length=6"):
        layer(torch.zeros(1, 7, dtype=torch.long))


def test_images_are_whole_patches():
    with pytest.raises(ValueError, match="multiples of patch_size=2"):
        LorentzPatchEmbedding(Lorentz(), 3, 5, 2)(torch.ones(1, 4, 5, 4))
