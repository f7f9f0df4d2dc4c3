"""Convolutions of points against both reference systems, against their definition, and their laws."""

import pytest
import torch
from torch.nn import functional as F

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.conv import (
    LorentzConv1d,
    LorentzConv2d,
    LorentzConvTranspose1d,
)

KS = (1.0, 0.5, 2.0)


@pytest.mark.parametrize("functional", ["Lspace", "Lall"])
@pytest.mark.parametrize(
    ("name", "k"),
    [("conv1d_k9p4", k) for k in KS] + [("conv1d_k3p0", k) for k in KS] + [("conv1d_k9p4_c32", 1.0)],
)
def test_conv1d_against_hge(golden_case, name, k, functional):
    case = golden_case("hge", name, k)
    m = case.manifold()
    inputs, outputs = case.meta["in_channels"] - 1, case.meta["out_channels"] - 1
    layer = LorentzConv1d(m, inputs, outputs, case.meta["kernel_size"], padding=case.meta["padding"]).double()

    def split(weight):  # their columns: joint time, then channel by channel
        return weight[1:, 0], weight[1:, 1:].reshape(outputs, inputs, -1)

    time, weight = split(case["param.weight"])
    case.put(layer, weight=weight, weight_time=time, bias=case["param.bias"][1:])
    x, s = case.point(m, "in.x")
    y = layer(x)
    case.close(y, case["out.y"])
    start = 1 if functional == "Lspace" else 0
    (case["functional.w"] * y)[..., start:].sum().backward()
    time, weight = split(case[f"grad.{functional}.weight"])
    case.close(s.grad, case[f"grad.{functional}.x_space"])
    case.close(layer.weight.grad, weight)
    case.close(layer.weight_time.grad, time)
    case.close(layer.bias.grad, case[f"grad.{functional}.bias"][1:])
    case.close(case.by_k(m), case[f"grad.{functional}.k"])


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("name", ["conv2d_k3s1p1", "conv2d_k3s2p1", "conv2d_k2s2p0", "conv2d_k3x2"])
def test_conv2d_against_hypercore(golden_case, name, k):
    case = golden_case("hypercore", name, k)
    m, arguments = case.manifold(), case.meta["args"]
    layer = LorentzConv2d(
        m, 4, 6, arguments["kernel_size"], stride=arguments["stride"], padding=arguments["padding"]
    ).double()

    def split(weight):  # their columns: joint time, then kernel position by kernel position
        return weight[:, 0], weight[:, 1:].reshape(6, *layer.kernel_size, 4).movedim(-1, 1)

    prefix = "linearized_kernel.linear"
    time, weight = split(case[f"state.{prefix}.weight"])
    case.put(layer, weight=weight, weight_time=time, bias=case[f"state.{prefix}.bias"])
    x, s = case.point(m, "in.x")
    y = layer(x)
    case.close(y, case["out"])
    (case["functional.w"] * y).sum().backward()
    time, weight = split(case[f"grad.{prefix}.weight"])
    case.close(s.grad, case["grad.in.x_space"])
    case.close(layer.weight.grad, weight)
    case.close(layer.weight_time.grad, time)
    case.close(layer.bias.grad, case[f"grad.{prefix}.bias"])


def by_definition(layer, x):
    """Windows of points, origins around them, concatenated group by group, through a linear layer."""
    m, (k,), (stride,), (padding,), (dilation,) = layer.manifold, layer.kernel_size, *layer.window.values()
    origin = m.origin(layer.in_channels, dtype=x.dtype).expand(len(x), padding, -1)
    x = torch.cat([origin, x, origin], dim=1)
    starts = range(0, x.shape[1] - dilation * (k - 1), stride)
    points = []
    for start in starts:
        window = x[:, start : start + dilation * (k - 1) + 1 : dilation, 1:]
        groups = window.transpose(1, 2).chunk(layer.groups, dim=1)
        weights = layer.weight.chunk(layer.groups)
        times = layer.weight_time.chunk(layer.groups)
        parts = [
            m.lift(g.flatten(1)) @ torch.cat([t[:, None], w.flatten(1)], dim=1).T
            for g, w, t in zip(groups, weights, times, strict=True)
        ]
        points.append(m.lift(torch.cat(parts, dim=-1) + layer.bias))
    return torch.stack(points, dim=1)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 3, 1), (1, 2, 3), (3, 1, 2)])
def test_conv1d_is_a_linear_layer_on_concatenated_windows(stride, padding, dilation, groups):
    torch.manual_seed(0)
    m = Lorentz(0.6)
    layer = LorentzConv1d(m, 4, 6, 3, stride, padding, dilation, groups).double()
    x = m.random((2, 15, 4), dtype=torch.float64)
    torch.testing.assert_close(layer(x), by_definition(layer, x), rtol=1e-12, atol=1e-12)


def test_transposed_conv_is_a_conv_of_points_with_origins_between_them():
    torch.manual_seed(0)
    m = Lorentz(0.6)
    layer = LorentzConvTranspose1d(m, 4, 6, 3, stride=2, padding=1).double()
    forward = LorentzConv1d(m, 4, 6, 3, padding=1).double()
    forward.weight.data.copy_(layer.weight.transpose(0, 1).flip(-1))
    forward.weight_time.data.copy_(layer.weight_time)
    forward.bias.data.copy_(layer.bias)
    x = m.random((2, 7, 4), dtype=torch.float64)
    spread = m.origin(4, dtype=torch.float64).expand(2, 13, -1).clone()
    spread[:, ::2] = x
    torch.testing.assert_close(layer(x), forward(spread), rtol=1e-12, atol=1e-12)


def test_a_euclidean_kernel_without_time_gives_the_euclidean_convolution():
    m, twin = Lorentz(), torch.nn.Conv1d(4, 5, 3, padding=1)
    layer = LorentzConv1d(m, 4, 5, 3, padding=1)
    layer.load_state_dict({**twin.state_dict(), "weight_time": torch.zeros(5)})
    s = torch.randn(2, 9, 4)
    expected = F.conv1d(s.transpose(1, 2), twin.weight, twin.bias, padding=1).transpose(1, 2)
    torch.testing.assert_close(layer(m.lift(s))[..., 1:], expected)


def test_shapes_are_checked():
    layer = LorentzConv1d(Lorentz(), 4, 5, 3)
    with pytest.raises(ValueError, match="last of size 5"):
        layer(torch.ones(2, 9, 4))
    with pytest.raises(ValueError, match="kernel_size must be one integer"):
        LorentzConv2d(Lorentz(), 4, 5, (3, 3, 3))
    with pytest.raises(ValueError, match="multiples of groups=3"):
        LorentzConv1d(Lorentz(), 4, 5, 3, groups=3)
