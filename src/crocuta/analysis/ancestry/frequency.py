"""Naive Bayes on allele frequencies: sites of a window count as independent given the population."""

from dataclasses import dataclass

import numpy as np

from crocuta.analysis.ancestry.windows import log_softmax
from crocuta.data.variants import MISSING, Panel

HAPLOTYPES = 64  # at a time: bounds memory


@dataclass(frozen=True)
class FrequencyModel:
    """Allele frequencies of populations. Shape: `frequency` float64 (populations, n), of the alternative allele."""

    frequency: np.ndarray

    @classmethod
    def fit(cls, panel: Panel, labels: np.ndarray, pseudocount: float = 0.5) -> "FrequencyModel":
        """Counts the alleles of people of the populations `labels` (people,), numbers from 0."""
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
