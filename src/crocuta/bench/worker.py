"""A process that trains cells one after the other: what it prints goes to their logs."""

import os
import sys
import traceback
from multiprocessing.connection import Connection

from crocuta.runs.workers import begin_worker


def work(jobs: Connection, threads: int) -> None:
    """Trains what it is asked for, until nothing more is: a log and arguments in, one word out."""
    begin_worker(threads)
    while True:
        try:
            log, arguments = jobs.recv()
        except EOFError:
            return
        with open(log, "a", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            outcome = run(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
        jobs.send(outcome)
        if outcome == "broken":
            return  # an accelerator may be left in any state: the next cell gets a new process


def run(arguments: dict) -> str:
    """Trains one cell: "done", "refused" for bad input, "broken" for anything else."""
    from rich.console import Console

    from crocuta.classification import pipelines
    from crocuta.errors import InputError
    from crocuta.quiet import prepare
    from crocuta.runs.progress import shown

    prepare()
    try:
        with shown(Console(highlight=False, width=100)) as progress:
            pipelines.train(**arguments, progress=progress, report=False, baselines=False, resume=True)
    except InputError as error:
        sys.stdout.flush()
        sys.stderr.write(f"{error}\n")
        return "refused"
    except Exception:
        sys.stdout.flush()
        traceback.print_exc()
        return "broken"
    return "done"
