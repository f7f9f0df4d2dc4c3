"""WindowBatch of SNPs that ancestry models read: drawn at random or laid side by side, in any of the three views."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from crocuta.errors import InputError
from crocuta.models.ancestry import VOCABULARY
from crocuta.variants.panel import MISSING, Panel

NUCLEOTIDES = np.full(256, VOCABULARY["carried"].index("N"), np.uint8)
NUCLEOTIDES[list(b"ACGT")] = range(4)


@dataclass(frozen=True)
class WindowBatch:
    """A batch of windows.

    Shapes: `input_ids`, `position` (bp) int64 and `cm` float64 (B, L); `site` int64 (B, L), indices into the panel of
    `chromosome` (B,); `person` int64 (B,); `label` int64 (B,), the person's population.
    """

    input_ids: Tensor
    position: Tensor
    cm: Tensor
    site: Tensor
    chromosome: Tensor
    person: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def at(self, rows: slice | Tensor) -> "WindowBatch":
        """Some of the windows."""
        return WindowBatch(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def to(self, device: torch.device) -> "WindowBatch":
        """The same on a device; on Apple's, which has no float64, `cm` counts from a window's first site."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        if device.type == "mps":
            tensors["cm"] = (self.cm - self.cm[:, :1]).float()
        return WindowBatch(**{name: tensor.to(device) for name, tensor in tensors.items()})

    def inputs(self) -> dict[str, Tensor]:
        """What a model's `forward` takes, labels and evidence aside."""
        return {name: getattr(self, name) for name in ("input_ids", "position", "cm", "chromosome")}

    @staticmethod
    def join(batches: Sequence["WindowBatch"]) -> "WindowBatch":
        """WindowBatch of one length, one batch after another."""
        names = [field.name for field in fields(WindowBatch)]
        return WindowBatch(**{name: torch.cat([getattr(batch, name) for batch in batches]) for name in names})


class WindowSource:
    """The windows of a cohort: one panel for each chromosome, all with the same individuals in the same order.

    Views: "haplotype", consecutive sites of one haplotype; "genotype", dosages of consecutive sites; "carried", those
    sites in a row at which the person carries the alternative on either haplotype, by its nucleotide.

    Args:
        labels: int (individuals,), populations counted from 0; -1 for individuals without one.

    Raises:
        InputError: the panels disagree about the individuals; haplotypes are asked of unphased genotypes.
    """

    def __init__(self, panels: Sequence[Panel], labels: np.ndarray, view: str = "haplotype"):
        for panel in panels:
            if len(panel.samples) != len(labels):
                raise InputError(
                    f"chromosome {panel.sites.chromosome}: {len(panel.samples):,} individuals, expected"
                    f" {len(labels):,} as on the others; build the cohort again"
                )
            if view == "haplotype" and not panel.phased:
                raise InputError(
                    f"chromosome {panel.sites.chromosome}: genotypes are not phased, and the view 'haplotype' needs"
                    " phase; use the `view` genotype or carried"
                )
        self.panels, self.labels, self.view = list(panels), np.asarray(labels), view
        self._carried: dict[tuple[int, int], np.ndarray] = {}

    def sites(self, person: int, chromosome: int) -> np.ndarray | None:
        """Sites that a person's windows are made of; None: all of the panel."""
        if self.view != "carried":
            return None
        key = (person, chromosome)
        if key not in self._carried:
            carried = (self.panels[chromosome].allele[person] == 1).any(0)
            self._carried[key] = np.flatnonzero(carried).astype(np.int32)
        return self._carried[key]

    def length(self, person: int, chromosome: int) -> int:
        """Number of tokens of a person's whole chromosome."""
        sites = self.sites(person, chromosome)
        return len(self.panels[chromosome].sites) if sites is None else len(sites)

    def window(self, person: int, haplotype: int, chromosome: int, start: int, length: int) -> WindowBatch:
        """One window, from the `start`-th token of a person's chromosome; `haplotype` counts in that view only."""
        panel, sites = self.panels[chromosome], self.sites(person, chromosome)
        site = np.arange(start, start + length) if sites is None else sites[start : start + length]
        values = self.tokens(panel, person, haplotype, site)

        def rows(numbers: np.ndarray, dtype: type) -> Tensor:
            return torch.from_numpy(numbers.astype(dtype))[None]

        return WindowBatch(
            rows(values, np.int64),
            rows(panel.sites.position[site], np.int64),
            rows(panel.sites.cm[site], np.float64),
            rows(site, np.int64),
            torch.tensor([chromosome]),
            torch.tensor([person]),
            torch.tensor([int(self.labels[person])]),
        )

    def tokens(self, panel: Panel, person: int, haplotype: int, site: np.ndarray) -> np.ndarray:
        """Token ids (L,) of a person at sites of a panel."""
        if self.view == "haplotype":
            return panel.allele[person, haplotype, site]
        if self.view == "carried":
            alternative = panel.sites.alt[site]
            width = alternative.dtype.itemsize
            nucleotides = alternative.view(np.uint8).reshape(-1, width)
            single = (nucleotides[:, 1:] == 0).all(1) if width > 1 else True
            return np.where(single, NUCLEOTIDES[nucleotides[:, 0]], NUCLEOTIDES[0])
        alleles = panel.allele[person][:, site]
        return np.where((alleles == MISSING).any(0), VOCABULARY["genotype"].index("MISS"), alleles.sum(0))

    def draw(
        self, individuals: np.ndarray, count: int, length: int, generator: np.random.Generator
    ) -> WindowBatch:
        """Random windows: population, individual, chromosome (by its number of starts), haplotype and start in turn.

        Raises:
            InputError: no individual has a window of that many SNPs.
        """
        by_population = [
            individuals[self.labels[individuals] == k] for k in np.unique(self.labels[individuals])
        ]
        found: list[WindowBatch] = []
        for _ in range(1000 * count):
            if len(found) == count:
                break
            group = by_population[generator.integers(len(by_population))]
            person = int(generator.choice(group))
            starts = np.array([self.length(person, c) - length + 1 for c in range(len(self.panels))]).clip(0)
            if not starts.sum():
                continue
            chromosome = int(generator.choice(len(starts), p=starts / starts.sum()))
            start, haplotype = int(generator.integers(starts[chromosome])), int(generator.integers(2))
            found.append(self.window(person, haplotype, chromosome, start, length))
        if len(found) < count:
            longest = max(self.length(int(p), c) for p in individuals[:20] for c in range(len(self.panels)))
            raise InputError(
                f"windows of {length:,} SNPs: the longest chromosome has about {longest:,}; choose a shorter `window`"
            )
        return WindowBatch.join(found)

    def tiles(
        self, person: int, haplotype: int, chromosome: int, length: int, step: int
    ) -> Iterator[WindowBatch]:
        """WindowBatch of one person side by side, `step` tokens apart; the last ends at the last token."""
        last = self.length(person, chromosome) - length
        for start in sorted({*range(0, max(last, 0) + 1, step), max(last, 0)}):
            yield self.window(person, haplotype, chromosome, start, length)
