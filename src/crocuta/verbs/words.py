"""The verb group `words`, which `crocuta.cli` takes in."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(highlight=False)

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
    members: Annotated[int, typer.Option(min=1, help="Models that are asked together.")] = 5,
    epochs: Annotated[int, typer.Option(min=1)] = 30,
    hyena: Annotated[
        int, typer.Option(min=0, help="6-mers that HyenaDNA reads beside the counts; 0: counts alone.")
    ] = 0,
    flat: Annotated[bool, typer.Option("--flat", help="CLIP in place of L-CLIP.")] = False,
    least_groups: Annotated[
        int, typer.Option(min=2, help="Leave out labels found in fewer groups of like sequences.")
    ] = 5,
    batch_size: Annotated[int, typer.Option(min=2)] = 64,
    learning_rate: Annotated[float, typer.Option(min=0)] = 3e-3,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train L-CLIP on described sequences and judge it on others: like sequences stay on one side of the split.

    Examples:

    `crocuta words train human=Homo_sapiens.fasta.gz fly=Drosophila_melanogaster.fasta.gz -o run/`

    `crocuta words train described.csv --hyena 128 -o run/` (a row: `ACGT...,a small nucleolar RNA gene`)
    """
    from crocuta.quiet import prepare

    prepare()
    from crocuta.train.words import WordsRecipe
    from crocuta.train.words_run import train_words

    recipe = WordsRecipe(
        members, epochs, hyena_kmers=hyena, flat=flat, batch_size=batch_size, learning_rate=learning_rate, seed=seed
    )  # fmt: skip
    given = [_species_and_path(text) for text in files]
    with _bar("reading and counting", "training") as move:
        metrics = train_words(given, output, recipe, least_groups, move)
    _show(metrics, output)


@contextmanager
def _bar(first: str, then: str) -> Iterator[Callable[[int, int], None]]:
    """A bar, and what moves it."""
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bars:
        task = bars.add_task(first, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total, description=then)


def _species_and_path(text: str) -> tuple[str, Path]:
    species, mark, path = text.partition("=")
    return (species, Path(path)) if mark and "/" not in species else ("", Path(text))


def _show(metrics: dict, output: Path) -> None:
    from rich.table import Table

    sizes = metrics["sequences"]
    console.print(
        f"{sizes['train']:,} sequences trained on, {sizes['valid']:,} chosen by, {sizes['test']:,} tested on;"
        f" {metrics['captions']} captions. {metrics['leakage']}"
    )
    if metrics["labels_left_out"]:
        console.print(f"Left out, in too few groups: {', '.join(metrics['labels_left_out'])}", markup=False)
    table = Table("recall on the test part", "found", "by chance")
    for name, value in metrics["test"].items():
        table.add_row(name, f"{value:.1%}", f"{metrics['chance'][name]:.1%}")
    console.print(table)
    console.print(f"→ [bold]{output}[/]")


@words.command("name")
def name(
    run: RUN,
    sequences: Annotated[Path, typer.Argument(help="FASTA, CSV or TSV, plain or .gz.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table to write.")] = Path("names.tsv"),
    k: Annotated[int, typer.Option("-k", min=1, help="Captions for each sequence.")] = 3,
) -> None:
    """Say what sequences are: the captions that suit each best, with probabilities.

    Example: `crocuta words name run/ unknown_repeats.fa -o names.tsv`
    """
    from crocuta.quiet import prepare

    prepare()
    from crocuta.files import replacing
    from crocuta.train.words_run import load_words, name_sequences

    ensemble, asked = load_words(run), _read(sequences)
    with _bar("reading", "naming") as move:
        best, probability = name_sequences(ensemble, asked, k, move)
    with replacing(output) as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["name", "rank", "caption", "probability"])
        for i, row in enumerate(best):
            for rank, (caption, p) in enumerate(zip(row, probability[i], strict=True), 1):
                table.writerow([asked.names[i], rank, ensemble.words.captions[caption], f"{p:.4f}"])
    console.print(f"{len(asked):,} sequences → [bold]{output}[/]")


@words.command("find")
def find(
    run: RUN,
    query: Annotated[str, typer.Argument(help="Words, such as 'a satellite repeat in fly'.")],
    sequences: Annotated[Path, typer.Argument(help="FASTA, CSV or TSV, plain or .gz, to search in.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Sequences to find.")] = 10,
) -> None:
    """Find the sequences that words describe best; scores are log-odds against all captions of the training.

    Example: `crocuta words find run/ "a long terminal repeat retrotransposon in fly" library.fa -k 5`
    """
    from rich.table import Table

    from crocuta.quiet import prepare

    prepare()
    from crocuta.train.words_run import find_sequences, load_words, unknown_words

    ensemble, asked = load_words(run), _read(sequences)
    unknown = unknown_words(ensemble, query)
    with _bar("reading", "searching") as move:
        best, odds = find_sequences(ensemble, query, asked, k, move)
    if unknown:
        console.print(f"Not known to the model, and passed over: {', '.join(unknown)}", markup=False)
    table = Table("rank", "name", "letters", "log-odds")
    for rank, (i, value) in enumerate(zip(best, odds, strict=True), 1):
        table.add_row(str(rank), asked.names[i], f"{len(asked[i]):,}", f"{value:.2f}")
    console.print(table)


def _read(path: Path):
    from crocuta.data.records import read_records
    from crocuta.data.sequences import Sequences

    records = list(read_records(path))
    return Sequences.from_strings(
        [record.sequence for record in records], [record.name for record in records]
    )
