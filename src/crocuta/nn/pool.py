"""Pooling of a sequence of hidden states into one vector, honouring masks.

Each pool maps x (B, L, D) and an optional mask (B, L), 1 = token, to (B, D). Padding may stand on either side.
"""

import torch
from torch import Tensor, nn


class Pool(nn.Module):
    """What every pool can do beside pooling."""

    def running(self, x: Tensor, outputs: int) -> Tensor:
        """The pool at each of the last `outputs` positions, as if the sequence ended there; (B, outputs, D).

        This is the original decoder's `l_output` > 1.
        """
        length = x.shape[1]
        return torch.stack([self(x[:, : end + 1]) for end in range(length - outputs, length)], dim=1)


class MeanPool(Pool):
    """Mean over the tokens."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return x.mean(dim=1)
        weight = mask.to(x.dtype)[..., None]
        return (x * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)  # a row without tokens pools to 0


class SumPool(Pool):
    """Sum over the tokens."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x.sum(dim=1) if mask is None else (x * mask.to(x.dtype)[..., None]).sum(dim=1)


class MaxPool(Pool):
    """Maximum over the tokens."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            x = x.masked_fill(mask[..., None] == 0, torch.finfo(x.dtype).min)
        return x.amax(dim=1)


class FirstPool(Pool):
    """The first token."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return x[:, 0]
        return x[torch.arange(len(x), device=x.device), (mask != 0).int().argmax(dim=1)]

    def running(self, x: Tensor, outputs: int) -> Tensor:
        """The first `outputs` positions as they stand."""
        return x[:, :outputs]


class LastPool(Pool):
    """The last token."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return x[:, -1]
        from_the_end = (mask != 0).int().flip(1).argmax(dim=1)
        return x[torch.arange(len(x), device=x.device), x.shape[1] - 1 - from_the_end]


POOLS = {"mean": MeanPool, "sum": SumPool, "max": MaxPool, "first": FirstPool, "last": LastPool}
