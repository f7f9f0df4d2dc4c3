"""Cohorts as runs: a store that is built of variant files, and a simulated cohort; both go on where they stopped."""

import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from crocuta.errors import InputError
from crocuta.files import remove, write_json
from crocuta.runs.claim import Claim, claim
from crocuta.runs.cost import Cost, PeakMemory
from crocuta.runs.device import available_mb, choose_device, used_mb
from crocuta.runs.progress import SILENT, Progress
from crocuta.runs.saved import read_json
from crocuta.runs.workers import done
from crocuta.variants.admixture import join_chromosomes, write_chromosome
from crocuta.variants.blocks import Policy
from crocuta.variants.build import Built, finish_store, plan_store, read_built, read_part
from crocuta.variants.out_of_africa import Admixture, import_msprime
from crocuta.variants.shares import share_read
from crocuta.variants.store_writer import BUFFER, LEVEL
from crocuta.variants.vcf import VariantFile

METRICS = "metrics.json"


def build_cohort(
    variants: Sequence[str | PathLike],
    output: str | PathLike,
    samples: str | PathLike | None = None,
    genetic_map: str | PathLike | None = None,
    *,
    policy: Policy | None = None,
    shared: bool = False,
    build: str = "",
    jobs: int = 1,
    resume: bool = False,
    progress: Progress = SILENT,
) -> Built:
    """Builds a store from VCFs or BCFs that hold the same individuals and different chromosomes.

    Until the store is whole, finished chromosomes lie in `OUTPUT.parts`, from which `resume` goes on.

    Args:
        samples, genetic_map, shared, policy: as in `crocuta.variants.read_panel`.
        build: name of the reference build; by default what the files' headers say.
        jobs: processes, each of which reads a file, or some chromosomes of one if there are fewer files.

    Raises:
        InputError: the output may not be taken; a file is malformed or disagrees with another.
    """
    policy = policy or Policy()
    settings = {"policy": asdict(policy), "shared": shared, "build": build}
    inputs = {"variants": list(variants), "samples": samples, "map": genetic_map}
    with claim(output, "ancestry build", settings, inputs, resume=resume, file=True) as run:
        if not run.finished:
            fresh = not any(run.folder.glob("*.h5"))
            try:
                plan = plan_store(variants, run.folder, samples, genetic_map, policy, shared, build, jobs)
                with progress.stage("building", unit="sites") as stage:
                    read = partial(read_part, keep=run.keep)
                    live = min(jobs, len(plan.parts)) == 1  # others are heard of when they are done
                    with done(
                        partial(read, tell=stage.advance) if live else read, plan.parts, jobs
                    ) as results:
                        finish_store(plan, results, run.target)
            except InputError:
                if fresh:  # the same files and settings would bring it again
                    run.drop()
                raise
            run.finish()
    return read_built(Path(output))


class Ahead(NamedTuple):
    """What a building would take, the bytes of its files, and about how many sites they hold."""

    cost: Cost
    bytes: int
    sites: int


def estimate_build(variants: Sequence[str | PathLike], policy: Policy | None = None, jobs: int = 1) -> Ahead:
    """What `build_cohort` would cost, by the first block of each file.

    Raises:
        InputError: a file cannot be read.
    """
    device, seconds, sites, size, peak = choose_device("cpu"), 0.0, 0.0, 0, 0.0
    for path in map(Path, variants):
        start = time.perf_counter()
        with PeakMemory(device) as memory:
            block = next(VariantFile(path).blocks(policy or Policy()), None)
            if block is not None:
                zlib.compress(block.allele.tobytes(), LEVEL)
        took = time.perf_counter() - start
        share = share_read(path, block.counts.sites) if block is not None else 1.0
        seconds += took / share
        sites += block.counts.sites / share if block is not None else 0
        size += sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
        peak = max(peak, memory.added)
    memory_mb = used_mb(device) + jobs * (peak + BUFFER) / 2**20
    return Ahead(Cost(seconds / jobs, memory_mb, available_mb(device)), size, round(sites))


def simulate_cohort(
    output: str | PathLike,
    settings: Admixture,
    *,
    jobs: int = 1,
    resume: bool = False,
    progress: Progress = SILENT,
) -> dict[str, int]:
    """Simulates a cohort into a folder (see `join_chromosomes`); returns its sites by chromosome.

    The same settings give the same files whatever `jobs`, which counts chromosomes simulated at once.

    Raises:
        InputError: the output may not be taken; msprime is not installed.
    """
    import_msprime()
    with claim(output, "ancestry simulate", asdict(settings), {}, resume=resume) as run:
        if not run.finished:
            _simulate(run, settings, jobs, progress)
        return read_json(run.folder / METRICS)["sites"]


def _simulate(run: Claim, settings: Admixture, jobs: int, progress: Progress) -> None:
    parts, names, found = run.folder / ".parts", settings.chromosomes, {}
    parts.mkdir(exist_ok=True)
    write = partial(write_chromosome, settings, parts)
    with (
        progress.stage("simulating", len(names), "chromosomes") as stage,
        done(write, range(len(names)), jobs) as results,
    ):
        for index, made in results:
            found[index] = made
            run.keep()
            stage.advance()
    ordered = [found[index] for index in range(len(names))]
    join_chromosomes(run.folder, settings, parts, ordered)
    write_json(
        run.folder / METRICS, {"sites": {name: made.sites for name, made in zip(names, ordered, strict=True)}}
    )
    remove(parts)
    run.finish([settings.seed])
