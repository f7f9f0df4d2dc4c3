"""The verbs `tree ...`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated, Any

import typer

from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe, wrote
from crocuta.runs.options import DRY_RUN, OVERWRITE, RESUME, check_file

console = make_console()

PARTS = (".json", ".png", ".svg")  # of what `tree delta` writes

tree = typer.Typer(
    no_args_is_help=True, help="Trees: examine a file, measure how tree-like data are, simulate."
)


@tree.command("check")
def check(
    data: Annotated[Path, typer.Argument(help="Newick or Nexus file, plain or .gz.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for what was found.")
    ] = None,
    overwrite: OVERWRITE = False,
) -> None:
    """Examine a tree file: size, rooting, polytomies, names, branch lengths, and what is odd in them.

    Examples:

    `crocuta tree check dengue.nwk`

    `crocuta tree check dengue.nexus -o dengue.json`
    """
    from rich.table import Table

    from crocuta.files import write_json
    from crocuta.trees.check import examine

    if output is not None:
        check_file(output, overwrite)
    findings = examine(data)
    table = Table(show_header=False, title=safe(data.name))
    for what, found, odd in findings:
        table.add_row(what, f"[bold yellow]{safe(found)}[/]" if odd else safe(found))
    console.print(table)
    odd = [finding.what for finding in findings if finding.odd]
    console.print(f"Look at: {', '.join(odd)}." if odd else "Nothing odd.")
    if output is not None:
        write_json(output, [finding._asdict() | {"odd": bool(finding.odd)} for finding in findings])
        console.print(wrote("", output))


@tree.command("simulate")
def simulate(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to fill.")] = Path("scenario"),
    scenario: Annotated[
        str, typer.Option(help="A: clades of one tree. B: several trees. C: a tree or random.")
    ] = "C",
    sequences: Annotated[int, typer.Option(help="Number of sequences, of all classes together.")] = 2000,
    length: Annotated[int, typer.Option(min=1, help="Nucleotides of a sequence.")] = 200,
    height: Annotated[float, typer.Option(help="Depth: substitutions per site, root to tips.")] = 1.0,
    noise: Annotated[
        float, typer.Option(help="Share of nucleotides that are replaced by random ones.")
    ] = 0.0,
    classes: Annotated[int, typer.Option(help="Number of clades (A) or trees (B).")] = 2,
    separation: Annotated[float, typer.Option(help="A: share of the height above the clades.")] = 0.5,
    split: Annotated[str, typer.Option(help="clade: whole subclades held out. leaf: at random.")] = "clade",
    model: Annotated[str, typer.Option("--substitution", help="Model of substitution: hky or gtr.")] = "hky",
    kappa: Annotated[float, typer.Option(help="HKY: transitions over transversions.")] = 2.0,
    rates: Annotated[
        tuple[float, float, float, float, float, float], typer.Option(help="GTR: AC AG AT CG CT GT.")
    ] = (1.0, 2.0, 1.0, 1.0, 2.0, 1.0),
    frequencies: Annotated[tuple[float, float, float, float], typer.Option(help="Shares of A C G T.")] = (
        0.25,
        0.25,
        0.25,
        0.25,
    ),
    gamma: Annotated[float, typer.Option(help="Shape of the rates over sites; 0: all equal.")] = 0.5,
    death: Annotated[float, typer.Option(help="Extinctions per birth, below 1.")] = 0.5,
    indel_rate: Annotated[float, typer.Option(help="Insertions and deletions per substitution.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all that is random.")] = 0,
    resume: RESUME = False,
) -> None:
    """Simulate labelled sequences on birth-death trees: train.csv, dev.csv, test.csv, tree.nwk, sequences.fasta.

    Examples:

    `crocuta tree simulate --scenario A --classes 4 --height 0.5 -o clades/`

    `crocuta tree simulate --scenario C --noise 0.2 --split leaf -o noisy/`

    `crocuta train noisy/train.csv --valid noisy/dev.csv --test noisy/test.csv -m cnn -o run/`
    """
    from dataclasses import asdict

    from crocuta.data.phylogeny import Scenario, write_scenario
    from crocuta.runs.claim import claim
    from crocuta.runs.saved import read_json

    fields = Scenario(
        kind=scenario, sequences=sequences, length=length, height=height, noise=noise, classes=classes,
        separation=separation, split=split, model=model, kappa=kappa, rates=rates, frequencies=frequencies,
        gamma=gamma or None, death=death, indel_rate=indel_rate, seed=seed,
    )  # fmt: skip
    with claim(output, "tree simulate", asdict(fields), {}, resume=resume) as run:
        if not run.finished:
            write_scenario(run.folder, fields)
            run.finish([seed])
    counts = read_json(output / "scenario.json")["rows"]
    console.print(wrote(", ".join(f"{n:,} {part}" for part, n in counts.items()), output))


@tree.command("delta")
def delta(
    data: Annotated[
        Path, typer.Argument(help="FASTA or sequence table, Newick or Nexus, distance matrix, .npy or .h5ad.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Writes this with .json, .png and .svg.")
    ] = None,
    distance: Annotated[str, typer.Option(help="Sequences: kmer; if aligned, hamming or jc69.")] = "kmer",
    k: Annotated[int, typer.Option("--kmer", min=1, max=8, help="Nucleotides of a k-mer.")] = 4,
    space: Annotated[
        str | None,
        typer.Option(
            help="Embeddings: euclidean, lorentz or poincare; default what the .h5ad says, or euclidean."
        ),
    ] = None,
    curvature: Annotated[
        float | None,
        typer.Option(help="c > 0 of hyperbolic embeddings; default what the .h5ad says, or 1."),
    ] = None,
    key: Annotated[str, typer.Option(help=".h5ad: X, or a name in obsm.")] = "X",
    subset: Annotated[int, typer.Option(min=4, help="Number of points of a random subset.")] = 100,
    exact_up_to: Annotated[
        int, typer.Option(min=0, help="At most N points: all their quadruples are measured.")
    ] = 500,
    nulls: Annotated[int, typer.Option(min=0, help="Number of draws of each null.")] = 199,
    seed: Annotated[int, typer.Option(min=0, help="Seed of subsets and nulls.")] = 0,
    overwrite: OVERWRITE = False,
    dry_run: DRY_RUN = False,
) -> None:
    """Measure how tree-like points are: Gromov's delta, with intervals and p-values against treeless clouds.

    Examples:

    `crocuta tree delta aligned.fasta --distance jc69 -o delta`

    `crocuta tree delta embeddings.npy --space lorentz`

    `crocuta tree delta cells.h5ad --key X_pca`
    """
    from crocuta.runs.progress import shown
    from crocuta.trees.cost import estimate_hyperbolicity
    from crocuta.trees.delta import measure, steps
    from crocuta.trees.page import write_hyperbolicity
    from crocuta.trees.sources import open_distances

    if output is not None:
        output = output.with_suffix("") if output.suffix in PARTS else output
        for part in PARTS:
            check_file(output.with_name(output.name + part), overwrite)

    points = open_distances(data, distance=distance, k=k, space=space, c=curvature, key=key)
    if dry_run:
        cost = estimate_hyperbolicity(points, subset, exact_up_to, nulls)
        cost.check("lower `exact_up_to`")
        console.print(f"{points.n:,} points: {cost.sentence()}")
        return
    count = steps(points.n, subset, nulls)
    with shown() as progress, progress.stage("measuring", count, "subsets and nulls") as stage:
        found = measure(
            points, subset=subset, exact_up_to=exact_up_to, nulls=nulls, seed=seed, progress=stage.advance
        )
    show(found, f"{safe(data.name)}, {points.n:,} points")
    if output:
        write_hyperbolicity(output, data.name, found, points)
        console.print(wrote("", output.with_name(f"{output.name}.json")) + ", .png, .svg")


def show(found: Any, title: str) -> None:
    """Delta of subsets, of the whole, and of the nulls."""
    from rich.table import Table

    from crocuta.trees.page import summary_rows

    table = Table("relative δ", "largest", "mean of quadruples", title=title)
    for row in summary_rows(found):
        table.add_row(*row)
    console.print(table)
