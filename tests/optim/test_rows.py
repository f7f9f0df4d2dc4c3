"""RowAdam: torch's SparseAdam to the last digits, with moments only of the rows that were met."""

import pytest
import torch
from torch import nn

from crocuta.optim import RowAdam


def tables(rows=50, width=3):
    torch.manual_seed(0)
    weight = torch.randn(rows, width)
    return [nn.Embedding(rows, width, sparse=True, _weight=weight.clone()) for _ in range(2)]


def train(table, optimizer, steps=20, first=0):
    for step in range(first, steps):
        generator = torch.Generator().manual_seed(step)
        index = torch.randint(0, 10 + step, (8,), generator=generator)
        optimizer.zero_grad()
        table(index).pow(3).sum().backward()
        optimizer.step()


def test_it_updates_as_sparse_adam():
    ours, theirs = tables()
    train(ours, RowAdam(ours.parameters(), lr=0.05))
    train(theirs, torch.optim.SparseAdam(theirs.parameters(), lr=0.05))
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_memory_is_that_of_the_rows_met():
    table = nn.Embedding(1_000_000, 4, sparse=True)
    optimizer = RowAdam(table.parameters())
    train(table, optimizer)
    state = optimizer.state[table.weight]
    assert len(state["row"]) <= 30
    assert state["exp_avg"].numel() <= 2 * 30 * 4


def test_it_resumes_from_its_state():
    whole, parts = tables()
    train(whole, RowAdam(whole.parameters(), lr=0.05))
    first = RowAdam(parts.parameters(), lr=0.05)
    train(parts, first, steps=11)
    second = RowAdam(parts.parameters(), lr=0.05)
    second.load_state_dict(first.state_dict())
    train(parts, second, first=11)
    torch.testing.assert_close(whole.weight, parts.weight)


def test_dense_gradients_are_refused():
    table = nn.Embedding(5, 2)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="sparse=True"):
        RowAdam(table.parameters()).step()
