"""Inference of local ancestry: a query's haplotypes against a run's reference, chromosome by chromosome."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crocuta.analysis.ancestry.calibration import sharpen
from crocuta.analysis.ancestry.copying import BATCH, Blocks, CopyingModel, CopyingSettings
from crocuta.analysis.ancestry.smoothing import ChainSettings, estimate, smooth_people
from crocuta.data.variants import Counts, Panel, Policy, Sites, read_panel
from crocuta.data.variants.matching import LEAST, match
from crocuta.data.variants.tracts import (
    Segments,
    Tracts,
    write_bed,
    write_fb,
    write_msp,
    write_q,
)
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.train.local_ancestry import CONFIG, REFERENCE, TASK
from crocuta.train.local_ancestry_reference import load_reference

SMOOTHED = 64  # people at a time: bounds memory
WINDOW = 4  # blocks of a line of the .fb.tsv, by default
SUMMARY = "summary.json"


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
    """Raises InputError if the folder holds no run of local ancestry."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a run of crocuta ancestry train --task local")
    config = json.loads(path.read_text())
    if config.get("task") != TASK:
        raise InputError(
            f"{path}: not a run of local ancestry; train one with crocuta ancestry train --task local"
        )
    return Run(
        Path(folder), tuple(config["populations"]), CopyingSettings(**config["recipe"]["copying"]),
        ChainSettings(**config["chain"]), config["power"], tuple(config["chromosomes"]), config["network"],
        config["build"],
    )  # fmt: skip


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

    Generations and phase switches are those under which the query itself is most probable.

    Raises:
        InputError: the query is unphased, or has less than the share `overlap` of the reference's sites.
    """
    if not query.phased:
        raise InputError(f"{source}: genotypes are unphased; phase them first, with SHAPEIT5 or Beagle")
    reference = load_reference(run.folder / REFERENCE / f"{chromosome}.safetensors")
    sites = reference.panel.sites
    found = match(query.sites, sites, overlap, source, ("", run.build))
    alleles = found.align(query, sites).haplotypes
    model = CopyingModel.fit(reference.panel, reference.labels, run.copying)
    del reference
    evidence = _parallel(model, alleles, jobs, progress)
    cm = model.blocks.cm
    chain = estimate(evidence, cm, run.chain)
    posterior = np.empty_like(evidence)
    for first in range(0, len(evidence), 2 * SMOOTHED):
        rows = slice(first, first + 2 * SMOOTHED)
        posterior[rows] = sharpen(smooth_people(evidence[rows], cm, chain), run.power)
    if run.network:
        from crocuta.train.local_ancestry_network import apply_network

        posterior = apply_network(run.folder, evidence, cm, chain)
    return Found(sites, model.blocks, posterior, chain, found.share)


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


def infer_local(
    query: str | Path,
    run_folder: str | Path,
    output: str | Path,
    *,
    window: int | None = None,
    step: int | None = None,
    overlap: float = LEAST,
    jobs: int = 1,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Writes local.msp.tsv, local.fb.tsv, local.rfmix.Q, bed/<sample>.bed and summary.json; returns the summary.

    Args:
        query: VCF or BCF, phased, of any of the run's chromosomes.
        window, step: sites of a line of the .fb.tsv, and from one line to the next; default four blocks (about 32 kb).
        overlap: least share of the reference's sites that the query must have.
        progress: called with the number of haplotypes done.

    Raises:
        InputError: the query cannot be read, is unphased, or does not match the run.
    """
    run, output = read_run(run_folder), Path(output)
    fine, coarse, summary = [], [], {}
    for chromosome in run.chromosomes:
        panel = _read(Path(query), chromosome)
        if panel is None:
            continue
        found = infer_panel(
            run, panel, chromosome, overlap=overlap, jobs=jobs, source=query, progress=progress
        )
        names = tuple(panel.samples.name.tolist())
        fine.append(Tracts(names, run.populations, segments(found), found.posterior))
        coarse.append(windowed(fine[-1], found.blocks.size, window, step))
        summary[chromosome] = {"overlap": found.overlap, **asdict(found.chain)}
    if not fine:
        raise InputError(f"{query}: none of the run's chromosomes ({', '.join(run.chromosomes)})")
    write_msp(output / "local.msp.tsv", fine)
    write_fb(output / "local.fb.tsv", coarse)
    write_q(output / "local.rfmix.Q", fine)
    for sample, name in enumerate(fine[0].samples):
        write_bed(output / "bed" / f"{name}.bed", fine, sample)
    told = {
        "query": str(query),
        "populations": run.populations,
        "samples": fine[0].samples,
        "chromosomes": summary,
    }
    write_json(output / SUMMARY, told)
    return told


def _read(query: Path, chromosome: str) -> Panel | None:
    """None: the file has nothing of the chromosome."""
    counts = Counts()
    try:
        return read_panel(query, region=chromosome, policy=Policy(), counts=counts)
    except InputError:
        if not counts.sites and query.is_file():
            return None
        raise


def segments(found: Found) -> Segments:
    """The blocks as intervals: from a block's first site to the next block's, the last to one beyond its last site."""
    start = found.blocks.start
    position, cm = found.sites.position.astype(np.int64), found.sites.cm
    return Segments(
        found.sites.chromosome, position[start], np.append(position[start[1:]], position[-1] + 1), cm[start],
        np.append(cm[start[1:]], cm[-1]), np.diff(np.append(start, found.blocks.sites)),
    )  # fmt: skip


def windowed(tracts: Tracts, block: int, window: int | None, step: int | None) -> Tracts:
    """Means over `window` sites every `step`, in whole blocks of `block` sites."""
    width = WINDOW if window is None else max(1, round(window / block))
    stride = width if step is None else max(1, round(step / block))
    fine, total = tracts.segments, len(tracts.segments)
    first = np.arange(0, total, stride)
    last = np.minimum(first + stride, total)
    low = np.maximum((first + last - width) // 2, 0)
    high = np.minimum(low + max(width, 1), total)
    sums = np.concatenate(
        [np.zeros_like(tracts.posterior[:, :1]), tracts.posterior.cumsum(1, dtype=np.float64)], 1
    )
    mean = (sums[:, high] - sums[:, low]) / (high - low)[:, None]
    joined = Segments(
        fine.chromosome, fine.start[first], fine.end[last - 1], fine.start_cm[first], fine.end_cm[last - 1],
        np.add.reduceat(fine.sites, first),
    )  # fmt: skip
    return Tracts(tracts.samples, tracts.populations, joined, mean.astype(np.float32))
