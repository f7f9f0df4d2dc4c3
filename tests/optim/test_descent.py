"""The updates themselves: torch's on flat parameters, geodesic ones on points."""

import pytest
import torch
from torch import nn

from crocuta.manifolds import Euclidean, Lorentz, Poincare, Product, PseudoHyperboloid
from crocuta.optim import RiemannianAdam, RiemannianSGD, base
from crocuta.optim.tangents import tangents

MANIFOLDS = [
    Lorentz(0.1),
    Lorentz(1.0),
    Lorentz(4.0),
    Poincare(1.0),
    Poincare(4.0),
    Product((Lorentz(1.0), 2), (Poincare(0.5), 2), (Euclidean(), 1)),
]
N = 5
OPTIMIZERS = [
    (RiemannianSGD, {"lr": 0.05}),
    (RiemannianSGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    (RiemannianAdam, {"lr": 0.1, "betas": (0.9, 0.95)}),
    (RiemannianAdam, {"lr": 0.5, "amsgrad": True}),
]
optimizers = pytest.mark.parametrize(
    ("optimizer", "settings"), OPTIMIZERS, ids=["sgd", "nesterov", "adam", "amsgrad"]
)
manifolds = pytest.mark.parametrize("manifold", MANIFOLDS, ids=lambda m: str(m).split("\n")[0])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random(manifold, count=7, std=1.0, dtype=torch.float64):
    return manifold.random((count, N), std=std, dtype=dtype)


def network():
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 2))


def train(model, optimizer, steps=6):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(16, 4, generator=generator)).square().mean().backward()
        optimizer.step()
    return torch.cat([p.flatten() for p in model.parameters()])


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (RiemannianAdam, torch.optim.AdamW, {"weight_decay": 0.1}),
        (RiemannianAdam, torch.optim.AdamW, {"weight_decay": 0.1, "amsgrad": True, "betas": (0.8, 0.9)}),
        (RiemannianAdam, torch.optim.AdamW, {"weight_decay": 0.0, "maximize": True}),
        (RiemannianSGD, torch.optim.SGD, {"weight_decay": 0.1}),
        (RiemannianSGD, torch.optim.SGD, {"momentum": 0.9, "dampening": 0.5}),
        (RiemannianSGD, torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ],
)
def test_flat_parameters_take_torchs_update(ours, theirs, settings, foreach):
    torch.manual_seed(2)
    a = network()
    torch.manual_seed(2)
    b = network()
    trained = train(a, ours(a.parameters(), lr=0.05, foreach=foreach, **settings))
    assert torch.equal(trained, train(b, theirs(b.parameters(), lr=0.05, foreach=foreach, **settings)))


def test_points_of_flat_space_take_torchs_update():
    x = nn.Parameter(torch.randn(3, N))
    y = nn.Parameter(x.detach().clone())
    x.grad = y.grad = torch.randn(3, N)
    RiemannianAdam([x], placement={x: Euclidean()}, lr=0.1).step()
    torch.optim.AdamW([y], lr=0.1, weight_decay=0.0).step()
    assert torch.equal(x, y)


@manifolds
def test_sgd_step_is_the_exponential_map_of_the_gradient(manifold):
    x, target = nn.Parameter(random(manifold)), random(manifold)
    manifold.dist(x, target).square().sum().backward()
    expected = manifold.expmap(x, -0.1 * manifold.egrad2rgrad(x, x.grad)).detach()
    RiemannianSGD([{"params": [x], "manifold": manifold}], lr=0.1).step()
    torch.testing.assert_close(x.detach(), expected)


@pytest.mark.parametrize(("dampening", "nesterov"), [(0.0, False), (0.5, False), (0.0, True)])
def test_nearly_flat_points_follow_torchs_sgd(dampening, nesterov):
    settings = {"lr": 0.1, "momentum": 0.9, "dampening": dampening, "nesterov": nesterov}
    flat = nn.Parameter(torch.randn(3, N, dtype=torch.float64))
    manifold = Lorentz(c=1e-10)
    x = nn.Parameter(manifold.lift(flat.detach()))
    ours = RiemannianSGD([{"params": [x], "manifold": manifold}], **settings)
    theirs = torch.optim.SGD([flat], **settings)
    for _ in range(4):
        flat.grad = torch.randn_like(flat)
        x.grad = nn.functional.pad(flat.grad, (1, 0))
        ours.step()
        theirs.step()
    torch.testing.assert_close(x[..., 1:], flat, rtol=1e-7, atol=1e-7)


