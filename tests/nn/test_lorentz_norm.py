"""Normalisations of points against both reference systems, and their laws."""

import pytest
import torch

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.norm import (
    LorentzBatchNorm1d,
    LorentzBatchNorm2d,
    LorentzLayerNorm,
    LorentzNormalize,
    LorentzRMSNorm,
)

KS = (1.0, 0.5, 2.0)


def loaded(case, name, mean="state.running_mean_0", dispersion="state.running_var_0"):
    m = case.manifold()
    layer = LorentzBatchNorm1d(m, 7).double()
    case.put(
        layer,
        beta=case["param.beta"][1:],
        gamma=case["param.gamma"],
        running_mean=case[mean][1:],
        running_dispersion=case[dispersion],
    )
    return m, layer


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("name", ["bn3d", "bn2d"])
def test_batch_norm_steps_against_hge(golden_case, name, k):
    case = golden_case("hge", name, k)
    _, layer = loaded(case, name)
    for step in (1, 2):
        case.close(layer(case[f"in.x{step}"]), case[f"out.train_y{step}"])
        case.close(layer.running_mean, case[f"state.running_mean_{step}"][1:])
        case.close(layer.running_dispersion, case[f"state.running_var_{step}"].squeeze())
    case.close(layer.eval()(case["in.x3"]), case["out.eval_y3"])


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("functional", ["Lspace", "Lall"])
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", ["bn3d", "bn2d"])
def test_batch_norm_gradients_against_hge(golden_case, name, mode, functional, k):
    case = golden_case("hge", name, k)
    suffix = "0" if mode == "train" else "2"
    m, layer = loaded(case, name, f"state.running_mean_{suffix}", f"state.running_var_{suffix}")
    layer.train(mode == "train")
    x, s = case.point(m, "in.x1" if mode == "train" else "in.x3")
    start = 1 if functional == "Lspace" else 0
    (case["functional.w"] * layer(x))[..., start:].sum().backward()
    prefix = f"{mode}.grad.{functional}"
    case.close(s.grad, case[f"{prefix}.x_space"])
    case.close(layer.beta.grad, case[f"{prefix}.beta_space_chart"])
    case.close(layer.gamma.grad, case[f"{prefix}.gamma"].squeeze())
    case.close(case.by_k(m).squeeze(), case[f"{prefix}.k"])


@pytest.mark.parametrize("k", KS)
def test_batch_norm_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "batch_norm2d", k)
    m = case.manifold()
    layer = LorentzBatchNorm2d(m, 5).double()
    case.put(
        layer,
        beta=case["state.beta"][1:],
        gamma=case["state.gamma"],
        running_mean=case["state_after_0.running_mean"][1:],
        running_dispersion=case["state_after_0.running_var"],
    )
    x, s = case.point(m, "in.x")
    y = layer(x)
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.beta.grad, case["grad.beta.space_chart"])
    case.close(layer.gamma.grad, case["grad.gamma"].squeeze())
    case.close(layer(case["in.x2"]), case["out.train_y2"])
    case.close(layer.running_mean, case["state_after_2.running_mean"][1:])
    case.close(layer.running_dispersion, case["state_after_2.running_var"].squeeze())
    case.close(layer.eval()(case["in.x3"]), case["out.eval_y3"])


@pytest.mark.parametrize("k", KS)
def test_layer_norm_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "layer_norm", k)
    m = case.manifold()
    layer = LorentzLayerNorm(m, 8).double()
    case.put(layer, weight=case["state.layer.weight"], bias=case["state.layer.bias"])
    x, s = case.point(m, "in.x")
    y = layer(x)
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.weight.grad, case["grad.layer.weight"])
    case.close(layer.bias.grad, case["grad.layer.bias"])


@pytest.mark.parametrize("k", KS)
def test_rms_norm_against_hypercore(golden_case, k):
    case = golden_case("hypercore", "rms_norm", k)
    m = case.manifold()
    layer = LorentzRMSNorm(m, 8, eps=case.meta["args"]["eps"]).double()
    case.put(layer, weight=case["state.weight"])
    x, s = case.point(m, "in.x")
    y = layer(x)
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.weight.grad, case["grad.weight"])


