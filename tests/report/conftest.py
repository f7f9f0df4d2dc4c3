"""Run folders as the training code leaves them, with made-up predictions."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from crocuta.analysis.scores import scores
from crocuta.analysis.summary import summarise

#: name -> (title, kind, parameters, skill)
MODELS = {
    "hyenadna-tiny": ("HyenaDNA-tiny", "model", 436_224, 3.2),
    "cnn": ("CNN", "model", 512_386, 2.8),
    "kmer": ("k-mer logistic regression", "baseline", 1_025, 1.9),
    "length": ("Length only", "baseline", 3, 0.02),
}


@pytest.fixture(name="write_run", scope="session")
def _write_run():
    """The function that writes a run folder."""
    return write_run


def write_run(
    folder: Path,
    *,
    task: str | None = "gue/prom_core_tata",
    classes: tuple[str, ...] = ("no promoter", "promoter"),
    n: int = 613,
    seeds: int = 3,
    metric: str = "mcc",
    multi_label: bool = False,
    models: Sequence[str] = tuple(MODELS),
    one_length: bool = False,
    noise: int = 0,
) -> Path:
    """Writes a complete run folder and returns it; `noise` changes the models, not the test set."""
    generator = np.random.default_rng(0)
    described = {name: MODELS[name] for name in models}
    k = len(classes)
    if multi_label:
        labels = (generator.random((n, k)) < np.linspace(0.4, 0.05, k)).astype(int)
    else:
        labels = generator.integers(0, k, n)
    generator = np.random.default_rng(1 + noise)
    names = [f"seq{i}" for i in range(n)]
    predictions = {
        name: [_predict(generator, labels, k, skill) for _ in range(seeds if kind == "model" else 1)]
        for name, (_, kind, _, skill) in described.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    _dump(folder / "config.json", _config(task, described, seeds))
    _dump(folder / "manifest.json", _manifest(seeds))
    _dump(
        folder / "metrics.json", _metrics(labels, list(classes), predictions, described, metric, one_length)
    )
    _write_predictions(folder / "predictions.tsv", names, labels, classes, predictions)
    return folder


def _predict(generator, labels, k, skill):
    if labels.ndim == 2:
        return 1 / (1 + np.exp(-(generator.normal(size=labels.shape) * 1.3 + skill * (labels - 0.6))))
    logits = generator.normal(size=(len(labels), k)) * 1.5
    logits[np.arange(len(labels)), labels] += skill
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def _config(task, models, seeds):
    recipe = {
        "learning_rate": 6e-4,
        "weight_decay": 0.1,
        "batch_size": 64,
        "epochs": 12,
    }
    trained = [name for name, model in models.items() if model[1] == "model"]
    return {
        "task": task,
        "both_strands": True,
        "models": list(models),
        "seeds": list(range(seeds)),
        "recipe": dict.fromkeys(trained, recipe),
    }


def _manifest(seeds):
    return {
        "crocuta": "0.1.0",
        "python": "3.11.9",
        "torch": "2.13.0",
        "transformers": "5.1.0",
        "platform": "Linux-6.1-x86_64",
        "device": "x86_64 CPU, 2 threads",
        "command": "crocuta train --task gue/prom_core_tata --model hyenadna-tiny --seeds 3 -o run",
        "created": "2026-01-02T03:04:05+00:00",
        "seeds": list(range(seeds)),
        "data": [
            {"path": "data/prom_core_tata/train.csv", "sha256": "0123456789abcdef" * 4, "bytes": 400_000}
        ],
    }


def _metrics(labels, classes, predictions, models, metric, one_length):
    baselines = [name for name, model in models.items() if model[1] == "baseline"]
    summary = summarise(labels, predictions, metric, baselines)
    members = labels if labels.ndim == 2 else np.eye(len(classes), dtype=int)[labels]
    parts = {
        part: {"n": factor * len(labels), "by_class": (factor * members.sum(0)).tolist()}
        for part, factor in (("train", 8), ("valid", 1), ("test", 1))
    }
    return {
        "classes": classes,
        "problem": "multi_label" if labels.ndim == 2 else "single_label",
        "metric": metric,
        "data": {
            "policy": "as published: train, dev and test files",
            **parts,
            "other_letters": 12,
            "lengths": _lengths(classes, one_length),
            "leakage": {
                "k": 50,
                "n_test": len(labels),
                "duplicates": 1,
                "shared_kmer": 14,
                "statement": "1 of the test sequences is also a training sequence, and 14 share 50 nucleotides"
                " in a row with one.",
            },
        },
        "models": {
            name: {
                "title": title,
                "kind": kind,
                "parameters": parameters,
                "seeds": [_seed(seed, labels, p, metric, kind) for seed, p in enumerate(predictions[name])],
                "test": summary["models"][name],
            }
            for name, (title, kind, parameters, _) in models.items()
        },
        "paired": summary["paired"],
        "resamples": summary["resamples"],
    }


def _lengths(classes, one_length):
    if one_length:
        return {"edges": [0, 35, 69, 71], "by_class": {name: [0, 0, 100] for name in classes}}
    edges = np.linspace(0, 300, 31)
    generator = np.random.default_rng(2)
    by_class = {
        name: np.histogram(generator.normal(160 + 12 * i, 30, 500), edges)[0].tolist()
        for i, name in enumerate(classes)
    }
    return {"edges": edges.astype(int).tolist(), "by_class": by_class}


def _seed(seed, labels, probabilities, metric, kind):
    epochs = np.arange(1, 13)
    history = [
        {
            "epoch": int(epoch),
            "train_loss": 0.69 * float(np.exp(-epoch / 6)) + 0.01 * seed,
            "valid_loss": 0.42 + 0.27 * float(np.exp(-epoch / 3)) + 0.008 * float(epoch) + 0.01 * seed,
            f"valid_{metric}": 0.8 - 0.5 * float(np.exp(-epoch / 3)) - 0.01 * seed,
        }
        for epoch in epochs
    ]
    if kind == "baseline":
        history = [{"epoch": 1, "inverse_regularisation": 1.0, f"valid_{metric}": 0.6}]
    values = {
        name: None if np.isnan(value) else value for name, value in scores(labels, probabilities).items()
    }
    return {
        "seed": seed,
        "seconds": 83.2 + seed if kind == "model" else 2.1,
        "peak_memory_mb": 914.0 if kind == "model" else 240.0,
        "epochs": len(history),
        "best_epoch": 9 if kind == "model" else 1,
        "valid": values,
        "test": values,
        "history": history,
    }


def _write_predictions(path, names, labels, classes, predictions):
    with path.open("w", encoding="utf-8") as file:
        columns = ["name", "label", "model", "seed", "predicted", *(f"p({name})" for name in classes)]
        file.write("\t".join(columns) + "\n")
        for model, by_seed in predictions.items():
            for seed, probabilities in enumerate(by_seed):
                for name, label, row in zip(names, labels, probabilities, strict=True):
                    numbers = [f"{p:.6g}" for p in row]
                    said = _named(row >= 0.5 if labels.ndim == 2 else row.argmax(), classes)
                    file.write(
                        "\t".join([name, _named(label, classes), model, str(seed), said, *numbers]) + "\n"
                    )


def _named(label, classes):
    if np.ndim(label) == 0:
        return classes[int(label)]
    return ";".join(name for name, member in zip(classes, label, strict=True) if member)


def _dump(path, content):
    path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
