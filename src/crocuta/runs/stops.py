"""How a command ends before its end: bad input, a full disk, a signal; each in one line."""

import errno
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crocuta.runs.console import console, safe

NAMED = re.compile(r"`([a-z][a-z0-9_]*)`")


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends as an interruption by the keyboard does."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM raises `Terminated` in the block, so that workers are ended and nothing stays half-written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def complain(line: str) -> None:
    """An error, in one line on standard error."""
    console(stderr=True).print(f"[bold red]Error:[/] {safe(line)}")


def in_options(message: str, command: Any) -> str:
    """A message with its `arguments` as the options of a click command: `learning_rate` is --learning-rate.

    Lower floors name arguments, as a Python caller knows them; what the command has no option for stays as it is.
    """
    options = {
        parameter.name: max(parameter.opts, key=len)
        for parameter in command.params
        if parameter.param_type_name == "option"
    }
    return NAMED.sub(lambda found: options.get(found[1], found[0]), message)


def command_named(group: Any, words: list[str]) -> Any:
    """The command of a click group that the words of a command line name."""
    for word in words:
        found = getattr(group, "commands", {}).get(word)
        if found is None:
            break
        group = found
    return group


def about_file(error: OSError) -> str | None:
    """What an operating system's error says of a file, in one line; None where it is not about one."""
    number = error.errno or _number_in(str(error))
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename or 'output'}: no space left on the device; make room, and go on by `resume`"
    if number == errno.EPIPE:
        return None
    if error.filename is not None and number is not None:
        return f"{os.fsdecode(error.filename)}: {os.strerror(number)}"
    return str(error).splitlines()[0] if number is not None else None


def _number_in(text: str) -> int | None:
    """HDF5 hides the number in its message."""
    found = re.search(r"errno = (\d+)", text)
    return int(found[1]) if found else None
