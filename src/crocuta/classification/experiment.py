"""A comparison: several models and baselines, several seeds, one test set, one run folder."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.analysis.scores import scores
from crocuta.classification._fit import Fit, digest, identity, pretrained_config, read_fit
from crocuta.classification._labels import membership, problem
from crocuta.classification.adapt import FULL, Adaptation
from crocuta.classification.baselines import train_baseline
from crocuta.classification.boosted import train_boosted
from crocuta.classification.finetuning import train_network
from crocuta.classification.run import RunFolder, scored, write_predictions
from crocuta.data.labelled import Splits
from crocuta.data.leakage import leakage
from crocuta.errors import InputError
from crocuta.files import PARTIAL, write_json
from crocuta.models.base import ModelConfig
from crocuta.models.boosted import BoostedConfig
from crocuta.models.ensemble import Ensemble, check_lengths
from crocuta.quiet import prepare
from crocuta.runs.claim import claim
from crocuta.runs.console import safe
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.manifest import Inputs
from crocuta.runs.progress import SILENT, Part, Progress, Stage
from crocuta.runs.recipe import Recipe
from crocuta.runs.workers import Relayed, done, heard


@dataclass(frozen=True)
class Entry:
    """A model of a comparison: its name, title, how it is built and how it is trained; a baseline has no recipe.

    `adaptation` says what of the model is trained.
    """

    name: str
    title: str
    model: ModelConfig | str | PathLike
    recipe: Recipe | None = None
    adaptation: Adaptation = FULL


def run_experiment(
    entries: Sequence[Entry],
    splits: Splits,
    output: str | PathLike,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    metric: str = "mcc",
    both_strands: bool = False,
    task: str | None = None,
    inputs: Inputs | None = None,
    resume: bool = False,
    device: str = AUTO,
    jobs: int = 1,
    progress: Progress = SILENT,
) -> RunFolder:
    """Trains every entry with every seed (baselines once), scores them on the test set, and fills a run folder.

    Args:
        entries: what is compared; the first is what the run is about.
        splits: training, validation and test sequences.
        output: the run folder; see `crocuta.classification.run`.
        seeds: one training each.
        metric: chooses epochs on validation, and leads the tables.
        both_strands: augment with reverse complements, and predict by the mean over both strands.
        task: name of the task, for the report.
        inputs: the files that `splits` were read from, by role; a run that goes on must have the same.
        resume: go on with a run that was interrupted; what had ended is not done again.
        device: see `crocuta.runs.device.choose_device`.
        jobs: trainings side by side, each in a process of its own.
        progress: is shown the trainings and their scores.

    Raises:
        InputError: `output` may not be taken (see `crocuta.runs.claim`); a sequence is longer than a model reads.
    """
    choose_device(device)
    check(entries, splits)
    common = {"metric": metric, "both_strands": both_strands}
    settings = {"task": task, **common, **configuration(entries, seeds, splits)}
    if not inputs:
        settings["sequences"] = digest(splits.train, splits.valid, splits.test)
    weights = {folder: None for entry in entries if (folder := identity(entry.model)[1])}
    inputs = {**(inputs or {}), "model": list(weights) or None}
    with claim(output, "train", settings, inputs, resume=resume) as run:
        if not run.finished:
            each = Seeds(splits, run.folder, **common, device=device)
            fits, probabilities = train_all(entries, seeds, each, jobs, run.keep, progress)
            write_predictions(run.folder / "predictions.tsv", splits.test, probabilities, seeds)
            metrics = results(entries, splits, fits, probabilities, metric)
            write_json(run.folder / "metrics.json", metrics)
            run.finish(seeds)
    return RunFolder(output)


def check(entries: Sequence[Entry], splits: Splits) -> None:
    """Raises InputError for what can be known to fail before anything is trained."""
    names = [entry.name for entry in entries]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"two models are called {twice!r}; rename the folder of one")
    for entry in entries:
        config = entry.model if isinstance(entry.model, ModelConfig) else pretrained_config(entry.model)
        entry.adaptation.check(config, splits)
        if isinstance(config, ModelConfig):
            check_lengths(splits.test.sequences, config, splits.test.sequences.names)


def configuration(entries: Sequence[Entry], seeds: Sequence[int], splits: Splits) -> dict[str, Any]:
    """What identifies a run, in addition to its task and metric: a resumed one must ask for the same."""
    adapted = {
        entry.name: {"name": entry.adaptation.name, **asdict(entry.adaptation)}
        for entry in entries
        if entry.adaptation != FULL
    }
    return {
        **({"adaptation": adapted} if adapted else {}),
        "classes": list(splits.train.classes),
        "models": [entry.name for entry in entries],
        "titles": {entry.name: entry.title for entry in entries},
        "configurations": {entry.name: identity(entry.model)[0] for entry in entries},
        "seeds": list(seeds),
        "recipe": {entry.name: asdict(entry.recipe) for entry in entries if entry.recipe},
        "sizes": [len(part) for part in (splits.train, splits.valid, splits.test)],
    }


@dataclass(frozen=True)
class Seeds:
    """Trains a model with a seed in the run folder, and predicts the test set; here or in a worker."""

    splits: Splits
    folder: Path
    metric: str
    both_strands: bool
    device: str

    def place(self, entry: Entry, seed: int) -> Path:
        return self.folder / "models" / entry.name / f"seed-{seed}"

    def train(
        self, entry: Entry, seed: int, stage: Stage, keep: Callable[[], object]
    ) -> tuple[Fit, np.ndarray]:
        """What an earlier command had trained is loaded."""
        place = self.place(entry, seed)
        options = {"seed": seed, "metric": self.metric, "both_strands": self.both_strands}
        network = {"device": self.device, "stage": stage, "keep": keep}
        fit = read_fit(place) or train_one(entry, self.splits, place, network, **options)
        ensemble = Ensemble.load([place], self.both_strands, choose_device(self.device))
        return fit, ensemble.probabilities(self.splits.test.sequences)

    def __call__(self, pair: tuple[Entry, int]) -> tuple[Fit, np.ndarray]:
        """In a worker."""
        prepare()
        with Relayed(self.relay(*pair)) as stage:
            return self.train(*pair, stage, stage.keep)

    def relay(self, entry: Entry, seed: int) -> Path:
        """Where a worker tells how far it is; a later command removes what a killed one left."""
        return self.folder / f".{entry.name}-{seed}{PARTIAL}"


def train_all(
    entries: Sequence[Entry],
    seeds: Sequence[int],
    each: Seeds,
    jobs: int,
    keep: Callable[[], None],
    progress: Progress,
) -> tuple[dict[str, list[Fit]], dict[str, list[np.ndarray]]]:
    """Fits and test-set probabilities by entry."""
    pairs = [(entry, seed) for entry in entries for seed in (seeds if entry.recipe else seeds[:1])]
    found: dict[tuple[str, int], tuple[Fit, np.ndarray]] = {}
    with progress.stage("training", total=len(pairs), unit="trainings") as whole:
        parts = {each.relay(*pair): Part(name(*pair), whole) for pair in pairs}

        def here(pair: tuple[Entry, int]) -> tuple[Fit, np.ndarray]:
            return each.train(*pair, parts[each.relay(*pair)], keep)

        with heard(parts, keep), done(each if jobs > 1 else here, pairs, jobs) as results:
            for (entry, seed), result in results:
                keep()
                parts[each.relay(entry, seed)].end()
                found[entry.name, seed] = result
                score = scores(each.splits.test.labels, result[1])[each.metric]
                progress.say(f"{safe(name(entry, seed)):42} test {each.metric} [bold cyan]{score:.3f}[/]")
    fits: dict[str, list[Fit]] = {}
    probabilities: dict[str, list[np.ndarray]] = {}
    for entry, seed in pairs:
        fit, predicted = found[entry.name, seed]
        fits.setdefault(entry.name, []).append(fit)
        probabilities.setdefault(entry.name, []).append(predicted)
    return fits, probabilities


def name(entry: Entry, seed: int) -> str:
    return f"{entry.title}, seed {seed}" if entry.recipe else entry.title


def train_one(entry: Entry, splits: Splits, folder: Path, network: dict[str, Any], **options: Any) -> Fit:
    """One model with one seed; `network` is what a baseline has no use for."""
    if entry.recipe is not None:
        options |= {"adaptation": entry.adaptation, **network}
        return train_network(entry.model, splits, folder, entry.recipe, **options)
    assert isinstance(entry.model, ModelConfig)
    if isinstance(entry.model, BoostedConfig):
        return train_boosted(entry.model, splits, folder, **options)
    return train_baseline(entry.model, splits, folder, **options)


def results(
    entries: Sequence[Entry], splits: Splits, fits: dict, probabilities: dict, metric: str
) -> dict[str, Any]:
    """The content of metrics.json."""
    models = {
        entry.name: {
            "title": entry.title,
            "kind": "model" if entry.recipe else "baseline",
            "parameters": fits[entry.name][0].parameters,
            "trained_parameters": fits[entry.name][0].trained_parameters,
            "seeds": [asdict(fit) for fit in fits[entry.name]],
        }
        for entry in entries
    }
    return {
        "classes": list(splits.train.classes),
        "problem": problem(splits.train),
        "metric": metric,
        "data": data_card(splits),
        **scored(models, splits.test, probabilities, metric),
    }


def data_card(splits: Splits) -> dict[str, Any]:
    """Counts, lengths and leakage of a data set."""
    parts = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    whole = [part for part in parts.values() if len(part)]
    longest = max(int(part.sequences.lengths.max()) for part in whole)
    edges = np.unique(np.linspace(0, longest + 1, min(longest + 1, 30) + 1).round().astype(int))
    by_class = {}
    for k, name in enumerate(splits.train.classes):
        lengths = np.concatenate([part.sequences.lengths[membership(part)[:, k]] for part in whole])
        by_class[name] = np.histogram(lengths, edges)[0].tolist()
    return {
        "policy": splits.policy,
        **{
            name: {"n": len(part), "by_class": membership(part).sum(0).tolist()}
            for name, part in parts.items()
        },
        "other_letters": int(sum(part.sequences.other_nucleotides for part in whole)),
        "lengths": {"edges": edges.tolist(), "by_class": by_class},
        "leakage": asdict(leakage(splits.train.sequences, splits.test.sequences)),
    }
