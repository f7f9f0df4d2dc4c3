"""What reference individuals say of each site of a window: allele frequencies, and copying of their haplotypes.

For every population k the window's alleles q_1, q_2, ... are given two log-likelihoods, taken apart by site:

- frequency: `log P(q_i | f_k)`, sites independent: naive Bayes;
- copying: `log P(q_i | q_1 .. q_(i-1), haplotypes of k)`, the window being a mosaic of haplotypes of population k alone
  (Li and Stephens 2003), at one or more rates of switching between them.

Each sums over the window to the log-likelihood of its model, and is centred over the populations. A person of the
reference is left out of counts and haplotypes for windows of their own: otherwise training would see what a test never
sees. Genotypes without phase: the copied haplotype is one of two, and the other draws its allele by frequency.

Shapes: B windows, L sites, K populations, M haplotypes of the largest population, n sites of a chromosome.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crocuta.ancestry.sites import load_arrays, save_arrays
from crocuta.ancestry.windows import WindowBatch
from crocuta.models.ancestry import VOCABULARY
from crocuta.variants.panel import MISSING, Panel

PSEUDOCOUNT = 0.5
MISMATCH = 0.01  # probability that a copied allele is another
RATES = (5.0, 50.0)  # switches of the copied haplotype in a centimorgan
TABLES = ("alleles", "alternative", "known")  # of each chromosome
BATCH = 32  # windows at a time: their states stay in a core's cache


def emissions(view: str, tokens: Tensor, f: Tensor, mismatch: float) -> tuple[Tensor, Tensor]:
    """Probability of each token if the copied haplotype has the reference allele, and if it has the alternative.

    tokens (B, L), frequencies f (B, L, K); two of (B, L, K). What is no allele has probability 1 either way.
    """
    e, one = mismatch, torch.ones_like(f)
    tables = {
        "haplotype": ([(1 - e) * one, e * one], [e * one, (1 - e) * one]),
        "genotype": (
            [(1 - e) * (1 - f), (1 - e) * f + e * (1 - f), e * f],
            [e * (1 - f), (1 - e) * (1 - f) + e * f, (1 - e) * f],
        ),
        "carried": ([f + e * (1 - f)], [1 - e * (1 - f)]),
    }
    if view == "carried":  # whichever the nucleotide: the alternative is carried
        known = tokens < VOCABULARY[view].index("PAD")
        tokens = torch.where(known, 0, 1)
    outcomes = []
    for rows in tables[view]:
        stacked = torch.stack([*rows, one], dim=-1)
        chosen = tokens.clamp(max=len(rows))[..., None, None].expand(*f.shape, 1)
        outcomes.append(stacked.gather(-1, chosen).squeeze(-1))
    return outcomes[0], outcomes[1]


@dataclass(frozen=True)
class EvidenceReference:
    """Individuals whose populations are known, for one or more chromosomes.

    Shapes: `alleles` uint8 (n, K, M) for each chromosome, filled up with 0; `weight` float32 (K, M), the prior of each
    haplotype, 0 where filled up; `person` int64 (K, M), indices of individuals, -1 where filled up; `alternative` and
    `known` float32 (n, K), counts of alleles.
    """

    view: str
    alleles: list[Tensor]
    alternative: list[Tensor]
    known: list[Tensor]
    weight: Tensor
    person: Tensor
    rates: tuple[float, ...] = RATES

    @classmethod
    def fit(
        cls,
        panels: Sequence[Panel],
        labels: np.ndarray,
        individuals: np.ndarray,
        view: str,
        rates: Sequence[float] = RATES,
    ) -> "EvidenceReference":
        """Takes in `individuals` (indices) with their populations `labels` (all individuals,), counted from 0."""
        classes = int(labels[individuals].max()) + 1
        groups = [np.sort(individuals[labels[individuals] == k]) for k in range(classes)]
        most = 2 * max(map(len, groups))
        person = torch.full((classes, most), -1)
        for k, group in enumerate(groups):
            person[k, : 2 * len(group)] = torch.from_numpy(np.repeat(group, 2))
        alleles, alternative, known = [], [], []
        for panel in panels:
            table = np.zeros((len(panel.sites), classes, most), np.uint8)
            counts = np.zeros((2, len(panel.sites), classes), np.float32)
            for k, group in enumerate(groups):
                some = panel.allele[group].reshape(2 * len(group), -1)
                counts[0, :, k] = (some == 1).sum(0)
                counts[1, :, k] = (some != MISSING).sum(0)
                common = (2 * counts[0, :, k] > counts[1, :, k]).astype(np.uint8)
                table[:, k, : len(some)] = np.where(some == MISSING, common, some).T
            alleles.append(torch.from_numpy(table))
            alternative.append(torch.from_numpy(counts[0]))
            known.append(torch.from_numpy(counts[1]))
        weight = (person >= 0).float()
        return cls(
            view, alleles, alternative, known, weight / weight.sum(1, keepdim=True), person, tuple(rates)
        )

    def to(self, device: torch.device) -> "EvidenceReference":
        """The same on a device, where `evidence` is computed then."""
        several = {name: [table.to(device) for table in getattr(self, name)] for name in TABLES}
        return replace(self, weight=self.weight.to(device), person=self.person.to(device), **several)

    def save(self, path: Path) -> None:
        """Writes the reference, haplotypes as bits."""
        here = self.to(torch.device("cpu"))
        arrays = {
            "weight": here.weight.numpy(),
            "person": here.person.numpy(),
            "rates": np.asarray(self.rates, np.float32),
        }
        for i, table in enumerate(here.alleles):
            arrays[f"{i}.alleles"] = np.packbits(table.numpy(), axis=-1)
            arrays[f"{i}.alternative"], arrays[f"{i}.known"] = (
                here.alternative[i].numpy(),
                here.known[i].numpy(),
            )
        save_arrays(path, arrays, {"view": self.view, "chromosomes": len(self.alleles)})

    @classmethod
    def load(cls, path: Path) -> "EvidenceReference":
        """A reference that `save` wrote."""
        arrays, about = load_arrays(path)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        chromosomes = range(int(about["chromosomes"]))
        most = tensors["weight"].shape[1]
        alleles = [
            torch.from_numpy(np.unpackbits(arrays[f"{i}.alleles"], axis=-1, count=most)) for i in chromosomes
        ]
        alternative, known = (
            [tensors[f"{i}.{name}"] for i in chromosomes] for name in ("alternative", "known")
        )
        rates = tuple(tensors["rates"].tolist())
        weight, person = tensors["weight"], tensors["person"]
        return cls(about["view"], alleles, alternative, known, weight, person, rates)

    @property
    def channels(self) -> int:
        """Channels of `evidence`: K for every rate and K for frequencies."""
        return len(self.weight) * (1 + len(self.rates))

    @torch.no_grad()
    def evidence(self, windows: WindowBatch) -> Tensor:
        """Centred log-likelihoods float32 (B, L, channels): copying at each rate, then frequencies."""
        windows, found = windows.to(self.weight.device), []
        for first in range(0, len(windows), BATCH):
            some = windows.at(slice(first, first + BATCH))
            for chromosome in some.chromosome.unique().tolist():
                rows = torch.nonzero(some.chromosome == chromosome)[:, 0]
                found.append((rows + first, self._evidence(some.at(rows), chromosome)))
        order = torch.cat([rows for rows, _ in found])
        values = torch.cat([value for _, value in found])
        return torch.empty_like(values).index_copy_(0, order, values)

    def _evidence(self, windows: WindowBatch, chromosome: int) -> Tensor:
        weight = self.weight * (self.person != windows.person[:, None, None])
        weight = weight / weight.sum(2, keepdim=True)
        f = self.frequencies(windows, chromosome)
        without, with_it = emissions(self.view, windows.input_ids, f, MISMATCH)
        step = torch.diff(windows.cm, dim=1, prepend=windows.cm[:, :1]).clamp(min=0).float()
        parts = [
            copying(self.alleles[chromosome], windows.site, weight, without, with_it - without, rate * step)
            for rate in self.rates
        ]
        parts.append(((1 - f) * without + f * with_it).log())
        return torch.cat([part - part.mean(-1, keepdim=True) for part in parts], dim=-1)

    def frequencies(self, windows: WindowBatch, chromosome: int) -> Tensor:
        """Frequencies of the alternative (B, L, K) without the windows' own individuals."""
        site = windows.site
        alternative, known = self.alternative[chromosome][site], self.known[chromosome][site]
        own = self.person == windows.person[:, None, None]  # (B, K, M)
        for b, k in {(b, k) for b, k, _ in torch.nonzero(own).tolist()}:
            haplotypes = torch.nonzero(own[b, k])[:, 0]
            alternative[b, :, k] -= self.alleles[chromosome][site[b], k][:, haplotypes].float().sum(1)
            known[b, :, k] -= len(haplotypes)
        known, alternative = known.clamp(min=0), alternative.clamp(min=0).minimum(known)
        return (alternative + PSEUDOCOUNT) / (known + 2 * PSEUDOCOUNT)


def copying(
    alleles: Tensor, site: Tensor, weight: Tensor, without: Tensor, change: Tensor, distance: Tensor
) -> Tensor:
    """`log P(q_i | q_1 .. q_(i-1))` (B, L, K) under copying from each population alone (forward algorithm).

    Args:
        alleles: (n, K, M) of the reference.
        site: (B, L).
        weight: (B, K, M), prior of the haplotypes, of sum 1 in each population.
        without, change: (B, L, K); a site's likelihood is `without + change * allele of the copied haplotype`.
        distance: (B, L), expected switches since the site before.
    """
    # Populations are not mixed: each normalises its own state, whose sum before is the likelihood of the site given
    # those before it, in that population.
    stay = torch.exp(-distance)
    state, found = weight, torch.empty_like(without)
    for i in range(site.shape[1]):
        if i:
            state = torch.lerp(weight, state, stay[:, i, None, None])
        copied = alleles[site[:, i]].to(weight.dtype)
        state = state * torch.addcmul(without[:, i, :, None], change[:, i, :, None], copied)
        total = state.sum(-1, keepdim=True)
        found[:, i] = total.squeeze(-1)
        state = state / total
    return found.log()
