"""Windows laid along a chromosome: what a model of windows says of its blocks, and the chain that smooths it.

Shapes: R rows, two for each person (the haplotypes; the same twice where a view does not tell them apart), T blocks of
about `step` tokens, K populations.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from crocuta.ancestry.evidence import EvidenceReference
from crocuta.ancestry.local.examples import Examples, score_posterior
from crocuta.ancestry.local.mosaics import MosaicRecipe, make_mosaics
from crocuta.ancestry.local.training import choose_chain
from crocuta.ancestry.methods.calibration import sharpen
from crocuta.ancestry.methods.copying import Blocks, make_blocks
from crocuta.ancestry.methods.smoothing import ChainSettings
from crocuta.ancestry.panels import TrainingData
from crocuta.ancestry.window_training import LabelledWindows, window_probabilities
from crocuta.ancestry.windows import WindowBatch, WindowSource
from crocuta.models.ancestry import AncestryForWindowClassification
from crocuta.runs.progress import QUIET, Stage
from crocuta.variants import Panel, Samples, Sites

STRANGER = -2  # a person of no reference
BATCH = 16  # windows
MOST_TOKENS = 4_000_000  # of the mosaics that choose the chain
MOST_INDIVIDUALS = 8  # of a cohort of mosaics
LEAST = 1e-6  # probability: a single window may make a population at most so improbable


@dataclass(frozen=True)
class WindowCaller:
    """A trained model with its reference, reading windows of `window` tokens every `step`.

    `density`: tokens of a person for each site of the panel, below 1 in the carried view.
    """

    model: AncestryForWindowClassification
    reference: EvidenceReference | None
    window: int
    step: int
    density: float = 1.0

    @property
    def view(self) -> str:
        return self.model.config.view

    def blocks(self, sites: Sites) -> Blocks:
        """The blocks of a chromosome, a step long on average."""
        return make_blocks(sites.position, sites.cm, max(1, round(self.step / self.density)))

    def evidence(self, panel: Panel, chromosome: int, stage: Stage = QUIET) -> np.ndarray:
        """Log-likelihoods float32 (R, T, K) of individuals' blocks; `chromosome` as the model counts them.

        A window's log-probabilities are shared evenly among the blocks whose middle it holds, and a block takes the
        mean of all windows over it: all blocks together weigh as much as windows without overlap.
        """
        blocks = self.blocks(panel.sites)
        middle = np.minimum(blocks.start + blocks.size // 2, blocks.sites - 1)
        haplotypes = 2 if self.view == "haplotype" else 1
        shape = (haplotypes * len(panel.samples), len(blocks) + 1)
        sums, count = np.zeros((*shape, self.model.config.num_classes)), np.zeros(shape)
        for rows, windows in self._batches(panel, haplotypes, chromosome):
            found = np.log(np.maximum(self._probabilities(windows), LEAST))
            low = np.minimum(np.searchsorted(middle, windows.site[:, 0].numpy()), len(blocks) - 1)
            high = np.maximum(np.searchsorted(middle, windows.site[:, -1].numpy(), side="right"), low + 1)
            share = found / (high - low)[:, None]
            for place, sign in ((low, 1), (high, -1)):
                np.add.at(sums, (rows, place), sign * share)
                np.add.at(count, (rows, place), sign)
            stage.advance(len(rows))
        sums, count = sums[:, :-1].cumsum(1), count[:, :-1].cumsum(1)
        evidence = (sums / np.maximum(count, 1)[..., None]).astype(np.float32)
        return np.repeat(_filled(evidence, count > 0.5), 2 // haplotypes, axis=0)

    def unsmoothed(self, evidence: np.ndarray, power: float) -> np.ndarray:
        """Posterior (R, T, K) of the windows over each block alone."""
        whole = evidence * (self.window / self.step)
        likelihood = np.exp(whole - whole.max(2, keepdims=True))
        return sharpen(likelihood / likelihood.sum(2, keepdims=True), power).astype(np.float32)

    def _batches(
        self, panel: Panel, haplotypes: int, chromosome: int
    ) -> Iterator[tuple[np.ndarray, WindowBatch]]:
        """Rows and windows of one length."""
        source = WindowSource([panel], np.full(len(panel.samples), -1), self.view)
        rows: list[int] = []
        waiting: list[WindowBatch] = []

        def batch() -> tuple[np.ndarray, WindowBatch]:
            joined = WindowBatch.join(waiting)
            number = torch.full_like(joined.chromosome, chromosome)
            person = torch.full_like(joined.person, STRANGER)
            found = np.array(rows), replace(joined, chromosome=number, person=person)
            rows.clear()
            waiting.clear()
            return found

        for row in range(haplotypes * len(panel.samples)):
            person, haplotype = divmod(row, haplotypes)
            for window in source.tiles(person, haplotype, 0, self.window, self.step):
                length = window.site.shape[1]
                if waiting and (len(waiting) == BATCH or length != waiting[0].site.shape[1]):
                    yield batch()
                if length:
                    rows.append(row)
                    waiting.append(window)
        if waiting:
            yield batch()

    def _probabilities(self, windows: WindowBatch) -> np.ndarray:
        given = None if self.reference is None else self.reference.evidence(windows)
        return window_probabilities(self.model, LabelledWindows(windows, given), BATCH).numpy()


def _filled(evidence: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Blocks that no window covers take what the nearest covered one says; rows without any stay at 0."""
    for row in np.flatnonzero(~known.all(1) & known.any(1)):
        covered, blank = np.flatnonzero(known[row]), np.flatnonzero(~known[row])
        nearest = covered[np.abs(blank[:, None] - covered).argmin(1)]
        evidence[row, blank] = evidence[row, nearest]
    return evidence


