"""Progress of a comparison in a terminal: one bar for each training, one line for each result."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback

from crocuta.train.experiment import Entry, Watcher


class ProgressWatcher(Watcher):
    """Draws bars on a terminal; writes a line for each epoch where there is none (a log file, a pipe)."""

    def __init__(self, console: Console, metric: str):
        self.console, self.metric = console, metric
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self.task = TaskID(0)

    def __enter__(self) -> "ProgressWatcher":
        self.progress.start()
        return self

    def __exit__(self, *error) -> None:
        self.progress.stop()

    def begin(self, entry: Entry, seed: int) -> tuple[TrainerCallback, ...]:
        description = f"{entry.title}, seed {seed}" if entry.recipe else entry.title
        self.task = self.progress.add_task(description, total=None, state="fitting")
        return (EpochCallback(self, description),)

    def end(self, entry: Entry, seed: int, score: float) -> None:
        self.progress.remove_task(self.task)
        which = f"seed {seed}" if entry.recipe else "deterministic"
        self.console.print(
            f"[bold]{entry.title:28}[/] {which:14} test {self.metric} [bold cyan]{score:.3f}[/]"
        )


class EpochCallback(TrainerCallback):
    """Moves the bar of one training."""

    def __init__(self, watcher: ProgressWatcher, description: str):
        self.watcher, self.description = watcher, description

    def on_step_end(self, args, state, control, **kwargs):
        self.watcher.progress.update(
            self.watcher.task,
            total=state.max_steps,
            completed=state.global_step,
            state=f"epoch {int(state.epoch) + 1}/{state.num_train_epochs}",
        )

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        score = (metrics or {}).get(f"eval_{self.watcher.metric}")
        if score is None or self.watcher.console.is_terminal:
            return
        epoch = f"epoch {round(state.epoch)}/{state.num_train_epochs}"
        self.watcher.console.print(
            f"{self.description}: {epoch}, validation {self.watcher.metric} {score:.3f}"
        )
