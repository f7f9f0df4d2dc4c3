"""Riemannian stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from crocuta.manifolds import Manifold
from crocuta.manifolds.numerics import widen
from crocuta.optim.base import RiemannianOptimizer, blocks, descend
from crocuta.optim.tangents import tangents


class RiemannianSGD(RiemannianOptimizer):
    """Stochastic gradient descent with momentum, along geodesics.

    For a point x with Riemannian gradient g: `m <- momentum * m + (1 - dampening) * g`, `y = exp_x(-lr * m)`
    (with `nesterov`, `g + momentum * m` in place of m), and parallel transport carries m to y (Bonnabel 2013,
    arXiv 1111.5280, with momentum as torch defines it). Euclidean parameters: `torch.optim.SGD`.
    `weight_decay` is torch's L2 term for those; points are drawn towards the origin along geodesics.

    Args:
        params: a model; or parameters or parameter groups, where a group's key `manifold` places its
            parameters.
        placement: parameter -> manifold, for parameters that no group places.

    Raises:
        ValueError: a negative rate, decay or momentum; Nesterov momentum without momentum, or with dampening.

    >>> from crocuta.manifolds import Lorentz
    >>> m = Lorentz()
    >>> x, y = nn.Parameter(m.random((2,))), m.random((2,))
    >>> optimizer = RiemannianSGD([{"params": [x], "manifold": m}], lr=0.1)
    >>> m.dist(x, y).square().backward()
    >>> optimizer.step()
    """

    momentum = "momentum_buffer"

    def __init__(
        self,
        params: nn.Module | Iterable,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        placement: Mapping[nn.Parameter, Manifold] | None = None,
    ):
        if not momentum >= 0:
            raise ValueError(f"momentum must be a non-negative number, got {momentum!r}")
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(
                f"nesterov needs momentum > 0 and dampening 0, got {momentum!r} and {dampening!r}"
            )
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        defaults |= {"nesterov": nesterov, "maximize": maximize, "foreach": foreach, "fused": fused}
        super().__init__(params, defaults, placement)

    def step_flat(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """`torch.optim.SGD`'s update."""
        grads = [p.grad for p in params if p.grad is not None]
        buffers = [self.state[p].get("momentum_buffer") if group["momentum"] else None for p in params]
        names = ("weight_decay", "momentum", "lr", "dampening", "nesterov", "maximize", "foreach", "fused")
        settings = {name: group[name] for name in names}
        sgd(params, grads, buffers, has_sparse_grad=any(g.is_sparse for g in grads), **settings)
        if group["momentum"]:
            for p, buffer in zip(params, buffers, strict=True):
                self.state[p]["momentum_buffer"] = buffer

    def step_points(self, p: Tensor, manifold: Manifold, group: dict[str, Any]) -> None:
        """A step along geodesics, and momentum carried along them."""
        momentum, state = group["momentum"], self.state[p]
        first = not state  # as in torch, dampening spares the first gradient
        if momentum and first:
            state["momentum_buffer"] = torch.zeros_like(p)
        form = tangents(manifold)
        for rows, x, g in blocks(p, group["maximize"]):
            m = u = form.gradient(x, g)
            if momentum and not first:
                m = momentum * widen(state["momentum_buffer"][rows]) + (1 - group["dampening"]) * u
            u = u + momentum * m if group["nesterov"] else m
            y, m = descend(form, x, -group["lr"] * u, m, group)
            if momentum:
                state["momentum_buffer"][rows] = m.to(p.dtype)
            p[rows] = manifold.project(y.to(p.dtype))
