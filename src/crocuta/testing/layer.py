"""The laws of a layer between manifolds."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from crocuta.manifolds import Euclidean, Manifold
from crocuta.testing.manifold import cloned, sample_points

_UNSET: Any = object()


def assert_layer(
    layer: nn.Module,
    manifold_in: Manifold | None = _UNSET,
    manifold_out: Manifold | None = _UNSET,
    in_features: int | None = None,
    *,
    lead: Sequence[int] = (2, 3),
    call: Callable[[nn.Module, Tensor], Tensor] | None = None,
    compile: bool = False,
    device: torch.device | str = "cpu",
) -> None:
    """Check every law of a layer that maps points of one manifold to points of another.

    Outputs lie on `manifold_out`, in float32; values and gradients are finite for points up to scaled radius
    10; gradients equal finite differences (in float64, evaluation mode); bfloat16 autocast yields no NaN and
    leaves points in float32; pickle and a safetensors round trip change nothing; deepcopy keeps shared
    manifolds shared.

    Args:
        manifold_in, manifold_out: where inputs and outputs live, `None` for Euclidean; by default the layer's
        own
            attributes of these names, or its `manifold`.
        in_features: intrinsic dimensions of the input; by default the layer's attribute.
        lead: the axes in front of the coordinates, e.g. (batch, length).
        call: how to call the layer on points of shape `(*lead, ambient)`, for layers with more arguments or
        another
            output; by default `layer(x)`.
        compile: also compare with `torch.compile(fullgraph=True)`, traced but not lowered to machine code.

    Raises:
        AssertionError: a law does not hold; says which and by how much.
        ValueError: the layer does not tell its manifolds or features and neither did the caller.
    """
    case = _Case(layer, manifold_in, manifold_out, in_features, lead, call, device)
    _membership(case)
    _gradients(case)
    _finite_differences(case)
    _autocast(case)
    _reload(case)
    _sharing(case)
    if compile:
        _compiled(case)


class _Case:
    """A layer with what it takes to call it; the layer is copied, so that laws leave the caller's alone."""

    def __init__(self, layer, manifold_in, manifold_out, in_features, lead, call, device):
        default = getattr(layer, "manifold", None)
        if manifold_in is _UNSET:
            manifold_in = getattr(layer, "manifold_in", default)
        if manifold_out is _UNSET:
            manifold_out = getattr(layer, "manifold_out", default)
        features = in_features if in_features is not None else getattr(layer, "in_features", None)
        if features is None and manifold_in is not None:
            features = manifold_in.dimension
        if features is None:
            name = type(layer).__name__
            raise ValueError(f"in_features must be given: {name} has no attribute of that name")
        flat = Euclidean()
        parts = copy.deepcopy(
            (layer, manifold_in or flat, manifold_out or flat)
        )  # one copy: sharing survives
        self.layer: nn.Module = parts[0].to(device)
        self.manifold_in: Manifold = parts[1].to(device)
        self.manifold_out: Manifold = parts[2].to(device)
        self.features, self.lead, self.device = int(features), tuple(lead), device
        self.call = call or (lambda module, x: module(x))

    def points(self, radius: float, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
        return sample_points(self.manifold_in, self.lead, self.features, radius, dtype, self.device, seed)

    def __call__(self, x: Tensor, layer: nn.Module | None = None) -> Tensor:
        return self.call(layer if layer is not None else self.layer, x)

    def evaluation(self, dtype: torch.dtype = torch.float32) -> _Case:
        """A copy in evaluation mode."""
        case = copy.copy(self)
        parts = copy.deepcopy((self.layer, self.manifold_in, self.manifold_out))
        case.layer = parts[0].to(dtype).eval()
        case.manifold_in, case.manifold_out = parts[1].to(dtype), parts[2].to(dtype)
        return case


def _membership(case: _Case) -> None:
    for radius in (1.0, 5.0, 10.0):
        out = case(case.points(radius))
        assert torch.isfinite(out).all(), f"output is not finite for points up to scaled radius {radius:g}"
        assert out.dtype == torch.float32, f"float32 points became {out.dtype}"
        worst = case.manifold_out.violation(out).max().item()
        assert worst <= 1e-5, f"output is off {case.manifold_out} by {worst:.3g} at scaled radius {radius:g}"
    wide = case.evaluation(torch.float64)
    assert wide(wide.points(1.0, torch.float64)).dtype == torch.float64, "float64 points do not stay float64"


def _gradients(case: _Case) -> None:
    for radius in (1.0, 10.0):
        case.layer.zero_grad()
        s = case.manifold_in.logmap0(case.points(radius)).detach().requires_grad_()
        out = case(case.manifold_in.expmap0(s))
        (out / out.detach().abs().clamp_min(1.0)).sum().backward()  # a loss of order 1
        named: dict[str, Tensor] = {"the input": s, **dict(case.layer.named_parameters())}
        for name, tensor in named.items():
            if tensor.grad is not None:
                finite = torch.isfinite(tensor.grad).all()
                assert finite, f"gradient of {name} is not finite for points up to scaled radius {radius:g}"
        assert s.grad is not None, "the output does not depend on the input"


def _finite_differences(case: _Case) -> None:
    """Derivative along one random direction per tensor, in float64, against a central difference."""
    case = case.evaluation(torch.float64)
    s = case.manifold_in.logmap0(case.points(1.0, torch.float64)).detach().requires_grad_()
    generator = torch.Generator().manual_seed(1)
    shape = case(case.manifold_in.expmap0(s)).shape
    weight = torch.randn(shape, generator=generator, dtype=torch.float64).to(case.device)

    def value() -> Tensor:
        return (weight * case(case.manifold_in.expmap0(s))).sum()

    named: dict[str, Tensor] = {name: p for name, p in case.layer.named_parameters() if p.requires_grad}
    named["the input"] = s
    gradients = torch.autograd.grad(value(), list(named.values()), allow_unused=True)
    for (name, tensor), gradient in zip(named.items(), gradients, strict=True):
        if gradient is None:
            continue
        direction = torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(case.device)
        analytic = (gradient * direction).sum().item()
        numeric = _central_difference(value, tensor, direction)
        limit = 1e-5 * max(1.0, abs(numeric), gradient.norm().item())
        assert abs(analytic - numeric) <= limit, (
            f"gradient of {name} along a direction is {analytic:.8g}, finite differences give {numeric:.8g}"
        )


@torch.no_grad()
def _central_difference(value: Callable[[], Tensor], tensor: Tensor, direction: Tensor) -> float:
    ends = []
    before = tensor.detach().clone()
    for step in (1e-6, -1e-6):
        tensor.copy_(before + step * direction)
        ends.append(value().item())
    tensor.copy_(before)
    return (ends[0] - ends[1]) / 2e-6


def _autocast(case: _Case) -> None:
    device = torch.device(case.device).type
    for radius in (1.0, 10.0):
        with torch.autocast(device, dtype=torch.bfloat16):
            out = case(case.points(radius))
        assert torch.isfinite(out).all(), f"bfloat16 autocast gives NaN at scaled radius {radius:g}"
        if not isinstance(case.manifold_out, Euclidean):
            assert out.dtype == torch.float32, f"bfloat16 autocast turns points into {out.dtype}"
            worst = case.manifold_out.violation(out).max().item()
            assert worst <= 1e-5, f"bfloat16 autocast puts points off the manifold by {worst:.3g}"


def _reload(case: _Case) -> None:
    case = case.evaluation()
    x = case.points(1.0)
    expected = case(x)
    assert torch.equal(case(x, pickle.loads(pickle.dumps(case.layer))), expected), "pickle changes the output"
    other = copy.deepcopy(case.layer)
    for tensor in _state(other):
        tensor.data.add_(1)
    other.load_state_dict(load(save(cloned(case.layer.state_dict()))))
    assert torch.equal(case(x, other), expected), "a safetensors round trip changes the output"


def _state(layer: nn.Module) -> Iterator[Tensor]:
    """Every parameter and buffer that a state dict holds, once each."""
    seen = set()
    for tensor in layer.state_dict(keep_vars=True).values():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield tensor


def _sharing(case: _Case) -> None:
    before = [m for m in case.layer.modules() if isinstance(m, Manifold)]
    twin, manifold_in = copy.deepcopy((case.layer, case.manifold_in))
    after = [m for m in twin.modules() if isinstance(m, Manifold)]
    assert len(before) == len(after), "deepcopy gives users of a shared manifold their own"
    if case.manifold_in in before:
        assert manifold_in in after, "deepcopy separates a layer from the manifold that it shares"


def _compiled(case: _Case) -> None:
    case = case.evaluation()

    def run(s: Tensor) -> Tensor:
        return case(case.manifold_in.expmap0(s))

    s = case.manifold_in.logmap0(case.points(2.0)).detach().requires_grad_()
    with warnings.catch_warnings():
        # torch's tracer instantiates autograd functions, which torch deprecates
        warnings.filterwarnings("ignore", "(?s).*should not be instantiated", DeprecationWarning)
        out, expected = torch.compile(run, fullgraph=True, backend="aot_eager")(s), run(s)
    error = ((out - expected).abs() / expected.abs().clamp_min(1.0)).max().item()
    assert error <= 1e-4, f"torch.compile changes the output by {error:.3g}"
    out.sum().backward()
    assert s.grad is not None, "the compiled layer has no gradient"
    assert torch.isfinite(s.grad).all(), "the compiled layer's gradient is not finite"
