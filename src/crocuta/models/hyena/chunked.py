"""Blocks of HyenaDNA on long sequences: the same numbers as `HyenaBlock.forward`, in little more than input and output.

What is pointwise in time (norms, projections, gates, the MLP) runs on chunks of the sequence, the long convolutions on
chunks of channels. In inference the residual stream and one buffer of its size are all there is. In training a block
keeps its input alone and computes the rest again in its backward pass, chunk by chunk.

Shapes: B batch, L length, D width, N order of the recurrence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from crocuta.models.hyena.block import HyenaBlock
from crocuta.nn.hyena.channelwise import LongFilter, convolve, convolve_backward, convolve_last
from crocuta.nn.hyena.fused import is_hooked, linear, linear_gelu

LEAN_FROM = 4096  # tokens; shorter sequences run the plain equations
LOSS_TOKENS = 1 << 14  # positions of which logits are held at a time
IGNORED = -100  # label of positions that are not learned
TOKENS = {"cpu": 1024, "cuda": 1 << 16}  # per chunk


def lean_applies(block: nn.Module, x: Tensor) -> bool:
    """Whether a block runs in chunks: on long sequences, where nobody looks inside it and nothing in it is random."""
    return (
        type(block) is HyenaBlock
        and x.shape[1] >= LEAN_FROM
        and not torch.compiler.is_compiling()
        and not (block.training and block.mixer.dropout.p > 0)
        and not any(is_hooked(module) for module in block.modules())
    )


def lean_block(
    block: nn.Module, x: Tensor, mask: Tensor | None, overwrite: bool = False, last: int = 0
) -> Tensor:
    """`block(x, mask)` in chunks, of all positions or of the last `last`.

    With `overwrite` it may be written over x, if no gradient is wanted.
    """
    assert isinstance(block, HyenaBlock)
    # The filters decide every output: 16 bits would round their times of a million positions to the same number.
    with torch.autocast(x.device.type, enabled=False):
        filters = block.mixer.long_filters(x.shape[1])
    stages = Stages(block, filters, autocast_of(x.device.type))
    parameters = [
        parameter
        for name, parameter in block.named_parameters()
        if not name.startswith("mixer.filter_fn.") and parameter.requires_grad
    ]
    # Autograd sees the filters' pieces as inputs of their own, so that the filter networks are differentiated once by
    # autograd, outside of this function, and not chunk by chunk.
    pieces = [piece for filter in stages.filters for piece in filter.pieces]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *pieces, *parameters)):
        return _LeanBlock.apply(stages, mask, len(pieces), x, *pieces, *parameters)[:, -last:]  # type: ignore[index]
    with torch.no_grad():
        if last:
            return stages.run_last(x, mask, last)
        return stages.run(x, mask, overwrite and not block.mixer.sees_ahead)


def autocast_of(device: str) -> Callable[[], AbstractContextManager]:
    """Makes contexts with the autocast settings of this moment."""
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, dtype=dtype, enabled=enabled)


class Chunk(NamedTuple):
    """A stretch of time in some rows of a batch."""

    rows: slice
    here: slice  # positions computed
    read: slice  # positions read: those, and the halo of the short filter
    keep: slice  # where `here` lies in `read`


class Stages:
    """A block as N pointwise stages with a long convolution between each two."""

    def __init__(
        self, block: HyenaBlock, filters: Sequence[LongFilter], context: Callable[[], AbstractContextManager]
    ):
        self.block, self.filters, self.context = block, filters, context
        kernel, ahead = block.mixer.short_filter.kernel_size[0], block.mixer.short_filter.ahead
        self.halo = (kernel - 1 - ahead, ahead)  # positions before and after that a stage looks at

    def stage(
        self,
        index: int,
        x: Tensor,
        y: Tensor | None,
        mask: Tensor | None,
        keep: slice,
        out: Tensor | None = None,
    ) -> Tensor:
        """Stage `index` on a chunk: x (B, halo + t, D), y (B, D, t) the convolution before, mask (B, halo + t).

        All but the last give what the next convolution reads (B, D, t), the last the block's output (B, t, D); without
        gradients they can write it to `out`.
        """
        with self.context():
            return self.pointwise(index, x, y, mask, keep, out)

    def pointwise(
        self,
        index: int,
        x: Tensor,
        y: Tensor | None,
        mask: Tensor | None,
        keep: slice,
        out: Tensor | None,
    ) -> Tensor:
        mixer, dtype = self.block.mixer, self.block.norm1.weight.dtype
        first = mixer.order - 1 - index if index else mixer.order - 1
        projected = mixer.project(self.block.norm1(x.to(dtype)), first, 1 if index else 2, mask)[..., keep]
        if index == mixer.order - 1:
            assert y is not None
            return self.leave(x[:, keep], mixer.gate_out(y, projected), out)
        gate, v = projected.chunk(2, dim=1) if y is None else (projected, y)
        if mask is not None:
            gate = gate * mask[:, None, keep].to(gate.dtype)
        return torch.mul(v, gate, out=out)

    def leave(self, x: Tensor, mixed: Tensor, out: Tensor | None) -> Tensor:
        """Residual, then norm, MLP and residual."""
        x = x + mixed
        mlp, normed = self.block.mlp, self.block.norm2(x.to(self.block.norm2.weight.dtype))
        return torch.add(x, linear(mlp.fc2, linear_gelu(mlp.fc1, normed)), out=out)

    def chunks(self, x: Tensor, backwards: bool = False) -> Iterator[Chunk]:
        """Chunks that cover the sequences of a batch."""
        batch, length = x.shape[:2]
        tokens = TOKENS.get(x.device.type, TOKENS["cuda"])
        together, size = max(tokens // length, 1), min(tokens, length)
        starts = range(0, length, size)
        # Whole sequences share a chunk where they are short: one call then does the work of several.
        for first in range(0, batch, together):
            for start in reversed(starts) if backwards else starts:
                yield self.chunk(slice(first, first + together), start, min(start + size, length), length)

    def chunk(self, rows: slice, start: int, stop: int, length: int) -> Chunk:
        # The short filter makes a stage depend on its neighbours in time: they are read with the chunk, and what the
        # stage computes of them is thrown away (`keep`). At the ends of the sequence it meets zeros, as it always does.
        past, ahead = self.halo
        low, high = max(start - past, 0), min(stop + ahead, length)
        return Chunk(rows, slice(start, stop), slice(low, high), slice(start - low, stop - low))

    def on_chunk(
        self,
        index: int,
        x: Tensor,
        y: Tensor | None,
        mask: Tensor | None,
        at: Chunk,
        out: Tensor | None = None,
    ) -> Tensor:
        return self.stage(
            index,
            x[at.rows, at.read],
            None if y is None else y[at.rows, :, at.here],
            None if mask is None else mask[at.rows, at.read],
            at.keep,
            out,
        )

    def gate(
        self, index: int, x: Tensor, y: Tensor | None, mask: Tensor | None, out: Tensor | None
    ) -> Tensor:
        """All of a stage but the last; `out` (B, D, L) may be y."""
        for at in self.chunks(x):
            if out is None:
                part = self.on_chunk(index, x, y, mask, at)
                out = x.new_empty(x.shape[0], part.shape[1], x.shape[1], dtype=part.dtype)
                out[at.rows, :, at.here] = part
            else:
                self.on_chunk(index, x, y, mask, at, out[at.rows, :, at.here])
        assert out is not None
        return out

    def run(
        self,
        x: Tensor,
        mask: Tensor | None,
        overwrite: bool,
        through: Callable[[int, LongFilter, Tensor], object] = lambda index, filter, y: convolve(
            filter, y, out=y
        ),
    ) -> Tensor:
        """The block's output, over x if so wished: chunks from the last to the first read x before it changes.

        `through` convolves y (B, D, L) with filter `index`, in place.
        """
        # x stays until the end, since every stage projects it anew: a projection costs less than to keep N of them.
        y = None
        for index, filter in enumerate(self.filters):
            y = self.gate(index, x, y, mask, out=y)
            through(index, filter, y)
        # A chunk reads a little before itself, never behind: written from the end, x may be overwritten.
        out = x if overwrite else torch.empty_like(x)
        for at in self.chunks(x, backwards=True):
            self.on_chunk(len(self.filters), x, y, mask, at, out[at.rows, at.here])
        return out

    def run_last(self, x: Tensor, mask: Tensor | None, last: int) -> Tensor:
        """The block's output at the last positions (B, last, D), to which the last convolution is cut down."""
        last = min(last, x.shape[1])
        at = self.chunk(slice(None), x.shape[1] - last, x.shape[1], x.shape[1])
        y = None
        for index, filter in enumerate(self.filters):
            y = self.gate(index, x, y, mask, out=y)
            if filter is not self.filters[-1]:
                convolve(filter, y, out=y)
        assert y is not None
        y = convolve_last(self.filters[-1], y, last)
        cut = None if mask is None else mask[:, at.read]
        return self.stage(len(self.filters), x[:, at.read], y, cut, at.keep)

    def backward(
        self, x: Tensor, mask: Tensor | None, gradient: Tensor, parameters: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Gradients into x, the filters' pieces and the parameters from that of the output."""
        # First forward again, keeping what goes into each long convolution and what comes out; then from the last
        # stage to the first. A convolution is linear, so its backward pass needs its input and no output: the buffer
        # of the output becomes that of its gradient.
        inputs: list[Tensor] = []
        outputs: list[Tensor] = []
        for index, filter in enumerate(self.filters):
            inputs.append(self.gate(index, x, outputs[-1] if outputs else None, mask, out=None))
            outputs.append(convolve(filter, inputs[-1], torch.empty_like(inputs[-1])))
        into_x = torch.zeros_like(x)
        into = [torch.zeros_like(p, dtype=torch.promote_types(p.dtype, torch.float32)) for p in parameters]
        into_pieces = [[torch.empty_like(piece) for piece in filter.pieces] for filter in self.filters]
        for index in reversed(range(len(self.filters) + 1)):
            y = outputs[index - 1] if index else None
            self.stage_backward(index, x, y, mask, gradient, parameters, into_x, into)
            if y is not None:
                gradient = y  # which now holds its own gradient
                convolve_backward(self.filters[index - 1], inputs.pop(), gradient, into_pieces[index - 1])
        return into_x, [piece for filter in into_pieces for piece in filter], into

    def stage_backward(
        self,
        index: int,
        x: Tensor,
        y: Tensor | None,
        mask: Tensor | None,
        gradient: Tensor,
        parameters: Sequence[Tensor],
        into_x: Tensor,
        into: Sequence[Tensor],
    ) -> None:
        """Adds the gradients into x and the parameters, and replaces y by its gradient."""
        # Each chunk is differentiated by autograd on its own, so that its graph is the only one alive. Chunks share
        # the positions of their halos and all parameters: their gradients are summed.
        for at in self.chunks(x):
            leaves = [x[at.rows, at.read].detach().requires_grad_()]
            if y is not None:
                leaves.append(y[at.rows, :, at.here].detach().clone().requires_grad_())
            cut = None if mask is None else mask[at.rows, at.read]
            with torch.enable_grad():
                part = self.stage(index, leaves[0], None if y is None else leaves[1], cut, at.keep)
            last = index == len(self.filters)
            arriving = gradient[at.rows, at.here] if last else gradient[at.rows, :, at.here]
            found = torch.autograd.grad(
                part, [*leaves, *parameters], arriving.to(part.dtype), allow_unused=True
            )
            into_x[at.rows, at.read] += found[0]
            if y is not None:
                y[at.rows, :, at.here] = found[1]
            for total, add in zip(into, found[len(leaves) :], strict=True):
                if add is not None:
                    total += add


class _LeanBlock(torch.autograd.Function):
    """A block that keeps its input alone."""

    @staticmethod
    def forward(ctx, stages: Stages, mask: Tensor | None, count: int, x: Tensor, *tensors: Tensor) -> Tensor:
        ctx.stages, ctx.mask, ctx.count = stages, mask, count
        ctx.save_for_backward(x, *tensors[count:])
        return stages.run(x, mask, overwrite=False)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        x, *parameters = ctx.saved_tensors
        into_x, pieces, into = ctx.stages.backward(x, ctx.mask, gradient, parameters)
        into = [total.to(parameter.dtype) for total, parameter in zip(into, parameters, strict=True)]
        return None, None, None, into_x, *pieces, *into


def next_token_loss(head: nn.Module, hidden: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each next token, with logits (of `head`) for a chunk of positions at a time.

    `hidden` (B, L, D); `labels` (B, L) token ids, -100 where not to be learned.
    """
    # Logits of a million positions and 16 tokens would be as large as the hidden states; each chunk's are computed
    # again in the backward pass.
    targets = F.pad(labels[:, 1:], (0, 1), value=IGNORED)
    size = max(LOSS_TOKENS // len(hidden), 1)
    losses = [
        checkpoint(chunk_loss, head, part, target, use_reentrant=False)
        for part, target in zip(hidden.split(size, dim=1), targets.split(size, dim=1), strict=True)
    ]
    return torch.stack(losses).sum() / (targets != IGNORED).sum()  # type: ignore[arg-type]


def chunk_loss(head: nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(
        head(hidden).flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
