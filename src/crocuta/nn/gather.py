"""Rows of all processes of a group, with gradients; a single process needs no group."""

import torch
import torch.distributed as dist
from torch import Tensor


class _Gather(torch.autograd.Function):
    """Concatenates every process's rows; the gradients of all uses, in all processes, come back to the owner."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def several_processes() -> bool:
    """Whether a process group of more than one process runs."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_rows(x: Tensor) -> tuple[Tensor, int]:
    """Rows (W B, ...) of all W processes, in order of rank, and where this process's own begin.

    Every process must bring as many rows. Without a process group: x itself, and 0.
    """
    if not several_processes():
        return x, 0
    return _Gather.apply(x), dist.get_rank() * len(x)  # type: ignore[return-value]
