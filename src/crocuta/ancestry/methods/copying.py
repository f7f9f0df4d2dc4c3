"""The copying model: a haplotype is a mosaic of reference haplotypes, whose populations tell its ancestry.

Source: Li and Stephens 2003 (copying with mutation), with transitions aware of populations as in Price et al. 2009:
a change of ancestry (rate: generations per Morgan), or within the ancestry of another haplotype (rate per cM).
Sites are merged into blocks without changes inside, so that a block's emission is one matrix product and one `exp`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crocuta.variants import MISSING, Panel

SPAN = 8000  # nucleotides: about so much lies in a block ...
MOST_SITES = 16  # ... unless it would hold more sites than this
CHUNK = 32  # blocks between two kept forward states; those between are computed again on the way back
BATCH = 32  # haplotypes: the states of a step stay in a core's cache
LEAST_CM = 1e-5  # between blocks: keeps every state reachable where a map has no recombination
UNIT = 64  # reference alleles are kept as int8, -64 or 64; between, where one is missing


@dataclass(frozen=True)
class CopyingSettings:
    """`mismatch`: probability ratio of an unequal to an equal allele; `redraws` of the haplotype per cM;
    `generations` since admixture (switches of ancestry per Morgan)."""

    mismatch: float = 0.02
    redraws: float = 10.0
    generations: float = 10.0


@dataclass(frozen=True)
class Blocks:
    """Consecutive sites that count as one. Shapes: `start` (blocks,) index of the first site; `cm` (blocks,)."""

    start: np.ndarray
    cm: np.ndarray
    size: int
    sites: int

    def __len__(self) -> int:
        return len(self.start)

    def of_sites(self) -> np.ndarray:
        """The block of each site (n,)."""
        return np.arange(self.sites) // self.size


def make_blocks(position: np.ndarray, cm: np.ndarray, size: int | None = None) -> Blocks:
    """Blocks of `size` sites; None: as many as lie in 8 kb on average, at most 16."""
    n = len(position)
    if size is None:
        density = n / max(int(position[-1]) - int(position[0]), 1)
        size = int(np.clip(round(SPAN * density), 1, MOST_SITES))
    start = np.arange(0, n, size)
    return Blocks(start, np.add.reduceat(cm, start) / np.diff(np.append(start, n)), size, n)


@dataclass(frozen=True)
class CopyingModel:
    """Reference haplotypes in the order of their populations.

    Shapes: `reference` int8 (blocks, sites of a block, haplotypes); `counts` (populations,).
    """

    reference: Tensor
    counts: np.ndarray
    blocks: Blocks
    settings: CopyingSettings = CopyingSettings()

    @classmethod
    def fit(
        cls,
        panel: Panel,
        labels: np.ndarray,
        settings: CopyingSettings = CopyingSettings(),
        block_sites: int | None = None,
    ) -> "CopyingModel":
        """Takes in the haplotypes of individuals of the populations `labels` (individuals,), numbers from 0."""
        of_haplotype = np.repeat(labels, 2)
        order = np.argsort(of_haplotype, kind="stable")
        blocks = make_blocks(panel.sites.position, panel.sites.cm, block_sites)
        counts = np.bincount(of_haplotype)
        alleles = _reference_signs(panel.haplotypes, order, counts)
        return cls(_in_blocks(alleles, blocks), counts, blocks, settings)

    def with_settings(self, **changes: float) -> "CopyingModel":
        return replace(self, settings=replace(self.settings, **changes))

    @torch.no_grad()
    def posterior(self, alleles: np.ndarray, progress: Callable[[int], object] | None = None) -> np.ndarray:
        """Probability of each population at each block, float32 (haplotypes, blocks, populations).

        `alleles` uint8 (haplotypes, n) at the sites of the reference; both haplotypes of a person are neighbours.
        """
        found = np.empty((len(alleles), len(self.blocks), len(self.counts)), np.float32)
        for first in range(0, len(alleles), BATCH):
            batch = alleles[first : first + BATCH]
            found[first : first + BATCH] = _Chain(self, batch).posterior().transpose(1, 0, 2)
            if progress is not None:
                progress(len(batch))
        return found

    @torch.no_grad()
    def evidence(self, alleles: np.ndarray, progress: Callable[[int], object] | None = None) -> np.ndarray:
        """Log-likelihood of each block given its neighbours if the haplotype had one ancestry throughout.

        float32 (haplotypes, blocks, populations): the mean of both directions. What a chain over ancestries (see
        `smoothing`) takes for emissions; unlike `posterior` it holds no prior on changes of ancestry.
        """
        found = np.empty((len(alleles), len(self.blocks), len(self.counts)), np.float32)
        still, blocks = self.with_settings(generations=0.0), range(len(self.blocks))
        for first in range(0, len(alleles), BATCH):
            chain = _Chain(still, alleles[first : first + BATCH])
            both = (chain.evidence(blocks) + chain.evidence(blocks[::-1])) / 2
            found[first : first + BATCH] = both.transpose(0, 1).numpy()
            if progress is not None:
                progress(chain.size)
        return found

    @torch.no_grad()
    def window_log_probability(self, alleles: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Log-probability of each population (all equally probable before), float32 (haplotypes, windows, populations).

        Windows [first, last) of sites in `edges` (windows, 2), cut to whole blocks, are evaluated one by one.
        """
        spans = np.stack([edges[:, 0] // self.blocks.size, -(-edges[:, 1] // self.blocks.size)], 1)
        signs = _in_blocks(_signs(alleles), self.blocks).float()
        found = np.empty((len(alleles), len(edges), len(self.counts)), np.float32)
        last = np.cumsum(self.counts)
        for k, (begin, end) in enumerate(zip(last - self.counts, last, strict=True)):
            haplotypes = self.reference[:, :, begin:end]
            for w, (low, high) in enumerate(spans):
                found[:, w, k] = self._log_likelihood(signs, haplotypes, low, high)
        found -= np.logaddexp.reduce(found, 2, keepdims=True)
        return found

    def _log_likelihood(self, signs: Tensor, haplotypes: Tensor, low: int, high: int) -> np.ndarray:
        """Of blocks low to high under copying from `haplotypes` of one population alone (forward algorithm)."""
        same = np.exp(-self.settings.redraws * self._distances())
        scale = -0.5 * np.log(self.settings.mismatch) / UNIT
        state, total = None, torch.zeros(signs.shape[2])
        for t in range(low, high):
            query = signs[t].T * scale
            emission = torch.addmm(
                -query.abs().sum(1, keepdim=True), query, haplotypes[t].float() / UNIT
            ).exp_()
            state = (
                emission
                if state is None
                else state.mul_(same[t]).add_((1 - same[t]) / emission.shape[1]).mul_(emission)
            )
            mass = state.sum(1, keepdim=True) if t > low else state.mean(1, keepdim=True)
            state = state / state.sum(1, keepdim=True).clamp_(min=1e-30)
            total += mass[:, 0].clamp_(min=1e-30).log()
        return total.numpy()

    def _distances(self) -> np.ndarray:
        """Centimorgans from the block before to each block (blocks,); 0 for the first."""
        return np.append(0, np.maximum(np.diff(self.blocks.cm), LEAST_CM))


class _Chain:
    """Forward-backward over the blocks for a batch of haplotypes.

    States are kept unscaled for two blocks at most: emissions are relative to no mismatch, hence at most 1.
    Shapes: states (batch, reference haplotypes); sums by population (batch, populations).
    """

    def __init__(self, model: CopyingModel, alleles: np.ndarray):
        settings, counts = model.settings, model.counts
        distance = model._distances()
        # A state is kept (`keep`) or left for a haplotype of any population. The latter depends only on the sum over
        # each population: K x K sums move, and are spread evenly over the M haplotypes, O(M) instead of O(M^2) a block.
        stay, same = np.exp(-settings.generations * distance / 100), np.exp(-settings.redraws * distance)
        prior = np.full(len(counts), 1 / len(counts))
        self.keep = (stay * same).tolist()
        self.move = torch.from_numpy(
            (stay * (1 - same))[:, None, None] * np.eye(len(counts)) + (1 - stay)[:, None, None] * prior
        ).float()  # (blocks, from population, to population)
        members = np.repeat(np.eye(len(counts)), counts, axis=0)
        self.members = (
            torch.from_numpy(members.T.copy()).float().T
        )  # (haplotypes, populations), columns contiguous
        self.spread = torch.from_numpy((members / counts).T.copy()).float()  # (populations, haplotypes)
        self.start = torch.from_numpy(members @ (prior / counts)).float()
        self.model = model
        self.scale = -0.5 * np.log(settings.mismatch)
        signs = _in_blocks(_signs(alleles), model.blocks)
        self.query = signs.transpose(1, 2).float().mul_(self.scale / UNIT**2).contiguous()
        self.length, self.size = len(model.blocks), len(alleles)

    def posterior(self) -> np.ndarray:
        """(blocks, batch, populations)."""
        # Forward states of all blocks would be M times the answer. Every CHUNK-th is kept; those between are computed
        # once more on the way back (checkpointing: twice the work, a small part of the memory).
        kept, state = [], self.start.repeat(self.size, 1)
        for low in range(0, self.length, CHUNK):
            kept.append(state.clone())
            for t, emission in enumerate(self._emissions(low), low):
                self._forward(state, emission, t, out=state)
        found = torch.empty(self.length, self.size, len(self.spread))
        back = torch.ones_like(state)
        forward = torch.empty(CHUNK, *state.shape)
        for low in range(CHUNK * (len(kept) - 1), -1, -CHUNK):
            emissions, state = self._emissions(low), kept.pop()
            for i, emission in enumerate(emissions):
                self._forward(state, emission, low + i, out=forward[i])
                state = forward[i]
            for i in range(len(emissions) - 1, -1, -1):
                torch.mm(forward[i].mul_(back), self.members, out=found[low + i])
                self._backward(back, emissions[i], low + i)
        return (found / found.sum(2, keepdim=True)).numpy()

    def _emissions(self, low: int) -> Tensor:
        """(blocks of the chunk, batch, haplotypes): mismatch ** number of unequal alleles."""
        # Alleles as -1 and 1: a product counts agreements less disagreements, so that a block's emission for all
        # haplotypes is one matrix product. A missing allele of the query weighs nothing; one of the reference lies
        # between.
        query = self.query[low : low + CHUNK]
        reference = self.model.reference[low : low + CHUNK].float()
        known = query.abs().sum(2, keepdim=True).mul_(-UNIT)
        return torch.baddbmm(known, query, reference).exp_()

    def _forward(self, state: Tensor, emission: Tensor, t: int, out: Tensor) -> None:
        torch.addmm(state, state @ self.members @ self.move[t], self.spread, beta=self.keep[t], out=out)
        out.mul_(emission)
        if t % 2:  # emissions are at most 1: float32 holds the product of two blocks
            out.div_(out.sum(1, keepdim=True).clamp_(min=1e-30))

    def _backward(self, back: Tensor, emission: Tensor, t: int) -> None:
        back.mul_(emission)
        sums = back @ self.spread.T
        torch.addmm(back, sums @ self.move[t].T, self.members.T, beta=self.keep[t], out=back)
        if t % 2:
            back.div_(back.amax(1, keepdim=True).clamp_(min=1e-30))

    def evidence(self, order: range) -> Tensor:
        """Log-likelihood of each block given those before it in `order`, each population alone; as `posterior`."""
        # Every population runs its own chain, in one state: each is normalised by its own sum after every block, which
        # is the block's likelihood given those before it.
        found = torch.empty(self.length, self.size, len(self.spread))
        state = self.spread.sum(0).repeat(self.size, 1)
        step = max(order.step, 0)
        for i, t in enumerate(order):
            if i % CHUNK == 0:
                low = min(t, order[min(i + CHUNK, self.length) - 1])
                emissions = self._emissions(low)
            if i:
                link = t + 1 - step
                sums = state @ self.members
                torch.addmm(state, sums @ self.move[link], self.spread, beta=self.keep[link], out=state)
            state.mul_(emissions[t - low])
            sums = (state @ self.members).clamp_(min=1e-30)
            torch.log(sums, out=found[t])
            state.mul_((1 / sums) @ self.members.T)
        return found


def _signs(alleles: np.ndarray) -> np.ndarray:
    """int8 (haplotypes, n): -64 reference, 64 alternative, 0 missing."""
    return np.array([-UNIT, UNIT, 0], np.int8)[alleles]


def _reference_signs(alleles: np.ndarray, order: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """In the order of the populations; where an allele is missing, the mean of its population."""
    signs = _signs(alleles[order])
    missing = alleles[order] == MISSING
    if missing.any():
        last = np.cumsum(counts)
        for begin, end in zip(last - counts, last, strict=True):
            known = np.maximum((~missing[begin:end]).sum(0), 1)
            mean = np.round(signs[begin:end].sum(0, dtype=np.int64) / known).astype(np.int8)
            signs[begin:end] = np.where(missing[begin:end], mean, signs[begin:end])
    return signs


def _in_blocks(signs: np.ndarray, blocks: Blocks) -> Tensor:
    """(haplotypes, n) -> (blocks, sites of a block, haplotypes); the last block is filled up with 0."""
    whole = np.zeros((len(blocks) * blocks.size, len(signs)), np.int8)
    whole[: signs.shape[1]] = signs.T
    return torch.from_numpy(whole.reshape(len(blocks), blocks.size, len(signs)))
