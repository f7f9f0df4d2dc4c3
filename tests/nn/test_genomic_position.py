"""Encodings of genomic positions: shapes, sparse gradients equal to dense ones, chromosomes apart, invariances."""

import pytest
import torch

from crocuta.nn.genomic_position import (
    Bins,
    CentimorganPosition,
    FactorisedPosition,
    FourierPosition,
    HashedGridPosition,
    LearnedPosition,
    NoPosition,
    RotaryPosition,
    SinusoidalPosition,
    SitePosition,
)

LENGTHS = [1_000_000, 40_000]
POSITION = torch.tensor([[1, 50, 100, 999_999], [7, 70, 700, 39_999]])
CM = POSITION.double() / 1e6
CHROMOSOME = torch.tensor([0, 1])
MAKERS = {
    "none": lambda: NoPosition(8),
    "sinusoidal": lambda: SinusoidalPosition(8),
    "rotary": lambda: RotaryPosition(8),
    "fourier": lambda: FourierPosition(8, max(LENGTHS)),
    "learned": lambda: LearnedPosition(8, LENGTHS, 10),
    "fpe": lambda: FactorisedPosition(8, LENGTHS, 10, 4),
    "grid": lambda: HashedGridPosition(8, 2, 1 << 8),
    "centimorgan": lambda: CentimorganPosition(8),
    "site": lambda: SitePosition(8, 4, 2),
}


def with_random_tables(encoding):
    torch.manual_seed(0)
    for parameter in encoding.parameters():
        torch.nn.init.normal_(parameter)
    return encoding


@pytest.mark.parametrize("name", MAKERS)
def test_every_encoding_has_one_interface(name):
    encoding = with_random_tables(MAKERS[name]())
    encoded = encoding(POSITION, CM, CHROMOSOME)
    assert encoded.shape == (2, 4, 8)
    assert encoded.dtype == torch.float32
    assert encoding.join(torch.randn(2, 4, 8), encoded).shape == (2, 4, 8)
    if name not in ("none", "site"):
        assert (encoded[0, 0] - encoded[0, 3]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["learned", "fpe", "grid"])
def test_sparse_gradients_equal_dense_ones(name):
    sparse = with_random_tables(MAKERS[name]())
    sparse(POSITION, CM, CHROMOSOME).pow(2).sum().backward()
    found = sparse.table.weight.grad
    assert found.is_sparse
    assert found.coalesce().indices().numel() <= POSITION.numel() * 6
    sparse.table.sparse = False
    sparse.zero_grad()
    sparse(POSITION, CM, CHROMOSOME).pow(2).sum().backward()
    torch.testing.assert_close(found.to_dense(), sparse.table.weight.grad)


def test_bins_of_chromosomes_never_meet_and_ends_are_kept():
    bins = Bins(LENGTHS, 10)
    found = bins(torch.tensor([[0, 999_999, 1_000_000, 5_000_000], [0, 9, 10, 5_000_000]]), CHROMOSOME)
    assert found.tolist() == [[0, 99_999, 100_000, 100_000], [100_001, 100_001, 100_002, 104_001]]
    assert bins.count == 104_002


def test_new_tables_say_nothing():
    assert not FactorisedPosition(8, LENGTHS)(POSITION, CM, CHROMOSOME).any()


def test_rotary_turns_without_stretching_and_keeps_differences():
    encoding, x = RotaryPosition(8), torch.randn(1, 2, 8)
    near = encoding(torch.tensor([[100, 130]]), CM, CHROMOSOME[:1])
    far = encoding(torch.tensor([[100_100, 100_130]]), CM, CHROMOSOME[:1])
    turned, turned_far = encoding.join(x, near), encoding.join(x, far)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(
        (turned[0, 0] * turned[0, 1]).sum(), (turned_far[0, 0] * turned_far[0, 1]).sum()
    )


def test_centimorgans_forget_where_the_window_lies():
    encoding = CentimorganPosition(8)
    here = encoding(POSITION, CM, CHROMOSOME)
    there = encoding(POSITION + 1_000_000, CM + 32, CHROMOSOME.flip(0))
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)


def test_sites_are_known_by_chromosome_and_position():
    encoding = with_random_tables(SitePosition(8, 4, 2))
    encoding.set_sites(torch.tensor([50, 100, 70, 700]), torch.tensor([0, 0, 1, 1]))
    encoded = encoding(POSITION, CM, CHROMOSOME)
    unknown = encoding.out_proj(encoding.table.weight[0])
    for row, column in ((0, 0), (0, 3), (1, 0), (1, 3)):
        torch.testing.assert_close(encoded[row, column], unknown)
    known = encoded[[0, 0, 1, 1], [1, 2, 1, 2]]
    torch.testing.assert_close(known, encoding.out_proj(encoding.table.weight[1:]))
