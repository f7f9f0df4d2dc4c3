"""What `ancestry train --task local` does."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TaskID

console = Console(highlight=False)


def train_along_chromosomes(
    cohort: Path,
    output: Path,
    by: str,
    leave_out: Sequence[str],
    maf: float,
    spacing: int,
    smoother_steps: int,
    seed: int,
    checkpoint_minutes: float,
    resume: bool,
) -> None:
    """Trains local ancestry and says how well it does on mosaics of held-out people."""
    from crocuta.train.local_ancestry import train_local
    from crocuta.train.local_ancestry_examples import LocalRecipe

    recipe = LocalRecipe(
        maf=maf, spacing=spacing, steps=smoother_steps, seed=seed, checkpoint_seconds=60 * checkpoint_minutes
    )
    with Progress(console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, more: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=None)
            bar.update(tasks[what], advance=more)

        found = train_local(
            cohort, output, by=by, leave_out=tuple(leave_out), recipe=recipe, resume=resume, progress=tell
        )
    for name, scores in found.items():
        console.print(
            f"{name}: accuracy [bold cyan]{scores['accuracy']:.2%}[/] on mosaics of people held out (half of them with"
            f" phase errors), calibration error {scores['ece']:.2%}"
        )
    console.print(f"→ [bold]{output}[/]")
