"""Pools against plain loops, with padding on either side."""

import pytest
import torch

from crocuta.nn.pool import POOLS

REFERENCE = {
    "mean": lambda rows: rows.mean(0),
    "sum": lambda rows: rows.sum(0),
    "max": lambda rows: rows.amax(0),
    "first": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("side", ["left", "right", "none"])
def test_pool_reads_tokens_only(name, side):
    torch.manual_seed(0)
    x, lengths = torch.randn(3, 9, 4), [9, 5, 1]
    keep = {"left": lambda n: slice(9 - n, 9), "right": lambda n: slice(0, n), "none": lambda n: slice(0, 9)}[
        side
    ]
    mask = torch.zeros(3, 9)
    for row, n in enumerate(lengths):
        mask[row, keep(n)] = 1
    expected = torch.stack([REFERENCE[name](x[row, keep(n)]) for row, n in enumerate(lengths)])
    torch.testing.assert_close(POOLS[name]()(x, None if side == "none" else mask), expected)


def test_mean_of_nothing_is_zero_not_nan():
    assert torch.equal(POOLS["mean"]()(torch.randn(1, 3, 2), torch.zeros(1, 3)), torch.zeros(1, 2))
