"""Local ancestry of people: their haplotypes against a run's reference, chromosome by chromosome."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from crocuta.analysis.ancestry.calibration import sharpen
from crocuta.analysis.ancestry.copying import BATCH, Blocks, CopyingModel, CopyingSettings
from crocuta.analysis.ancestry.smoothing import ChainSettings, estimate, smooth_people
from crocuta.data.variants import Panel, Sites
from crocuta.data.variants.matching import LEAST, match
from crocuta.errors import InputError
from crocuta.train.ancestry_folder import CONFIG, METRICS
from crocuta.train.local_ancestry import CHAIN, REFERENCE, TASK
from crocuta.train.local_ancestry_reference import load_reference

SMOOTHED = 64  # people at a time: bounds memory


@dataclass(frozen=True)
class Run:
    """What `train_local` left in a folder."""

    folder: Path
    populations: tuple[str, ...]
    copying: CopyingSettings
    chain: ChainSettings
    power: float
    chromosomes: tuple[str, ...]
    network: bool
    build: str


@dataclass(frozen=True)
class Found:
    """Ancestry of one chromosome: posteriors at blocks, the rates that were assumed, and the share of sites present."""

    sites: Sites
    blocks: Blocks
    posterior: np.ndarray
    chain: ChainSettings
    overlap: float


def read_run(folder: str | Path) -> Run:
    """Raises InputError if the folder holds no run of local ancestry, or one that has not ended."""
    folder = Path(folder)
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a run of crocuta ancestry train --task local")
    config = json.loads(path.read_text())
    if config.get("task") != TASK:
        raise InputError(
            f"{path}: not a run of local ancestry; train one with crocuta ancestry train --task local"
        )
    if not (folder / METRICS).is_file():
        raise InputError(
            f"{folder}: the run has not ended; go on with it with crocuta ancestry train --task local --resume"
        )
    about = json.loads((folder / CHAIN).read_text())
    return Run(
        folder, tuple(about["populations"]), CopyingSettings(**config["recipe"]["copying"]),
        ChainSettings(**about["chain"]), about["power"], tuple(about["chromosomes"]), about["network"], about["build"],
    )  # fmt: skip


class LocalChromosome:
    """One chromosome of a run, against which people are judged batch after batch.

    Generations and phase switches are those under which the first batch itself is most probable.
    """

    def __init__(
        self, run: Run, chromosome: str, jobs: int = 1, progress: Callable[[int], object] | None = None
    ):
        reference = load_reference(run.folder / REFERENCE / f"{chromosome}.safetensors")
        self.run, self.jobs, self.progress = run, jobs, progress
        self.sites, self.people = reference.panel.sites, reference.panel.samples.name.tolist()
        self.model = CopyingModel.fit(reference.panel, reference.labels, run.copying)
        self.blocks = self.model.blocks
        self.chain: ChainSettings | None = None

    def posterior(self, aligned: Panel) -> np.ndarray:
        """(haplotypes, blocks, populations) of people at the chromosome's sites."""
        evidence = _parallel(self.model, aligned.haplotypes, self.jobs, self.progress)
        cm = self.blocks.cm
        self.chain = self.chain or estimate(evidence, cm, self.run.chain)
        if self.run.network:
            from crocuta.train.local_ancestry_network import apply_network

            return apply_network(self.run.folder, evidence, cm, self.chain)
        posterior = np.empty_like(evidence)
        for first in range(0, len(evidence), 2 * SMOOTHED):
            rows = slice(first, first + 2 * SMOOTHED)
            posterior[rows] = sharpen(smooth_people(evidence[rows], cm, self.chain), self.run.power)
        return posterior


def infer_panel(
    run: Run,
    query: Panel,
    chromosome: str,
    *,
    overlap: float = LEAST,
    jobs: int = 1,
    source: object = "query",
    progress: Callable[[int], object] | None = None,
) -> Found:
    """Posterior of every block for both haplotypes of each person of `query`, in the order of its haplotypes.

    Raises:
        InputError: the query is unphased, or has less than the share `overlap` of the reference's sites.
    """
    if not query.phased:
        raise InputError(f"{source}: genotypes are unphased; phase them first, with SHAPEIT5 or Beagle")
    judge = LocalChromosome(run, chromosome, jobs, progress)
    found = match(query.sites, judge.sites, overlap, source, ("", run.build))
    posterior = judge.posterior(found.align(query, judge.sites))
    assert judge.chain is not None, "set by posterior"
    return Found(judge.sites, judge.blocks, posterior, judge.chain, found.share)


def _parallel(
    model: CopyingModel, alleles: np.ndarray, jobs: int, progress: Callable[[int], object] | None
) -> np.ndarray:
    batches = [alleles[first : first + BATCH] for first in range(0, len(alleles), BATCH)]
    with _one_thread(), ThreadPoolExecutor(jobs) as pool:
        return np.concatenate(list(pool.map(lambda batch: model.evidence(batch, progress), batches)))


@contextmanager
def _one_thread():
    """torch's own threads only slow down operations as small as a batch's; `jobs` share the batches instead."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
