"""Mosaics of some individuals of a reference with the evidence that the others give; how posteriors are scored."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file, save

from crocuta.analysis.curves import reliability
from crocuta.ancestry.local.mosaics import MosaicRecipe, make_mosaics
from crocuta.ancestry.local.reference import LocalReference
from crocuta.ancestry.methods.calibration import log_loss
from crocuta.ancestry.methods.copying import Blocks, CopyingModel, CopyingSettings, make_blocks
from crocuta.files import file_name, replacing
from crocuta.runs.progress import QUIET, Stage

LEAST_INDIVIDUALS = 2  # of a cohort of mosaics


@dataclass(frozen=True)
class LocalRecipe:
    """`maf`, `spacing`: see `read_references`. `mosaics` individuals are made, by `folds` of the reference individuals.

    They are divided among the chromosomes, but on each at least `LEAST_INDIVIDUALS` of a cohort are made. `steps` of
    the network's training; 0: no network.
    """

    maf: float = 0.05
    spacing: int = 0
    mosaics: int = 32
    folds: int = 2
    steps: int = 0
    seed: int = 0
    copying: CopyingSettings = field(default_factory=CopyingSettings)
    made: MosaicRecipe = field(default_factory=MosaicRecipe)

    def individuals(self, chromosomes: int) -> int:
        """Mosaics of a cohort; there are two cohorts for each fold and chromosome."""
        return max(LEAST_INDIVIDUALS, self.mosaics // (2 * self.folds * chromosomes))


class Examples(NamedTuple):
    """A cohort of mosaics at the blocks of a chromosome, for which rates are estimated.

    Shapes: `evidence` (haplotypes, blocks, populations); `truth` (haplotypes, blocks).
    """

    blocks: Blocks
    evidence: np.ndarray
    truth: np.ndarray


def out_of_fold(
    reference: LocalReference,
    recipe: LocalRecipe,
    stage: Stage = QUIET,
    place: tuple[int, int] = (0, 1),
    kept: Path | None = None,
    keep: Callable[[], object] = lambda: None,
) -> list[Examples]:
    """Mosaics of each fold's individuals with the evidence of all others: one cohort phased, one with phase errors.

    `place`: number of the chromosome, and how many there are. `kept`: folder in which cohorts that have been called
    already are found, and new ones kept, after each of which `keep` is called.
    """
    fold = _folds(reference.labels, recipe.folds, np.random.default_rng(recipe.seed))
    count = recipe.individuals(place[1])
    sites = reference.panel.sites
    blocks = make_blocks(sites.position, sites.cm)
    middle = np.minimum(blocks.start + blocks.size // 2, len(sites) - 1)
    found = []
    for k in range(recipe.folds):
        inside, model = fold == k, None
        for phased in (True, False):
            path = (
                kept
                and kept
                / f"{file_name(sites.chromosome)}.{k}.{'phased' if phased else 'switched'}.safetensors"
            )
            if path is None or not path.exists():
                model = model or CopyingModel.fit(
                    reference.panel.individuals(~inside), reference.labels[~inside], recipe.copying
                )
                rng = np.random.default_rng((recipe.seed, place[0], k, phased))
                individuals, labels = reference.panel.individuals(inside), reference.labels[inside]
                made = make_mosaics(individuals, labels, count, rng, recipe.made, phased)
                evidence = model.evidence(made.allele, stage.advance)
                found.append(Examples(blocks, evidence, np.ascontiguousarray(made.truth[:, middle])))
                if path is not None:
                    with replacing(path, "wb") as file:
                        file.write(save({"evidence": evidence, "truth": found[-1].truth}))
                    keep()
            else:
                arrays = load_file(path)
                found.append(Examples(blocks, arrays["evidence"], arrays["truth"]))
                stage.advance(2 * count)
    return found


def _folds(labels: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each person: every population evenly over all."""
    fold = np.empty(len(labels), int)
    for k in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == k))
        fold[members] = np.arange(len(members)) % folds
    return fold


def score_posterior(posterior: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Accuracy, log-loss and expected calibration error (20 bins of the largest probability)."""
    flat, right = posterior.reshape(-1, posterior.shape[-1]), truth.ravel()
    return {
        "accuracy": float((flat.argmax(1) == right).mean()),
        "log_loss": log_loss(flat, right),
        "ece": expected_calibration_error(flat, right),
    }


def expected_calibration_error(posterior: np.ndarray, truth: np.ndarray, bins: int = 20) -> float:
    """Mean distance of the largest probability from how often it is right (`crocuta.analysis.curves.reliability`)."""
    if (
        posterior.shape[1] == 2
    ):  # of two classes `reliability` takes the second's probability, not the largest
        posterior = np.pad(posterior, ((0, 0), (0, 1)))
    return float(reliability(truth, posterior[None], bins).expected_calibration_error)
