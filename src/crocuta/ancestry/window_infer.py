"""Ancestry along chromosomes from a run that was trained on windows: individuals are inferred in batches."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crocuta.ancestry.along import WindowCaller
from crocuta.ancestry.evidence import EvidenceReference
from crocuta.ancestry.methods.calibration import sharpen
from crocuta.ancestry.methods.smoothing import ChainSettings, estimate_chain, smooth_individuals
from crocuta.ancestry.sites import load_sites
from crocuta.ancestry.window_run import INDIVIDUALS, KIND, REFERENCE, SMOOTHING
from crocuta.ancestry.window_run import SITES as SITES_FILE
from crocuta.errors import InputError
from crocuta.models.ancestry import AncestryForWindowClassification
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.progress import QUIET, Stage
from crocuta.runs.saved import SavedRun, read_json
from crocuta.variants import Panel, Sites


@dataclass(frozen=True)
class WindowRun:
    """What `run_ancestry` left in a folder, read once for all chromosomes; `individuals` of its training."""

    folder: Path
    caller: WindowCaller
    sites: tuple[Sites, ...]
    build: str
    chain: ChainSettings
    power: float
    window_power: float
    individuals: tuple[str, ...]
    tested: tuple[str, ...]

    @property
    def populations(self) -> tuple[str, ...]:
        return tuple((self.caller.model.config.id2label or {}).values())

    @property
    def chromosomes(self) -> tuple[str, ...]:
        return tuple(sites.chromosome for sites in self.sites)


def read_window_run(
    folder: Path, window: int | None = None, step: int | None = None, device: str = AUTO
) -> WindowRun:
    """A finished run; `window` and `step` count its tokens (default: as trained, and half of that).

    Raises:
        InputError: the run has not ended, or the window is longer than it was trained with.
    """
    if "run" not in SavedRun(folder, KIND).config:
        raise InputError(f"{folder}: a run of local ancestry; expected one of ancestry train on windows")
    place = choose_device(device)
    model = AncestryForWindowClassification.from_pretrained(folder / "model").eval().to(place)  # pyright: ignore
    longest = model.config.max_sites
    window = longest if window is None else window
    if window > longest:
        raise InputError(
            f"`window` {window}: the model {folder} was trained on {longest}; choose at most that"
        )
    step = max(1, window // 2) if step is None else step
    if step > window:
        raise InputError(
            f"`step` {step}: expected at most the window of {window}; sites between would be lost"
        )
    smoothing = read_json(folder / SMOOTHING)
    reference = (
        EvidenceReference.load(folder / REFERENCE).to(place) if (folder / REFERENCE).exists() else None
    )
    sites, build = load_sites(folder / SITES_FILE)
    individuals = read_json(folder / INDIVIDUALS)
    return WindowRun(
        folder, WindowCaller(model, reference, window, step, smoothing["density"]), tuple(sites), build,
        ChainSettings(**smoothing["chain"]), smoothing["power"], smoothing["window_power"],
        tuple(individuals["train"]), tuple(individuals["test"]),
    )  # fmt: skip


class WindowChromosome:
    """One chromosome of a run, on which individuals are inferred batch after batch.

    Smoothed along the chromosome under the rates that make the first batch most probable; or, if not `smooth`, each
    block by the windows over it alone.
    """

    def __init__(self, run: WindowRun, chromosome: str, smooth: bool = True, stage: Stage = QUIET):
        self.run, self.smooth, self.stage = run, smooth, stage
        self.number = run.chromosomes.index(chromosome)
        self.sites, self.individuals = run.sites[self.number], run.individuals
        self.blocks = run.caller.blocks(self.sites)
        self.chain: ChainSettings | None = None

    def posterior(self, aligned: Panel) -> np.ndarray:
        """(2 * individuals, blocks, populations); both rows of a person are equal in views without haplotypes."""
        evidence = self.run.caller.evidence(aligned, self.number, self.stage)
        if not self.smooth:
            return self.run.caller.unsmoothed(evidence, self.run.window_power)
        self.chain = self.chain or estimate_chain(evidence, self.blocks.cm, self.run.chain)
        return sharpen(smooth_individuals(evidence, self.blocks.cm, self.chain), self.run.power).astype(
            np.float32
        )
