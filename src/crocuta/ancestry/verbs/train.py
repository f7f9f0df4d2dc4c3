"""The verb `ancestry train`: from a cohort's store to a model that distinguishes populations."""

from pathlib import Path
from typing import Annotated

import typer

from crocuta.errors import InputError
from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.console import wrote
from crocuta.runs.options import DEVICE, DRY_RUN, RESUME
from crocuta.runs.progress import shown

console = make_console()


def train(
    cohort: Annotated[Path, typer.Argument(help="Store that `ancestry build` made.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")] = Path(
        "ancestry-run"
    ),
    task: Annotated[
        str,
        typer.Option(
            "--scope",
            help="windows: classify the population of a window. local: ancestry along chromosomes.",
        ),
    ] = "windows",
    view: Annotated[
        str,
        typer.Option(
            help="windows: haplotype (phased), genotype (dosages) or carried (nucleotides of the alternatives)."
        ),
    ] = "haplotype",
    window: Annotated[int, typer.Option(min=8, help="windows: SNPs of a window.")] = 1024,
    by: Annotated[str, typer.Option(help="Classes to distinguish: group or population.")] = "group",
    leave_out: Annotated[
        str, typer.Option(help="Populations or groups not to use, separated by commas.")
    ] = "",
    maf: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.5, help="Least frequency of the rarer allele. Default: 0.01; carried 0; local 0.05."
        ),
    ] = None,
    evidence: Annotated[
        str, typer.Option(help="windows: what the reference adds to each SNP: copying, frequency or none.")
    ] = "copying",
    pretrain: Annotated[bool, typer.Option(help="windows: first learn to predict the next SNP.")] = True,
    position: Annotated[
        str,
        typer.Option(
            help="windows: none, sinusoidal, rotary, fourier, learned, fpe, grid, centimorgan or site."
        ),
    ] = "centimorgan",
    alpha: Annotated[int, typer.Option(min=1, help="fpe, learned: base pairs of a bin.")] = 100,
    backbone: Annotated[str, typer.Option(help="windows: hyena or transformer.")] = "hyena",
    head: Annotated[str, typer.Option(help="windows: linear or lorentz.")] = "linear",
    width: Annotated[int, typer.Option("--dim", min=4, help="windows: features of a SNP.")] = 64,
    layers: Annotated[int, typer.Option(min=1, help="windows: layers of the backbone.")] = 2,
    pretrain_steps: Annotated[int, typer.Option(min=1, help="windows: steps of the first stage.")] = 300,
    steps: Annotated[int, typer.Option(min=1, help="windows: steps of the second stage.")] = 300,
    tokens_per_step: Annotated[int, typer.Option(min=1, help="windows: SNPs of a step.")] = 1 << 14,
    learning_rate: Annotated[float, typer.Option(min=0, help="windows: the highest learning rate.")] = 1e-3,
    test_share: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="windows: share of each population that is held out.")
    ] = 0.25,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Minutes between checkpoints.")] = 1.0,
    spacing: Annotated[
        int,
        typer.Option(
            min=0, help="local: at most one site in N base pairs, as on an array. Default: all sites."
        ),
    ] = 0,
    smoother_steps: Annotated[
        int, typer.Option(min=0, help="local: steps of a Hyena that corrects the chain. Default: none.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all that is random.")] = 0,
    device: DEVICE = "auto",
    resume: RESUME = False,
    dry_run: DRY_RUN = False,
) -> None:
    """Train a model of ancestry, on windows (predict the next SNP, then classify populations) or along chromosomes.

    An option whose help begins with "windows" or "local" belongs to that scope alone.

    Examples:

    `crocuta ancestry train cohort.h5 -o run/ --leave-out ADMIXED`

    `crocuta ancestry train cohort.h5 -o thesis/ --view carried --window 4096 --position fpe --alpha 100`

    `crocuta ancestry train cohort.h5 -o local/ --scope local --leave-out ADMIXED`

    `crocuta ancestry train cohort.h5 -o plain/ --evidence none --no-pretrain --position fpe`
    """
    prepare()
    names = tuple(name.strip() for name in leave_out.split(",") if name.strip())
    if task == "local":
        from crocuta.ancestry.local.examples import LocalRecipe
        from crocuta.ancestry.verbs.local import train_along_chromosomes

        maf = 0.05 if maf is None else maf
        train_along_chromosomes(
            cohort, output, LocalRecipe(maf=maf, spacing=spacing, steps=smoother_steps, seed=seed), by=by,
            leave_out=names, device=device, checkpoint_minutes=checkpoint_minutes, resume=resume, dry_run=dry_run,
        )  # fmt: skip
        return
    if task != "windows":
        raise InputError(f"`task` {task}: expected windows or local")
    from crocuta.ancestry.cost import estimate_windows
    from crocuta.ancestry.panels import Choice
    from crocuta.ancestry.window_run import AncestryRun, train_windows
    from crocuta.ancestry.window_training import AncestryRecipe

    run = AncestryRun(
        view=view, evidence=evidence, pretrain=pretrain, position=position, alpha=alpha, backbone=backbone, head=head,
        width=width, layers=layers,
    )  # fmt: skip
    recipe = AncestryRecipe(
        window=window, pretrain_steps=pretrain_steps, steps=steps, tokens_per_step=tokens_per_step,
        learning_rate=learning_rate, seed=seed,
    )  # fmt: skip
    maf = (0.0 if view == "carried" else 0.01) if maf is None else maf
    shares = (0.9 * (1 - test_share), 0.1 * (1 - test_share), test_share)
    choice = Choice(by=by, leave_out=names, maf=maf, shares=shares)
    with shown(console) as progress:
        if dry_run:
            cost = estimate_windows(cohort, run, recipe, choice, device=device, progress=progress)
            console.print(f"{cost.parameters:,} parameters: {cost.sentence()}.")
            cost.check("lower `tokens_per_step`")
            return
        metrics = train_windows(
            cohort, output, run, recipe, choice, device=device, checkpoint_seconds=60 * checkpoint_minutes,
            resume=resume, progress=progress,
        )  # fmt: skip
    test = metrics["test"]
    what = f"test accuracy [bold cyan]{test['accuracy']:.2%}[/] on {test['windows']:,} windows of individuals held out"
    console.print(wrote(what, output))
