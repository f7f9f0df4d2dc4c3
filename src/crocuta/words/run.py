"""A run folder of words and DNA: trained from described sequences, and asked both ways::

    run/
      config.json         what was asked
      manifest.json       where it was done
      split.tsv           which sequence is in training, validation, test
      metrics.json        recall both ways, and that of a random order
      predictions.tsv     the best caption of each test sequence
      models/             see `crocuta.words.folder`
      report.html, figures/

Nothing in it is code.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crocuta.data.elements import element_caption, read_elements, with_enough_groups
from crocuta.data.labelled import abridged, read_labelled
from crocuta.data.leakage import leakage, similarity_groups
from crocuta.data.sequences import Sequences
from crocuta.errors import InputError
from crocuta.files import replacing, write_json
from crocuta.runs.claim import claim
from crocuta.runs.cost import Cost
from crocuta.runs.device import AUTO
from crocuta.runs.progress import SILENT, Progress
from crocuta.runs.saved import read_json
from crocuta.words.ensemble import (
    Library,
    Parts,
    WordEnsemble,
    WordsRecipe,
    chance,
    evaluate,
    recall_scores,
    split_described,
)
from crocuta.words.folder import load_words
from crocuta.words.training import estimate_words, fit_words

__all__ = ["estimate_run", "find_sequences", "load_words", "name_sequences", "read_described", "train_words"]

TABLES = (".csv", ".tsv")
UNSAID = ("Unknown", "ARTEFACT")  # labels of libraries that describe nothing


def table_caption(label: str, species: str | None) -> str:
    """A table's label, which is words already."""
    return f"{label} in {species}" if species else label


def read_described(files: Sequence[tuple[str, Path]], least_groups: int = 5) -> tuple[Library, list[str]]:
    """Libraries of repeated elements (`>name#Class/Superfamily`), or tables `sequence,label` whose labels are words.

    Args:
        files: each with the species that its captions name, "" for none.
        least_groups: labels found in fewer groups of like sequences are left out: too few to split.

    Returns:
        The library, and the labels left out.

    Raises:
        InputError: both kinds of files at once, or fewer than two labels are left.
    """
    tables = [Path(path.name.removesuffix(".gz")).suffix in TABLES for _, path in files]
    if len(set(tables)) > 1:
        raise InputError("give either libraries of repeated elements (FASTA) or tables, not both at once")
    ids, names, labels, species = [], [], [], []
    for name, path in files:
        if tables[0]:
            found = read_labelled(path)
            if found.labels.ndim > 1:
                raise InputError(f"{path}: several labels for a sequence; expected one, in words")
            own = [found.classes[i] for i in found.labels]
        else:
            found = read_elements(path)
            own = found.labels
        ids += list(found.sequences)
        names += found.sequences.names
        labels += own
        species += [name] * len(own)
    sequences = Sequences.from_ids(ids, names)
    groups = similarity_groups(sequences)
    described = with_enough_groups(labels, groups, least_groups) & ~np.isin(labels, UNSAID)
    rows = np.flatnonzero(described)
    kept = np.array(labels)[rows]
    if len(set(kept)) < 2:
        raise InputError(
            f"{', '.join(str(path) for _, path in files)}: {len(set(kept))} labels occur in {least_groups} groups of"
            " like sequences; two are needed: lower `least_groups`, or give more sequences"
        )
    caption = table_caption if tables[0] else element_caption
    library = Library(sequences.select(rows), kept, np.array(species)[rows], groups[rows], caption)
    return library, sorted(set(labels) - set(kept))


