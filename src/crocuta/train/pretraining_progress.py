"""Progress of a pretraining in a terminal or a log."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from crocuta.train.pretraining_recipe import Moment, Watcher


class PretrainingBar(Watcher):
    """A live bar on a terminal; a line for each validation elsewhere."""

    def __init__(self, console: Console, steps: int, shown: bool = True):
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True, disable=not shown,
        )  # fmt: skip
        self.task = self.progress.add_task("pretraining", total=steps, state="starting")
        self.valid = ""

    def __enter__(self) -> "PretrainingBar":
        self.progress.start()
        return self

    def __exit__(self, *error) -> None:
        self.progress.stop()

    def moment(self, moment: Moment) -> None:
        if moment.valid_perplexity:
            self.valid = f", validation perplexity {moment.valid_perplexity:.4f}"
        state = (
            f"windows of {moment.length:,}, {moment.tokens_per_second:,.0f} letters/s, loss {moment.loss:.4f}"
            f"{self.valid}"
        )
        self.progress.update(self.task, completed=moment.step, state=state)
        if moment.valid_perplexity and not self.console.is_terminal:
            self.console.print(f"step {moment.step:,}: {state}", soft_wrap=True)
