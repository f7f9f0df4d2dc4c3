"""Sequences to a trained, evaluated and reported comparison of models in one call."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.classification._labels import problem
from crocuta.classification.adapt import FULL, Adaptation, parse_adaptation
from crocuta.classification.cost import trial
from crocuta.classification.experiment import Entry, run_experiment
from crocuta.data.demo import demo_files, load_demo
from crocuta.data.labelled import Splits
from crocuta.data.reading import read_data
from crocuta.data.tasks import find_task
from crocuta.errors import InputError
from crocuta.presets import ADAPTATION_RECIPES, BASELINES, PRESETS
from crocuta.report import write_report
from crocuta.runs.device import AUTO
from crocuta.runs.load import RunFolder, is_released, released_folder
from crocuta.runs.progress import SILENT, Progress, duration
from crocuta.runs.recipe import Recipe

NEW = "new:"  # before a name of released weights: the same network from new ones
DEFAULT_MODEL = "new:hyenadna-tiny"
DEMO_TASK, DEMO_SEEDS, DEMO_EPOCHS = "gue/prom_core_tata", 3, 5
DEMO_JOBS = 2  # two cores train two small models in half the time, and one small model in hardly less
TOKENS_PER_BATCH = 1 << 16  # long sequences train in smaller batches


def entry(
    model: str | PathLike,
    longest: int,
    changes: dict[str, Any],
    adaptation: Adaptation = FULL,
) -> Entry:
    """The entry of a comparison.

    Args:
        model: the folder or hub name of pretrained weights; a released name such as "hyenadna-small-32k", for those
            weights; "new:hyenadna-small-32k", for the same network with new weights; or another preset, which has new
            weights.
        longest: nucleotides of the longest sequence.
        changes: fields of the recipe to override.
        adaptation: what of pretrained weights is trained; a preset has new weights, all of which are.

    Raises:
        InputError: no such preset or folder.
    """
    name = str(model)
    if not is_pretrained(model):
        preset = PRESETS.get(name.removeprefix(NEW))
        if preset is None:
            known = ", ".join(NEW + known if is_released(known) else known for known in PRESETS)
            raise InputError(
                f"no model {name!r}: expected the folder of a pretrained model, or one of {known}"
            )
        recipe = preset.recipe and fit_batch(replace(preset.recipe, **changes), longest, changes)
        title = f"{preset.title} (new weights)" if is_released(preset.name) else preset.title
        return Entry(preset.name, title, preset.build(longest), recipe)
    if released := is_released(name) and not Path(name).is_dir():
        short, title, folder = (
            f"{name}-released",
            f"{PRESETS[name].title} (released weights)",
            released_folder(name),
        )
    else:
        short, title, folder = Path(name).resolve().name, "", Path(name)
    recipe = fit_batch(replace(ADAPTATION_RECIPES[adaptation.name], **changes), longest, changes)
    weights = str(folder) if released else name
    if adaptation == FULL:
        return Entry(short, title or f"{short} (pretrained)", weights, recipe)
    return Entry(
        f"{short}-{adaptation.label}", f"{title or short}, {adaptation.title}", weights, recipe, adaptation
    )


def is_pretrained(model: str | PathLike) -> bool:
    """Whether a name is that of released weights or of a folder, or has the form of a hub name."""
    name = str(model)
    if name.startswith(NEW):
        return False
    return Path(name).is_dir() or is_released(name) or (name not in PRESETS and name.count("/") == 1)


def from_scratch(models: Sequence[str]) -> list[str]:
    """The same models with new weights in place of released ones."""
    return [f"{NEW}{model}" if is_released(model) and not Path(model).is_dir() else model for model in models]


def fit_batch(recipe: Recipe, longest: int, changes: dict[str, Any]) -> Recipe:
    """The recipe with a batch that long sequences do not blow up, unless the user chose one."""
    if "batch_size" in changes:
        return recipe
    return replace(recipe, batch_size=int(np.clip(TOKENS_PER_BATCH // longest, 1, recipe.batch_size)))


def comparison(
    splits: Splits,
    models: Sequence[str | PathLike],
    *,
    adapt: Sequence[str] = (),
    max_length: int | None = None,
    baselines: bool = True,
    **changes: Any,
) -> list[Entry]:
    """Entries for several models, followed by the k-mer and length baselines; see `entry`.

    Each of `adapt` ("full", "probe", "lora:8", ...; see `crocuta.classification.adapt`) gives an entry for each
    pretrained model.

    Raises:
        InputError: an unknown model or adaptation, or nothing that could be adapted.
    """
    adaptations = [parse_adaptation(text) for text in adapt] or [FULL]
    if adapt and not any(is_pretrained(model) for model in models):
        raise InputError(
            f"`adapt` {adapt[0]} needs pretrained weights, and {', '.join(map(str, models))} starts from new ones;"
            " give the folder of a pretrained model as `model`"
        )
    longest = max(int(part.sequences.lengths.max()) for part in (splits.train, splits.valid, splits.test))
    longest = max(longest, max_length or 0)
    wanted = [*models, *(preset.name for preset in BASELINES if baselines)]
    return [
        entry(model, longest, changes, adaptation)
        for model in dict.fromkeys(wanted)
        for adaptation in (dict.fromkeys(adaptations) if is_pretrained(model) else adaptations[:1])
    ]


def train(
    data: str | PathLike | None = None,
    models: Sequence[str | PathLike] = (DEFAULT_MODEL,),
    output: str | PathLike = "run",
    *,
    seeds: int = 3,
    metric: str | None = None,
    both_strands: bool = False,
    resume: bool = False,
    device: str = AUTO,
    jobs: int = 1,
    progress: Progress = SILENT,
    valid: str | PathLike | None = None,
    test: str | PathLike | None = None,
    task: str | None = None,
    data_root: str | PathLike | None = None,
    genome: str | PathLike | None = None,
    window: int | None = None,
    report: bool = True,
    **options: Any,
) -> RunFolder:
    """Trains and scores models on labelled sequences, and writes the run folder with its report.

    Args:
        data: CSV, TSV or FASTA with labels, plain or gzip; see `crocuta.data.labelled.make_splits`.
        models: see `entry`.
        output: run folder; the report is `report.html` in it.
        seeds: number of trainings of each model.
        metric: "mcc", "accuracy", "f1", "auroc" or "auprc"; default the task's, else "mcc", or "auroc" where sequences
            may have several labels.
        both_strands: augment with reverse complements, and predict by the mean over both strands.
        resume: go on with an interrupted run, or show a finished one.
        device: see `crocuta.runs.device.choose_device`.
        jobs: trainings side by side.
        progress: is shown the trainings and their scores.
        valid, test, task, data_root, genome, window: see `read_data`.
        report: write `report.html` (False: only numbers and models).
        options: `adapt` (see `comparison`), `max_length`, `baselines`, and fields of `crocuta.classification.Recipe`.
    """
    splits, inputs = read_data(
        data, valid=valid, test=test, task=task, data_root=data_root, genome=genome, window=window
    )
    run = run_experiment(
        comparison(splits, models, **options),
        splits,
        output,
        seeds=range(seeds),
        metric=headline(metric, task, splits),
        both_strands=both_strands,
        task=task,
        inputs=inputs,
        resume=resume,
        device=device,
        jobs=jobs,
        progress=progress,
    )
    if report:
        add_report(run)
    return run


def add_report(run: RunFolder) -> None:
    """Writes the report of a run that has none yet."""
    page = run.path / "report.html"
    if not page.exists():
        write_report([run.path], page)


def headline(metric: str | None, task: str | None, splits: Splits | None = None) -> str:
    """The metric that leads: the one asked for, else the task's, else MCC, or AUROC for several labels each."""
    several = splits is not None and problem(splits.train) == "multi_label"
    return metric or (find_task(task).metric if task else "auroc" if several else "mcc")


