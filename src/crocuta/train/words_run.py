"""A run folder of words and DNA: trained from described sequences, and asked both ways::

    run/
      config.json         what was asked, captions and how often each is told
      manifest.json       where it was done
      split.tsv           which sequence was trained on, chosen by, tested on
      metrics.json        recall both ways, and that of a random order
      tokenizer/          of words
      counts.safetensors  what all members share: how rare k-mers are, components
      member-0.safetensors, ...

Nothing in it is code.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from transformers import AutoTokenizer

from crocuta.data.elements import element_caption, read_elements, with_enough_groups
from crocuta.data.labelled import abridged, read_labelled
from crocuta.data.leakage import leakage, similarity_groups
from crocuta.data.sequences import Sequences
from crocuta.errors import InputError
from crocuta.files import replacing, write_json
from crocuta.runs.manifest import manifest
from crocuta.train.words import (
    COUNTED,
    Ensemble,
    Library,
    Parts,
    Progress,
    Words,
    WordsRecipe,
    chance,
    fit_words,
    judged,
    share_components,
    split,
)

TABLES = (".csv", ".tsv")
UNSAID = ("Unknown", "ARTEFACT")  # labels of libraries that describe nothing


def told(label: str, species: str | None) -> str:
    """A table's label, which is words already."""
    return f"{label} in {species}" if species else label


def read_described(files: Sequence[tuple[str, Path]], least_groups: int = 5) -> tuple[Library, list[str]]:
    """Libraries of repeated elements (`>name#Class/Superfamily`), or tables `sequence,label` whose labels are words.

    Args:
        files: each with the species that its captions name, "" for none.
        least_groups: labels found in fewer groups of like sequences are left out: they could not be judged.

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
            " like sequences; two are needed: lower --least-groups, or give more sequences"
        )
    caption = told if tables[0] else element_caption
    library = Library(sequences.select(rows), kept, np.array(species)[rows], groups[rows], caption)
    return library, sorted(set(labels) - set(kept))


def train_words(
    files: Sequence[tuple[str, Path]],
    output: str | PathLike,
    recipe: WordsRecipe,
    least_groups: int = 5,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains an ensemble on described sequences, judges it on those held out, and fills a run folder.

    Returns:
        What `metrics.json` holds.

    Raises:
        InputError: the folder holds a run, or the files cannot be used; see `read_described` and `split`.
    """
    output = Path(output)
    if (output / "config.json").exists():
        raise InputError(f"{output}: holds a run; choose another folder")
    library, left_out = read_described(files, least_groups)
    parts = split(library, recipe.seed)
    ensemble = fit_words(library, parts, recipe, progress=progress)
    train, test = (library.sequences.select(rows) for rows in (parts.train, parts.test))
    metrics = {
        "sequences": dict(zip(Parts._fields, map(len, parts), strict=True)),
        "captions": len(ensemble.words.captions),
        "labels_left_out": left_out,
        "leakage": leakage(train, test, 24).statement,
        **{
            name: judged(ensemble, library, rows)
            for name, rows in (("valid", parts.valid), ("test", parts.test))
        },
        "chance": chance(library.labels[parts.test], ensemble.words.labels),
    }
    save_words(ensemble, recipe, output)
    _write_split(library, parts, output / "split.tsv")
    write_json(output / "manifest.json", manifest([path for _, path in files], [recipe.seed]))
    write_json(output / "metrics.json", metrics)
    return metrics


def _write_split(library: Library, parts: Parts, path: Path) -> None:
    with replacing(path) as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["name", "label", "species", "part"])
        for part, rows in zip(Parts._fields, parts, strict=True):
            for i in rows:
                table.writerow([library.sequences.names[i], library.labels[i], library.species[i], part])


def save_words(ensemble: Ensemble, recipe: WordsRecipe, folder: Path) -> None:
    """Writes an ensemble; what its members share once."""
    words, shared = ensemble.words, {f"content_encoder.{name}" for name in COUNTED}
    states = [model.state_dict() for model in ensemble.models]
    tensors = {"counts": {name: states[0][name] for name in shared}}
    tensors |= {
        f"member-{i}": {name: tensor for name, tensor in state.items() if name not in shared}
        for i, state in enumerate(states)
    }
    for name, content in tensors.items():
        with replacing(folder / f"{name}.safetensors", "wb") as file:
            file.write(save({key: tensor.contiguous() for key, tensor in content.items()}))
    words.tokenizer.save_pretrained(folder / "tokenizer")
    table = {"captions": words.captions, "labels": words.labels.tolist(), "prior": words.prior.tolist()}
    write_json(folder / "config.json", {"kind": "words", "recipe": asdict(recipe), **table})


def load_words(folder: str | PathLike) -> Ensemble:
    """The ensemble of a run folder.

    Raises:
        InputError: the folder holds none, or its files do not belong together.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text())
        if config.get("kind") != "words":
            raise InputError(
                f"{folder}: holds a run of another kind; expected one that `crocuta words train` made"
            )
        recipe = WordsRecipe(**config["recipe"])
        prior = np.array(config["prior"], np.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        words = Words(config["captions"], np.array(config["labels"]), prior, tokenizer)
        counts, models = load_file(folder / "counts.safetensors"), []
        for i in range(recipe.members):
            model = recipe.model(len(tokenizer))
            if models:
                share_components(models[0].content_encoder, model.content_encoder)
            model.load_state_dict({**counts, **load_file(folder / f"member-{i}.safetensors")})
            models.append(model)
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: no run of `crocuta words train` ({error.filename} is missing)"
        ) from error
    except (KeyError, TypeError, json.JSONDecodeError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: the run is damaged: {str(error).splitlines()[0]}") from error
    return Ensemble(models, words)


def name_sequences(
    ensemble: Ensemble, sequences: Sequences, k: int = 3, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k captions that suit each sequence best: indices and probabilities, both (n, k)."""
    likeness, _ = ensemble.likeness(sequences, progress=progress)
    mean = likeness / len(ensemble.models)
    probability = np.exp(mean - np.logaddexp.reduce(mean, axis=1, keepdims=True))
    best = np.argsort(-probability, axis=1, kind="stable")[:, :k]
    return best, np.take_along_axis(probability, best, 1)


def find_sequences(
    ensemble: Ensemble, query: str, sequences: Sequences, k: int = 10, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k sequences that suit words best, indices and log-odds against all captions: (k,).

    Raises:
        InputError: the model has learnt none of the words.
    """
    tokenizer = ensemble.words.tokenizer
    unknown = unknown_words(ensemble, query)
    if len(unknown) == len(query.split()):
        known = sorted(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens))
        raise InputError(
            f"{query!r}: the model has learnt none of these words; it knows {abridged(known, 60)}"
        )
    likeness, asked = ensemble.likeness(sequences, [query], progress=progress)
    assert asked is not None
    odds = (asked[:, 0] - np.logaddexp.reduce(likeness, axis=1)) / len(ensemble.models)
    best = np.argsort(-odds, kind="stable")[:k]
    return best, odds[best]


def unknown_words(ensemble: Ensemble, query: str) -> list[str]:
    """Words of a query that no caption holds."""
    tokenizer = ensemble.words.tokenizer
    return [word for word in query.split() if tokenizer.unk_token_id in tokenizer(word)["input_ids"]]
