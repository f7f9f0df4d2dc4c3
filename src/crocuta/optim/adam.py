"""Riemannian Adam."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from crocuta.manifolds import Manifold
from crocuta.manifolds.numerics import widen
from crocuta.optim.base import RiemannianOptimizer, blocks, descend
from crocuta.optim.tangents import tangents


class RiemannianAdam(RiemannianOptimizer):
    """Adam (and AMSGrad) with decoupled weight decay, along geodesics.

    For a point x with Riemannian gradient g: `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) <g, g>_x` (one
    number per point, since a coordinate has no meaning of its own on a manifold), `y = exp_x(-lr m^ /
    (sqrt(v^) + eps))` with bias-corrected m^ and v^, and parallel transport carries m to y (Becigneul and
    Ganea 2019, arXiv 1810.00760, algorithm 1). Euclidean parameters: `torch.optim.AdamW`. Weight decay draws
    points towards the origin along geodesics.

    Args:
        params: a model; or parameters or parameter groups, where a group's key `manifold` places its
            parameters.
        placement: parameter -> manifold, for parameters that no group places.

    Raises:
        ValueError: a negative rate, decay or eps, or betas outside [0, 1).

    >>> from crocuta.manifolds import Lorentz
    >>> m = Lorentz()
    >>> x, y = nn.Parameter(m.random((2,))), m.random((2,))
    >>> optimizer = RiemannianAdam([{"params": [x], "manifold": m}], lr=0.1)
    >>> m.dist(x, y).backward()
    >>> optimizer.step()
    """

    momentum = "exp_avg"

    def __init__(
        self,
        params: nn.Module | Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        placement: Mapping[nn.Parameter, Manifold] | None = None,
    ):
        if not (len(betas) == 2 and all(0 <= beta < 1 for beta in betas)):
            raise ValueError(f"betas must be two numbers in [0, 1), got {betas!r}")
        if not eps >= 0:
            raise ValueError(f"eps must be a non-negative number, got {eps!r}")
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
        }
        defaults |= {"maximize": maximize, "foreach": foreach, "fused": fused}
        super().__init__(params, defaults, placement)

    def _state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        state = self.state[p]
        if not state:
            is_point = p in self.manifolds
            state["step"] = torch.zeros((), device=p.device if group["fused"] and not is_point else "cpu")
            state["exp_avg"] = torch.zeros_like(p)
            state["exp_avg_sq"] = torch.zeros_like(p[..., :1] if is_point else p)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = torch.zeros_like(state["exp_avg_sq"])
        return state

    def step_flat(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """`torch.optim.AdamW`'s update."""
        states = [self._state(p, group) for p in params]
        names = ("lr", "eps", "weight_decay", "amsgrad", "maximize", "foreach", "fused")
        beta1, beta2 = group["betas"]
        adamw(
            params,
            [p.grad for p in params if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else [],
            [state["step"] for state in states],
            beta1=beta1,
            beta2=beta2,
            **{name: group[name] for name in names},
        )

    def step_points(self, p: Tensor, manifold: Manifold, group: dict[str, Any]) -> None:
        """A step along geodesics of length about lr, and momentum carried along them."""
        state, (beta1, beta2) = self._state(p, group), group["betas"]
        state["step"] += 1
        step = state["step"].item()
        form = tangents(manifold)
        for rows, x, g in blocks(p, group["maximize"]):
            g = form.gradient(x, g)
            m = torch.lerp(widen(state["exp_avg"][rows]), g, 1 - beta1)
            v = torch.lerp(widen(state["exp_avg_sq"][rows]), form.square(x, g), 1 - beta2)
            state["exp_avg_sq"][rows] = v.to(p.dtype)
            if group["amsgrad"]:
                v = torch.maximum(widen(state["max_exp_avg_sq"][rows]), v)
                state["max_exp_avg_sq"][rows] = v.to(p.dtype)
            scale = (v / (1 - beta2**step)).sqrt_().add_(group["eps"]).mul_(1 - beta1**step)
            y, m = descend(form, x, m * (-group["lr"] / scale), m, group)
            state["exp_avg"][rows] = m.to(p.dtype)
            p[rows] = manifold.project(y.to(p.dtype))
