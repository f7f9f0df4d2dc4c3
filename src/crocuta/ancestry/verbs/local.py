"""What `ancestry train --scope local` does."""

from pathlib import Path
from typing import TYPE_CHECKING

from crocuta.runs.console import console as make_console
from crocuta.runs.console import wrote
from crocuta.runs.progress import shown

if TYPE_CHECKING:
    from crocuta.ancestry.local.examples import LocalRecipe

console = make_console()


def train_along_chromosomes(
    cohort: Path,
    output: Path,
    recipe: "LocalRecipe",
    *,
    by: str,
    leave_out: tuple[str, ...],
    device: str,
    checkpoint_minutes: float,
    resume: bool,
    dry_run: bool,
) -> None:
    """Trains local ancestry and says how well it does on mosaics of held-out individuals."""
    from crocuta.ancestry.cost import estimate_local
    from crocuta.ancestry.local.training import train_local
    from crocuta.ancestry.panels import Choice

    with shown(console) as progress:
        if dry_run:
            choice = Choice(by=by, leave_out=leave_out, maf=recipe.maf)
            cost = estimate_local(cohort, recipe, choice, device=device, progress=progress)
            console.print(f"Local ancestry: {cost.sentence()}.")
            cost.check("raise `maf` or `spacing`")
            return
        found = train_local(
            cohort, output, by=by, leave_out=leave_out, recipe=recipe, device=device,
            checkpoint_seconds=60 * checkpoint_minutes, resume=resume, progress=progress,
        )  # fmt: skip
    for name, scores in found.items():
        console.print(
            f"{name}: accuracy [bold cyan]{scores['accuracy']:.2%}[/] on mosaics of individuals held out (half of them"
            f" with phase errors), calibration error {scores['ece']:.2%}"
        )
    console.print(wrote("", output))