def demo(
    output: str | PathLike,
    *,
    resume: bool = False,
    device: str = AUTO,
    jobs: int = DEMO_JOBS,
    progress: Progress = SILENT,
) -> RunFolder:
    """HyenaDNA-tiny, CNN and k-mer regression on the bundled promoters: three seeds of a short schedule."""
    splits, entries = demo_comparison()
    run = run_experiment(
        entries, splits, output, seeds=range(DEMO_SEEDS), task=DEMO_TASK, inputs=demo_files(), resume=resume,
        device=device, jobs=jobs, progress=progress,
    )  # fmt: skip
    add_report(run)
    return run


def demo_comparison() -> tuple[Splits, list[Entry]]:
    splits = load_demo()
    return splits, comparison(splits, [DEFAULT_MODEL, "cnn"], epochs=DEMO_EPOCHS)


def estimate_demo(device: str = AUTO) -> Iterator[str]:
    """What `demo` would cost at most; see `estimate`."""
    splits, entries = demo_comparison()
    return sentences(splits, entries, DEMO_SEEDS, device)


def estimate(
    models: Sequence[str | PathLike],
    seeds: int,
    source: Mapping[str, Any],
    device: str = AUTO,
    **options: Any,
) -> Iterator[str]:
    """What a training would cost at most, from a few steps on the longest sequences; a sentence for each model.

    Raises:
        InputError: memory would not suffice.
    """
    splits, _ = read_data(**source)
    return sentences(splits, comparison(splits, models, **options), seeds, device)


def sentences(splits: Splits, entries: Sequence[Entry], seeds: int, device: str) -> Iterator[str]:
    yield (
        f"{splits.policy} {len(splits.train):,} training sequences, {len(splits.valid):,} validation,"
        f" {len(splits.test):,} test."
    )
    whole = 0.0
    networks = [entry for entry in entries if entry.recipe is not None]
    for entry in networks:
        cost, trained = trial(entry, splits, seeds, device)
        whole += cost.seconds
        yield (
            f"{entry.title}: {cost.parameters:,} parameters, {trained:,} of them trained; {cost.sentence()}, if none of"
            f" {seeds} trainings stops before epoch {entry.recipe.epochs}."  # pyright: ignore[reportOptionalMemberAccess]
        )
        cost.check("lower `batch_size` or `max_length`, or take a smaller `model`")
    if len(networks) > 1:
        yield f"All models one after the other: {duration(whole)}."
