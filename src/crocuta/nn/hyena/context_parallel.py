"""One sequence over several processes: each holds a stretch of it, and the long convolutions see all of it.

Pointwise work stays with the stretch. The short convolution takes the positions it needs from the neighbours; around
each long convolution an all-to-all turns all channels of a stretch into the whole length of some channels, whose
filters only that process builds, and back (as Ulysses does for attention, Jacobs et al. 2023, arXiv 2309.14509, and
StripedHyena 2 for convolutions, Ku et al. 2025, arXiv 2503.01868). Exact, forward and backward.

Shapes: W processes, B batch, D width, L the whole length, l = L / W the stretch, N order.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.nn.hyena.operator import (
    BidirectionalHyenaOperator,
    HyenaOperator,
    causal_convolution,
    two_sided_convolution,
)

IGNORED = -100  # label of a position that is not to be learned
CONVOLUTIONS = {
    HyenaOperator: lambda v, k, skip: causal_convolution(v, k[0], skip[0]),
    BidirectionalHyenaOperator: lambda v, k, skip: two_sided_convolution(v, k, skip.sum(0)),
}


class _AllToAll(torch.autograd.Function):
    """Row r of (W, ...) goes to process r, and row r of the result came from it."""

    @staticmethod
    def forward(ctx, x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        x = x.contiguous()
        y = torch.empty_like(x)
        dist.all_to_all_single(y, x, group=group)
        return y

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        return _AllToAll.apply(gradients[0], ctx.group), None


class _Neighbours(torch.autograd.Function):
    """`Context.neighbours`; backward returns to each neighbour the gradients of what it lent."""

    @staticmethod
    def forward(ctx, u: Tensor, before: int, after: int, context: "Context") -> tuple[Tensor, Tensor]:
        ctx.context, ctx.length = context, u.shape[-1]
        return context.swap(u[..., :after], u[..., u.shape[-1] - before :])

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        head, tail = ctx.context.swap(*gradients)
        into_u = F.pad(head, (0, ctx.length - head.shape[-1]))
        into_u[..., ctx.length - tail.shape[-1] :] += tail
        return into_u, None, None, None


class _Sum(torch.autograd.Function):
    """Sum over processes for each to use; the gradients of all uses come back."""

    @staticmethod
    def forward(ctx, x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        total = x.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        return _Sum.apply(gradients[0], ctx.group), None


class Context:
    """What a process knows of the group that shares a sequence; made by `context_parallel`."""

    def __init__(self, group: dist.ProcessGroup | None = None):
        self.group: Any = dist.group.WORLD if group is None else group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)

    def split(self, x: Tensor, dim: int = 1) -> Tensor:
        """This process's stretch of a tensor that every process holds whole.

        Raises:
            ValueError: the length is not a multiple of the number of processes.
        """
        if x.shape[dim] % self.size:
            raise ValueError(
                f"length {x.shape[dim]:,} is no multiple of {self.size} processes: pad it at the end, with labels"
                f" of {IGNORED}"
            )
        return x.chunk(self.size, dim)[self.rank].contiguous()

    @torch.no_grad()
    def gather(self, x: Tensor, dim: int = 1) -> Tensor:
        """The whole of a tensor from the stretches of all processes, without gradient."""
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(self.size)]
        dist.all_gather(parts, x.contiguous(), group=self.group)
        return torch.cat(parts, dim)

    def next_token_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy over the whole sequence, the same on every process.

        Backward on every process and then `sum_gradients` give the gradients of one process that holds all.

        Args:
            logits: (B, l, vocabulary) of this stretch.
            labels: (B, l) its token ids, -100 where not to be learned; shifted here, across stretches too.
        """
        _, first = self.neighbours(labels[:, None].contiguous(), 0, 1)
        if self.rank == self.size - 1:
            first = torch.full_like(first, IGNORED)
        targets = torch.cat([labels[:, 1:], first[:, 0]], dim=1)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum", ignore_index=IGNORED)
        count = (targets != IGNORED).sum()
        dist.all_reduce(count, group=self.group)
        part = loss / count
        total = part.detach().clone()
        dist.all_reduce(total, group=self.group)
        return part + (total - part.detach())  # the value of all parts, the gradient of this one

    def mean(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean (B, D) over the tokens of the whole sequence, the same on every process.

        Divide a loss that every process computes from it by `size` before `backward`, then `sum_gradients`.

        Args:
            hidden: (B, l, D) of this stretch.
            mask: (B, l), 1 = token.
        """
        weight = hidden.new_ones(hidden.shape[:2]) if mask is None else mask.to(hidden.dtype)
        parts = torch.cat([(hidden * weight[..., None]).sum(1), weight.sum(1, keepdim=True)], dim=-1)
        total = _Sum.apply(parts, self.group)
        return total[..., :-1] / total[..., -1:].clamp(min=1)

    def sum_gradients(self, model: nn.Module) -> None:
        """Adds up the gradients of all processes; one that lacks a gradient counts as zero."""
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad, group=self.group)

    def neighbours(self, u: Tensor, before: int, after: int) -> tuple[Tensor, Tensor]:
        """The `before` positions (B, C, before) ahead of this stretch u (B, C, l), and the `after` that follow it.

        Beyond the ends of the sequence stand zeros.

        Raises:
            ValueError: a stretch is shorter than what the neighbours need of it.
        """
        length = u.shape[-1]
        if length < max(before, after):
            raise ValueError(
                f"a stretch of {length} positions is shorter than the {max(before, after)} needed of it"
            )
        return _Neighbours.apply(u, before, after, self)

    def swap(self, to_previous: Tensor, to_next: Tensor) -> tuple[Tensor, Tensor]:
        """What the previous process sent to its next one, and the next to its previous one; zeros beyond the ends."""
        from_previous, from_next = (
            torch.zeros_like(part, memory_format=torch.contiguous_format) for part in (to_next, to_previous)
        )
        transfers = []
        for rank, sent, received in (
            (self.rank - 1, to_previous.contiguous(), from_previous),
            (self.rank + 1, to_next.contiguous(), from_next),
        ):
            if 0 <= rank < self.size:
                peer = dist.get_global_rank(self.group, rank)
                transfers += [
                    dist.P2POp(kind, part, peer, self.group)
                    for kind, part in ((dist.isend, sent), (dist.irecv, received))
                    if part.numel()
                ]
        for work in dist.batch_isend_irecv(transfers) if transfers else ():
            work.wait()
        return from_previous, from_next

    def to_channels(self, v: Tensor) -> Tensor:
        """All channels of a stretch (B, D, l) to the whole length of this process's channels (B, D / W, L)."""
        batch, width, length = v.shape
        pieces = v.view(batch, self.size, width // self.size, length).transpose(0, 1)
        received = _AllToAll.apply(pieces, self.group)
        return received.permute(1, 2, 0, 3).reshape(batch, width // self.size, self.size * length)

    def to_sequence(self, v: Tensor) -> Tensor:
        """The inverse of `to_channels`."""
        batch, channels, length = v.shape
        pieces = v.view(batch, channels, self.size, length // self.size).permute(2, 0, 1, 3)
        return (
            _AllToAll.apply(pieces, self.group)
            .transpose(0, 1)
            .reshape(batch, self.size * channels, length // self.size)
        )

    def channels(self, width: int) -> slice:
        """Which of `width` channels are this process's.

        Raises:
            ValueError: the width is not a multiple of the number of processes.
        """
        if width % self.size:
            raise ValueError(f"width {width} is no multiple of {self.size} processes; take a divisor of it")
        share = width // self.size
        return slice(self.rank * share, (self.rank + 1) * share)


def own_filters(operator: HyenaOperator, length: int, channels: slice) -> tuple[Tensor, Tensor]:
    """`operator.filters` for some of the D channels: (N - 1, directions, D / W, L) and (N - 1, directions, D / W)."""
    steps, width = operator.order - 1, operator.width
    rows = torch.arange(operator.directions * steps * width, device=operator.filter_fn.bias.device)
    layout = (-1, width, steps) if operator.order_last else (-1, steps, width)
    rows = rows.view(layout).transpose(1, 2) if operator.order_last else rows.view(layout)
    rows = rows.transpose(0, 1)[..., channels]
    filter = operator.filter_fn
    k = filter.read(*filter.inputs(length), rows.flatten()).T
    return k.reshape(*rows.shape, length), filter.bias[rows]


def forward(operator: HyenaOperator, context: Context, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """`HyenaOperator.forward` for a stretch x (B, l, D) of the sequence, with its part of the mask (B, l).

    Raises:
        ValueError: the whole sequence is longer than the filters.
    """
    length, limit = context.size * x.shape[1], operator.filter_fn.max_length
    if length > limit:
        raise ValueError(
            f"sequence of {length:,} tokens is {length - limit:,} longer than max_seq_len = {limit:,}"
        )
    u = operator.in_proj(x)
    if mask is not None:
        u = u * mask[..., None]
    *gates, v = short_convolution(operator, context, u.transpose(1, 2)).split(operator.width, dim=1)
    k, skip = own_filters(operator, length, context.channels(operator.width))
    convolution = CONVOLUTIONS[type(operator)]
    for i, gate in enumerate(reversed(gates[1:])):
        v = v * gate
        if mask is not None:
            v = v * mask[:, None]
        v = context.to_sequence(convolution(context.to_channels(operator.dropout(v)), k[i], skip[i]))
    return operator.out_proj((v * gates[0]).transpose(1, 2))


def short_convolution(operator: HyenaOperator, context: Context, u: Tensor) -> Tensor:
    """The short convolution of a stretch u (B, C, l), with what it needs of the neighbouring ones."""
    short = operator.short_filter
    before = short.weight.shape[-1] - 1 - short.ahead
    left, right = context.neighbours(u, before, short.ahead)
    return short(torch.cat([left, u, right], dim=-1))[..., before : before + u.shape[-1]]


@contextmanager
def context_parallel(model: nn.Module, group: dist.ProcessGroup | None = None) -> Iterator[Context]:
    """Inside, every Hyena operator of the model reads its input as this process's stretch of one sequence.

    Every process of the group must hold the same weights and call the model with stretches of equal length; what else
    works position by position works unchanged. Pooling and the model's own loss do not see the other stretches: take
    `Context.next_token_loss` and `Context.mean`. With gradient checkpointing, call `backward` inside.

    >>> with context_parallel(model, group) as context:  # doctest: +SKIP
    ...     ids = context.split(whole_ids)
    ...     loss = context.next_token_loss(model(ids).logits, ids)
    ...     loss.backward()
    ...     context.sum_gradients(model)

    Raises:
        ValueError: an operator's width is no multiple of the number of processes, or its kind is not supported.
    """
    context = Context(group)
    operators = [module for module in model.modules() if isinstance(module, HyenaOperator)]
    for operator in operators:
        context.channels(operator.width)
        if type(operator) not in CONVOLUTIONS:
            raise ValueError(f"{type(operator).__name__} cannot be shared between processes")
    # A hook that does nothing: code that would inline an operator's equations leaves hooked modules alone.
    marks = [operator.register_forward_pre_hook(lambda *_: None) for operator in operators]
    for operator in operators:
        operator.forward = partial(forward, operator, context)
    try:
        yield context
    finally:
        for operator, mark in zip(operators, marks, strict=True):
            del operator.forward
            mark.remove()
