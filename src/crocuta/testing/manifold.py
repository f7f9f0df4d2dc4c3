"""The laws of a manifold."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence

import torch
from safetensors.torch import load, save
from torch import Tensor

from crocuta.manifolds import Manifold, Product

_TOLERANCE = {torch.float32: 3e-4, torch.float64: 1e-9}  # relative, at scaled radii up to about 3


def assert_manifold(
    manifold: Manifold, dtype: torch.dtype = torch.float32, *, n: int = 5, device: torch.device | str = "cpu"
) -> None:
    """Check every law of the `Manifold` contract.

    Membership; inverse maps; isometry of transport; Riemannian gradients; exactly zero self-distance with
    zero gradient; triangle inequality; gradients equal to finite differences; Riemannian gradient descent
    reaching the centroid; dtype and device kept; float32 under autocast; pickle, safetensors and deepcopy;
    errors for bad points.

    Args:
        n: intrinsic dimensions to test in, unless the manifold fixes them.

    Raises:
        AssertionError: a law does not hold; says which and by how much.
    """
    n = manifold.dimension or n
    manifold = copy.deepcopy(manifold).to(device)
    points = [sample_points(manifold, (6,), n, radius, dtype, device, seed=seed) for seed, radius in _SPREAD]
    for law in (_membership, _inverse_maps, _transport, _self_distance, _finite_far_out, _kept):
        law(manifold, n, *points)
    if manifold.riemannian:
        _triangle(manifold, n, *points)
        _descent(manifold, n, *points)
    _gradient(manifold, n, *points)
    _finite_differences(manifold, n, device)
    _autocast(manifold, n, *points)
    _persistence(manifold, points[0])
    _bad_points(manifold, points[0])


_SPREAD = ((0, 1.0), (1, 2.0), (2, 3.0))  # seed and largest scaled radius of each batch of points


def sample_points(
    manifold: Manifold,
    lead: Sequence[int],
    n: int,
    radius: float,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Tensor:
    """Points `(*lead, ambient(n))` in random directions at scaled radii spread evenly up to `radius`."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(*lead, n, generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    lengths = torch.linspace(radius / directions[..., 0].numel(), radius, directions[..., 0].numel())
    if not manifold.riemannian:
        lengths = lengths / (2 * radius)  # pairs that a geodesic joins
    s = directions * lengths.double().reshape(*lead, 1) / (manifold.scale0 * _root(manifold))
    return manifold.expmap0(s.to(dtype=dtype, device=device)).detach()


def _root(manifold: Manifold) -> float:
    """Square root of the largest curvature in the manifold, 1 where all is flat."""
    parts = [m for m in manifold.modules() if isinstance(m, Manifold) and not isinstance(m, Product)]
    return max(float(torch.as_tensor(m.c).detach()) for m in parts) ** 0.5 or 1.0


def _assert_close(actual: Tensor, expected: Tensor, law: str, scale: float = 1.0) -> None:
    """Largest difference within the dtype's tolerance, relative to `expected`'s size (or 1)."""
    assert torch.isfinite(actual).all(), f"{law}: not finite"
    error = (actual - expected).abs().max() / expected.abs().max().clamp_min(1e-3)
    limit = scale * _TOLERANCE[actual.dtype]
    assert error <= limit, f"{law}: relative error {error.item():.3g}, allowed {limit:.3g}"


def _membership(m: Manifold, n: int, x: Tensor, y: Tensor, z: Tensor) -> None:
    u = m.logmap(x, y)
    limit = 100 * torch.finfo(x.dtype).eps
    produced = {
        "expmap0": x,
        "expmap": m.expmap(x, u),
        "retract": m.retract(x, 0.1 * u),
        "project": m.project(x + 1e-3 * z),
        "centroid": m.centroid(torch.stack([x, y, z], dim=-2)),
        "origin": m.origin(n, dtype=x.dtype, device=x.device),
        "random": m.random((6, n), dtype=x.dtype, device=x.device, std=0.3),
    }
    for name, point in produced.items():
        assert point.shape[-1] == m.ambient(n), f"{name}: {point.shape[-1]} coordinates, not {m.ambient(n)}"
        worst = m.violation(point).max().item()
        assert worst <= limit, f"{name} leaves the manifold by {worst:.3g}, allowed {limit:.3g}"
    _assert_close(m.project(x), x, "project moves a point of the manifold")


