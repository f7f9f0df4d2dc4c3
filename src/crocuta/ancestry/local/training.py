"""Training for local ancestry: a reference to copy from, and what mosaics of others teach about its evidence.

The copying model needs no training. Mosaics of individuals of known populations, called by the other individuals,
choose the chain's temperature and the calibration; on request they train a bidirectional Hyena that corrects the
chain.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.ancestry.local.examples import Examples, LocalRecipe, out_of_fold, score_posterior
from crocuta.ancestry.local.reference import LocalReference, read_references, save_reference
from crocuta.ancestry.methods.calibration import fit_power, log_loss, sharpen
from crocuta.ancestry.methods.smoothing import ChainSettings, estimate_chain, smooth_individuals
from crocuta.ancestry.panels import Choice
from crocuta.files import remove, write_json
from crocuta.runs.claim import Claim, claim
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.progress import SILENT, Progress
from crocuta.runs.saved import read_json
from crocuta.variants.store import Cohort

CHAIN, REFERENCE, EXAMPLES = "chain.json", "reference", "examples"
METRICS = "metrics.json"
KIND, TASK = "ancestry train", "local ancestry"
TEMPERATURES, FLOORS = (1.0, 1.5, 2.5, 4.0), (0.03, 0.1, 0.3)
ROUGH = ChainSettings(temperature=1.5)  # with which the rates of mosaics are estimated


def choose_chain(examples: list[Examples]) -> tuple[ChainSettings, float, list[np.ndarray]]:
    """The chain's temperature and floor and the calibrating power with the least log-loss on mosaics; posteriors."""
    best, chosen = np.inf, None
    rates = [estimate_chain(made.evidence, made.blocks.cm, ROUGH) for made in examples]
    for temperature, floor in product(TEMPERATURES, FLOORS):
        settings = ChainSettings(temperature=temperature, floor=floor)
        posterior = [
            smooth_individuals(
                made.evidence, made.blocks.cm, replace(rate, temperature=temperature, floor=floor)
            )
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


def train_local(
    cohort: str | PathLike,
    output: str | PathLike,
    *,
    by: str = "group",
    leave_out: Sequence[str] = (),
    recipe: LocalRecipe | None = None,
    device: str = AUTO,
    checkpoint_seconds: float = 60.0,
    resume: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Makes a run folder that `infer_ancestry` takes: references, chain, calibration, perhaps a network.

    Args:
        by: what is distinguished, "population" or "group".
        leave_out: populations or groups that are no references, such as the admixed.
        resume: go on with an interrupted run: mosaics that have been called are kept, and so is the network as it last
        was.

    Returns:
        What the mosaics of all chromosomes say of it.

    Raises:
        InputError: the output may not be taken; the cohort cannot be used.
    """
    recipe = recipe or LocalRecipe()
    settings = {"task": TASK, "by": by, "leave_out": list(leave_out), "recipe": asdict(recipe)}
    with claim(output, KIND, settings, {"cohort": cohort}, resume=resume) as run:
        if not run.finished:
            choose_device(device)
            choice = Choice(by, tuple(leave_out), recipe.maf)
            with Cohort(cohort) as store:
                references, names = read_references(store, choice, recipe.spacing, progress)
                build = store.build
            examples = _judged(references, recipe, run, progress)
            if not (run.folder / CHAIN).exists():
                _choose(run.folder, references, names, build, examples, recipe)
            about = read_json(run.folder / CHAIN)
            found = {"chain": about["scores"]}
            if recipe.steps:
                from crocuta.ancestry.local.network import train_smoother

                found["network"] = train_smoother(
                    examples, ChainSettings(**about["chain"]), recipe, run.folder, device=device,
                    checkpoint_seconds=checkpoint_seconds, keep=run.keep, progress=progress,
                )  # fmt: skip
            write_json(run.folder / METRICS, found)
            remove(run.folder / EXAMPLES)
            run.finish([recipe.seed])
        return read_json(run.folder / METRICS)


def _judged(
    references: list[LocalReference], recipe: LocalRecipe, run: Claim, progress: Progress
) -> list[Examples]:
    """Mosaics of all chromosomes with the evidence of other individuals."""
    count = len(references)
    total = 2 * recipe.individuals(count) * 2 * recipe.folds * count
    with progress.stage("mosaics", total, "haplotypes") as stage:
        return [
            made
            for i, reference in enumerate(references)
            for made in out_of_fold(reference, recipe, stage, (i, count), run.folder / EXAMPLES, run.keep)
        ]


def _choose(
    folder: Path, references: list[LocalReference], names: tuple[str, ...], build: str, examples: list[Examples],
    recipe: LocalRecipe,
) -> None:  # fmt: skip
    """Writes the references, and the chain that suits the mosaics."""
    chain, power, posterior = choose_chain(examples)
    for reference in references:
        save_reference(folder / REFERENCE, reference)
    about = {
        "populations": names, "build": build, "chain": asdict(chain), "power": power, "network": bool(recipe.steps),
        "chromosomes": [reference.panel.sites.chromosome for reference in references],
        "scores": score_posterior(sharpen(_flat(posterior), power), _truth(examples)),
    }  # fmt: skip
    write_json(folder / CHAIN, about)
