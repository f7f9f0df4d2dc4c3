"""Progress of long work: one protocol, and three faces of it (bars on a terminal, lines without one, silence).

with shown() as progress:
    with progress.stage("reading", total=len(rows), unit="rows") as stage:
        for row in rows:
            ...
            stage.advance()
"""

import math
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe

SECONDS_BETWEEN_LINES = 15.0
LEAST_SHARE = 0.01  # of a work, done, before the time left is shown: a start is slower than what follows


class Stage:
    """A part of the work: `done` of `total` (None: not known) have been done, `note` says how it stands."""

    def __init__(self, name: str, total: float | None = None, unit: str = ""):
        self.name, self.total, self.unit = name, total, unit
        self.done, self.note = 0.0, ""

    def advance(self, count: float = 1, note: str | None = None) -> None:
        """Counts that many more as done."""
        self.update(self.done + count, note=note)

    def update(self, done: float | None = None, total: float | None = None, note: str | None = None) -> None:
        """What is not given stays as it is."""
        self.done = self.done if done is None else done
        self.total = self.total if total is None else total
        self.note = self.note if note is None else note
        self.show()

    def show(self) -> None:
        """Called after each change."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """Called once."""


class Part(Stage):
    """One of the things that another stage counts, perhaps among others: it moves the other by one in all."""

    def __init__(self, name: str, whole: Stage):
        super().__init__(name)
        self.whole, self.share = whole, 0.0

    def show(self) -> None:
        self._move(min(self.done / self.total, 1.0) if self.total else 0.0)

    def end(self) -> None:
        self._move(1.0)

    def _move(self, share: float) -> None:
        if self.share == 1:  # what is heard of it after its end is of before
            return
        note = ": ".join(filter(None, (self.name, self.note)))
        self.whole.update(self.whole.done + share - self.share, note=note)
        self.share = share


class Progress:
    """Silence, and the base of the other faces: what library functions take by default."""

    def stage(self, name: str, total: float | None = None, unit: str = "") -> Stage:
        """A new part of the work, to be used as a context."""
        return Stage(name, total, unit)

    def say(self, line: str) -> None:
        """A line that stays, as markup: a result."""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends what is shown."""


SILENT, QUIET = Progress(), Stage("")


def shown(console: Console | None = None) -> Progress:
    """The face for a console: bars on a terminal, otherwise lines."""
    console = console or make_console()
    return _Bars(console) if console.is_terminal else _Lines(console)


class _Bars(Progress):
    """Bars with the time left, which go when the work ends."""

    def __init__(self, console: Console):
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console = console
        self.bars = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True,
        )  # fmt: skip

    def __enter__(self) -> "Progress":
        self.bars.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.bars.stop()

    def stage(self, name: str, total: float | None = None, unit: str = "") -> Stage:
        return _Bar(self.bars, name, total, unit)

    def say(self, line: str) -> None:
        self.console.print(line)


class _Bar(Stage):
    def __init__(self, bars: Any, name: str, total: float | None, unit: str):
        super().__init__(name, total, unit)
        self.bars = bars
        self.task = bars.add_task(safe(name), total=total, state="")

    def show(self) -> None:
        state = ", ".join(part for part in (counted(self), safe(self.note)) if part)
        self.bars.update(self.task, completed=self.done, total=self.total, state=state)

    def end(self) -> None:
        self.bars.remove_task(self.task)


class _Lines(Progress):
    """A line now and then: for a log, or a pipe."""

    def __init__(self, console: Console):
        self.console = console

    def stage(self, name: str, total: float | None = None, unit: str = "") -> Stage:
        return _Line(self.console, name, total, unit)

    def say(self, line: str) -> None:
        self.console.print(line)


class _Line(Stage):
    def __init__(self, console: Console, name: str, total: float | None, unit: str):
        super().__init__(name, total, unit)
        self.console, self.start = console, time.monotonic()
        self.shown_at = self.start

    def show(self) -> None:
        now = time.monotonic()
        if now - self.shown_at < SECONDS_BETWEEN_LINES:
            return
        self.shown_at = now
        left = ""
        if self.total and self.done >= LEAST_SHARE * self.total:
            left = f"about {duration((now - self.start) * (self.total / self.done - 1))} left"
        parts = [part for part in (counted(self), safe(self.note), left) if part]
        self.console.print(f"{safe(self.name)}: {', '.join(parts)}")


def counted(stage: Stage) -> str:
    """`3 of 20 epochs`, `3 epochs` where the total is not known, nothing before the first."""
    if stage.total is None and not stage.done:
        return ""
    of = "" if stage.total is None else f" of {stage.total:,.0f}"
    return f"{int(stage.done + 1e-6):,}{of} {stage.unit}".rstrip()


def duration(seconds: float) -> str:
    """Time as a person would say it.

    >>> duration(0.25), duration(75), duration(7300)
    ('0.2 s', '1 min 15 s', '2 h 1 min')
    """
    if not math.isfinite(seconds):
        return "–"
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