@pytest.mark.parametrize("c", [0.1, 1.0, 2.7])
@pytest.mark.parametrize("masked", [False, True])
def test_batch_norm_training_gradients_equal_finite_differences(c, masked):
    torch.manual_seed(0)
    m = Lorentz(c).double()
    layer = LorentzBatchNorm1d(m, 3).double()
    layer.beta.data.normal_()
    layer.gamma.data.fill_(0.7)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]]) if masked else None
    s = torch.randn(3, 3, 3, dtype=torch.float64, requires_grad=True)

    def run(s, beta, gamma):
        y = torch.func.functional_call(layer, {"beta": beta, "gamma": gamma}, (m.expmap0(s), mask))
        return y, m.logmap0(y)

    assert torch.autograd.gradcheck(run, (s, layer.beta, layer.gamma))


def test_batch_norm_does_what_it_says():
    """The centroid lands on beta, the mean distance from it becomes gamma."""
    torch.manual_seed(0)
    m = Lorentz(0.4)
    layer = LorentzBatchNorm1d(m, 3).double()
    layer.beta.data.normal_()
    layer.gamma.data.fill_(0.7)
    y = layer(m.random((50, 3), std=0.1, dtype=torch.float64))
    beta = m.lift(layer.beta)
    assert m.dist(m.centroid(y), beta) < 0.05  # a centroid is not carried exactly through a change of scale
    torch.testing.assert_close(m.dist(y, beta).mean().item(), 0.7, rtol=1e-4, atol=0)


def test_batch_norm_in_float32_far_from_the_origin():
    """A unit cluster at distance 10 is recentred to 1e-2; subtracting in the usual way leaves errors above 1."""
    torch.manual_seed(0)
    m = Lorentz()
    centre = m.expmap0(10 * torch.nn.functional.normalize(torch.randn(5, dtype=torch.float64), dim=0))
    local = m.random((64, 5), std=0.4, dtype=torch.float64)
    tangent = m.transport(m.origin(5, dtype=torch.float64), centre, m.logmap(m.origin(5).double(), local))
    x = m.expmap(centre.expand_as(local), tangent)
    narrow = m.project(x.float())
    wide = LorentzBatchNorm1d(m, 5).double()(m.project(narrow.double()))
    assert m.dist(LorentzBatchNorm1d(m, 5)(narrow).double(), wide).max() < 1e-2


def test_mask_removes_points():
    torch.manual_seed(0)
    m = Lorentz(0.7)
    x = m.random((3, 6, 4), dtype=torch.float64)
    layer, twin = LorentzBatchNorm1d(m, 4).double(), LorentzBatchNorm1d(m, 4).double()
    mask = torch.ones(3, 6)
    mask[:, 4:] = 0
    masked, cut = layer(x, mask), twin(x[:, :4])
    torch.testing.assert_close(masked[:, :4], cut)
    torch.testing.assert_close(layer.running_mean, twin.running_mean)
    torch.testing.assert_close(layer.running_dispersion, twin.running_dispersion)
    assert m.violation(masked).max() < 1e-12
    layer(x, torch.zeros(3, 6))  # nothing to count: still finite
    assert torch.isfinite(layer.running_mean).all()


def test_normalize_brings_space_parts_to_length_one():
    m = Lorentz(0.5)
    x = m.random((5, 4), std=3.0, dtype=torch.float64)
    y = LorentzNormalize(m)(x)
    torch.testing.assert_close(y[:, 1:], x[:, 1:] / x[:, 1:].norm(dim=-1, keepdim=True))
    assert torch.equal(LorentzNormalize(m)(m.origin(4)), m.origin(4))


def test_inputs_are_checked():
    layer = LorentzBatchNorm1d(Lorentz(), 4)
    with pytest.raises(ValueError, match="last of size 5"):
        layer(torch.ones(2, 4))
    with pytest.raises(ValueError, match="mask must have shape"):
        layer(Lorentz().origin(4).expand(2, 3, 5), torch.ones(2, 4))


def test_layer_norm_of_a_transposed_input():
    torch.manual_seed(0)
    m = Lorentz(0.5)
    layer = LorentzLayerNorm(m, 4).double()
    x, weight = m.random((3, 5, 4), dtype=torch.float64), torch.randn(5, 3, 5, dtype=torch.float64)
    found = []
    for layout in (torch.Tensor.contiguous, torch.clone):  # a clone keeps the strides
        s = layout(x.transpose(0, 1)).requires_grad_()
        found.append(torch.autograd.grad((weight * layer(s)).sum(), [s, layer.weight, layer.bias]))
    assert not torch.clone(x.transpose(0, 1)).is_contiguous()
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected)
