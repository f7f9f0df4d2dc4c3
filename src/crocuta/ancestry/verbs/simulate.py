"""The verb `ancestry simulate`: a cohort whose local ancestry is known."""

from pathlib import Path
from typing import Annotated

import typer

from crocuta.runs.console import console as make_console
from crocuta.runs.console import wrote
from crocuta.runs.options import JOBS, RESUME
from crocuta.runs.progress import shown

console = make_console()


def simulate(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to fill.")] = Path("admixture"),
    length: Annotated[float, typer.Option(help="Base pairs of a chromosome, e.g. 10e6.")] = 10e6,
    chromosomes: Annotated[
        int, typer.Option(min=1, help="How many, named 1, 2, ...; each as long. Short ones are quicker.")
    ] = 1,
    name: Annotated[
        list[str] | None, typer.Option(help="Name of a chromosome; repeat for several.", show_default=False)
    ] = None,
    individuals: Annotated[
        tuple[int, int, int],
        typer.Option("--individuals", help="Individuals of YRI, CEU and CHB (unadmixed)."),
    ] = (160, 241, 190),
    admixed: Annotated[int, typer.Option(min=0, help="Admixed individuals of each pulse.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all that is random.")] = 1,
    jobs: JOBS = 1,
    resume: RESUME = False,
) -> None:
    """Simulate a cohort whose local ancestry is known: cohort.vcf.gz, samples.tsv, map.tsv, truth.tsv.gz.

    Three populations out of Africa (Gutenkunst et al. 2009), and individuals admixed from them 8 and 20 generations ago
    (40% YRI, 35% CEU, 25% CHB), with a random genetic map. 10 Mb take seconds, 50 Mb minutes.

    Examples:

    `crocuta ancestry simulate -o cohort/ --length 10e6 --chromosomes 4 --jobs 4`

    `crocuta ancestry simulate -o chr22/ --length 50.8e6 --name 22`
    """
    from crocuta.ancestry.cohorts import simulate_cohort
    from crocuta.variants.out_of_africa import Admixture

    names = tuple(name or (str(i) for i in range(1, chromosomes + 1)))
    settings = Admixture(
        length=int(length), chromosomes=names, individuals=individuals, admixed=admixed, seed=seed
    )
    with shown(console) as progress:
        sites = simulate_cohort(output, settings, jobs=jobs, resume=resume, progress=progress)
    what = (
        f"{len(settings.names):,} individuals, {sum(sites.values()):,} sites,"
        f" {len(names)} chromosome{'s' * (len(names) > 1)}"
    )
    console.print(wrote(what, output))
