"""What the Riemannian optimisers share: placement, the order of a step, curvatures that move under points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from crocuta.manifolds import Euclidean, Manifold
from crocuta.manifolds.numerics import widen
from crocuta.optim.groups import parameter_groups, placement
from crocuta.optim.tangents import Tangents, tangents

BLOCK = 2**17  # coordinates of points that a CPU moves at a time


class RiemannianOptimizer(Optimizer):
    """An optimiser that moves points along geodesics and everything else as torch does.

    A step moves the points first, on the curvature at which their gradients were taken; then everything
    Euclidean, the curvatures among it; then points whose curvature can move are projected onto the manifold
    as it now is, and their momentum onto the tangent space there. A sparse gradient moves only the points
    that it names.

    Subclasses write `step_flat` and `step_points` and name the tangent that they keep for each point.
    """

    momentum: str

    def __init__(
        self,
        params: nn.Module | Iterable,
        defaults: dict[str, Any],
        placed: Mapping[nn.Parameter, Manifold] | None = None,
    ):
        for name in ("lr", "weight_decay"):
            if not defaults[name] >= 0:
                raise ValueError(f"{name} must be a non-negative number, got {defaults[name]!r}")
        self.manifolds: dict[Tensor, Manifold] = {}
        placed = dict(placed or {})
        if isinstance(params, nn.Module):
            placed |= placement(params)
            params = parameter_groups(params, lr=defaults["lr"], weight_decay=defaults["weight_decay"])
        for p, manifold in placed.items():
            self._place(p, manifold)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its key `manifold`, where present, places all of its parameters."""
        group = dict(param_group)
        manifold = group.pop("manifold", None)
        super().add_param_group(group)
        if manifold is not None:
            for p in self.param_groups[-1]["params"]:
                self._place(p, manifold)

    def _place(self, p: Tensor, manifold: Manifold) -> None:
        if not isinstance(manifold, Manifold):
            raise ValueError(f"manifold must be a crocuta.manifolds.Manifold, got {manifold!r}")
        if not isinstance(manifold, Euclidean):  # flat points take the flat path
            self.manifolds[p] = manifold

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "manifolds": self.manifolds}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore
        """Update every parameter that has a gradient; returns the closure's loss, if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._settle()  # a curvature may have been loaded, or moved by another optimiser
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and p in self.manifolds:
                    self.step_points(p, self.manifolds[p], group)
        for group in self.param_groups:
            self.step_flat(
                [p for p in group["params"] if p.grad is not None and p not in self.manifolds], group
            )
        self._settle()
        return loss

    def _settle(self) -> None:
        """Put points and their momentum back on the manifolds whose curvature can move."""
        for p, manifold in self.manifolds.items():
            if next(manifold.parameters(), None) is None:
                continue
            p.copy_(manifold.project(p))
            if self.momentum in self.state.get(p, ()):
                tangent = self.state[p][self.momentum]
                tangent.copy_(tangents(manifold).settle(p, tangent))

    def step_flat(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """Update the Euclidean parameters of a group, all of which have gradients."""
        raise NotImplementedError

    def step_points(self, p: Tensor, manifold: Manifold, group: dict[str, Any]) -> None:
        """Update points `(..., ambient)` that have a gradient, and their momentum."""
        raise NotImplementedError


def blocks(p: Tensor, maximize: bool) -> Iterator[tuple[slice | Tensor, Tensor, Tensor]]:
    """Rows of p that have a gradient (all, unless it is sparse), the points there, the gradients there.

    In float64: far from the origin, one step in float32 coordinates is rounding. On a CPU in blocks whose
    temporaries stay in cache and in the allocator's free lists: 3 times faster than all at once.
    """
    assert p.grad is not None
    grad, sparse = p.grad, p.grad.is_sparse
    if sparse:
        grad = grad.coalesce()
        touched, grad = grad.indices()[0], grad.values()
    count = len(grad)
    size = max(1, count)
    if p.ndim > 1 and p.device.type == "cpu":
        size = max(1, BLOCK * count // max(1, grad.numel()))
    for start in range(0, count, size):
        block = slice(start, start + size)
        rows = touched[block] if sparse else block
        g = widen(grad[block])
        yield rows, widen(p[rows]), -g if maximize else g


def descend(form: Tangents, x: Tensor, u: Tensor, m: Tensor, group: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Where x arrives along the step u, and the tangent m carried there.

    Weight decay adds lr * weight_decay of the way to the origin.
    """
    if group["weight_decay"] != 0:
        u = u + group["lr"] * group["weight_decay"] * form.to_origin(x)
    return form.walk(x, u, m)
