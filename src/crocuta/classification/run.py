"""A run folder: what a comparison leaves behind, and how to use it again.

```
run/
  config.json       what was asked: models, seeds, recipes, digests of all that was read
  manifest.json     where it was done: versions, machine, command
  metrics.json      what came out, by model and seed
  predictions.tsv   test set, by model and seed
  models/<model>/seed-<seed>/
```
"""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.analysis.scores import by_class, scores
from crocuta.analysis.summary import summarise
from crocuta.classification._labels import membership, problem
from crocuta.data.chromatin import label_groups
from crocuta.data.encoding import count_other_nucleotides, encode
from crocuta.data.labelled import Labelled, read_labelled
from crocuta.data.reading import read_windows
from crocuta.data.records import count_records, read_records
from crocuta.files import replacing, write_json
from crocuta.models.base import chunks
from crocuta.models.ensemble import check_lengths, name_labels
from crocuta.runs.claim import claim
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.load import RunFolder
from crocuta.runs.manifest import Inputs
from crocuta.runs.progress import SILENT, Progress

STREAMED = 4096  # sequences in memory while predicting


def predict(
    run: str | PathLike,
    sequences: str | PathLike,
    output: str | PathLike,
    *,
    model: str | None = None,
    batch_size: int = 256,
    genome: str | PathLike | None = None,
    window: int | None = None,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> tuple[int, int]:
    """Predicts the classes of sequences in a file of any size, and writes them as a table.

    Args:
        run: a run folder; all seeds of the model predict together.
        sequences: FASTA, CSV or TSV, plain or gzip; labels, where there are any, are not looked at.
        output: TSV with the columns name, predicted, and one probability for each class; whole or absent.
        model: which of the run's models; default its first.
        batch_size: sequences at a time.
        genome: FASTA that a table of coordinates refers to.
        window: nucleotides around each interval's centre; default the interval.
        device: see `crocuta.runs.device.choose_device`.
        progress: is shown how many sequences are done.

    Returns:
        How many sequences there were, and how many of their nucleotides were read as N.
    """
    windows = read_windows(genome, window)
    ensemble = RunFolder(run).ensemble(model, device=device)
    multi_label = ensemble.config.problem_type == "multi_label_classification"
    count = nucleotides = 0
    stage = progress.stage("predicting", total=count_records(sequences), unit="sequences")
    with replacing(output) as file, stage:
        print("\t".join(("name", *prediction_columns(ensemble.classes))), file=file)
        for records in chunks(read_records(sequences, windows=windows), STREAMED):
            ids, names = [encode(record.sequence) for record in records], [record.name for record in records]
            for member in ensemble.members:
                check_lengths(ids, member.config, [f"{sequences}: {name}" for name in names])
            probabilities = ensemble.probabilities(ids, batch_size)
            predicted = name_labels(probabilities, ensemble.classes, multi_label)
            file.writelines(table_rows(predicted, probabilities, names))
            count += len(records)
            nucleotides += sum(count_other_nucleotides(record.sequence) for record in records)
            stage.update(count)
    return count, nucleotides


def evaluate(
    run: str | PathLike,
    data: str | PathLike,
    output: str | PathLike | None = None,
    *,
    genome: str | PathLike | None = None,
    window: int | None = None,
    resume: bool = False,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> RunFolder:
    """Scores every model of a run on other labelled sequences.

    Args:
        run: a run folder.
        data: labelled sequences, as for training; their classes must be the run's.
        output: folder for metrics and predictions; default `run/evaluations/<name of data>`.
        genome, window, device: as in `predict`.
        resume: show what is there, if all has been done.
        progress: is shown how many models are done.

    Raises:
        InputError: a label that training never saw; a sequence longer than a model; `output` may not be taken.
    """
    trained, data = RunFolder(run), Path(data)
    choose_device(device)
    output = Path(output) if output else trained.path / "evaluations" / data.name.split(".")[0]
    settings = {key: value for key, value in trained.config.items() if key not in ("kind", "inputs", "data")}
    settings |= {"evaluated": data.name, "window": window}
    inputs: Inputs = {"data": data, "genome": genome, "run": trained.path / "models"}
    with claim(output, "evaluate", settings, inputs, resume=resume) as ours:
        if not ours.finished:
            test = read_labelled(data, tuple(trained.metrics["classes"]), read_windows(genome, window))
            probabilities = predict_all(trained, test, device, progress)
            write_predictions(output / "predictions.tsv", test, probabilities, trained.config["seeds"])
            write_json(output / "metrics.json", evaluated(trained.metrics, test, probabilities, data.name))
            ours.finish(trained.config["seeds"])
    return RunFolder(output)


def predict_all(
    trained: RunFolder, test: Labelled, device: str, progress: Progress
) -> dict[str, list[np.ndarray]]:
    """Probabilities (n, classes) of every model and seed of a run."""
    found: dict[str, list[np.ndarray]] = {}
    fits = [
        (name, fit["seed"]) for name, model in trained.metrics["models"].items() for fit in model["seeds"]
    ]
    with progress.stage("evaluating", total=len(fits), unit="models") as stage:
        for name, seed in fits:
            ensemble = trained.ensemble(name, seed, device)
            check_lengths(test.sequences, ensemble.config, test.sequences.names)
            found.setdefault(name, []).append(ensemble.probabilities(test.sequences))
            stage.advance()
    return found


def evaluated(
    metrics: dict[str, Any], test: Labelled, probabilities: Mapping[str, Sequence[np.ndarray]], name: str
) -> dict[str, Any]:
    """The metrics of a run with another test set's in place of its own's."""
    card = {
        **metrics["data"],
        "policy": f"Evaluated on {name}. For training: {metrics['data']['policy']}",
        "test": {"n": len(test), "by_class": membership(test).sum(0).tolist()},
        "other_letters": test.sequences.other_nucleotides,
        "leakage": None,
    }
    return {**metrics, "data": card, **scored(metrics["models"], test, probabilities, metrics["metric"])}


def scored(
    models: Mapping[str, Mapping[str, Any]],
    test: Labelled,
    probabilities: Mapping[str, Sequence[np.ndarray]],
    metric: str,
) -> dict[str, Any]:
    """Models (title, kind, seeds, ...) with their scores on a test set, and the paired differences between them."""
    baselines = [name for name, model in models.items() if model["kind"] == "baseline"]
    summary = summarise(test.labels, probabilities, metric, baselines)
    with_scores = {}
    for name, model in models.items():
        seeds = [
            {**fit, "test": finite(scores(test.labels, values))}
            for fit, values in zip(model["seeds"], probabilities[name], strict=True)
        ]
        with_scores[name] = {**model, "seeds": seeds, "test": summary["models"][name]}
        if groups := group_scores(test, probabilities[name]):
            with_scores[name]["groups"] = groups
    return {"models": with_scores, "paired": summary["paired"], "resamples": summary["resamples"]}


def group_scores(test: Labelled, probabilities: Sequence[np.ndarray]) -> dict[str, dict[str, float | None]]:
    """AUROC by group of chromatin profiles, over the labels that define it, averaged over seeds; else empty."""
    if problem(test) != "multi_label" or not (groups := label_groups(test.classes)):
        return {}
    once = np.ones((len(test), 1))
    by_label = np.mean(
        [by_class(test.labels, values, "auroc")(once)[:, 0] for values in probabilities], axis=0
    )
    found = {}
    for name, members in groups.items():
        defined = by_label[members][np.isfinite(by_label[members])]
        middle = (defined.mean(), np.median(defined)) if len(defined) else (np.nan, np.nan)
        values = finite({"mean": float(middle[0]), "median": float(middle[1])})
        found[name] = {"labels": len(members), "defined": len(defined), **values}
    return found


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """The same with None for numbers that a test set does not define, which JSON cannot say."""
    return {key: value if np.isfinite(value) else None for key, value in values.items()}


def write_predictions(
    path: Path, test: Labelled, probabilities: Mapping[str, Sequence[np.ndarray]], seeds: Sequence[int]
) -> None:
    """Predictions on a test set with its true labels, for every model and seed."""
    multi_label = problem(test) == "multi_label"
    labels = name_labels(membership(test), test.classes, multi_label)
    with replacing(path) as file:
        print("\t".join(("name", "label", "model", "seed", *prediction_columns(test.classes))), file=file)
        for name, runs in probabilities.items():
            for seed, values in zip(seeds, runs, strict=False):  # a deterministic baseline has one run
                predicted = name_labels(values, test.classes, multi_label)
                constant = [[text] * len(test) for text in (name, str(seed))]
                file.writelines(table_rows(predicted, values, test.sequences.names, labels, *constant))


def prediction_columns(classes: Iterable[str]) -> list[str]:
    return ["predicted", *(f"p({name})" for name in classes)]


def table_rows(predicted: Sequence[str], probabilities: np.ndarray, *before: Sequence[str]) -> Iterable[str]:
    """Lines of a table of predictions; the columns of `before` stand first."""
    for row, (label, values) in enumerate(zip(predicted, probabilities, strict=True)):
        yield "\t".join((*(column[row] for column in before), label, *(f"{p:.6g}" for p in values))) + "\n"
