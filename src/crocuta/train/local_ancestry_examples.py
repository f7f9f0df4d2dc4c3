"""Mosaics of some people of a reference with the evidence that the others give; how posteriors are judged."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from crocuta.analysis.ancestry.calibration import log_loss
from crocuta.analysis.ancestry.copying import Blocks, CopyingModel, CopyingSettings
from crocuta.analysis.curves import reliability
from crocuta.train.local_ancestry_mosaics import MosaicRecipe, make_mosaics
from crocuta.train.local_ancestry_reference import Reference


@dataclass(frozen=True)
class LocalRecipe:
    """`maf`, `spacing`: see `read_references`. `mosaics` people are made, by `folds` of the reference people.

    `steps` of the network's training; 0: no network.
    """

    maf: float = 0.05
    spacing: int = 0
    mosaics: int = 32
    folds: int = 2
    steps: int = 0
    seed: int = 0
    copying: CopyingSettings = field(default_factory=CopyingSettings)
    made: MosaicRecipe = field(default_factory=MosaicRecipe)


class Examples(NamedTuple):
    """A cohort of mosaics at the blocks of a chromosome, for which rates are estimated.

    Shapes: `evidence` (haplotypes, blocks, populations); `truth` (haplotypes, blocks).
    """

    blocks: Blocks
    evidence: np.ndarray
    truth: np.ndarray


def out_of_fold(
    reference: Reference, recipe: LocalRecipe, progress: Callable[[int], object] | None = None
) -> list[Examples]:
    """Mosaics of each fold's people with the evidence of all other people: one cohort phased, one with phase errors."""
    rng = np.random.default_rng(recipe.seed)
    fold = _folds(reference.labels, recipe.folds, rng)
    found = []
    for k in range(recipe.folds):
        inside = fold == k
        model = CopyingModel.fit(reference.panel.people(~inside), reference.labels[~inside], recipe.copying)
        for phased in (True, False):
            count = max(1, recipe.mosaics // (2 * recipe.folds))
            made = make_mosaics(
                reference.panel.people(inside), reference.labels[inside], count, rng, recipe.made, phased
            )
            middle = np.minimum(model.blocks.start + model.blocks.size // 2, made.truth.shape[1] - 1)
            evidence = model.evidence(made.allele, progress)
            found.append(Examples(model.blocks, evidence, made.truth[:, middle]))
    return found


def _folds(labels: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each person: every population evenly over all."""
    fold = np.empty(len(labels), int)
    for k in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == k))
        fold[members] = np.arange(len(members)) % folds
    return fold


def judge(posterior: np.ndarray, truth: np.ndarray) -> dict[str, float]:
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