@manifolds
def test_adams_first_step_has_length_lr_down_the_gradient(manifold):
    start, target = random(manifold), random(manifold)
    x = nn.Parameter(start.clone())
    manifold.dist(x, target).sum().backward()
    RiemannianAdam([{"params": [x], "manifold": manifold}], lr=0.01).step()
    torch.testing.assert_close(
        manifold.dist(start, x), torch.full((7,), 0.01, dtype=torch.float64), rtol=1e-5, atol=0
    )
    closer = manifold.dist(start, target) - manifold.dist(x, target)
    torch.testing.assert_close(
        closer.detach(), torch.full((7,), 0.01, dtype=torch.float64), rtol=1e-5, atol=0
    )


@manifolds
@optimizers
def test_momentum_is_carried_in_parallel(manifold, optimizer, settings):
    start, target, form = random(manifold), random(manifold), tangents(manifold)
    x = nn.Parameter(start.clone())
    if optimizer is RiemannianSGD:
        settings = {"momentum": 0.9} | settings
    opt = optimizer([{"params": [x], "manifold": manifold}], **settings)
    manifold.dist(x, target).square().sum().backward()
    g = form.gradient(start, x.grad) * (1.0 if optimizer is RiemannianSGD else 0.1)
    opt.step()
    m = opt.state[x][opt.momentum]
    torch.testing.assert_close(form.square(x, m).detach(), form.square(start, g))
    expected = manifold.transport(start, x, form.coordinates(start, g))
    torch.testing.assert_close(form.coordinates(x, m).detach(), expected.detach())


def pairs() -> list:
    """Every manifold with the plain optimisers; with the variants, by day, one of a curvature of 1 and the product."""
    return [
        pytest.param(m, *o, marks=[pytest.mark.slow] if i % 2 and j in (0, 2, 4) else [], id=f"{i}-{j}")
        for i, o in enumerate(OPTIMIZERS)
        for j, m in enumerate(MANIFOLDS)
    ]


@pytest.mark.parametrize(("manifold", "optimizer", "settings"), pairs())
def test_descent_reaches_the_midpoint(manifold, optimizer, settings):
    y, z = random(manifold, std=0.5), random(manifold, std=0.5)
    midpoint = manifold.expmap(y, manifold.logmap(y, z) / 2)
    x = nn.Parameter(random(manifold, std=0.5))
    opt = optimizer([{"params": [x], "manifold": manifold}], **settings)
    schedule = torch.optim.lr_scheduler.ExponentialLR(opt, 0.98)
    for _ in range(300):
        opt.zero_grad()
        (manifold.dist(x, y).square() + manifold.dist(x, z).square()).sum().backward()
        opt.step()
        schedule.step()
    assert manifold.dist(x, midpoint).max().item() < 1e-3
    assert manifold.violation(x).max().item() < 1e-12


@manifolds
def test_walk_is_the_manifolds_own_exponential_map_and_transport(manifold):
    form, x = tangents(manifold), random(manifold)
    u, v = (form.gradient(x, torch.randn_like(x)) for _ in range(2))
    u = u / form.square(x, u).sqrt()
    u[0] = 0
    end, carried = form.walk(x, u, v)
    u, v, carried = form.coordinates(x, u), form.coordinates(x, v), form.coordinates(end, carried)
    assert manifold.dist(end, manifold.expmap(x, u)).max().item() < 1e-6
    scale = carried.abs().amax(-1, keepdim=True)
    torch.testing.assert_close(carried / scale, manifold.transport(x, end, v) / scale, rtol=1e-6, atol=1e-6)


