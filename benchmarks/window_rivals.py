"""Rivals of the copying model on windows: naive Bayes on allele frequencies, and logistic regression.

The regression is on the alleles of each window, or on their principal components; all windows are solved at once. The
multinomial loss with an L2 penalty is minimised by Nesterov's accelerated gradient with restarts (O'Donoghue and
Candes 2015); its curvature is bounded by half the largest eigenvalue of the features' covariance (Bohning 1992).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from crocuta.ancestry.methods.windows import log_softmax
from crocuta.variants import MISSING, Panel

NUMBERS = 2**25  # features of windows solved together: bounds memory
HAPLOTYPES = 64  # at a time: bounds memory


@dataclass(frozen=True)
class RegressionModel:
    """One classifier for each window.

    Shapes: `edges` (windows, 2); `mean` float32 (n,), allele frequencies; `weight` for each window (its sites,
    populations); `bias` (windows, populations).
    """

    edges: np.ndarray
    mean: np.ndarray
    weight: list[Tensor]
    bias: Tensor

    @classmethod
    def fit(
        cls,
        panel: Panel,
        labels: np.ndarray,
        edges: np.ndarray,
        penalty: float = 10.0,
        components: int | None = None,
        steps: int = 100,
    ) -> "RegressionModel":
        """Learns from both haplotypes of individuals of the populations `labels` (individuals,), numbers from 0.

        `components`: so many principal components of a window in place of its alleles.
        """
        mean = panel.frequency().astype(np.float32)
        target = torch.nn.functional.one_hot(torch.from_numpy(np.repeat(labels, 2)).long()).float()
        weight: list[Tensor] = []
        bias: list[Tensor] = []
        for chunk in _chunks(edges, len(target)):
            features = _features(panel.haplotypes, mean, chunk)
            basis = _principal(features, components) if components else None
            found = solve(features if basis is None else features @ basis, target, penalty, steps)
            weight += (found[0] if basis is None else basis @ found[0]).unbind()
            bias += found[1].unbind()
        return cls(edges, mean, weight, torch.stack(bias))

    def log_probability(self, alleles: np.ndarray) -> np.ndarray:
        """Of each population in each window, float32 (haplotypes, windows, populations); `alleles` (haplotypes, n)."""
        found = np.empty((len(alleles), len(self.edges), self.bias.shape[1]), np.float32)
        done = 0
        for chunk in _chunks(self.edges, len(alleles)):
            rows = slice(done, done + len(chunk))
            score = (
                _features(alleles, self.mean, chunk) @ torch.stack(self.weight[rows]) + self.bias[rows, None]
            )
            found[:, rows] = score.log_softmax(2).transpose(0, 1).numpy()
            done += len(chunk)
        return found


def solve(features: Tensor, target: Tensor, penalty: float, steps: int = 100) -> tuple[Tensor, Tensor]:
    """Weights (windows, width, classes) and biases (windows, classes) of multinomial logistic regressions.

    `features` (windows, samples, width), centred; `target` (samples, classes), one-hot. Minimises the sum over samples
    of the cross-entropy + penalty / 2 |weights|^2; the bias is not penalised.
    """
    windows, samples, width = features.shape
    design = torch.cat([features, torch.ones(windows, samples, 1)], 2)
    shrink = torch.full((width + 1, 1), penalty)
    shrink[-1] = 0
    rate = 1 / (0.5 * _largest_eigenvalue(design) + penalty)
    found = torch.zeros(windows, width + 1, target.shape[1])
    ahead, momentum = found, torch.ones(windows, 1, 1)
    for _ in range(steps):
        slope = design.transpose(1, 2) @ ((design @ ahead).softmax(2) - target) + shrink * ahead
        new = ahead - rate * slope
        change = new - found
        uphill = (slope * change).sum((1, 2), keepdim=True) > 0
        momentum = torch.where(uphill, torch.ones_like(momentum), momentum)
        following = (1 + (1 + 4 * momentum**2).sqrt()) / 2
        ahead = new + torch.where(uphill, 0.0, (momentum - 1) / following) * change
        found, momentum = new, following
    return found[:, :-1], found[:, -1]


def _largest_eigenvalue(design: Tensor, rounds: int = 12) -> Tensor:
    """Of X'X by power iteration, raised by a tenth against what the iteration still lacks; (windows, 1, 1)."""
    vector = torch.randn(len(design), design.shape[2], 1, generator=torch.Generator().manual_seed(0))
    size = torch.ones(len(design), 1, 1)
    for _ in range(rounds):
        vector = design.transpose(1, 2) @ (design @ (vector / size))
        size = vector.norm(dim=1, keepdim=True)
    return 1.1 * size


