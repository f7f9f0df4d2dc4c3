"""The verb `windows`, which `crocuta.cli` takes in."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from crocuta.errors import InputError
from crocuta.runs.console import console as make_console
from crocuta.runs.console import wrote
from crocuta.runs.options import RESUME

console = make_console()


def windows(
    genomes: Annotated[
        list[str],
        typer.Argument(help="FASTA files, plain or .gz; label=file, or the label is the file's name."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table to write, .csv or .csv.gz.")] = Path(
        "windows.csv.gz"
    ),
    length: Annotated[int, typer.Option(min=1, help="Nucleotides of a window.")] = 1024,
    count: Annotated[
        int, typer.Option(min=10, help="Windows of each genome: 70% train, 10% valid, 20% test.")
    ] = 1000,
    valid: Annotated[
        list[str] | None, typer.Option("--valid-contig", help="Contig to hold out for validation; repeat.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option("--test-contig", help="Contig to hold out for the test; repeat.")
    ] = None,
    fold: Annotated[
        int,
        typer.Option(
            min=0,
            max=4,
            help="Without --valid-contig and --test-contig: which fifth of each contig is for the test.",
        ),
    ] = 4,
    both_strands: Annotated[
        bool, typer.Option(help="Read half of the windows from the other strand.")
    ] = True,
    largest_n_share: Annotated[float, typer.Option(min=0, max=1, help="Draw again where more is N.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Draws the windows and their strands.")] = 0,
    resume: RESUME = False,
) -> None:
    """Draw random windows of genomes as a labelled table: whose DNA is this? Held-out regions never overlap.

    Without these, of each contig the last fifth is for the test, the tenth before it for validation.

    Examples:

    `crocuta windows genomes/*.fa.gz --length 4096 --count 500 -o species.csv.gz`

    `crocuta windows yeast=R64.fa worm=WBcel235.fa --test-contig IV --test-contig I --valid-contig II -o species.csv.gz`

    `crocuta train species.csv.gz -m new:hyenadna-tiny --metric accuracy -o run/`
    """  # fmt: skip
    files = [name_genome(text) for text in genomes]
    labels = [label for label, _ in files]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise InputError(f"two genomes are called {twice!r}; name them, e.g. {twice}_2=file.fa")
    settings = {
        "labels": labels, "length": length, "count": count, "valid": valid or [], "test": test or [],
        "fold": fold, "both_strands": both_strands, "largest_n_share": largest_n_share, "seed": seed,
    }  # fmt: skip
    total = draw(dict(files), output, settings, resume)
    console.print(wrote(f"{total:,} windows of {length:,} from {len(files)} genomes", output))


def draw(files: dict[str, str], output: Path, settings: dict[str, Any], resume: bool) -> int:
    """Makes the table, or finds it made; returns the number of its windows."""
    from crocuta.data.sampling import Sampler, counts_of, write_windows
    from crocuta.runs.claim import claim
    from crocuta.runs.progress import shown

    counts = counts_of(settings["count"])
    inputs = {"genomes": list(files.values())}
    with claim(output, "windows", settings, inputs, resume=resume, file=True) as run:
        if not run.finished:
            held = {"valid": settings["valid"], "test": settings["test"]}
            with shown(console) as progress, progress.stage("drawing windows"):
                sampler = Sampler(
                    files, held,
                    fold=settings["fold"],
                    both_strands=settings["both_strands"],
                    largest_n_share=settings["largest_n_share"],
                )  # fmt: skip
                write_windows(sampler, run.target, settings["length"], counts, seed=settings["seed"])
            run.finish([settings["seed"]])
    return sum(counts.values()) * len(files)


def name_genome(text: str) -> tuple[str, str]:
    """Label and file of `label=file`; of a file alone, its name up to the first dot.

    Raises:
        InputError: a label that a table cannot hold.
    """
    label, equals, path = text.partition("=")
    if not equals:
        label, path = Path(text).name.split(".")[0], text
    if not re.fullmatch(r"[\w.+ -]+", label):
        raise InputError(f"{text}: label {label!r}, expected letters, digits, and any of _ . + - or a blank")
    return label, path