@manifolds
def test_tangents_agree_with_the_manifold(manifold):
    form, x = tangents(manifold), random(manifold)
    g = torch.randn_like(x)
    u, expected = form.gradient(x, g), manifold.egrad2rgrad(x, g)
    torch.testing.assert_close(form.coordinates(x, u), expected)
    torch.testing.assert_close(form.square(x, u).squeeze(-1), manifold.inner(x, expected, expected))
    home = manifold.expmap(x, form.coordinates(x, form.to_origin(x)))
    assert manifold.dist0(home).max().item() < 1e-9


@pytest.mark.parametrize("radius", [5.0, 10.0, 20.0, 35.0])
@optimizers
def test_far_points_in_float32_stay_finite_and_on_the_manifold(optimizer, settings, radius):
    manifold = Lorentz()
    direction = nn.functional.normalize(torch.randn(32, N), dim=-1)
    x, y = nn.Parameter(manifold.expmap0(radius * direction)), manifold.expmap0(radius * direction.flip(0))
    opt = optimizer([{"params": [x], "manifold": manifold}], **settings)
    before = manifold.dist(x, y).sum().item()
    for _ in range(20):
        opt.zero_grad()
        manifold.dist(x, y).sum().backward()
        opt.step()
    manifold.check(x)
    assert manifold.dist(x, y).sum() < before


def test_an_exploding_gradient_stops_at_the_radius_that_float32_holds():
    m = Lorentz(c=4.0)
    x = nn.Parameter(m.random((8, N)))
    opt = RiemannianSGD([{"params": [x], "manifold": m}], lr=1.0, momentum=0.9)
    for _ in range(5):
        x.grad = 1e6 * torch.randn_like(x)
        opt.step()
        m.check(x)
        assert 2 * m.dist0(x).max().item() <= 40.001


@manifolds
@pytest.mark.parametrize("optimizer", [RiemannianSGD, RiemannianAdam])
def test_weight_decay_draws_points_to_the_origin(manifold, optimizer):
    x = nn.Parameter(random(manifold))
    x.grad = torch.zeros_like(x)
    expected = manifold.expmap0(0.98 * manifold.logmap0(x)).detach()
    optimizer([{"params": [x], "manifold": manifold}], lr=0.1, weight_decay=0.2).step()
    torch.testing.assert_close(x.detach(), expected)


def test_amsgrad_remembers_the_largest_gradient():
    steps = {}
    for amsgrad in (False, True):
        m = Lorentz()
        x = nn.Parameter(m.origin(N, dtype=torch.float64).expand(1, -1).clone())
        opt = RiemannianAdam([{"params": [x], "manifold": m}], lr=0.1, betas=(0.0, 0.5), amsgrad=amsgrad)
        for size in (1e3, *[1.0] * 20):
            before = x.detach().clone()
            x.grad = torch.zeros_like(x)
            x.grad[0, 1] = size
            opt.step()
        steps[amsgrad] = m.dist(before, x).item()
    assert steps[True] < 2e-4 < 0.05 < steps[False]


def test_maximize_climbs():
    m = Lorentz()
    x, y = nn.Parameter(random(m)), random(m)
    for optimizer in (RiemannianSGD, RiemannianAdam):
        before = m.dist(x, y).sum()
        x.grad = torch.autograd.grad(before, x)[0]
        optimizer([{"params": [x], "manifold": m}], lr=0.01, maximize=True).step()
        assert m.dist(x, y).sum() > before


@optimizers
def test_sparse_gradient_moves_only_its_rows(optimizer, settings):
    m, index = Lorentz(), torch.tensor([4, 1, 4])
    start, target, moved = random(m), random(m, count=3), []
    for sparse in (False, True):
        x = nn.Parameter(start.clone())
        m.dist(nn.functional.embedding(index, x, sparse=sparse), target).sum().backward()
        optimizer([{"params": [x], "manifold": m}], **settings).step()
        moved.append(x.detach())
    torch.testing.assert_close(moved[1], moved[0])
    assert torch.equal(moved[1][[0, 2, 3, 5, 6]], start[[0, 2, 3, 5, 6]])
    assert not torch.isclose(moved[1][[1, 4]], start[[1, 4]]).all(-1).any()


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 4)])
def test_points_of_any_shape(shape):
    m = Lorentz()
    x = nn.Parameter(m.random((*shape, N)))
    x.grad = torch.ones_like(x)
    start = x.detach().clone()
    RiemannianAdam([{"params": [x], "manifold": m}], lr=0.1).step()
    torch.testing.assert_close(m.dist(start, x).detach(), torch.full(shape, 0.1))