def _principal(features: Tensor, components: int, rounds: int = 4) -> Tensor:
    """Leading right singular vectors (windows, width, components) by subspace iteration (Halko et al. 2011)."""
    count = min(components + 5, *features.shape[1:])
    start = torch.randn(len(features), features.shape[1], count, generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(features.transpose(1, 2) @ start).Q
    for _ in range(rounds):
        basis = torch.linalg.qr(features.transpose(1, 2) @ (features @ basis)).Q
    turn = torch.linalg.svd(features @ basis, full_matrices=False).Vh
    return (basis @ turn.transpose(1, 2))[:, :, :components]


def _features(alleles: np.ndarray, mean: np.ndarray, edges: np.ndarray) -> Tensor:
    """Alleles less their mean, 0 where missing; (windows, haplotypes, sites), windows being equally long."""
    sites = edges[:, :1] + np.arange(edges[0, 1] - edges[0, 0])
    chosen = alleles[:, sites].transpose(1, 0, 2)
    return torch.from_numpy(np.where(chosen == MISSING, 0, chosen - mean[sites][:, None]).astype(np.float32))


def _chunks(edges: np.ndarray, samples: int) -> list[np.ndarray]:
    """Neighbouring windows of equal length, few enough to hold."""
    size = edges[:, 1] - edges[:, 0]
    most = max(1, NUMBERS // (int(size.max()) * samples))
    cuts = set(np.flatnonzero(np.diff(size)) + 1) | set(range(0, len(edges), most)) | {len(edges)}
    bounds = sorted(cuts)
    return [edges[a:b] for a, b in pairwise(bounds)]


@dataclass(frozen=True)
class FrequencyModel:
    """Allele frequencies of populations. Shape: `frequency` float64 (populations, n), of the alternative allele."""

    frequency: np.ndarray

    @classmethod
    def fit(cls, panel: Panel, labels: np.ndarray, pseudocount: float = 0.5) -> "FrequencyModel":
        """Counts the alleles of individuals of the populations `labels` (individuals,), numbers from 0."""
        found = np.empty((int(labels.max()) + 1, len(panel.sites)))
        for k in range(len(found)):
            alleles = panel.allele[labels == k]
            count = (alleles == 1).sum((0, 1)) + pseudocount
            found[k] = count / ((alleles != MISSING).sum((0, 1)) + 2 * pseudocount)
        return cls(found)

    def site_log_likelihood(self, alleles: np.ndarray) -> np.ndarray:
        """Of each allele under each population, float64 (haplotypes, n, populations); 0 where it is missing."""
        table = np.stack([np.log1p(-self.frequency), np.log(self.frequency), np.zeros_like(self.frequency)])
        return table[alleles, :, np.arange(alleles.shape[1])]

    def window_log_probability(self, alleles: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """See `WindowEvidence`; populations are equally probable before."""
        found = np.empty((len(alleles), len(edges), len(self.frequency)), np.float32)
        for first in range(0, len(alleles), HAPLOTYPES):
            score = self.site_log_likelihood(alleles[first : first + HAPLOTYPES])
            total = np.concatenate([np.zeros_like(score[:, :1]), score.cumsum(1)], 1)
            found[first : first + HAPLOTYPES] = log_softmax(total[:, edges[:, 1]] - total[:, edges[:, 0]])
        return found
