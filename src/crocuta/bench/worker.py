"""A process that trains cells one after the other: one line of JSON in, one word out; the rest goes to logs."""

import json
import os
import signal
import sys
import traceback

from crocuta.runs.workers import follow_parent


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the benchmark is told, and ends us
    follow_parent()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        job = json.loads(line)
        with open(job["log"], "a", encoding="utf-8") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            outcome = run(job["arguments"])
            sys.stdout.flush()
            sys.stderr.flush()
        answers.write(f"{outcome}\n")
        answers.flush()
        if outcome == "broken":
            return  # an accelerator may be left in any state: the next cell gets a new process


def run(arguments: dict) -> str:
    """Trains one cell: "done", "refused" for bad input, "broken" for anything else."""
    from rich.console import Console

    from crocuta import presets
    from crocuta.errors import InputError
    from crocuta.quiet import prepare
    from crocuta.runs.progress import shown

    prepare()
    try:
        with shown(Console(highlight=False, width=100)) as progress:
            presets.train(**arguments, progress=progress, report=False, baselines=False, resume=True)
    except InputError as error:
        sys.stdout.flush()
        sys.stderr.write(f"{error}\n")
        return "refused"
    except Exception:
        sys.stdout.flush()
        traceback.print_exc()
        return "broken"
    return "done"


if __name__ == "__main__":
    main()