def tokens_per_site(data: TrainingData, view: str) -> float:
    """The `density` of a `WindowCaller`: carried sites of a validation person among the panel's, else 1."""
    if view != "carried":
        return 1.0
    carried = [(panel.allele[data.split.valid] == 1).any(1).mean() for panel in data.panels]
    return float(np.average(carried, weights=[len(panel.sites) for panel in data.panels]))


def fit_chain(
    judge_of: WindowCaller, data: TrainingData, seed: int
) -> tuple[ChainSettings, float, dict[str, float]]:
    """The chain and calibrating power that suit mosaics of the validation individuals best; how good they are then.

    Mosaics are phased and with phase errors; in views without haplotypes, of whole individuals.
    """
    rng = np.random.default_rng((seed, 11))
    examples: list[Examples] = []
    read, cohorts = 0.0, (True, False) if judge_of.view == "haplotype" else (True,)
    for number, panel in enumerate(data.panels):
        valid, labels = panel.individuals(data.split.valid), data.labels[data.split.valid]
        blocks = judge_of.blocks(panel.sites)
        of_person = 2 * len(blocks) * judge_of.window
        individuals = int(
            np.clip(MOST_TOKENS // (of_person * len(cohorts) * len(data.panels)), 1, MOST_INDIVIDUALS)
        )
        middle = np.minimum(blocks.start + blocks.size // 2, blocks.sites - 1)
        for phased in cohorts:
            made, truth = _mosaics(valid, labels, individuals, rng, phased, judge_of.view)
            examples.append(Examples(blocks, judge_of.evidence(made, number), truth[:, middle]))
        read += of_person * individuals * len(cohorts)
        if read > MOST_TOKENS:
            break
    chain, power, posterior = choose_chain(examples)
    scores = score_posterior(
        sharpen(np.concatenate([part.reshape(-1, part.shape[2]) for part in posterior]), power),
        np.concatenate([made.truth.ravel() for made in examples]),
    )
    return chain, power, scores


def _mosaics(
    panel: Panel, labels: np.ndarray, individuals: int, rng: np.random.Generator, phased: bool, view: str
) -> tuple[Panel, np.ndarray]:
    """Mosaic individuals as a panel, and their truth (R, n)."""
    recipe = MosaicRecipe()
    if view == "haplotype":
        made = make_mosaics(panel, labels, individuals, rng, recipe, phased)
        allele, truth = made.allele.reshape(individuals, 2, -1), made.truth
    else:  # a haplotype of pairs of alleles is a whole person
        pair = 3 * panel.allele[:, 0] + panel.allele[:, 1]
        made = make_mosaics(
            replace(panel, allele=np.repeat(pair[:, None], 2, 1)), labels, individuals, rng, recipe
        )
        allele = np.stack([made.allele // 3, made.allele % 3], 1)
        truth = np.repeat(made.truth, 2, axis=0)
    names = np.array([f"mosaic{i}" for i in range(len(allele))])
    return Panel(Samples(names, names, names, names), panel.sites, allele, panel.phased), truth
