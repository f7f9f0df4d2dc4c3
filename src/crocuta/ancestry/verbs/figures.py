"""The verb `ancestry figures`: what a run on windows learned, seen."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crocuta.errors import InputError
from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.console import wrote
from crocuta.runs.options import DEVICE, OVERWRITE, check_file
from crocuta.runs.progress import shown

if TYPE_CHECKING:
    from crocuta.ancestry.window_infer import WindowRun
    from crocuta.variants.store import Cohort

console = make_console()


def figures(
    run: Annotated[Path, typer.Argument(help="Run of `ancestry train --scope windows`.")],
    cohort: Annotated[
        Path, typer.Argument(help="The store that it was trained on, or one with more individuals.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to fill.")] = Path("figures"),
    windows: Annotated[int, typer.Option(min=10, help="Windows of hidden states.")] = 600,
    sample: Annotated[
        list[str] | None,
        typer.Option(
            "--sample", "-s", help="Test individuals to draw; repeat. Default: the first of each population."
        ),
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=1, help="SNPs between windows. Default: half a window.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the windows drawn and of t-SNE.")] = 0,
    device: DEVICE = "auto",
    overwrite: OVERWRITE = False,
) -> None:
    """Draw hidden states of test individuals' windows before and after fine-tuning, and individuals by window.

    Writes states.png/.svg (t-SNE, coloured by population) and individuals.png/.svg (the most probable ancestry of each
    window along every chromosome, unsmoothed, paler where it is less sure; global proportions next to the name).

    Examples:

    `crocuta ancestry figures run/ cohort.h5 -o figures/`

    `crocuta ancestry figures run/ cohort.h5 -o figures/ --sample NA19700 --sample NA12878`
    """
    prepare()
    import numpy as np

    from crocuta.ancestry.figures import geography, hidden_states
    from crocuta.ancestry.states import aligned_panels, held_out_individuals, window_states, window_tracts
    from crocuta.ancestry.window_infer import read_window_run
    from crocuta.report.style import save, styled
    from crocuta.variants.store import Cohort

    for name in ("states", "individuals"):
        for suffix in (".png", ".svg"):
            check_file(output / f"{name}{suffix}", overwrite)
    found = read_window_run(run, step=step, device=device)
    with shown(console) as progress, progress.stage("reading"), Cohort(cohort) as store:
        index, labels = held_out_individuals(store, found)
        others = np.setdiff1d(np.array(_named(store, found, sample or []), int), index)
        panels = aligned_panels(store, found, np.concatenate([index, others]))
    labels = np.concatenate([labels, np.full(len(others), -1)])
    names = panels[0].samples.name
    chosen = (
        [int(np.flatnonzero(names == name)[0]) for name in sample]
        if sample
        else [int(np.flatnonzero(labels == k)[0]) for k in np.unique(labels)]
    )
    with shown(console) as progress, progress.stage("hidden states"):
        states = window_states(found, panels, labels, windows, seed)
    with shown(console) as progress, progress.stage("single individuals"):
        tracts = window_tracts(found, panels, np.array(chosen))
    output.mkdir(parents=True, exist_ok=True)
    with styled():
        save(hidden_states(*states, seed=seed), output / "states")
        save(geography(tracts, found.caller.view == "haplotype"), output / "individuals")
    if found.caller.reference is not None:
        console.print(
            "This run is given evidence, which goes past the hidden states; one trained with --evidence none has all"
            " it knows in them."
        )
    console.print(wrote(f"{windows:,} windows, {len(chosen):,} individuals", output))


def _named(cohort: "Cohort", run: "WindowRun", sample: list[str]) -> list[int]:
    """Indices of individuals by name; refuses those whom the run has learned from."""
    names = cohort.samples.name.tolist()
    for name in sample:
        if name in run.individuals or name not in names:
            why = (
                "was trained on"
                if name in run.individuals
                else f"is not among its {len(names):,} individuals"
            )
            raise InputError(f"{cohort.path}: {name} {why}; expected others, such as {run.tested[0]}")
    return [names.index(name) for name in sample]
