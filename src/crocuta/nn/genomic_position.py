"""Encodings of positions on chromosomes, all behind one interface, for tokens that lie far and unevenly apart.

`encoding(position, cm, chromosome)` takes base pairs counted from 1, int64 (B, L), centimorgans (B, L) and the
chromosome's index (B,), and gives (B, L, D); `encoding.join(x, encoded)` brings it to embedded tokens (B, L, D).
Tables have sparse gradients, so that a step costs what its window costs, not what the chromosome is long;
`crocuta.optim.RowAdam` keeps moments of the rows that were met and of no others.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from crocuta.nn.linear import positive
from crocuta.nn.position import angles

GRID = (10, 100, 1_000, 10_000, 100_000, 1_000_000)  # base pairs of a cell
PRIMES = (
    2_654_435_761,
    805_459_861,
)  # multipliers of spatial hashing (Mueller et al. 2022, arXiv 2201.05989, eq. 4)


class PositionEncoding(nn.Module):
    """What every encoding shares: it is added to the tokens."""

    def forward(self, position: Tensor, cm: Tensor, chromosome: Tensor) -> Tensor:
        """Encodings (B, L, D) of positions (B, L) on chromosomes (B,)."""
        raise NotImplementedError

    def join(self, x: Tensor, encoded: Tensor) -> Tensor:
        """Tokens (B, L, D) with their positions' encodings (B, L, D)."""
        return x + encoded


class NoPosition(PositionEncoding):
    """Zeros: the order of the sites alone."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, position: Tensor, cm: Tensor, chromosome: Tensor) -> Tensor:
        return torch.zeros((*position.shape, self.width), device=position.device)


class SinusoidalPosition(PositionEncoding):
    """Sines and cosines of the base pair, wavelengths from 2 pi to 2 pi `base` (Vaswani et al. 2017, sec. 3.5)."""

    def __init__(self, width: int, base: float = 10_000.0):
        super().__init__()
        if width % 2:
            raise ValueError(f"width must be even, got {width}")
        self.width, self.base = width, base

    def forward(self, position: Tensor, cm: Tensor, chromosome: Tensor) -> Tensor:
        angle = angles(position, self.width // 2, self.base, self.width)
        return torch.cat([angle.sin(), angle.cos()], dim=-1).float()


class RotaryPosition(SinusoidalPosition):
    """Turns pairs of the token's coordinates by the angles of `SinusoidalPosition` (Su et al. 2021, arXiv 2104.09864).

    Attention turns queries and keys; a convolution has neither, so the embedded token itself is turned.
    """

    def join(self, x: Tensor, encoded: Tensor) -> Tensor:
        sine, cosine = encoded.chunk(2, dim=-1)
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class FourierPosition(PositionEncoding):
    """A learned linear map of sines and cosines with wavelengths from 2 bp to the longest chromosome, in equal ratios.

    (Tancik et al. 2020, arXiv 2006.10739; Li et al. 2021, arXiv 2106.02795.)
    """

    def __init__(self, width: int, longest: int, frequencies: int = 64):
        super().__init__()
        positive(width=width, longest=longest, frequencies=frequencies)
        self.longest, self.frequencies = max(longest, 4), frequencies
        self.out_proj = nn.Linear(2 * frequencies, width)

    def forward(self, position: Tensor, cm: Tensor, chromosome: Tensor) -> Tensor:
        ratio = (2 / self.longest) ** (1 / max(self.frequencies - 1, 1))
        steps = torch.arange(self.frequencies, device=position.device, dtype=torch.float64)
        angle = position[..., None] * (math.pi * ratio**steps)
        return self.out_proj(torch.cat([angle.sin(), angle.cos()], dim=-1).float())


class PositionTable(nn.Embedding):
    """Rows of numbers with sparse gradients. They begin at zero: a place never met in training says nothing."""

    def __init__(self, rows: int, width: int):
        super().__init__(rows, width, sparse=True, _weight=torch.zeros(rows, width))


class TableProjection(nn.Linear):
    """From a table's rows to the width: rows of length 1 keep it, on average."""

    def reset_parameters(self) -> None:
        """Draw the weight from N(0, 1 / in_features)."""
        nn.init.normal_(self.weight, std=self.in_features**-0.5)


