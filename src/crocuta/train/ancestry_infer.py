"""Inference of ancestry along chromosomes from a VCF, with a run of either task; people are judged in batches.

Alleles and posteriors lie in temporary files beside the output, so that memory follows the batch and not the cohort.
"""

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.analysis.ancestry.copying import Blocks
from crocuta.data.variants import Panel, Policy, Sites, VariantFile, read_panel
from crocuta.data.variants.matching import LEAST, Match, match
from crocuta.data.variants.reading import NoVariants
from crocuta.data.variants.tracts import Segments, Tracts, write_bed, write_fb, write_msp, write_q
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.train.ancestry_folder import CONFIG
from crocuta.train.ancestry_windows_infer import WindowChromosome, WindowRun, read_window_run
from crocuta.train.local_ancestry import TASK
from crocuta.train.local_ancestry_infer import LocalChromosome, Run, read_run

PEOPLE = 64  # of a batch: bounds memory; rates are estimated from the first
LINE = 4  # blocks of a line of the .fb.tsv, by default, for a run of local ancestry
SUMMARY, ALLELES = "summary.json", "alleles.npy"


def infer_ancestry(
    query: str | Path,
    run_folder: str | Path,
    output: str | Path,
    *,
    window: int | None = None,
    step: int | None = None,
    overlap: float = LEAST,
    smooth: bool = True,
    jobs: int = 1,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Writes local.msp.tsv, local.fb.tsv, local.rfmix.Q, bed/<sample>.bed and summary.json; returns the summary.

    Args:
        query: VCF or BCF of any of the run's chromosomes; phased, unless the run's view does without haplotypes.
        window, step: of a run on windows, the tokens of a window and from one to the next (default: as trained, half of
            it); of local ancestry, the sites of a line of the .fb.tsv (about 32 kb) and from one line to the next.
        overlap: least share of the run's sites that the query must have.
        smooth: False: each stretch by the windows over it alone; of a run on windows only.
        progress: called with the number of haplotypes (local) or windows done.

    Raises:
        InputError: the query cannot be read, is unphased, or does not match the run; the run has not ended.
    """
    query, output = Path(query), Path(output)
    run = open_run(Path(run_folder), window, step, smooth)
    apart = isinstance(run, Run) or run.judge.view == "haplotype"
    file = VariantFile(query)
    names = tuple(file.samples)
    output.parent.mkdir(parents=True, exist_ok=True)
    parts, summary, known = [], {}, set()
    with tempfile.TemporaryDirectory(
        dir=output.parent, prefix=f".{output.name}.", ignore_cleanup_errors=True
    ) as scratch:
        for chromosome in run.chromosomes:
            folder = Path(scratch, chromosome)
            panel = _read(query, chromosome, apart, folder)
            if panel is None:
                continue
            if isinstance(run, Run):
                judge = LocalChromosome(run, chromosome, jobs, progress)
                line = (window or LINE * judge.blocks.size, step)
            else:
                judge = WindowChromosome(run, chromosome, smooth, progress)
                line = (judge.blocks.size, None)
            found = match(panel.sites, judge.sites, overlap, query, (file.header.build, run.build))
            parts.append(Part(folder, names, run.populations, judge, line))
            parts[-1].judge(panel, found)
            known.update(judge.people)
            summary[chromosome] = {"overlap": found.share, **(asdict(judge.chain) if judge.chain else {})}
        if not parts:
            raise _elsewhere(file, run)
        _write(output, [part.fine for part in parts], [part.coarse for part in parts])
    told = {
        "query": str(query), "populations": run.populations, "samples": names, "chromosomes": summary,
        "task": "local" if isinstance(run, Run) else "windows", "haplotypes_apart": apart,
        "in_reference": [name for name in names if name in known],
    }  # fmt: skip
    write_json(output / SUMMARY, told)
    return told


def _elsewhere(file: VariantFile, run: Run | WindowRun) -> InputError:
    has = ", ".join(list(file.header.contigs)[:5]) or "none"
    return InputError(
        f"{file.path}: no variants on the run's chromosomes ({', '.join(run.chromosomes)}); its header names {has};"
        " give the file of a chromosome that the run was trained on"
    )


def open_run(folder: Path, window: int | None, step: int | None, smooth: bool) -> Run | WindowRun:
    """A run of either task.

    Raises:
        InputError: the folder holds none; its windows cannot be so; `smooth` is asked of local ancestry.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a run of crocuta ancestry train")
    if json.loads(path.read_text()).get("task") != TASK:
        return read_window_run(folder, window, step)
    if not smooth:
        raise InputError(f"{folder}: --no-smooth is for runs on windows; local ancestry is a chain")
    return read_run(folder)


def _read(query: Path, chromosome: str, apart: bool, folder: Path) -> Panel | None:
    """None: the file has nothing of the chromosome. Alleles lie in `folder`.

    Raises:
        InputError: haplotypes are to be told `apart`, and genotypes are unphased.
    """
    folder.mkdir()
    policy = Policy(phase="require" if apart else "ignore")
    try:
        return read_panel(query, region=chromosome, policy=policy, spool=folder / ALLELES)
    except NoVariants:
        return None


class Part:
    """Posteriors of one chromosome for all people, in files: of blocks, and of the lines of an .fb.tsv."""

    def __init__(
        self,
        path: Path,
        names: tuple[str, ...],
        populations: tuple[str, ...],
        judge: LocalChromosome | WindowChromosome,
        line: tuple[int, int | None],
    ):
        self.path, self.of, self.line, self.size = path, judge, line, judge.blocks.size
        table = segments(judge.sites, judge.blocks)
        self.fine = Tracts(names, populations, table, _file(path / "fine", names, table, populations))
        none = Tracts((), populations, table, np.zeros((0, len(table), len(populations)), np.float32))
        lines = windowed(none, self.size, *line).segments
        self.coarse = Tracts(names, populations, lines, _file(path / "coarse", names, lines, populations))

    def judge(self, panel: Panel, found: Match) -> None:
        """Takes in all people of a query, batch by batch, and removes their alleles."""
        for start in range(0, len(panel.samples), PEOPLE):
            fresh = replace(
                panel, allele=np.load(self.path / ALLELES, mmap_mode="r")
            )  # forgets what it has read
            batch = fresh.people(slice(start, start + PEOPLE))
            self._put(start, self.of.posterior(found.align(batch, self.of.sites)))
        with suppress(PermissionError):  # Windows keeps what is mapped until the folder goes
            (self.path / ALLELES).unlink()

    def _put(self, start: int, posterior: np.ndarray) -> None:
        rows = slice(2 * start, 2 * start + len(posterior))
        self.fine.posterior[rows] = posterior
        some = Tracts((), self.fine.populations, self.fine.segments, posterior)
        self.coarse.posterior[rows] = windowed(some, self.size, *self.line).posterior


def _file(path: Path, names: tuple[str, ...], table: Segments, populations: tuple[str, ...]) -> np.ndarray:
    return np.memmap(path, np.float32, "w+", shape=(2 * len(names), len(table), len(populations)))


def _write(output: Path, fine: list[Tracts], coarse: list[Tracts]) -> None:
    write_msp(output / "local.msp.tsv", fine)
    write_fb(output / "local.fb.tsv", coarse)
    write_q(output / "local.rfmix.Q", fine)
    for sample, name in enumerate(fine[0].samples):
        write_bed(output / "bed" / f"{name}.bed", fine, sample)


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
