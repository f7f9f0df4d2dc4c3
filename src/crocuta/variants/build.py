"""From variant files to a cohort's store in three steps, of which the second may run in several processes.

`plan_store` says what is to be read, `read_part` writes the chromosomes of one part into a folder, `finish_store` makes
one file of them. `build_store` does all three; `crocuta.ancestry.cohorts.build_cohort` continues an interrupted one.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from crocuta.errors import InputError
from crocuta.files import PARTIAL, file_name, sha256, write_json
from crocuta.variants.blocks import Block, Counts, Policy
from crocuta.variants.contigs import plain
from crocuta.variants.genetic_map import UNIFORM, GeneticMap, read_genetic_map
from crocuta.variants.panel import Samples
from crocuta.variants.reading import choose_individuals, nothing_kept
from crocuta.variants.store import Cohort
from crocuta.variants.store_writer import ChromosomeWriter, check_names, merge
from crocuta.variants.vcf import VariantFile

Tell = Callable[[int], object]


class Built(NamedTuple):
    """A store that was built: its individuals, and what was read of each chromosome."""

    samples: Samples
    counts: dict[str, Counts]
    phased: dict[str, bool]
    build: str


@dataclass(frozen=True)
class StorePart:
    """One variant file, without the chromosomes that other parts read: whose haplotypes to write where.

    `sha256` is of the file's content ("" where it is none, as a pipe).
    """

    path: Path
    sha256: str
    samples: Samples
    folder: Path
    policy: Policy
    map: Path | None
    skip: frozenset[str] = frozenset()

    @property
    def done(self) -> Path:
        """Says that all of the part has been read; its name follows from the content."""
        name = json.dumps([self.sha256 or str(self.path), sorted(self.skip)])
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.done.json"


class StorePlan(NamedTuple):
    """A store that is to be built."""

    samples: Samples
    parts: list[StorePart]
    policy: Policy
    build: str


def build_store(
    variants: Sequence[str | PathLike],
    output: str | PathLike,
    samples: str | PathLike | None = None,
    genetic_map: str | PathLike | None = None,
    *,
    policy: Policy | None = None,
    shared: bool = False,
    build: str = "",
) -> Built:
    """Builds a store from VCFs or BCFs that hold the same individuals and different chromosomes, in this process.

    Args:
        samples, genetic_map, shared, policy: as in `read_panel`.
        build: name of the reference build; by default what the files' headers say.

    Raises:
        InputError: `output` exists; a file is malformed or disagrees with another; the message names it.
    """
    output = Path(output)
    if output.exists():
        raise InputError(f"{output}: exists already; choose another `output`, or remove it")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(PARTIAL, f".{output.name[:100]}.", output.parent) as folder:
        plan = plan_store(variants, Path(folder), samples, genetic_map, policy, shared, build)
        finish_store(plan, ((part, read_part(part)) for part in plan.parts), output)
    return read_built(output)


def plan_store(
    variants: Sequence[str | PathLike],
    folder: Path,
    samples: str | PathLike | None = None,
    genetic_map: str | PathLike | None = None,
    policy: Policy | None = None,
    shared: bool = False,
    build: str = "",
    jobs: int = 1,
) -> StorePlan:
    """What is to be read, in about `jobs` parts; finished chromosomes will lie in `folder`.

    Raises:
        InputError: a file, the table or the map cannot be read, or they disagree.
    """
    files, policy = [VariantFile(path) for path in variants], policy or Policy()
    individuals, _ = choose_individuals(files[0], samples, shared=shared)
    check_names(individuals.name.tolist())
    build = build or _build_of(files)
    for file in files[1:]:
        choose_individuals(file, samples, individuals.name.tolist(), shared)
    if genetic_map:
        read_genetic_map(genetic_map)
    place = Path(genetic_map) if genetic_map else None
    parts = [
        StorePart(file.path, digest, individuals, folder, policy, place, skip)
        for file in files
        for digest in [sha256(file.path) if file.path.is_file() else ""]
        for skip in shared_out(file.header.contigs, -(-jobs // len(files)))
    ]
    return StorePlan(individuals, parts, policy, build)


def read_part(
    part: StorePart, tell: Tell = lambda sites: None, keep: Callable[[], object] = lambda: None
) -> dict[str, dict]:
    """Writes the chromosomes of a part that do not lie in the folder yet; what is known of each.

    `tell` hears the numbers of further sites read; `keep` is called after every chromosome.
    """
    if part.done.exists():
        return json.loads(part.done.read_text())
    genetic_map = read_genetic_map(part.map) if part.map else UNIFORM
    source = {"source": str(part.path), "sha256": part.sha256, "genetic_map": genetic_map.source}
    found = {}
    for name, about in _chromosomes(part, genetic_map, source, tell):
        found[name] = about
        keep()
    write_json(part.done, found)
    return found


def finish_store(plan: StorePlan, results: Iterable[tuple[StorePart, dict[str, dict]]], output: Path) -> None:
    """Makes one file of what the parts have written.

    Raises:
        InputError: two of them hold one chromosome; nothing was kept of any.
    """
    found = _collected(results)
    ordered = sorted((name for name, about in found.items() if about["counts"]["kept"]), key=_natural)
    if not ordered:
        raise InputError(f"{plan.parts[0].path}: {nothing_kept(_total(found))}")
    source = {about["source"]: about["sha256"] for about in found.values()}
    attributes = {
        "build": plan.build,
        "policy": json.dumps(asdict(plan.policy)),
        "source": json.dumps(source),
    }
    merge({name: _file(plan.parts[0].folder, name) for name in ordered}, output, plan.samples, attributes)


def read_built(store: Path) -> Built:
    """What a store says of its building."""
    with Cohort(store) as cohort:
        counts = {name: Counts(**cohort.about(name)["counts"]) for name in cohort.chromosomes}
        phased = {name: cohort.is_phased(name) for name in cohort.chromosomes}
        return Built(cohort.samples, counts, phased, cohort.build)


def shared_out(contigs: Mapping[str, int], processes: int) -> list[frozenset[str]]:
    """For each of some processes the contigs that it leaves to others; what no header names falls to the first.

    Contigs are dealt from the longest on, each to the process that has least.
    """
    groups: list[list[str]] = [[] for _ in range(max(1, min(processes, len(contigs))))]
    load = [0] * len(groups)
    for name in sorted(contigs, key=lambda name: -contigs[name]):
        least = load.index(min(load))
        groups[least].append(name)
        load[least] += max(contigs[name], 1)
    return [frozenset(name for other in groups if other is not group for name in other) for group in groups]


def _collected(results: Iterable[tuple[StorePart, dict[str, dict]]]) -> dict[str, dict]:
    """What is known of every chromosome, by its name."""
    found: dict[str, dict] = {}
    sources: dict[str, str] = {}
    for part, chromosomes in results:
        for name, about in chromosomes.items():
            if plain(name) in sources:
                raise InputError(
                    f"{part.path}: chromosome {name} is in {sources[plain(name)]} too; give each chromosome once"
                )
            found[name] = about
            sources[plain(name)] = about["source"]
    return found


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


def _file(folder: Path, chromosome: str) -> Path:
    return folder / f"{file_name(chromosome)}.h5"


def _chromosomes(
    part: StorePart, genetic_map: GeneticMap, source: dict, tell: Tell
) -> Iterator[tuple[str, dict]]:
    """Chromosomes that lie in the folder already, then those written now."""
    file = VariantFile(part.path)
    _, columns = choose_individuals(file, None, part.samples.name.tolist())
    known = [json.loads(path.read_text()) for path in part.folder.glob("*.chromosome.json")]
    ready = {
        about["chromosome"]: about
        for about in known
        if source.items() <= about.items() and about["chromosome"] not in part.skip
    }
    yield from ready.items()
    blocks = file.blocks(part.policy, individuals=columns, skip=part.skip | ready.keys())
    for chromosome, some in groupby(blocks, key=lambda block: block.chromosome):
        about = _write_chromosome(part, chromosome, some, genetic_map, source, tell)
        write_json(part.folder / f"{file_name(chromosome)}.chromosome.json", about)
        yield chromosome, about


def _write_chromosome(
    part: StorePart, chromosome: str, blocks: Iterator[Block], genetic_map: GeneticMap, source: dict, tell: Tell
) -> dict:  # fmt: skip
    counts = Counts()
    writer = ChromosomeWriter(_file(part.folder, chromosome), part.samples, chromosome)
    try:
        for block in blocks:
            writer.add(block)
            counts.add(block.counts)
            tell(block.counts.sites)
        about = source | {"chromosome": chromosome, "phased": counts.phased(part.path, part.policy)}
        if counts.kept:
            writer.finish(genetic_map, about | {"counts": json.dumps(asdict(counts))})
    finally:
        writer.abandon()
    return about | {"counts": asdict(counts)}


def _natural(name: str) -> tuple[int, str]:
    short = plain(name)
    return (int(short), "") if short.isdecimal() else (10**6, short)
