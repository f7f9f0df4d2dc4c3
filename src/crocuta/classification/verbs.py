"""The verbs `demo` and `train`, and what can be done with their runs; `crocuta.cli` takes them in."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from crocuta.quiet import prepare
from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe, wrote
from crocuta.runs.options import DEVICE, DRY_RUN, JOBS, RESUME
from crocuta.runs.progress import shown

console = make_console()

OUTPUT = Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")]
GENOME = Annotated[
    Path | None, typer.Option(help="FASTA, for tables of coordinates (`chrom,start,end,...`).")
]
WINDOW = Annotated[
    int | None, typer.Option(min=1, help="Nucleotides around each interval's centre; default the interval.")
]
BATCH_SIZE = Annotated[int | None, typer.Option(min=1, help="Sequences in a step.")]
EPOCHS = Annotated[int | None, typer.Option(min=1, help="Passes over the training set, at most.")]
PATIENCE = Annotated[
    int | None, typer.Option(min=1, help="Epochs without a better validation score before training stops.")
]
METRIC = Annotated[
    str | None,
    typer.Option(help="Score that chooses and leads: mcc, accuracy, f1, auroc or auprc; default the task's."),
]
MAX_LENGTH = Annotated[
    int | None,
    typer.Option(min=1, help="Nucleotides of the longest sequence that models with new weights can read."),
]
FROM_SCRATCH = Annotated[
    bool, typer.Option("--from-scratch", help="New weights in place of released ones, for every model.")
]
BOTH_STRANDS = Annotated[
    bool, typer.Option("--both-strands", help="Augment with reverse complements and average over them.")
]


def show(run: Any) -> None:
    """The score table of a run, and where its report lies."""
    from rich.table import Table

    from crocuta.report.tables import size

    metrics = run.metrics
    headline = metrics["metric"]
    table = Table(title=f"Test set, {metrics['data']['test']['n']:,} sequences")
    for column in ("model", headline, "95% interval", "accuracy", "AUROC", "parameters", "time"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in metrics["models"].values():
        test = model["test"]
        value = test[headline]
        spread = f" ± {value['sd']:.3f}" if value["sd"] is not None else ""
        seconds = sum(seed["seconds"] for seed in model["seeds"]) / len(model["seeds"])
        table.add_row(
            safe(model["title"]),
            f"{number(value['mean'])}{spread}",
            f"{number(value['low'])} to {number(value['high'])}",
            number(test["accuracy"]["mean"]),
            number(test["auroc"]["mean"]),
            size(model),
            f"{seconds:.0f} s",
        )
    console.print(table)
    console.print(wrote("Report", run.path / "report.html"))


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def train_and_show(train: Callable, **arguments: Any) -> None:
    with shown() as progress:
        run = train(progress=progress, **arguments)
    show(run)


def demo(
    output: OUTPUT = Path("crocuta-demo"),
    resume: RESUME = False,
    device: DEVICE = "auto",
    jobs: JOBS = 2,
    dry_run: DRY_RUN = False,
) -> None:
    """Train on bundled real promoters and write the report: a few minutes on two cores.

    HyenaDNA-tiny, a CNN and k-mer logistic regression on GUE prom_core_tata, three seeds, a short schedule.
    """
    prepare()
    from crocuta.classification import pipelines

    if dry_run:
        for line in pipelines.estimate_demo(device):
            console.print(safe(line))
        return
    console.print("GUE prom_core_tata: is this 70 bp window of the human genome a TATA promoter?")
    train_and_show(pipelines.demo, output=output, resume=resume, device=device, jobs=jobs)


def train(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="CSV/TSV (`sequence,label[,split]`; for several labels each `labels`, joined by `;`, or columns of"
            " 0 and 1) or FASTA (`label=` in headers), plain or .gz."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="new:hyenadna-tiny (default), cnn, hcnn-s, transformer, ...: new weights. hyenadna-small-32k, ...:"
            " released weights. Or the folder of a pretrained model; repeat to compare.",
        ),
    ] = None,
    adapt: Annotated[
        list[str] | None,
        typer.Option(
            help="How pretrained weights are adapted: full (default), probe, lora:RANK, hyplora:RANK, prompt:TOKENS,"
            " label-prompt:TOKENS, in-context:SHOTS; repeat to compare."
        ),
    ] = None,
    from_scratch: FROM_SCRATCH = False,
    output: OUTPUT = Path("run"),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each model.")] = 3,
    valid: Annotated[Path | None, typer.Option(help="Validation file; else a tenth is taken off.")] = None,
    test: Annotated[Path | None, typer.Option(help="Test file; else a tenth is taken off.")] = None,
    task: Annotated[
        str | None, typer.Option(help="Named task in place of a file, e.g. gue/prom_core_tata.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder that holds the task's files.")] = None,
    genome: GENOME = None,
    window: WINDOW = None,
    metric: METRIC = None,
    epochs: EPOCHS = None,
    batch_size: BATCH_SIZE = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Largest learning rate of the schedule.")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(min=0, help="Of AdamW, on matrices.")] = None,
    patience: PATIENCE = None,
    max_length: MAX_LENGTH = None,
    both_strands: BOTH_STRANDS = False,
    baselines: Annotated[bool, typer.Option(help="Also train the k-mer and length baselines.")] = True,
    resume: RESUME = False,
    device: DEVICE = "auto",
    jobs: JOBS = 1,
    dry_run: DRY_RUN = False,
) -> None:
    """Train models on labelled sequences and score them on the test set; ends with a report.

    Examples:

    `crocuta train data.csv --model new:hyenadna-tiny --seeds 3 -o run/`

    `crocuta train --task gue/prom_core_tata --data-root data/ -m new:hyenadna-tiny -m cnn -o run/`

    `crocuta train train.csv --valid dev.csv --test test.csv -m ./hyenadna-tiny-1k-seqlen-hf -o run/`

    `crocuta train data.csv -m ./pretrained --adapt full --adapt lora:8 --adapt prompt:16 -o run/`
    """
    prepare()
    from crocuta.classification import pipelines

    models = pipelines.from_scratch(model or []) if from_scratch else model or [pipelines.DEFAULT_MODEL]
    source = {"data": data, "valid": valid, "test": test, "task": task, "data_root": data_root}
    source |= {"genome": genome, "window": window}
    changes = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "patience": patience,
    }
    options = {key: value for key, value in changes.items() if value is not None}
    options |= {"max_length": max_length, "baselines": baselines, "adapt": adapt or ()}
    if dry_run:
        for line in pipelines.estimate(models=models, seeds=seeds, source=source, device=device, **options):
            console.print(safe(line))
        return
    train_and_show(
        pipelines.train, models=models, output=output, seeds=seeds, metric=metric, both_strands=both_strands,
        resume=resume, device=device, jobs=jobs, **source, **options,
    )  # fmt: skip


def evaluate_sequences(
    run: Path,
    data: Path,
    output: Path | None = None,
    *,
    genome: Path | None = None,
    window: int | None = None,
    resume: bool = False,
    device: str = "auto",
    dry_run: bool = False,
) -> None:
    """`crocuta evaluate` for runs of `crocuta train`."""
    from crocuta.classification import evaluate
    from crocuta.classification.cost import estimate_prediction
    from crocuta.classification.pipelines import add_report

    if dry_run:
        cost = estimate_prediction(run, data, genome=genome, window=window, device=device)
        console.print(f"All models and seeds: {cost.sentence()}.")
        return cost.check("evaluate fewer sequences")
    with shown() as progress:
        result = evaluate(
            run, data, output, genome=genome, window=window, resume=resume, device=device, progress=progress
        )
    add_report(result)
    return show(result)


def predict_sequences(
    run: Path,
    data: Path,
    output: Path,
    *,
    model: str | None = None,
    batch_size: int = 256,
    genome: Path | None = None,
    window: int | None = None,
    device: str = "auto",
    dry_run: bool = False,
) -> None:
    """`crocuta predict` for runs of `crocuta train`."""
    from crocuta.classification import predict
    from crocuta.classification.cost import estimate_prediction

    common = {"batch_size": batch_size, "genome": genome, "window": window, "device": device}
    if dry_run:
        cost = estimate_prediction(run, data, (model,), **common)
        console.print(f"All sequences: {cost.sentence()}.")
        return cost.check("lower `batch_size`")
    with shown() as progress:
        count, nucleotides = predict(run, data, output, model=model, progress=progress, **common)
    console.print(wrote(f"{count:,} sequences", output))
    if nucleotides:
        console.print(f"{nucleotides:,} nucleotides other than ACGTN were read as N.")
    return None
