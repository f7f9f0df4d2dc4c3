"""A comparison: several models and baselines, several seeds, one test set, one run folder."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoConfig, PreTrainedConfig, TrainerCallback

from crocuta.analysis.scores import scores
from crocuta.data.labelled import Splits
from crocuta.data.leakage import leakage
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.models.base import Ensemble, ModelConfig, check_lengths
from crocuta.models.boosted import BoostedConfig
from crocuta.runs.manifest import describe, manifest
from crocuta.runs.recipe import Recipe
from crocuta.train.adapt import FULL, Adaptation
from crocuta.train.baselines import fit_baseline
from crocuta.train.boosted import fit_boosted
from crocuta.train.finetuning import Fit, finetune
from crocuta.train.labels import membership, problem
from crocuta.train.run import RunFolder, judged, write_predictions


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


class Watcher:
    """Hears of a comparison's progress; this one says nothing. `metric` is set to the headline before it begins."""

    metric: str = "mcc"

    def begin(self, entry: Entry, seed: int) -> tuple[TrainerCallback, ...]:
        """Called before each training; returns callbacks for it."""
        return ()

    def end(self, entry: Entry, seed: int, score: float) -> None:
        """Called after each training with its headline score on the test set."""


def run_experiment(
    entries: Sequence[Entry],
    splits: Splits,
    output: str | PathLike,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    metric: str = "mcc",
    both_strands: bool = False,
    task: str | None = None,
    data_files: Sequence[Path] = (),
    resume: bool = False,
    watcher: Watcher | None = None,
) -> RunFolder:
    """Trains every entry with every seed (baselines once), judges them on the test set, and fills a run folder.

    Args:
        entries: what is compared; the first is what the run is about.
        splits: training, validation and test sequences.
        output: the run folder; see `crocuta.train.run`.
        seeds: one training each.
        metric: chooses epochs on validation, and leads the tables.
        both_strands: augment with reverse complements, and predict by the mean over both strands.
        task: name of the task, for the report.
        data_files: files whose digests go into the manifest.
        resume: continue a run that was interrupted; what had ended is not done again.

    Raises:
        InputError: `output` holds another run, or one that `resume` was not asked for.
    """
    output, watcher = Path(output), watcher or Watcher()
    watcher.metric = metric
    for entry in entries:
        config = entry.model if isinstance(entry.model, ModelConfig) else pretrained_config(entry.model)
        entry.adaptation.check(config, splits)
        if isinstance(config, ModelConfig):
            check_lengths(splits.test.sequences, config, splits.test.sequences.names)
    common = {"metric": metric, "both_strands": both_strands}
    claim(output, {"task": task, **common, **configuration(entries, seeds, splits, data_files)}, resume)
    fits: dict[str, list[Fit]] = {}
    probabilities: dict[str, list[np.ndarray]] = {}
    for entry in entries:
        for seed in seeds if entry.recipe else seeds[:1]:
            callbacks = watcher.begin(entry, seed)
            folder = output / "models" / entry.name / f"seed-{seed}"
            fit = train_one(entry, splits, folder, callbacks, seed=seed, resume=resume, **common)
            ensemble = Ensemble.load([folder], both_strands)
            predicted = ensemble.probabilities(splits.test.sequences)
            fits.setdefault(entry.name, []).append(fit)
            probabilities.setdefault(entry.name, []).append(predicted)
            watcher.end(entry, seed, scores(splits.test.labels, predicted)[metric])
    write_predictions(output / "predictions.tsv", splits.test, probabilities, seeds)
    write_json(output / "manifest.json", manifest(data_files, seeds))
    write_json(output / "metrics.json", results(entries, splits, fits, probabilities, metric))
    return RunFolder(output)


def pretrained_config(model: str | PathLike) -> PreTrainedConfig:
    """The configuration of a folder, or of a name on the model hub; raises `InputError` where there is none."""
    try:
        return AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{model}: neither the folder of a model (with config.json) nor a name that the model hub gives:"
            f" {str(error).splitlines()[0]}"
        ) from error


def configuration(entries, seeds, splits: Splits, data_files) -> dict[str, Any]:
    """What identifies a run, beside its task and metric: a resumed one must ask for the same."""
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
        "seeds": list(seeds),
        "recipe": {entry.name: asdict(entry.recipe) for entry in entries if entry.recipe},
        "sizes": [len(part) for part in (splits.train, splits.valid, splits.test)],
        "data": [describe(path) for path in data_files],
    }


def claim(output: Path, wanted: dict[str, Any], resume: bool) -> None:
    """Makes the folder this run's own, or checks that it already is."""
    path = output / "config.json"
    if not path.exists():
        if output.exists() and any(output.iterdir()):
            raise InputError(f"{output}: not empty and not a run folder; choose another with -o")
        write_json(path, wanted)
        return
    if not resume:
        raise InputError(
            f"{output}: holds a run already; continue it with --resume, or choose another folder with -o"
        )
    found = json.loads(path.read_text())
    for key, value in json.loads(json.dumps(wanted)).items():
        if found.get(key) != value:
            raise InputError(
                f"{output}: cannot resume, {key} differs: the run has {found.get(key)}, now asked {value};"
                " repeat the first command with --resume, or choose another folder with -o"
            )


def train_one(entry: Entry, splits: Splits, folder: Path, callbacks: tuple, **options: Any) -> Fit:
    if entry.recipe is not None:
        options |= {"adaptation": entry.adaptation, "callbacks": callbacks}
        return finetune(entry.model, splits, folder, entry.recipe, **options)
    assert isinstance(entry.model, ModelConfig)
    if isinstance(entry.model, BoostedConfig):
        return fit_boosted(entry.model, splits, folder, **options)
    return fit_baseline(entry.model, splits, folder, **options)


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
        **judged(models, splits.test, probabilities, metric),
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
        "other_letters": int(sum(part.sequences.other_letters for part in whole)),
        "lengths": {"edges": edges.tolist(), "by_class": by_class},
        "leakage": asdict(leakage(splits.train.sequences, splits.test.sequences)),
    }
