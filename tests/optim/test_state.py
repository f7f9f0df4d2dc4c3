"""What an optimiser remembers: checkpoints, copies, and points whose curvature moves."""

import copy

import pytest
import torch
from torch import nn

from crocuta.manifolds import Lorentz, Poincare, Product, PseudoHyperboloid
from crocuta.optim import RiemannianAdam, RiemannianSGD, parameter_groups
from crocuta.optim.tangents import tangents

OPTIMIZERS = [(RiemannianAdam, {"amsgrad": True}), (RiemannianSGD, {"momentum": 0.9})]
optimizers = pytest.mark.parametrize(("optimizer", "settings"), OPTIMIZERS, ids=["adam", "sgd"])


class Embedding(nn.Module):
    """Points and a flat layer; the loss pulls points together and the curvature with them."""

    on_manifold = {"weight": "manifold"}  # noqa: RUF012

    def __init__(self, manifold, count=12, n=4):
        super().__init__()
        self.manifold, self.linear = manifold, nn.Linear(n, 2)
        self.weight = nn.Parameter(manifold.random((count, n), generator=torch.Generator().manual_seed(0)))

    def loss(self):
        distance = self.manifold.dist(self.weight, self.weight.roll(1, 0))
        return (distance - 1).square().mean() + self.linear(
            self.manifold.logmap0(self.weight)
        ).square().mean()


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss().backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def build(optimizer, settings, manifold):
    torch.manual_seed(0)
    model = Embedding(manifold)
    return model, optimizer(parameter_groups(model, lr=0.01, curvature_lr=0.05, weight_decay=0.1), **settings)


@optimizers
def test_checkpoint_loads_without_trusting_it_and_resumes_exactly(optimizer, settings, tmp_path):
    model, opt = build(optimizer, settings, Lorentz(learnable=True))
    train(model, opt, 4)
    torch.save({"model": model.state_dict(), "optimizer": opt.state_dict()}, tmp_path / "checkpoint.pt")
    expected = train(model, opt, 4)

    model, opt = build(optimizer, settings, Lorentz(learnable=True))
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    model.load_state_dict(checkpoint["model"])
    opt.load_state_dict(checkpoint["optimizer"])
    for resumed, straight in zip(train(model, opt, 4), expected, strict=True):
        assert torch.equal(resumed, straight)


def test_state_of_points_is_as_wide_as_it_must_be():
    model, opt = build(RiemannianAdam, {}, Lorentz())
    train(model, opt, 1)
    assert {name: tuple(value.shape) for name, value in opt.state[model.weight].items()} == {
        "step": (),
        "exp_avg": (12, 5),
        "exp_avg_sq": (12, 1),
    }


@optimizers
def test_copy_keeps_points_on_their_manifold(optimizer, settings):
    model, opt = build(optimizer, settings, Lorentz())
    train(model, opt, 2)
    other_model, other = copy.deepcopy((model, opt))
    assert other.manifolds == {other_model.weight: other_model.manifold}
    for ours, theirs in zip(train(other_model, other, 3), train(model, opt, 3), strict=True):
        assert torch.equal(ours, theirs)


def learnable(name):
    if name == "product":
        return Product((Lorentz(2.0, learnable=True), 2), (Poincare(0.5, learnable=True), 2))
    return {"lorentz": Lorentz, "poincare": Poincare}[name](2.0, learnable=True)


@pytest.mark.parametrize("name", ["lorentz", "poincare", "product"])
@optimizers
def test_points_and_momentum_follow_a_moving_curvature(name, optimizer, settings):
    model, opt = build(optimizer, settings, learnable(name))
    before = [p.detach().clone() for p in model.manifold.parameters()]
    start = model.loss().item()
    train(model, opt, 30)
    assert all(not torch.equal(a, b) for a, b in zip(before, model.manifold.parameters(), strict=True))
    model.manifold.check(model.weight)
    momentum = tangents(model.manifold).coordinates(model.weight, opt.state[model.weight][opt.momentum])
    torch.testing.assert_close(momentum, model.manifold.project_tangent(model.weight, momentum))
    assert model.loss().item() < start


@pytest.mark.parametrize("manifold", [Poincare(1.0, True), PseudoHyperboloid((2, 3), 1.0, True)], ids=str)
@optimizers
def test_a_curvature_moved_by_someone_else_is_noticed_before_the_step(manifold, optimizer, settings):
    results = []
    for projected_by_hand in (False, True):
        model, opt = build(optimizer, settings, copy.deepcopy(manifold))
        train(model, opt, 2)
        with torch.no_grad():
            model.manifold.log_c += 2.0
            assert projected_by_hand or model.manifold.violation(model.weight).max().item() > 1e-2
            if projected_by_hand:
                model.weight.copy_(model.manifold.project(model.weight))
        model.manifold.log_c.grad = None
        opt.step()
        model.manifold.check(model.weight)
        results.append(model.weight.detach())
    torch.testing.assert_close(*results)


def test_shared_curvature_is_stepped_once():
    manifold = Lorentz(learnable=True)
    model = nn.ModuleList([Embedding(manifold), Embedding(manifold)])
    opt = RiemannianSGD(parameter_groups(model, lr=0.0, curvature_lr=0.1))
    sum(m.loss() for m in model).backward()
    expected = manifold.log_c.detach() - 0.1 * manifold.log_c.grad
    opt.step()
    torch.testing.assert_close(manifold.log_c.detach(), expected)
