"""Inference of ancestry along chromosomes from a VCF, with a run of either task; individuals are inferred in batches.

Alleles and posteriors lie in files in the output until the end, so that memory follows the batch and not the cohort.
"""

from contextlib import suppress
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.ancestry.local.infer import LocalChromosome, LocalRun, read_local_run
from crocuta.ancestry.local.training import KIND as TRAIN
from crocuta.ancestry.local.training import TASK
from crocuta.ancestry.methods.copying import Blocks
from crocuta.ancestry.window_infer import WindowChromosome, WindowRun, read_window_run
from crocuta.errors import InputError
from crocuta.files import file_name, remove, write_json
from crocuta.runs.claim import Claim, claim
from crocuta.runs.device import AUTO
from crocuta.runs.progress import QUIET, SILENT, Progress, Stage
from crocuta.runs.saved import SavedRun, read_json
from crocuta.variants import Panel, Policy, Sites, VariantFile, read_panel
from crocuta.variants.matching import LEAST, Match, match
from crocuta.variants.reading import NoVariants
from crocuta.variants.tracts import Segments, Tracts, write_bed, write_fb, write_msp, write_q

INDIVIDUALS = 64  # of a batch: bounds memory; rates are estimated from the first
LINE = 4  # blocks of a line of the .fb.tsv, by default, for a run of local ancestry
SUMMARY, ALLELES, PARTS = "summary.json", "alleles.npy", ".parts"
NOTHING = "nothing"  # the query has no variants there
KIND = "ancestry infer"