def _inverse_maps(m: Manifold, n: int, x: Tensor, y: Tensor, z: Tensor) -> None:
    _assert_close(m.dist(x, y), m.dist(y, x), "dist is not symmetric")
    s = m.logmap0(x)
    _assert_close(m.logmap0(m.expmap0(s)), s, "logmap0(expmap0(s)) is not s")
    _assert_close(m.expmap(x, m.logmap(x, y)), y, "expmap(x, logmap(x, y)) is not y")
    u = m.logmap(x, y)
    length = m.inner(x, u, u).abs().sqrt()
    _assert_close(m.dist(x, y), length, "dist(x, y) is not the length of logmap(x, y)")
    _assert_close(m.cdist(x, y), m.dist(x[:, None], y), "cdist(x, y) is not dist of every pair")
    if m.riemannian:
        v = m.normal_coordinates(x, y)
        length = m.dist0(m.expmap0(v))
        _assert_close(m.dist(x, y), length, "dist(x, y) is not the length of normal_coordinates(x, y)")
        _assert_close(m.from_normal_coordinates(x, v), y, "from_normal_coordinates(x, v) is not y")
        carried = m.from_normal_coordinates(x, v / 2)
        _assert_close(carried, m.expmap(x, u / 2), "normal_coordinates do not lie along geodesics")
    origin = m.origin(n, dtype=x.dtype, device=x.device)
    _assert_close(m.dist0(x), m.dist(origin, x), "dist0(x) is not dist(origin, x)")


def _transport(m: Manifold, n: int, x: Tensor, y: Tensor, z: Tensor) -> None:
    u, v = m.logmap(x, y), m.logmap(x, z)
    moved_u, moved_v = m.transport(x, y, u), m.transport(x, y, v)
    _assert_close(m.inner(y, moved_u, moved_v), m.inner(x, u, v), "transport is no isometry")
    _assert_close(moved_u, -m.logmap(y, x), "transport does not carry a geodesic's velocity along it")
    _assert_close(m.transport(y, x, moved_v), v, "transport there and back is not the identity")
    _assert_close(m.project_tangent(y, moved_v), moved_v, "transport's result is not tangent")


def _gradient(m: Manifold, n: int, x: Tensor, y: Tensor, z: Tensor) -> None:
    """The Riemannian gradient of a function whose Euclidean gradient is z: z's values on tangents, by the metric."""
    gradient, u = m.egrad2rgrad(x, z), m.logmap(x, y)
    _assert_close(m.project_tangent(x, gradient), gradient, "egrad2rgrad's result is not tangent")
    _assert_close(m.inner(x, gradient, u), (z * u).sum(-1), "egrad2rgrad(x, g) is not g along a tangent")


def _self_distance(m: Manifold, n: int, x: Tensor, y: Tensor, z: Tensor) -> None:
    x = x.clone().requires_grad_()
    distance = m.dist(x, x.detach().clone())
    assert (distance == 0).all(), f"dist(x, x) is {distance.abs().max().item():.3g}, not 0"
    (gradient,) = torch.autograd.grad(distance.sum(), x)
    assert (gradient == 0).all(), f"gradient of dist(x, x) is up to {gradient.abs().max().item():.3g}, not 0"


def _triangle(m: Manifold, n: int, x: Tensor, y: Tensor, z: Tensor) -> None:
    direct, detour = m.dist(x, z), m.dist(x, y) + m.dist(y, z)
    slack = _TOLERANCE[x.dtype] * detour
    excess = (direct - detour - slack).max().item()
    assert excess <= 0, f"triangle inequality broken by {excess:.3g}"
    assert (m.dist(x, y) > 0).all(), "distinct points at distance 0"


def _finite_far_out(m: Manifold, n: int, x: Tensor, y: Tensor, z: Tensor) -> None:
    """Values and gradients at the largest scaled radius that the manifold promises."""
    s = (m.logmap0(torch.stack([x, y])) * m.reach / 3).requires_grad_()
    far, near = m.expmap0(s)
    u = m.logmap(far, near)
    results = {
        "expmap0": far,
        "logmap0": m.logmap0(far),
        "dist": m.dist(far, near),
        "dist0": m.dist0(far),
        "logmap": u,
        "expmap": m.expmap(far, 0.1 * u),
        "transport": m.transport(far, near, u),
        "inner": m.inner(far, u, u),
        "centroid": m.centroid(torch.stack([far, near], dim=-2)),
    }
    for name, value in results.items():
        assert torch.isfinite(value).all(), f"{name} is not finite at scaled radius {m.reach}"
        weight = 1 / value.detach().abs().clamp_min(1.0)  # a loss of order 1
        (gradient,) = torch.autograd.grad((value * weight).sum(), s, retain_graph=True)
        assert torch.isfinite(gradient).all(), f"gradient of {name} is not finite at scaled radius {m.reach}"


def _kept(m: Manifold, n: int, x: Tensor, y: Tensor, z: Tensor) -> None:
    u = m.logmap(x, y)
    results = {
        "expmap0": m.expmap0(m.logmap0(x)),
        "logmap": u,
        "expmap": m.expmap(x, u),
        "transport": m.transport(x, y, u),
        "inner": m.inner(x, u, u),
        "dist": m.dist(x, y),
        "centroid": m.centroid(x, torch.ones_like(x[..., 0])),
        "egrad2rgrad": m.egrad2rgrad(x, u),
        "retract": m.retract(x, u),
    }
    for name, value in results.items():
        assert value.dtype == x.dtype, f"{name} turned {x.dtype} into {value.dtype}"
        assert value.device == x.device, f"{name} moved {x.device} to {value.device}"