def train_words(
    files: Sequence[tuple[str, Path]],
    output: str | PathLike,
    recipe: WordsRecipe,
    least_groups: int = 5,
    *,
    resume: bool = False,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Trains an ensemble on described sequences, evaluates it on those held out, and fills a run folder.

    Returns:
        What `metrics.json` holds.

    Raises:
        InputError: the folder may not be taken (`crocuta.runs.claim`), or the files cannot be used; see
            `read_described` and `split`.
    """
    settings = {
        "recipe": asdict(recipe), "least_groups": least_groups, "species": [name for name, _ in files]
    }  # fmt: skip
    inputs = {"library": [path for _, path in files]}
    with claim(output, "words train", settings, inputs, resume=resume) as run:
        if run.finished:
            return read_json(run.folder / "metrics.json")
        library, parts, left_out = _read(files, recipe, least_groups, progress)
        ensemble = fit_words(
            library,
            parts,
            recipe,
            folder=run.folder / "models",
            keep=run.keep,
            device=device,
            progress=progress,
        )
        likelihood, _ = ensemble.likelihood(library.sequences.select(parts.test), progress=progress)
        metrics = {"labels_left_out": left_out, **_metrics(ensemble, library, parts, likelihood)}
        _write_predictions(run.folder / "predictions.tsv", ensemble, library, parts.test, likelihood)
        _write_split(library, parts, run.folder / "split.tsv")
        write_json(run.folder / "metrics.json", metrics)
        run.finish([recipe.seed])
    return metrics


def estimate_run(
    files: Sequence[tuple[str, Path]],
    recipe: WordsRecipe,
    least_groups: int = 5,
    *,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> Cost:
    """What `train_words` would cost; the files are read."""
    library, parts, _ = _read(files, recipe, least_groups, progress)
    with progress.stage("trying some steps"):
        return estimate_words(library, parts, recipe, device)


def _read(
    files: Sequence[tuple[str, Path]], recipe: WordsRecipe, least_groups: int, progress: Progress
) -> tuple[Library, Parts, list[str]]:
    with progress.stage("reading and grouping sequences"):
        library, left_out = read_described(files, least_groups)
    return library, split_described(library, recipe.seed), left_out


def _metrics(
    ensemble: WordEnsemble, library: Library, parts: Parts, likelihood: np.ndarray
) -> dict[str, Any]:
    labels, caption_labels = library.labels[parts.test], ensemble.words.labels
    train, test = (library.sequences.select(rows) for rows in (parts.train, parts.test))
    return {
        "sequences": dict(zip(Parts._fields, map(len, parts), strict=True)),
        "captions": len(ensemble.words.captions),
        "parameters": sum(parameter.numel() for model in ensemble.models for parameter in model.parameters()),
        "leakage": leakage(train, test, 24).statement,
        "valid": evaluate(ensemble, library, parts.valid),
        "test": recall_scores(likelihood, labels, caption_labels),
        "chance": chance(labels, caption_labels),
    }


def _write_table(path: Path, header: list[str], rows: Iterable[Sequence[object]]) -> None:
    with replacing(path) as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def _write_split(library: Library, parts: Parts, path: Path) -> None:
    rows = [
        (library.sequences.names[i], library.labels[i], library.species[i], part)
        for part, rows in zip(Parts._fields, parts, strict=True)
        for i in rows
    ]
    _write_table(path, ["name", "label", "species", "part"], rows)


def _write_predictions(
    path: Path, ensemble: WordEnsemble, library: Library, rows: np.ndarray, likelihood: np.ndarray
) -> None:
    words, (best, probability) = ensemble.words, _best(ensemble, likelihood, 1)
    found = [
        (library.sequences.names[i], library.labels[i], words.labels[k], words.captions[k], f"{p:.4f}")
        for i, k, p in zip(rows, best[:, 0], probability[:, 0], strict=True)
    ]
    _write_table(path, ["name", "label", "predicted", "caption", "probability"], found)


def write_names(
    path: Path, names: Sequence[str], captions: Sequence[str], best: np.ndarray, p: np.ndarray
) -> None:
    """Writes what `name_sequences` gives: a row for each sequence and rank."""
    rows = [
        (name, rank, captions[k], f"{p[i, rank - 1]:.4f}")
        for i, name in enumerate(names)
        for rank, k in enumerate(best[i], 1)
    ]
    _write_table(path, ["name", "rank", "caption", "probability"], rows)


def name_sequences(
    ensemble: WordEnsemble, sequences: Sequences, k: int = 3, progress: Progress = SILENT
) -> tuple[np.ndarray, np.ndarray]:
    """The k captions that suit each sequence best: indices and probabilities, both (n, k)."""
    return _best(ensemble, ensemble.likelihood(sequences, progress=progress)[0], k)


def _best(ensemble: WordEnsemble, likelihood: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    mean = likelihood / len(ensemble.models)
    probability = np.exp(mean - np.logaddexp.reduce(mean, axis=1, keepdims=True))
    best = np.argsort(-probability, axis=1, kind="stable")[:, :k]
    return best, np.take_along_axis(probability, best, 1)


def find_sequences(
    ensemble: WordEnsemble, query: str, sequences: Sequences, k: int = 10, progress: Progress = SILENT
) -> tuple[np.ndarray, np.ndarray]:
    """The k sequences that suit words best, indices and log-odds against all captions: (k,).

    Raises:
        InputError: the model has learned none of the words.
    """
    tokenizer = ensemble.words.tokenizer
    unknown = unknown_words(ensemble, query)
    if len(unknown) == len(query.split()):
        known = sorted(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens))
        raise InputError(
            f"{query!r}: the model has learned none of these words; it knows {abridged(known, 60)}"
        )
    likelihood, asked = ensemble.likelihood(sequences, [query], progress=progress)
    assert asked is not None
    odds = (asked[:, 0] - np.logaddexp.reduce(likelihood, axis=1)) / len(ensemble.models)
    best = np.argsort(-odds, kind="stable")[:k]
    return best, odds[best]


def unknown_words(ensemble: WordEnsemble, query: str) -> list[str]:
    """Words of a query that no caption holds."""
    tokenizer = ensemble.words.tokenizer
    return [word for word in query.split() if tokenizer.unk_token_id in tokenizer(word)["input_ids"]]
