"""The verb `ancestry train`: from a cohort's store to a model that tells populations apart."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crocuta.errors import InputError
from crocuta.quiet import prepare

console = Console(highlight=False)


def train(
    cohort: Annotated[Path, typer.Argument(help="Store that `ancestry build` made.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")] = Path("ancestry"),
    task: Annotated[
        str,
        typer.Option(
            help="windows: whose a window is. local: ancestry along chromosomes, for infer and paint."
        ),
    ] = "windows",
    view: Annotated[
        str, typer.Option(help="haplotype (phased), genotype (dosages) or carried (letters of alternatives).")
    ] = "haplotype",
    window: Annotated[int, typer.Option(min=8, help="SNPs of a window.")] = 1024,
    by: Annotated[str, typer.Option(help="What to tell apart: group or population.")] = "group",
    leave_out: Annotated[str, typer.Option(help="Populations or groups not to use, by commas.")] = "",
    maf: Annotated[
        float | None,
        typer.Option(min=0, max=0.5, help="Least allele frequency; default 0.01, carried: 0, local: 0.05."),
    ] = None,
    evidence: Annotated[
        str, typer.Option(help="What the reference adds to each SNP: copying, frequency or none.")
    ] = "copying",
    pretrain: Annotated[bool, typer.Option(help="First learn to predict the next SNP.")] = True,
    position: Annotated[
        str, typer.Option(help="none, sinusoidal, rotary, fourier, learned, fpe, grid, centimorgan, site.")
    ] = "centimorgan",
    alpha: Annotated[int, typer.Option(min=1, help="fpe, learned: base pairs in a bin.")] = 100,
    backbone: Annotated[str, typer.Option(help="hyena or transformer.")] = "hyena",
    head: Annotated[str, typer.Option(help="linear or lorentz.")] = "linear",
    width: Annotated[int, typer.Option(min=4, help="Features of a SNP.")] = 64,
    layers: Annotated[int, typer.Option(min=1)] = 2,
    pretrain_steps: Annotated[int, typer.Option(min=1)] = 300,
    steps: Annotated[int, typer.Option(min=1, help="Of the second stage.")] = 300,
    tokens_per_step: Annotated[int, typer.Option(min=1, help="SNPs of a step.")] = 1 << 14,
    learning_rate: Annotated[float, typer.Option(min=0)] = 1e-3,
    test_share: Annotated[float, typer.Option(min=0.01, max=0.9, help="Of each population's people.")] = 0.25,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Between checkpoints.")] = 1.0,
    spacing: Annotated[
        int, typer.Option(min=0, help="local: at most one site in so many bp, as on an array. Default: all.")
    ] = 0,
    smoother_steps: Annotated[
        int, typer.Option(min=0, help="local: training of a Hyena that corrects the chain. Default: none.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Train a model of ancestry in two stages: predict the next SNP, then tell populations apart.

    Examples:

    `crocuta ancestry train cohort.h5 -o run/ --leave-out ADMIXED`

    `crocuta ancestry train cohort.h5 -o thesis/ --view carried --window 4096 --position fpe --alpha 100`

    `crocuta ancestry train cohort.h5 -o local/ --task local --leave-out ADMIXED`

    `crocuta ancestry train cohort.h5 -o plain/ --evidence none --no-pretrain --position fpe`
    """
    prepare()
    from rich.progress import Progress

    names = [name.strip() for name in leave_out.split(",") if name.strip()]
    if task == "local":
        from crocuta.verbs.ancestry.local import train_along_chromosomes

        maf = 0.05 if maf is None else maf
        train_along_chromosomes(
            cohort, output, by, names, maf, spacing, smoother_steps, seed, checkpoint_minutes, resume
        )
        return
    if task != "windows":
        raise InputError(f"--task {task}: expected windows or local")
    from crocuta.data.variants.store import Cohort
    from crocuta.train.ancestry import AncestryMoment, AncestryRecipe
    from crocuta.train.ancestry_folder import check_folder
    from crocuta.train.ancestry_panels import load_training_data
    from crocuta.train.ancestry_run import AncestryRun, run_ancestry

    check_folder(output, resume)
    run = AncestryRun(view, evidence, pretrain, position, alpha, backbone, head, width, layers)
    recipe = AncestryRecipe(
        window=window, pretrain_steps=pretrain_steps, steps=steps, tokens_per_step=tokens_per_step,
        learning_rate=learning_rate, seed=seed, checkpoint_seconds=60 * checkpoint_minutes,
    )  # fmt: skip
    maf = (0.0 if view == "carried" else 0.01) if maf is None else maf
    with Cohort(cohort) as store, Progress(console=console, transient=True) as bar:
        reading = bar.add_task("reading people", total=None)
        data = load_training_data(
            store, by=by, leave_out=names, maf=maf, seed=seed,
            shares=(0.9 * (1 - test_share), 0.1 * (1 - test_share), test_share),
            progress=lambda: bar.update(reading, advance=1),
        )  # fmt: skip
        bar.remove_task(reading)
        tasks = {stage: bar.add_task(stage, total=None, visible=False) for stage in ("pretrain", "classify")}

        def tell(moment: AncestryMoment) -> None:
            bar.update(tasks[moment.stage], visible=True, total=moment.steps, completed=moment.step)
            if moment.score is not None:
                what = "perplexity" if moment.stage == "pretrain" else "accuracy"
                console.print(
                    f"{moment.stage} step {moment.step:,}: loss {moment.loss:.3f}, validation {what} {moment.score:.3f}"
                )

        metrics = run_ancestry(data, run, recipe, output, resume=resume, tell=tell, sources=(cohort,))
    console.print(
        f"test accuracy [bold cyan]{metrics['test']['accuracy']:.2%}[/] on {metrics['test']['windows']:,} windows"
        f" of {len(data.split.test):,} people not trained on → [bold]{output}[/]"
    )
