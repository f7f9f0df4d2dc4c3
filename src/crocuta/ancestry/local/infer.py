"""Local ancestry of individuals: their haplotypes against a run's reference, chromosome by chromosome."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from crocuta.ancestry.local.network import read_smoother
from crocuta.ancestry.local.reference import load_reference, reference_file
from crocuta.ancestry.local.training import CHAIN, KIND, REFERENCE, TASK
from crocuta.ancestry.methods.calibration import sharpen
from crocuta.ancestry.methods.copying import BATCH, CopyingModel, CopyingSettings
from crocuta.ancestry.methods.smoothing import ChainSettings, estimate_chain, smooth_individuals
from crocuta.errors import InputError
from crocuta.runs.device import AUTO
from crocuta.runs.progress import QUIET, Stage
from crocuta.runs.saved import SavedRun, read_json
from crocuta.variants import Panel

SMOOTHED = 64  # individuals at a time: bounds memory


@dataclass(frozen=True)
class LocalRun:
    """What `train_local` left in a folder."""

    folder: Path
    populations: tuple[str, ...]
    copying: CopyingSettings
    chain: ChainSettings
    power: float
    chromosomes: tuple[str, ...]
    network: bool
    build: str


def read_local_run(folder: str | PathLike) -> LocalRun:
    """A finished run.

    Raises:
        InputError: the folder holds no run of local ancestry, or one that has not ended.
    """
    saved = SavedRun(folder, KIND)
    if saved.config.get("task") != TASK:
        raise InputError(f"{folder}: a run on windows; expected one of ancestry train for local ancestry")
    about = read_json(saved.path / CHAIN)
    return LocalRun(
        saved.path, tuple(about["populations"]), CopyingSettings(**saved.config["recipe"]["copying"]),
        ChainSettings(**about["chain"]), about["power"], tuple(about["chromosomes"]), about["network"], about["build"],
    )  # fmt: skip


class LocalChromosome:
    """One chromosome of a run, against which individuals are inferred batch after batch.

    Generations and phase switches are those under which the first batch itself is most probable.
    """

    def __init__(
        self, run: LocalRun, chromosome: str, jobs: int = 1, device: str = AUTO, stage: Stage = QUIET
    ):
        reference = load_reference(reference_file(run.folder / REFERENCE, chromosome))
        self.run, self.jobs, self.stage = run, jobs, stage
        self.sites, self.individuals = reference.panel.sites, reference.panel.samples.name.tolist()
        self.model = CopyingModel.fit(reference.panel, reference.labels, run.copying)
        self.blocks = self.model.blocks
        self.smoother = read_smoother(run.folder, device) if run.network else None
        self.chain: ChainSettings | None = None

    def posterior(self, aligned: Panel) -> np.ndarray:
        """(haplotypes, blocks, populations) of individuals at the chromosome's sites."""
        evidence = _parallel(self.model, aligned.haplotypes, self.jobs, self.stage)
        cm = self.blocks.cm
        self.chain = self.chain or estimate_chain(evidence, cm, self.run.chain)
        if self.smoother is not None:
            return self.smoother.posterior(evidence, cm, self.chain)
        posterior = np.empty_like(evidence)
        for first in range(0, len(evidence), 2 * SMOOTHED):
            rows = slice(first, first + 2 * SMOOTHED)
            posterior[rows] = sharpen(smooth_individuals(evidence[rows], cm, self.chain), self.run.power)
        return posterior


def _parallel(model: CopyingModel, alleles: np.ndarray, jobs: int, stage: Stage) -> np.ndarray:
    batches = [alleles[first : first + BATCH] for first in range(0, len(alleles), BATCH)]
    with _one_thread(), ThreadPoolExecutor(jobs) as pool:
        return np.concatenate(list(pool.map(lambda batch: model.evidence(batch, stage.advance), batches)))


@contextmanager
def _one_thread():
    """torch's own threads only slow down operations as small as a batch's; `jobs` share the batches instead."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
