"""Training for local ancestry: a reference to copy from, and what mosaics of held-out people teach about its evidence.

The copying model needs no training. Mosaics of people of known populations, judged by the other people, choose the
chain's temperature and the calibration; on request they train a bidirectional Hyena that corrects the chain.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.analysis.ancestry.calibration import fit_power, log_loss, sharpen
from crocuta.analysis.ancestry.smoothing import ChainSettings, estimate, smooth_people
from crocuta.data.variants.store import Cohort
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.train.local_ancestry_examples import Examples, LocalRecipe, judge, out_of_fold
from crocuta.train.local_ancestry_reference import read_references, save_reference
from crocuta.train.manifest import manifest

CONFIG, REFERENCE = "config.json", "reference"
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
    progress: Callable[[str, int], object] | None = None,
) -> dict[str, Any]:
    """Makes a run folder that `infer_local` takes: references, chain, calibration, perhaps a network.

    Returns what the mosaics say of it. `progress` hears what is done, and how much more of it is.

    Raises:
        InputError: the cohort cannot be used, or the folder holds another run.
    """
    output, tell, recipe = Path(output), progress or (lambda _what, _more: None), recipe or LocalRecipe()
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