def _descent(m: Manifold, n: int, x: Tensor, y: Tensor, z: Tensor) -> None:
    """Riemannian gradient descent on the sum of squared distances to two points ends at their midpoint."""
    a, b = x[:1].double(), y[:1].double()
    point = m.project(z[:1].double())
    for _ in range(60):
        point = point.detach().requires_grad_()
        loss = (m.dist(point, m.project(a)).square() + m.dist(point, m.project(b)).square()).sum() / 2
        (gradient,) = torch.autograd.grad(loss, point)
        point = m.expmap(point, -0.3 * m.egrad2rgrad(point, gradient))
    middle = m.centroid(torch.stack([m.project(a), m.project(b)], dim=-2))
    gap = m.dist(point, middle).max().item()
    size = m.dist(m.project(a), m.project(b)).max().item()
    assert gap <= 1e-5 * size, f"descent ends {gap / size:.3g} of the distance away from the midpoint"


def _finite_differences(manifold: Manifold, n: int, device) -> None:
    """First derivatives of every map, in float64, against central differences; the curvature's too."""
    m = copy.deepcopy(manifold).double()
    x, y = (sample_points(m, (3,), n, r, torch.float64, device, seed=r) for r in (1, 2))
    s, t = m.logmap0(x).requires_grad_(), m.logmap0(y).requires_grad_()

    def everything(s, t):
        x, y = m.expmap0(s), m.expmap0(t)
        u = m.logmap(x, y)
        moved = m.transport(x, y, u)
        mean = m.centroid(torch.stack([x, y], dim=-2))
        return (
            m.dist(x, y),
            u,
            m.expmap(x, 0.5 * u),
            moved,
            m.inner(x, u, u),
            mean,
            m.logmap0(m.retract(x, u)),
        )

    assert torch.autograd.gradcheck(everything, (s, t), atol=1e-6, rtol=1e-5, raise_exception=True)
    for parameter in m.parameters():
        _check_curvature(everything, parameter, s.detach(), t.detach())


def _check_curvature(everything: Callable, parameter: Tensor, s: Tensor, t: Tensor) -> None:
    def value() -> Tensor:
        return torch.stack([part.sin().sum() for part in everything(s, t)]).sum()

    (gradient,) = torch.autograd.grad(value(), parameter)
    with torch.no_grad():
        ends = []
        for step in (1e-5, -1e-5):
            parameter.add_(step)
            ends.append(value())
            parameter.sub_(step)
    expected = (ends[0] - ends[1]) / 2e-5
    error = (gradient - expected).abs().item()
    assert error <= 1e-6 * max(1.0, expected.abs().item()), (
        f"gradient of the curvature is {gradient.item():.6g}, finite differences give {expected.item():.6g}"
    )


def _autocast(m: Manifold, n: int, x: Tensor, y: Tensor, z: Tensor) -> None:
    if x.dtype != torch.float32:
        return
    s = m.logmap0(x)
    plain = (m.expmap0(s), m.dist(x, y), m.centroid(x), m.expmap(x, m.logmap(x, y)))
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        fenced = (m.expmap0(s), m.dist(x, y), m.centroid(x), m.expmap(x, m.logmap(x, y)))
        half = m.expmap0(s.bfloat16())
    for before, after in zip(plain, fenced, strict=True):
        assert after.dtype == torch.float32, f"autocast turned geometry into {after.dtype}"
        assert torch.equal(before, after), "autocast changed a value of the geometry"
    assert half.dtype == torch.float32, f"a bfloat16 vector became a {half.dtype} point"


def _persistence(manifold: Manifold, x: Tensor) -> None:
    expected = manifold.dist0(x)
    holder = [manifold, manifold]
    assert torch.equal(pickle.loads(pickle.dumps(manifold)).dist0(x), expected), "pickle changes distances"
    twin = copy.deepcopy(holder)
    assert twin[0] is twin[1], "deepcopy gives each user of a shared manifold its own"
    learnable = dict(manifold.named_parameters())
    assert set(manifold.state_dict()) == set(learnable), "the state dict holds more than learnable curvatures"
    restored = twin[0]
    for parameter in restored.parameters():
        parameter.data += 0.1
    if learnable:
        restored.load_state_dict(load(save(cloned(manifold.state_dict()))))
    assert torch.equal(restored.dist0(x), expected), "a safetensors round trip changes distances"


def _bad_points(manifold: Manifold, x: Tensor) -> None:
    manifold.check(x)
    for value in (float("nan"), float("inf")):
        bad = x.clone()
        bad[0, 0] = value
        message = ""
        try:
            manifold.check(bad, name="points")
        except ValueError as error:
            message = str(error)
        assert message, f"check accepts a coordinate of {value}"
        assert "points" in message, f"check's error does not name the argument: {message}"
        assert str(value) in message, f"check's error does not name the value: {message}"


def cloned(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Shared tensors under several names, as safetensors wants them: one copy each."""
    return {name: tensor.clone().contiguous() for name, tensor in state.items()}