class Bins(nn.Module):
    """Numbers bins of `alpha` bp through all chromosomes, one chromosome after another."""

    def __init__(self, lengths: Sequence[int], alpha: int):
        super().__init__()
        positive(alpha=alpha, **{f"length_{i}": length for i, length in enumerate(lengths)})
        *self.offsets, self.count = accumulate((length // alpha + 1 for length in lengths), initial=0)
        self.alpha, self.lengths = alpha, list(lengths)

    def forward(self, position: Tensor, chromosome: Tensor) -> Tensor:
        """Bins (B, L) of positions (B, L); what lies beyond a chromosome's end falls into its last bin."""
        offset = torch.tensor(self.offsets, device=position.device)[chromosome, None]
        length = torch.tensor(self.lengths, device=position.device)[chromosome, None]
        return offset + position.clamp(min=0).minimum(length) // self.alpha


class LearnedPosition(PositionEncoding):
    """One learned vector for every bin of `alpha` bp."""

    def __init__(self, width: int, lengths: Sequence[int], alpha: int = 1_000):
        super().__init__()
        self.bins = Bins(lengths, alpha)
        self.table = PositionTable(self.bins.count, width)

    def forward(self, position: Tensor, cm: Tensor, chromosome: Tensor) -> Tensor:
        return self.table(self.bins(position, chromosome))


class FactorisedPosition(PositionEncoding):
    """The factorised embedding (FPE): `E = A B`, A (P / alpha, rank) with sparse gradients, B (rank, D).

    The thesis keeps one A of the longest chromosome for all of them; here each chromosome has rows of its own.
    """

    def __init__(self, width: int, lengths: Sequence[int], alpha: int = 100, rank: int = 16):
        super().__init__()
        positive(rank=rank)
        self.bins = Bins(lengths, alpha)
        self.table = PositionTable(self.bins.count, rank)
        self.out_proj = TableProjection(rank, width, bias=False)

    def forward(self, position: Tensor, cm: Tensor, chromosome: Tensor) -> Tensor:
        return self.out_proj(self.table(self.bins(position, chromosome)))


class HashedGridPosition(PositionEncoding):
    """Cells of 10 bp to 1 Mb at once, each size in a table of bounded length, by hash where it would not fit.

    (Mueller et al. 2022, arXiv 2201.05989, in one dimension.) Near sites share the coarse cells, so that what is
    learned at one helps its neighbours, and memory does not grow with the genome.
    """

    def __init__(self, width: int, rank: int = 8, rows: int = 1 << 18, grid: Sequence[int] = GRID):
        super().__init__()
        positive(rank=rank, rows=rows)
        self.rows, self.grid = rows, list(grid)
        self.table = PositionTable(len(grid) * rows, rank)
        self.out_proj = TableProjection(len(grid) * rank, width, bias=False)

    def forward(self, position: Tensor, cm: Tensor, chromosome: Tensor) -> Tensor:
        sizes = torch.tensor(self.grid, device=position.device)
        cell = position[..., None] // sizes
        mixed = (cell * PRIMES[0]) ^ ((chromosome[:, None, None] + 1) * PRIMES[1])
        level = torch.arange(len(sizes), device=position.device) * self.rows
        return self.out_proj(self.table(mixed % self.rows + level).flatten(-2))


class CentimorganPosition(PositionEncoding):
    """Genetic distance: to the site before, to the window's middle, and the same in base pairs, as a small network.

    Says nothing of where on the genome a window lies, and so carries over to any chromosome.
    """

    def __init__(self, width: int, frequencies: int = 8):
        super().__init__()
        self.frequencies = frequencies
        self.in_proj = nn.Linear(3 + 2 * frequencies, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, position: Tensor, cm: Tensor, chromosome: Tensor) -> Tensor:
        step_cm = torch.diff(cm, dim=-1, prepend=cm[:, :1]).float().clamp(min=0)
        step_bp = torch.diff(position, dim=-1, prepend=position[:, :1]).float().clamp(min=0)
        centred = (cm - cm[:, cm.shape[1] // 2, None]).float()
        scale = 2.0 ** torch.arange(self.frequencies, device=position.device)
        angle = centred[..., None] * scale
        features = [step_cm.mul(1e4).log1p()[..., None], step_bp.log1p()[..., None] / 5, centred[..., None]]
        return self.out_proj(
            torch.nn.functional.gelu(self.in_proj(torch.cat([*features, angle.sin(), angle.cos()], dim=-1)))
        )


class SitePosition(PositionEncoding):
    """A vector of low rank for every site of the panel; sites that the panel does not know share one, at zero.

    Args:
        sites: number of the panel's sites; `set_sites` says which they are, and is saved with the model.
    """

    def __init__(self, width: int, sites: int, rank: int = 16):
        super().__init__()
        positive(sites=sites, rank=rank)
        self.register_buffer("key", torch.full((sites,), torch.iinfo(torch.int64).max))
        self.table = PositionTable(sites + 1, rank)
        self.out_proj = TableProjection(rank, width, bias=False)

    @staticmethod
    def keys(position: Tensor, chromosome: Tensor) -> Tensor:
        """One ascending number for chromosome and position."""
        return (chromosome << 40) + position

    def set_sites(self, position: Tensor, chromosome: Tensor) -> None:
        """Names the panel's sites (sites,) by position and chromosome's index."""
        self.get_buffer("key").copy_(self.keys(position.long(), chromosome.long()).sort().values)

    def forward(self, position: Tensor, cm: Tensor, chromosome: Tensor) -> Tensor:
        known, wanted = self.get_buffer("key"), self.keys(position, chromosome[:, None])
        row = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
        return self.out_proj(self.table(torch.where(known[row] == wanted, row + 1, 0)))
