"""Training for local ancestry: a reference to copy from, and what mosaics of held-out people teach about its evidence.

The copying model needs no training. Mosaics of people of known populations, judged by the other people, choose the
chain's temperature and the calibration; on request they train a bidirectional Hyena that corrects the chain.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crocuta.analysis.ancestry.calibration import fit_power, log_loss, sharpen
from crocuta.analysis.ancestry.copying import Blocks, CopyingModel, CopyingSettings
from crocuta.analysis.ancestry.smoothing import ChainSettings, estimate, smooth_people
from crocuta.analysis.curves import reliability
from crocuta.data.variants.store import Cohort
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.train.local_ancestry_mosaics import MosaicRecipe, make_mosaics
from crocuta.train.local_ancestry_reference import Reference, read_references, save_reference
from crocuta.train.manifest import manifest

CONFIG, REFERENCE = "config.json", "reference"
TASK = "local ancestry"
TEMPERATURES, FLOORS = (1.0, 1.5, 2.5, 4.0), (0.03, 0.1, 0.3)
ROUGH = ChainSettings(temperature=1.5)  # with which the rates of mosaics are estimated


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


def choose_chain(examples: list[Examples]) -> tuple[ChainSettings, float, list[np.ndarray]]:
    """The chain's temperature and floor and the calibrating power with the least log-loss on mosaics; posteriors."""
    best, chosen = np.inf, None
    rates = [estimate(made.evidence, made.blocks.cm, ROUGH) for made in examples]
    for temperature, floor in product(TEMPERATURES, FLOORS):
        settings = ChainSettings(temperature=temperature, floor=floor)
        posterior = [
            smooth_people(made.evidence, made.blocks.cm, replace(rate, temperature=temperature, floor=floor))
            for made, rate in zip(examples, rates, strict=True)
        ]
        power = fit_power(_flat(posterior), _truth(examples))
        loss = log_loss(sharpen(_flat(posterior), power), _truth(examples))
        if loss < best:
            best, chosen = loss, (settings, power, posterior)
    assert chosen is not None, "log-losses are finite"
    return chosen


def _flat(posterior: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([part.reshape(-1, part.shape[-1]) for part in posterior])


def _truth(examples: list[Examples]) -> np.ndarray:
    return np.concatenate([made.truth.ravel() for made in examples])


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


def train_local(
    cohort_path: str | Path,
    output: str | Path,
    *,
    by: str = "group",
    leave_out: tuple[str, ...] = (),
    recipe: LocalRecipe = LocalRecipe(),
    progress: Callable[[str, int], object] | None = None,
) -> dict[str, Any]:
    """Makes a run folder that `infer_local` takes: references, chain, calibration, perhaps a network.

    Returns what the mosaics say of it. `progress` hears what is done, and how much more of it is.

    Raises:
        InputError: the cohort cannot be used, or the folder holds another run.
    """
    output, tell = Path(output), progress or (lambda _what, _more: None)
    if (output / CONFIG).exists():
        raise InputError(f"{output}: holds a run already; name another folder with --output")
    with Cohort(cohort_path) as cohort:
        references, names = read_references(
            cohort, by, leave_out, recipe.maf, recipe.spacing, lambda: tell("people read", 1)
        )
        build = cohort.build
    examples = out_of_fold(references[0], recipe, lambda more: tell("mosaics judged", more))
    chain, power, posterior = choose_chain(examples)
    for reference in references:
        save_reference(output / REFERENCE, reference)
    found = {"chain": judge(sharpen(_flat(posterior), power), _truth(examples))}
    if recipe.steps:
        from crocuta.train.local_ancestry_network import train_network

        found["network"] = train_network(examples, chain, recipe, output, lambda: tell("steps", 1))
    config = {
        "task": TASK, "populations": names, "by": by, "build": build, "chain": asdict(chain), "power": power,
        "recipe": asdict(recipe), "network": bool(recipe.steps),
        "chromosomes": [reference.panel.sites.chromosome for reference in references],
    }  # fmt: skip
    write_json(output / "metrics.json", found)
    write_json(output / "manifest.json", manifest([Path(cohort_path)], [recipe.seed]))
    write_json(output / CONFIG, config)
    return found