def infer_ancestry(
    query: str | PathLike,
    model: str | PathLike,
    output: str | PathLike,
    *,
    window: int | None = None,
    step: int | None = None,
    overlap: float = LEAST,
    smooth: bool = True,
    jobs: int = 1,
    device: str = AUTO,
    resume: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Writes local.msp.tsv, local.fb.tsv, local.rfmix.Q, bed/<sample>.bed and summary.json; returns the summary.

    Args:
        query: VCF or BCF of any of the run's chromosomes; phased, unless the run's view does without haplotypes.
        model: folder that `crocuta ancestry train` filled.
        window, step: of a run on windows, the tokens of a window and from one to the next (default: as trained, half of
            it); of local ancestry, the sites of a line of the .fb.tsv (about 32 kb) and from one line to the next.
        overlap: least share of the run's sites that the query must have.
        smooth: False: each stretch by the windows over it alone; of a run on windows only.
        jobs: batches of individuals at once, of a run of local ancestry.
        resume: go on with an interrupted run, chromosome by chromosome.

    Raises:
        InputError: the output may not be taken; the query cannot be read, is unphased, or does not match the run; the
            run has not ended.
    """
    query, model = Path(query), Path(model)
    trained = open_run(model, window, step, smooth, device)
    settings = {"window": window, "step": step, "overlap": overlap, "smooth": smooth}
    with claim(output, KIND, settings, {"query": query, "model": model}, resume=resume) as run:
        if not run.finished:
            fresh = not (run.folder / PARTS).exists()
            try:
                summary = Inference(query, trained, run, settings, jobs, device, progress).summary()
            except InputError:
                if fresh:  # the same query and settings would bring it again
                    run.drop()
                raise
            write_json(run.folder / SUMMARY, summary)
            remove(run.folder / PARTS)
            run.finish()
        return read_json(run.folder / SUMMARY)


class Inference:
    """The work of `infer_ancestry`: chromosome by chromosome, those that lie in the folder excepted."""

    def __init__(
        self, query: Path, trained: LocalRun | WindowRun, run: Claim, settings: dict[str, Any], jobs: int, device: str,
        progress: Progress,
    ):  # fmt: skip
        self.query, self.trained, self.run, self.settings = query, trained, run, settings
        self.jobs, self.device, self.progress = jobs, device, progress
        self.apart = isinstance(trained, LocalRun) or trained.caller.view == "haplotype"
        self.file = VariantFile(query)
        self.names = tuple(self.file.samples)

    def summary(self) -> dict[str, Any]:
        """Writes the tables and tracts, and says how they came about."""
        parts, known = [], set()
        for chromosome in self.trained.chromosomes:
            part = self.part(chromosome)
            if part is not None:
                parts.append(part)
                known.update(part.of.individuals)
        if not parts:
            raise _elsewhere(self.file, self.trained)
        _write(self.run.folder, [part.fine for part in parts], [part.coarse for part in parts])
        return {
            "query": str(self.query), "populations": self.trained.populations, "samples": self.names,
            "chromosomes": {part.of.sites.chromosome: read_json(part.done) for part in parts},
            "task": "local" if isinstance(self.trained, LocalRun) else "windows", "haplotypes_apart": self.apart,
            "in_reference": [name for name in self.names if name in known],
        }  # fmt: skip

    def part(self, chromosome: str) -> "QueryPart | None":
        """A chromosome that is done, or None where the query has nothing of it."""
        folder = self.run.folder / PARTS / file_name(chromosome)
        if (folder / NOTHING).exists():
            return None
        with self.progress.stage(f"chromosome {chromosome}", unit=self.unit) as stage:
            chosen = self.settings["smooth"], self.jobs, self.device
            caller = chromosome_caller(self.trained, chromosome, *chosen, stage)
            part = QueryPart(folder, self.names, self.trained.populations, caller, self.line(caller))
            if not part.done.exists():
                panel = _read(self.query, chromosome, self.apart, folder)
                if panel is None:
                    (folder / NOTHING).touch()
                    return None
                builds = (self.file.header.build, self.trained.build)
                found = match(panel.sites, caller.sites, self.settings["overlap"], self.query, builds)
                part.call(panel, found)
                chain = asdict(caller.chain) if caller.chain else {}
                write_json(part.done, {"overlap": found.share, **chain})
                self.run.keep()
        return part

    @property
    def unit(self) -> str:
        return "haplotypes" if isinstance(self.trained, LocalRun) else "windows"

    def line(self, caller: LocalChromosome | WindowChromosome) -> tuple[int, int | None]:
        """Sites of a line of the .fb.tsv, and from one line to the next."""
        if isinstance(caller, WindowChromosome):
            return caller.blocks.size, None
        return self.settings["window"] or LINE * caller.blocks.size, self.settings["step"]


def chromosome_caller(
    trained: LocalRun | WindowRun, chromosome: str, smooth: bool, jobs: int, device: str, stage: Stage = QUIET
) -> LocalChromosome | WindowChromosome:
    """What calls individuals on a chromosome, whichever the task."""
    if isinstance(trained, LocalRun):
        return LocalChromosome(trained, chromosome, jobs, device, stage)
    return WindowChromosome(trained, chromosome, smooth, stage)


def _elsewhere(file: VariantFile, run: LocalRun | WindowRun) -> InputError:
    has = ", ".join(list(file.header.contigs)[:5]) or "none"
    return InputError(
        f"{file.path}: no variants on the run's chromosomes ({', '.join(run.chromosomes)}); its header names {has};"
        " give the file of a chromosome that the run was trained on"
    )


def open_run(
    folder: Path, window: int | None, step: int | None, smooth: bool, device: str = AUTO
) -> LocalRun | WindowRun:
    """A run of either task.

    Raises:
        InputError: the folder holds none; its windows cannot be so; local ancestry without `smooth`.
    """
    if SavedRun(folder, TRAIN).config.get("task") != TASK:
        return read_window_run(folder, window, step, device)
    if not smooth:
        raise InputError(
            f"{folder}: a run of local ancestry is a chain; `smooth` can be left out of windows only"
        )
    return read_local_run(folder)


def _read(query: Path, chromosome: str, apart: bool, folder: Path) -> Panel | None:
    """None: the file has nothing of the chromosome. Alleles lie in `folder`.

    Raises:
        InputError: the model distinguishes haplotypes (`apart`), and genotypes are unphased.
    """
    policy = Policy(phase="require" if apart else "ignore")
    try:
        return read_panel(query, region=chromosome, policy=policy, spool=folder / ALLELES)
    except NoVariants:
        return None


class QueryPart:
    """Posteriors of one chromosome for all individuals, in files: of blocks, and of the lines of an .fb.tsv."""

    def __init__(
        self,
        path: Path,
        names: tuple[str, ...],
        populations: tuple[str, ...],
        caller: LocalChromosome | WindowChromosome,
        line: tuple[int, int | None],
    ):
        self.path, self.of, self.line, self.size = path, caller, line, caller.blocks.size
        self.done = path / "done.json"
        path.mkdir(parents=True, exist_ok=True)
        table = segments(caller.sites, caller.blocks)
        self.fine = Tracts(names, populations, table, _file(path / "fine", names, table, populations))
        none = Tracts((), populations, table, np.zeros((0, len(table), len(populations)), np.float32))
        lines = windowed(none, self.size, *line).segments
        self.coarse = Tracts(names, populations, lines, _file(path / "coarse", names, lines, populations))

    def call(self, panel: Panel, found: Match) -> None:
        """Takes in all individuals of a query, batch by batch, and removes their alleles."""
        for start in range(0, len(panel.samples), INDIVIDUALS):
            fresh = replace(
                panel, allele=np.load(self.path / ALLELES, mmap_mode="r")
            )  # forgets what it has read
            batch = fresh.individuals(slice(start, start + INDIVIDUALS))
            self._put(start, self.of.posterior(found.align(batch, self.of.sites)))
        with suppress(PermissionError):  # Windows keeps what is mapped until the folder goes
            (self.path / ALLELES).unlink()

    def _put(self, start: int, posterior: np.ndarray) -> None:
        rows = slice(2 * start, 2 * start + len(posterior))
        self.fine.posterior[rows] = posterior
        some = Tracts((), self.fine.populations, self.fine.segments, posterior)
        self.coarse.posterior[rows] = windowed(some, self.size, *self.line).posterior


def _file(path: Path, names: tuple[str, ...], table: Segments, populations: tuple[str, ...]) -> np.ndarray:
    """What lies there already, or zeros."""
    mode = "r+" if path.exists() else "w+"
    return np.memmap(path, np.float32, mode, shape=(2 * len(names), len(table), len(populations)))


def _write(output: Path, fine: list[Tracts], coarse: list[Tracts]) -> None:
    write_msp(output / "local.msp.tsv", fine)
    write_fb(output / "local.fb.tsv", coarse)
    write_q(output / "local.rfmix.Q", fine)
    for sample, name in enumerate(fine[0].samples):
        write_bed(output / "bed" / f"{file_name(name)}.bed", fine, sample)


def segments(sites: Sites, blocks: Blocks) -> Segments:
    """The blocks as intervals: from a block's first site to the next block's, the last to one beyond its last site."""
    start = blocks.start
    position, cm = sites.position.astype(np.int64), sites.cm
    return Segments(
        sites.chromosome, position[start], np.append(position[start[1:]], position[-1] + 1), cm[start],
        np.append(cm[start[1:]], cm[-1]), np.diff(np.append(start, blocks.sites)),
    )  # fmt: skip


def windowed(tracts: Tracts, block: int, window: int, step: int | None) -> Tracts:
    """Means over `window` sites every `step` (default: `window`), in whole blocks of `block` sites."""
    width = max(1, round(window / block))
    stride = width if step is None else max(1, round(step / block))
    fine, total = tracts.segments, len(tracts.segments)
    first = np.arange(0, total, stride)
    last = np.minimum(first + stride, total)
    low = np.maximum((first + last - width) // 2, 0)
    high = np.minimum(low + width, total)
    sums = np.concatenate(
        [np.zeros_like(tracts.posterior[:, :1]), tracts.posterior.cumsum(1, dtype=np.float64)], 1
    )
    mean = (sums[:, high] - sums[:, low]) / (high - low)[:, None]
    joined = Segments(
        fine.chromosome, fine.start[first], fine.end[last - 1], fine.start_cm[first], fine.end_cm[last - 1],
        np.add.reduceat(fine.sites, first),
    )  # fmt: skip
    return Tracts(tracts.samples, tracts.populations, joined, mean.astype(np.float32))
