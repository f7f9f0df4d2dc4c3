"""Adam for tables of which a step touches few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

MOMENTS = ("exp_avg", "exp_avg_sq")


class RowAdam(Optimizer):
    """Adam for parameters with sparse gradients, whose moments exist only for rows that some gradient has met.

    `torch.optim.SparseAdam` updates the same rows by the same formula (Kingma and Ba 2015, arXiv 1412.6980, moments of
    absent rows left as they are), but holds two dense copies of the table. Here memory grows with the rows met, and a
    step's time with the rows of its gradient and, by a merge of their numbers, with the rows met so far.

    Args:
        params: parameters of two dimensions, or groups of them.

    Raises:
        ValueError: betas outside [0, 1); a gradient is not sparse.

    >>> table = nn.Embedding(1_000_000, 4, sparse=True)
    >>> optimizer = RowAdam(table.parameters(), lr=0.1)
    >>> table(torch.tensor([5, 7])).sum().backward()
    >>> optimizer.step()
    >>> optimizer.state[table.weight]["row"].tolist()
    [5, 7]
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {betas!r}")
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, which would turn numbers of rows into floats."""
        super().load_state_dict(state_dict)
        params = [p for group in self.param_groups for p in group["params"]]
        for index, saved in state_dict["state"].items():
            p = params[index]
            self.state[p] |= {name: saved[name].to(p.device) for name in ("row", "slot")}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore
        """One step; returns the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step(p, group)
        return loss

    def _step(self, p: nn.Parameter, group: dict[str, Any]) -> None:
        if p.grad is None or not p.grad.is_sparse:
            raise ValueError("RowAdam takes sparse gradients: make the embedding with sparse=True")
        gradient = p.grad.coalesce()
        rows, g = gradient.indices()[0], gradient.values()
        if not len(rows):
            return
        state, (beta1, beta2) = self.state[p], group["betas"]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.int64)
            state["row"] = rows.new_empty(0)
            state["slot"] = rows.new_empty(0)
            for name in MOMENTS:
                state[name] = g.new_empty(0, *g.shape[1:])
        state["step"] += 1
        slots = slots_of(state, rows)
        m = state["exp_avg"][slots].lerp_(g, 1 - beta1)
        v = state["exp_avg_sq"][slots].lerp_(g.square(), 1 - beta2)
        state["exp_avg"][slots], state["exp_avg_sq"][slots] = m, v
        step = int(state["step"])
        scale = (v / (1 - beta2**step)).sqrt_().add_(group["eps"]).mul_(1 - beta1**step)
        p.index_add_(0, rows, m.div_(scale).to(p.dtype), alpha=-group["lr"])


def slots_of(state: dict[str, Tensor], rows: Tensor) -> Tensor:
    """Where the moments of ascending `rows` lie; rows not met before get slots, at zero."""
    known = state["row"]
    place = torch.searchsorted(known, rows)
    found = place < len(known)
    found[found.clone()] = known[place[found]] == rows[found]
    fresh = rows[~found]
    if len(fresh):
        merged, order = torch.cat([known, fresh]).sort()
        count = len(known)
        slots = torch.cat([state["slot"], torch.arange(count, count + len(fresh), device=rows.device)])
        state["row"], state["slot"] = merged, slots[order]
        reserve(state, count + len(fresh))
        place = torch.searchsorted(merged, rows)
    return state["slot"][place]


def reserve(state: dict[str, Tensor], count: int) -> None:
    """Room for `count` rows of moments; doubled when it is short, so that growth costs little."""
    room = len(state["exp_avg"])
    if count <= room:
        return
    for name in MOMENTS:
        old = state[name]
        state[name] = old.new_zeros(max(count, 2 * room), *old.shape[1:])
        state[name][:room] = old
