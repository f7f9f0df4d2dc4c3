"""Options that mean the same in every command."""

from pathlib import Path
from typing import Annotated

import typer

from crocuta.errors import InputError

RESUME = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with an interrupted run of the same data and settings; show a finished one."
    ),
]
DEVICE = Annotated[
    str,
    typer.Option(
        "--device", help="Where to compute: auto (the accelerator, if there is one), cpu, cuda, cuda:1."
    ),
]
DRY_RUN = Annotated[bool, typer.Option("--dry-run", help="Estimate time and memory, and do nothing.")]
OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
JOBS = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes side by side.")]


def check_file(output: Path, overwrite: bool) -> None:
    """For commands that write one file at once: nothing that is there is replaced without being asked.

    Raises:
        InputError: `output` exists and `overwrite` is false, or it is a folder.
    """
    if output.is_dir():
        raise InputError(
            f"{output}: is a folder; expected the name of a file to write; choose another `output`"
        )
    if output.exists() and not overwrite:
        raise InputError(f"{output}: exists already; choose another `output`, or replace it with `overwrite`")
