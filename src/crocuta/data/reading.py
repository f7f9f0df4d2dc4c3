"""The sequences of a run: a labelled file, windows of a genome, or a named task."""

from os import PathLike
from typing import Any

from crocuta.data.genome import Genome
from crocuta.data.labelled import Splits, make_splits
from crocuta.data.tasks import load_task, task_files
from crocuta.data.windows import Windows
from crocuta.errors import InputError


def read_data(
    data: str | PathLike | None = None,
    *,
    valid: str | PathLike | None = None,
    test: str | PathLike | None = None,
    task: str | None = None,
    data_root: str | PathLike | None = None,
    genome: str | PathLike | None = None,
    window: int | None = None,
) -> tuple[Splits, dict[str, Any]]:
    """Splits of a labelled table or FASTA file, or of a named task, and the files they came from, by role.

    A table of coordinates needs a `genome`; `window` is how many nucleotides around each interval's centre are read.

    Raises:
        InputError: neither or both are given; files are missing or broken.
    """
    if (data is None) == (task is None):
        raise InputError("give either a file of labelled sequences or `task` (with `data_root`)")
    if task is not None:
        if data_root is None:
            raise InputError(f"`task` {task} needs `data_root`, the folder that holds the task's files")
        return load_task(task, data_root), {"data": task_files(task, data_root)}
    assert data is not None
    splits = make_splits(data, valid, test, windows=read_windows(genome, window))
    return splits, {"data": data, "valid": valid, "test": test, "genome": genome}


def read_windows(genome: str | PathLike | None, window: int | None) -> Windows | None:
    """Windows of a genome, if one is given.

    Raises:
        InputError: a width without a genome; an unreadable file.
    """
    if genome is None:
        if window is not None:
            raise InputError("`window` cuts windows out of a genome; give one as `genome`")
        return None
    return Windows(Genome(genome), window)
