"""The verb group `words`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated

import typer

from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe, wrote
from crocuta.runs.options import DEVICE, DRY_RUN, OVERWRITE, RESUME, check_file
from crocuta.runs.progress import shown

console = make_console()

words = typer.Typer(no_args_is_help=True, help="Find DNA by words, and words for DNA.")

RUN = Annotated[Path, typer.Argument(help="Run folder that `crocuta words train` made.")]


@words.callback()
def main() -> None:
    """Find DNA by words, and words for DNA."""


@words.command("train")
def train(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Libraries of repeated elements (FASTA with >name#Class/Superfamily), or tables `sequence,label` whose"
            " labels are words; plain or .gz. NAME=FILE puts a species into the captions."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")] = Path("words-run"),
    members: Annotated[int, typer.Option(min=1, help="Models whose predictions are averaged.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Passes of each model over the training part.")] = 30,
    hyena: Annotated[
        int, typer.Option(min=0, help="6-mers that HyenaDNA reads in addition to the counts; 0: no HyenaDNA.")
    ] = 0,
    flat: Annotated[bool, typer.Option("--flat", help="Train CLIP in place of L-CLIP.")] = False,
    least_groups: Annotated[
        int,
        typer.Option("--min-groups", min=2, help="Leave out labels found in fewer groups of like sequences."),
    ] = 5,
    batch_size: Annotated[int, typer.Option(min=2, help="Sequences of a step.")] = 64,
    learning_rate: Annotated[float, typer.Option(min=0, help="The highest learning rate.")] = 3e-3,
    seed: Annotated[int, typer.Option(min=0, help="Decides the split, the first weights and the order.")] = 0,
    resume: RESUME = False,
    dry_run: DRY_RUN = False,
    device: DEVICE = "auto",
) -> None:
    """Train L-CLIP on described sequences and evaluate it on others: like sequences stay on one side of the split.

    Examples:

    `crocuta words train human=Homo_sapiens.fasta.gz fly=Drosophila_melanogaster.fasta.gz -o run/`

    `crocuta words train described.csv --hyena 128 -o run/` (a row: `ACGT...,a small nucleolar RNA gene`)
    """
    from crocuta.quiet import prepare

    prepare()
    from crocuta.words.ensemble import WordsRecipe
    from crocuta.words.run import estimate_run, train_words

    recipe = WordsRecipe(
        members=members, epochs=epochs, hyena_kmers=hyena, flat=flat, batch_size=batch_size,
        learning_rate=learning_rate, seed=seed,
    )  # fmt: skip
    given = [_species_and_path(text) for text in files]
    with shown() as progress:
        if dry_run:
            cost = estimate_run(given, recipe, least_groups=least_groups, device=device, progress=progress)
            cost.check("lower `batch_size`, or give fewer sequences")
            console.print(f"Training {members} models of {cost.parameters:,} parameters: {cost.sentence()}.")
            return
        metrics = train_words(
            given, output, recipe, least_groups=least_groups, resume=resume, device=device, progress=progress
        )
    from crocuta.words.page import report_words

    page = report_words([output])
    _show(metrics)
    console.print(wrote("", page))


def _species_and_path(text: str) -> tuple[str, Path]:
    species, mark, path = text.partition("=")
    return (species, Path(path)) if mark and "/" not in species else ("", Path(text))


def _show(metrics: dict) -> None:
    from rich.table import Table

    sizes = metrics["sequences"]
    console.print(
        f"{sizes['train']:,} sequences in training, {sizes['valid']:,} in validation, {sizes['test']:,} in the test;"
        f" {metrics['captions']} captions. {metrics['leakage']}"
    )
    if metrics["labels_left_out"]:
        console.print(f"Left out, in too few groups: {safe(', '.join(metrics['labels_left_out']))}")
    table = Table("recall on the test part", "found", "by chance")
    for name, value in metrics["test"].items():
        table.add_row(name, f"{value:.1%}", f"{metrics['chance'][name]:.1%}")
    console.print(table)


@words.command("name")
def name(
    run: RUN,
    sequences: Annotated[Path, typer.Argument(help="FASTA, CSV or TSV, plain or .gz.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table to write.")] = Path("names.tsv"),
    k: Annotated[int, typer.Option("-k", min=1, help="Captions for each sequence.")] = 3,
    overwrite: OVERWRITE = False,
    device: DEVICE = "auto",
) -> None:
    """Say what sequences are: the captions that suit each best, with probabilities.

    Example: `crocuta words name run/ unknown_repeats.fa -o names.tsv`
    """
    from crocuta.quiet import prepare

    prepare()
    from crocuta.words.run import load_words, name_sequences, write_names

    check_file(output, overwrite)
    ensemble, asked = load_words(run, device=device), _read(sequences)
    with shown() as progress:
        best, probability = name_sequences(ensemble, asked, k=k, progress=progress)
    write_names(output, asked.names, ensemble.words.captions, best, probability)
    console.print(wrote(f"{len(asked):,} sequences", output))


@words.command("find")
def find(
    run: RUN,
    query: Annotated[str, typer.Argument(help="Words, such as 'a satellite repeat in fly'.")],
    sequences: Annotated[Path, typer.Argument(help="FASTA, CSV or TSV, plain or .gz, to search in.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Sequences to find.")] = 10,
    device: DEVICE = "auto",
) -> None:
    """Find the sequences that words describe best; scores are log-odds against all captions of the training.

    Example: `crocuta words find run/ "a long terminal repeat retrotransposon in fly" library.fa -k 5`
    """
    from rich.table import Table

    from crocuta.quiet import prepare

    prepare()
    from crocuta.words.run import find_sequences, load_words, unknown_words

    ensemble, asked = load_words(run, device=device), _read(sequences)
    unknown = unknown_words(ensemble, query)
    with shown() as progress:
        best, odds = find_sequences(ensemble, query, asked, k=k, progress=progress)
    if unknown:
        console.print(f"Not known to the model, and passed over: {safe(', '.join(unknown))}")
    table = Table("rank", "name", "nucleotides", "log-odds")
    for rank, (i, value) in enumerate(zip(best, odds, strict=True), 1):
        table.add_row(str(rank), safe(asked.names[i]), f"{len(asked[i]):,}", f"{value:.2f}")
    console.print(table)


def _read(path: Path):
    from crocuta.data.records import read_records
    from crocuta.data.sequences import Sequences

    records = list(read_records(path))
    return Sequences.from_strings(
        [record.sequence for record in records], [record.name for record in records]
    )
