"""The public laws accept what is right and name what is wrong."""

import pytest
import torch
from torch import nn

from crocuta.manifolds import Euclidean, Lorentz, Manifold, Poincare
from crocuta.testing import assert_layer, assert_manifold, sample_points


def broken(method, replacement):
    """A Lorentz manifold with one method replaced."""
    kind = type("Broken", (Lorentz,), {method: replacement, "__module__": __name__})
    globals()["Broken"] = kind  # where pickle looks for it
    return kind(0.5, learnable=True)


BREAKAGES = {
    "leaves the manifold": ("expmap", lambda self, x, u: x + u),
    "exponential map at the origin|logmap0": ("logmap0", lambda self, x: x[..., 1:]),
    "length of logmap": ("dist", lambda self, x, y: 0.5 * Lorentz.dist(self, x, y)),
    "isometry": ("transport", lambda self, x, y, u: self.project_tangent(y, u)),
    "not symmetric": ("dist", lambda self, x, y: Lorentz.dist(self, x, y) * (1 + 0.001 * y[..., 1])),
    "not 0": ("dist", lambda self, x, y: (Lorentz.dist(self, x, y).square() + 1e-8).sqrt()),
    "midpoint": ("egrad2rgrad", lambda self, x, g: -Lorentz.egrad2rgrad(self, x, g)),
    "float64": ("egrad2rgrad", lambda self, x, g: Lorentz.egrad2rgrad(self, x, g).float()),
    "along a tangent": ("egrad2rgrad", lambda self, x, g: 2 * Lorentz.egrad2rgrad(self, x, g)),
    "curvature": ("inner", lambda self, x, u, v: Lorentz(float(self.c.detach())).inner(x, u, v)),
    "accepts": ("check", lambda self, x, name="x": x),
}


@pytest.mark.parametrize("law", BREAKAGES)
def test_broken_manifolds_are_caught(law):
    dtype = torch.float64 if law == "float64" else torch.float32
    with pytest.raises(AssertionError, match=law):
        assert_manifold(broken(*BREAKAGES[law]), dtype)


class Gradient(torch.autograd.Function):
    """The identity with a gradient 1% too large."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, *grads):
        return 1.01 * grads[0]


def test_wrong_gradient_is_caught():
    wrong = broken("logmap", lambda self, x, y: Gradient.apply(Lorentz.logmap(self, x, y)))
    with pytest.raises(Exception, match="Jacobian mismatch"):
        assert_manifold(wrong)


def test_unfenced_autocast_is_caught():
    mixed = broken("expmap0", lambda self, s: Lorentz.expmap0(self, s @ torch.eye(s.shape[-1]).to(s)))
    with pytest.raises(AssertionError, match="autocast"):
        assert_manifold(mixed)


class Linear(nn.Module):
    """Linear on space parts, lifted: a correct layer in miniature."""

    def __init__(self, manifold: Manifold, in_features: int, out_features: int):
        super().__init__()
        self.manifold, self.in_features = manifold, in_features
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        return self.manifold.lift(self.linear(x[..., 1:]))


@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("c", [0.1, 1.0, 4.0])
def test_correct_layer(c, learnable):
    assert_layer(Linear(Lorentz(c, learnable), 6, 4), compile=c == 1.0 and not learnable)


class ToTangent(nn.Module):
    manifold_out = None

    def __init__(self):
        super().__init__()
        self.manifold_in = Poincare(0.5)

    def forward(self, x, scale):
        return scale * self.manifold_in.logmap0(x)


def test_layers_between_kinds_of_space():
    assert_layer(ToTangent(), in_features=3, call=lambda layer, x: layer(x, 2.0))
    assert_layer(nn.Linear(3, 2), None, None)


def test_features_must_be_known():
    with pytest.raises(ValueError, match="in_features must be given: Tanh"):
        assert_layer(nn.Tanh(), None, None)


class Unlifted(Linear):
    def forward(self, x):
        return torch.cat([x[..., :1], self.linear(x[..., 1:])], dim=-1)


class Unfenced(Linear):
    def forward(self, x):
        y = self.linear(x[..., 1:])
        return torch.cat([(1 / self.manifold.c + y.square().sum(-1, keepdim=True)).sqrt().to(y), y], dim=-1)


class Overflowing(Linear):
    def forward(self, x):
        return self.manifold.lift(torch.exp(self.linear(x[..., 1:])))


class Detached(Linear):
    def forward(self, x):
        return self.manifold.lift(self.linear(x[..., 1:]) * x[..., :1].detach())


class Forgetful(Linear):
    def load_state_dict(self, state, strict=True, assign=False):
        return None


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (Unlifted, "output is off"),
        (Unfenced, "autocast"),
        (Overflowing, "not finite"),
        (Detached, "gradient of the input"),
        (Forgetful, "safetensors"),
    ],
)
def test_broken_layers_are_caught(kind, law):
    torch.manual_seed(0)
    layer = kind(Lorentz(), 6, 4)
    if kind is Overflowing:
        layer.linear.weight.data.mul_(10)
    with pytest.raises(AssertionError, match=law):
        assert_layer(layer)


def test_laws_leave_the_layer_alone():
    layer = Linear(Lorentz(1.0, learnable=True), 6, 4)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    assert_layer(layer)
    assert all(torch.equal(before[name], tensor) for name, tensor in layer.state_dict().items())
    assert all(parameter.grad is None for parameter in layer.parameters())
    assert layer.training


def test_sample_points_fill_the_radius():
    m = Lorentz(4.0)
    radii = m.dist0(sample_points(m, (10,), 3, 5.0)) * 2
    torch.testing.assert_close(radii, torch.linspace(0.5, 5.0, 10), rtol=1e-5, atol=1e-5)
    assert sample_points(Euclidean(), (2, 3), 4, 1.0).shape == (2, 3, 4)