def test_blocks_do_not_change_the_result(monkeypatch):
    m, results = Lorentz(), []
    start, grad = random(m, count=50), torch.randn(50, N + 1, dtype=torch.float64)
    for size in (2**17, 16):
        monkeypatch.setattr(base, "BLOCK", size)
        x = nn.Parameter(start.clone())
        opt = RiemannianAdam([{"params": [x], "manifold": m}], lr=0.1)
        for _ in range(3):
            x.grad = grad
            opt.step()
        results.append(x.detach())
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


def test_indefinite_metric_takes_finite_steps():
    m = PseudoHyperboloid((2, 4))
    x = nn.Parameter(m.random((8, N), std=0.5))
    opt = RiemannianAdam([{"params": [x], "manifold": m}], lr=0.01)
    for _ in range(20):
        x.grad = torch.randn_like(x)
        opt.step()
    assert torch.isfinite(x).all()
    assert m.violation(x).max() < 1e-5


def test_model_as_argument_finds_points_and_groups():
    class Both(nn.Module):
        on_manifold = {"points": "manifold"}  # noqa: RUF012

        def __init__(self):
            super().__init__()
            self.manifold, self.linear = Lorentz(), nn.Linear(2, 2)
            self.points = nn.Parameter(self.manifold.random((3, N)))

    model = Both()
    opt = RiemannianAdam(model, lr=0.1, weight_decay=0.3)
    assert opt.manifolds == {model.points: model.manifold}
    assert {g["name"]: g["weight_decay"] for g in opt.param_groups} == {
        "points": 0.0,
        "decay": 0.3,
        "no_decay": 0.0,
    }


def test_closure_is_evaluated_with_gradients():
    m = Lorentz()
    x, y = nn.Parameter(random(m)), random(m)
    opt = RiemannianSGD([{"params": [x], "manifold": m}], lr=0.1)

    def closure():
        opt.zero_grad()
        loss = m.dist(x, y).sum()
        loss.backward()
        return loss

    assert opt.step(closure) > m.dist(x, y).sum()


def test_step_hooks_run_once():
    x, calls = nn.Parameter(torch.ones(2)), []
    torch.optim.AdamW([x])  # patches AdamW.step with hooks of its own
    opt = RiemannianAdam([x])
    opt.register_step_post_hook(lambda *_: calls.append(1))
    x.grad = torch.ones(2)
    opt.step()
    assert calls == [1]


@pytest.mark.parametrize(
    ("optimizer", "settings", "message"),
    [
        (RiemannianAdam, {"lr": -1.0}, "lr must be a non-negative number, got -1.0"),
        (RiemannianAdam, {"weight_decay": float("nan")}, "weight_decay must be"),
        (RiemannianAdam, {"betas": (0.9, 1.0)}, r"betas must be two numbers in \[0, 1\), got \(0.9, 1.0\)"),
        (RiemannianAdam, {"eps": -1e-8}, "eps must be"),
        (
            RiemannianAdam,
            {"placement": {nn.Parameter(torch.ones(2)): "Lorentz"}},
            "manifold must be a crocuta",
        ),
        (RiemannianSGD, {"momentum": -0.5}, "momentum must be"),
        (RiemannianSGD, {"nesterov": True}, "nesterov needs momentum > 0"),
    ],
)
def test_bad_settings_name_the_argument(optimizer, settings, message):
    with pytest.raises(ValueError, match=message):
        optimizer([nn.Parameter(torch.ones(2))], **settings)
