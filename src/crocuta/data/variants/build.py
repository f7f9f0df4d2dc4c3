"""From variant files to a cohort's store: files in parallel, chromosome by chromosome, resumable."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import groupby
from multiprocessing import get_context
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from crocuta.data.variants.blocks import Block, Counts, Policy
from crocuta.data.variants.contigs import plain
from crocuta.data.variants.genetic_map import UNIFORM, GeneticMap, read_genetic_map
from crocuta.data.variants.panel import Samples
from crocuta.data.variants.reading import choose_people, nothing_kept
from crocuta.data.variants.store_writer import ChromosomeWriter, check_names, merge
from crocuta.data.variants.vcf import VariantFile
from crocuta.errors import InputError
from crocuta.files import sha256, write_json


class Built(NamedTuple):
    """A store that was built: its people, and what was read of each chromosome."""

    samples: Samples
    counts: dict[str, Counts]
    phased: dict[str, bool]
    build: str


@dataclass(frozen=True)
class Job:
    """One variant file: whose chromosomes to write where."""

    path: Path
    samples: Samples
    folder: Path
    policy: Policy
    map: Path | None

    @property
    def done(self) -> Path:
        return self.folder / f"{self.path.name}.json"


def build_store(
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
    progress: Callable[[int], None] = lambda sites: None,
) -> Built:
    """Builds a store from VCFs or BCFs that hold the same people and different chromosomes.

    Until the store is whole, finished chromosomes lie in `OUTPUT.parts`, from which `resume` goes on.

    Args:
        samples, genetic_map, shared, policy: as in `read_panel`.
        build: name of the reference build; by default what the files' headers say.
        jobs: files read at once, each in a process.
        progress: called with numbers of further sites read.

    Raises:
        InputError: a file is malformed or disagrees with another; the message names it.
    """
    output, policy = Path(output), policy or Policy()
    folder = output.with_name(f"{output.name}.parts")
    files = [VariantFile(path) for path in variants]
    people, _ = choose_people(files[0], samples, shared=shared)
    check_names(people.name.tolist())
    build = build or _build_of(files)
    for file in files[1:]:
        choose_people(file, samples, people.name.tolist(), shared)
    if genetic_map:
        read_genetic_map(genetic_map)
    _prepare(
        folder, {"samples": people.name.tolist(), "policy": asdict(policy), "map": str(genetic_map)}, resume
    )
    work = [
        Job(file.path, people, folder, policy, Path(genetic_map) if genetic_map else None) for file in files
    ]
    found: dict[str, dict] = {}
    for job, chromosomes in _run(work, jobs, progress):
        for name, about in chromosomes.items():
            if name in found:
                raise InputError(
                    f"{job.path}: chromosome {name} is in {found[name]['source']} too; give each chromosome once"
                )
            found[name] = about
    ordered = sorted((name for name, about in found.items() if about["counts"]["kept"]), key=_natural)
    if not ordered:
        raise InputError(f"{files[0].path}: {nothing_kept(_total(found))}")
    attributes = {"build": build, "policy": json.dumps(asdict(policy))}
    merge({name: _part(folder, name) for name in ordered}, output, people, attributes)
    shutil.rmtree(folder)
    return Built(
        people,
        {name: Counts(**found[name]["counts"]) for name in ordered},
        {name: found[name]["phased"] for name in ordered},
        build,
    )


def _build_of(files: list[VariantFile]) -> str:
    said = {file.header.build: file.path for file in files if file.header.build}
    if len(said) > 1:
        (one, first), (other, second), *_ = said.items()
        raise InputError(f"{first} is on {one} and {second} on {other}; expected one reference build")
    return next(iter(said), "")


def _total(found: dict[str, dict]) -> Counts:
    total = Counts()
    for about in found.values():
        total.add(Counts(**about["counts"]))
    return total


def _prepare(folder: Path, plan: dict, resume: bool) -> None:
    """An empty folder of parts, or with `resume` the one of the same plan."""
    path = folder / "plan.json"
    if resume and path.exists() and json.loads(path.read_text()) == plan:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(path, plan)


def _part(folder: Path, chromosome: str) -> Path:
    return folder / f"{chromosome}.h5"


def _run(
    work: list[Job], jobs: int, progress: Callable[[int], None]
) -> Iterator[tuple[Job, dict[str, dict]]]:
    if jobs == 1 or len(work) == 1:
        yield from ((job, _read_file(job, progress)) for job in work)
        return
    with ProcessPoolExecutor(min(jobs, len(work)), get_context("spawn")) as pool:
        waiting = {pool.submit(_read_file, job): job for job in work}
        try:
            for done in as_completed(waiting):
                chromosomes = done.result()
                progress(sum(about["counts"]["sites"] for about in chromosomes.values()))
                yield waiting[done], chromosomes
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _read_file(job: Job, progress: Callable[[int], None] = lambda sites: None) -> dict[str, dict]:
    """Writes the chromosomes of one file that do not lie in the folder yet; what is known of each."""
    stamp = [(stat := job.path.stat()).st_size, stat.st_mtime_ns]
    if job.done.exists() and (said := json.loads(job.done.read_text()))["stamp"] == stamp:
        return said["chromosomes"]
    genetic_map = read_genetic_map(job.map) if job.map else UNIFORM
    source = {"source": str(job.path), "sha256": sha256(job.path), "genetic_map": genetic_map.source}
    found = dict(_chromosomes(job, genetic_map, source, progress))
    write_json(job.done, {"stamp": stamp, "chromosomes": found})
    return found


def _chromosomes(
    job: Job, genetic_map: GeneticMap, source: dict, progress: Callable[[int], None]
) -> Iterator[tuple[str, dict]]:
    """Chromosomes that lie in the folder already, then those written now."""
    file = VariantFile(job.path)
    _, columns = choose_people(file, None, job.samples.name.tolist())
    known = [json.loads(path.read_text()) for path in job.folder.glob("*.chromosome.json")]
    ready = {about["chromosome"]: about for about in known if source.items() <= about.items()}
    yield from ready.items()
    blocks = file.blocks(job.policy, people=columns, skip=ready)
    for chromosome, part in groupby(blocks, key=lambda block: block.chromosome):
        about = _write_chromosome(job, chromosome, part, genetic_map, source, progress)
        write_json(job.folder / f"{chromosome}.chromosome.json", about)
        yield chromosome, about


def _write_chromosome(
    job: Job, chromosome: str, blocks: Iterator[Block], genetic_map: GeneticMap, source: dict,
    progress: Callable[[int], None],
) -> dict:  # fmt: skip
    counts = Counts()
    writer = ChromosomeWriter(_part(job.folder, chromosome), job.samples, chromosome)
    try:
        for block in blocks:
            writer.add(block)
            counts.add(block.counts)
            progress(block.counts.sites)
        about = source | {"chromosome": chromosome, "phased": counts.phased(job.path, job.policy)}
        if counts.kept:
            writer.finish(genetic_map, about | {"counts": json.dumps(asdict(counts))})
    finally:
        writer.abandon()
    return about | {"counts": asdict(counts)}


def _natural(name: str) -> tuple[int, str]:
    short = plain(name)
    return (int(short), "") if short.isdecimal() else (10**6, short)
