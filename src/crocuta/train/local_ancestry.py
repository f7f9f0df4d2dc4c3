"""Training for local ancestry: a reference to copy from, and what mosaics of held-out people teach about its evidence.

The copying model needs no training. Mosaics of people of known populations, judged by the other people, choose the
chain's temperature and the calibration; on request they train a bidirectional Hyena that corrects the chain.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.analysis.ancestry.calibration import fit_power, log_loss, sharpen
from crocuta.analysis.ancestry.smoothing import ChainSettings, estimate, smooth_people
from crocuta.data.variants.store import Cohort
from crocuta.files import write_json
from crocuta.runs.manifest import manifest
from crocuta.train.ancestry_folder import METRICS, begin, check_folder, kept_settings
from crocuta.train.ancestry_panels import fingerprint
from crocuta.train.local_ancestry_examples import Examples, LocalRecipe, judge, out_of_fold
from crocuta.train.local_ancestry_reference import read_references, save_reference

CHAIN, REFERENCE, EXAMPLES = "chain.json", "reference", "examples"
TASK = "local ancestry"
TEMPERATURES, FLOORS = (1.0, 1.5, 2.5, 4.0), (0.03, 0.1, 0.3)
ROUGH = ChainSettings(temperature=1.5)  # with which the rates of mosaics are estimated


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


def train_local(
    cohort_path: str | Path,
    output: str | Path,
    *,
    by: str = "group",
    leave_out: tuple[str, ...] = (),
    recipe: LocalRecipe | None = None,
    resume: bool = False,
    progress: Callable[[str, int], object] | None = None,
) -> dict[str, Any]:
    """Makes a run folder that `infer_ancestry` takes: references, chain, calibration, perhaps a network.

    Returns what the mosaics of all chromosomes say of it. `progress` hears what is done, and how much more of it is.
    `resume` goes on with an interrupted run: mosaics that were judged are kept, and so is the network as it last was.

    Raises:
        InputError: the cohort cannot be used, or the folder holds another run.
    """
    output, tell, recipe = Path(output), progress or (lambda _what, _more: None), recipe or LocalRecipe()
    check_folder(output, resume)
    with Cohort(cohort_path) as cohort:
        references, names = read_references(
            cohort, by, leave_out, recipe.maf, recipe.spacing, lambda: tell("people read", 1)
        )
        build = cohort.build
    panels = [reference.panel for reference in references]
    settings = {
        "task": TASK, "by": by, "leave_out": leave_out, "panel": fingerprint(panels), "recipe": kept_settings(recipe),
    }  # fmt: skip
    if begin(output, settings, resume):
        return json.loads((output / METRICS).read_text())
    examples = [
        made
        for i, reference in enumerate(references)
        for made in out_of_fold(
            reference, recipe, lambda more: tell("mosaics judged", more), (i, len(references)), output / EXAMPLES
        )
    ]  # fmt: skip
    if not (output / CHAIN).exists():
        chain, power, posterior = choose_chain(examples)
        scores = judge(sharpen(_flat(posterior), power), _truth(examples))
        for reference in references:
            save_reference(output / REFERENCE, reference)
        about = {
            "populations": names, "build": build, "chain": asdict(chain), "power": power, "network": bool(recipe.steps),
            "chromosomes": [panel.sites.chromosome for panel in panels], "scores": scores,
        }  # fmt: skip
        write_json(output / CHAIN, about)
    about = json.loads((output / CHAIN).read_text())
    found = {"chain": about["scores"]}
    if recipe.steps:
        from crocuta.train.local_ancestry_network import train_network

        chain = ChainSettings(**about["chain"])
        found["network"] = train_network(examples, chain, recipe, output, lambda: tell("steps", 1))
    write_json(output / "manifest.json", manifest([Path(cohort_path)], [recipe.seed]))
    write_json(output / METRICS, found)
    shutil.rmtree(output / EXAMPLES)
    return found
