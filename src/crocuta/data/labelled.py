"""Labelled sequences in memory, and their split into training, validation and test."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from crocuta.data.encoding import canonical, encode_counted
from crocuta.data.label_sets import LabelSet
from crocuta.data.records import Record, read_records
from crocuta.data.sequences import Sequences, as_indices
from crocuta.data.windows import Windows
from crocuta.errors import InputError

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
PARTS = {"train": "training", "valid": "validation", "test": "test"}


@dataclass(frozen=True)
class Labelled:
    """Sequences with their classes.

    labels: int64 (n,), an index into `classes`; or uint8 (n, classes) of 0 and 1, where a sequence may have several.
    """

    sequences: Sequences
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sequences)

    def select(self, indices: np.ndarray | Sequence[int]) -> "Labelled":
        """The records at indices (or where a boolean mask is true); the classes stay."""
        chosen = as_indices(indices, len(self))
        return replace(self, sequences=self.sequences.select(chosen), labels=self.labels[chosen])


@dataclass(frozen=True)
class Splits:
    """Training, validation and test records with the same classes; `policy` says how they were made."""

    train: Labelled
    valid: Labelled
    test: Labelled
    policy: str


def sort_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Distinct labels, by number if all are integers, else in alphabetical order: independent of the order of files.

    >>> sort_classes(["10", "9", "10"])
    ('9', '10')
    """
    distinct = set(labels)
    if all(re.fullmatch(r"[+-]?[0-9]{1,18}", label) for label in distinct):
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    return tuple(sorted(distinct))


def read_labelled(
    path: str | PathLike, classes: Sequence[str] | None = None, windows: Windows | None = None
) -> Labelled:
    """Reads a file of labelled sequences; see `crocuta.data.records.read_records` for the formats.

    Args:
        path: CSV, TSV or FASTA, plain or gzip; a `split` column is ignored.
        classes: names of the classes, in order; default the labels of the file: those of its columns, or sorted by
            `sort_classes`.
        windows: where the sequences of a table of coordinates come from.

    Raises:
        InputError: no label, a label outside `classes`, or fewer than two classes.
    """
    return label_records(read_records(path, windows=windows), str(path), classes)


def label_records(records: Iterable[Record], source: str, classes: Sequence[str] | None = None) -> Labelled:
    """Encodes records and numbers their labels; `source` names the file in errors."""
    sequences, labels = _encode_records(records, source)
    return _number(sequences, labels, source, classes)


def _encode_records(records: Iterable[Record], source: str) -> tuple[Sequences, list[Any]]:
    names, ids, others, labels = [], [], [], []
    for number, record in enumerate(records, 1):
        label = record.label if record.labels is None else record.labels
        if label is None or (labels and type(label) is not type(labels[0])):
            raise InputError(
                f"{source}, record {number} ({record.name}): no label; expected a column 'label', or label=... in"
                " the FASTA header, for every sequence; or, for several labels each, a column 'labels' or columns of"
                " 0 and 1"
            )
        encoded, other = encode_counted(record.sequence)
        names.append(record.name)
        ids.append(encoded)
        others.append(other)
        labels.append(label)
    return Sequences.from_ids(ids, names, others), labels


def _number_sets(
    sequences: Sequences, sets: list[LabelSet], source: str, classes: Sequence[str] | None
) -> Labelled:
    """0/1 labels of sequences that may have several; the classes of a table with a column each are its columns."""
    if classes is None:
        occurring = (name for found in sets for name in found.names)
        classes = sets[0].names if sets[0].complete else sort_classes(occurring)
    known = tuple(classes)
    if sets[0].complete and (missing := set(known) - set(sets[0].names)):
        raise InputError(f"{source}: no column for class {min(missing)!r}, which training had")
    number = {name: k for k, name in enumerate(known)}
    columns = {
        names: np.array([number.get(name, -1) for name in names], np.int64)
        for names in {found.names for found in sets}
    }
    labels = np.zeros((len(sets), len(known)), np.uint8)
    for i, found in enumerate(sets):
        chosen = columns[found.names][found.present]
        if (chosen < 0).any():
            name = found.names[int(found.present[chosen < 0][0])]
            raise _unknown(source, i, sequences, name, known)
        labels[i, chosen] = 1
    return Labelled(sequences, labels, known)


def _number(sequences: Sequences, labels: list[Any], source: str, classes: Sequence[str] | None) -> Labelled:
    if labels and isinstance(labels[0], LabelSet):
        return _number_sets(sequences, labels, source, classes)
    known = sort_classes(labels) if classes is None else tuple(classes)
    if len(known) < 2:
        raise InputError(
            f"{source}: {len(known)} class ({', '.join(known)}), expected at least two different labels"
        )
    number = {label: i for i, label in enumerate(known)}
    try:
        numbered = [number[label] for label in labels]
    except KeyError:
        i = next(i for i, label in enumerate(labels) if label not in number)
        raise _unknown(source, i, sequences, labels[i], known) from None
    return Labelled(sequences, np.array(numbered, np.int64), known)


def _unknown(source: str, i: int, sequences: Sequences, label: str, known: Sequence[str]) -> InputError:
    return InputError(
        f"{source}, record {i + 1} ({sequences.names[i]}): label {label!r} is not among the known"
        f" classes ({abridged(known)}); training must have seen every label"
    )


def abridged(names: Sequence[str], limit: int = 12) -> str:
    return ", ".join(names[:limit]) + (f", ... {len(names)} in all" if len(names) > limit else "")


def make_splits(
    train_path: str | PathLike,
    valid_path: str | PathLike | None = None,
    test_path: str | PathLike | None = None,
    seed: int = 0,
    windows: Windows | None = None,
) -> Splits:
    """Training, validation and test records from one file or several.

    A `split` column (or `split=` in FASTA headers) decides, else the files given; a missing part is a
    tenth of the training records, chosen by `set_aside`. Classes are those of the training records.

    Raises:
        InputError: unreadable files, labels that training does not have, an empty part, or a `split` column
            together with further files.
    """
    source, column = str(train_path), []

    def watched() -> Iterable[Record]:
        for record in read_records(train_path, windows=windows):
            column.append(record.split)
            yield record

    sequences, labels = _encode_records(watched(), source)
    files = {part: path for part, path in (("valid", valid_path), ("test", test_path)) if path is not None}
    if not any(column):
        train = _number(sequences, labels, source, None)
        read = {part: read_labelled(path, train.classes, windows) for part, path in files.items()}
        given = {"train": train, **read}
        names = [PARTS[part] for part in PARTS if part in given]
        return set_aside(given, source, f"Separate files for {listed(names)}." if files else "", seed)
    if files:
        raise InputError(
            f"{source}: has a split column, and {next(iter(files.values()))} was given too; use one of them"
        )
    members = _split_members(column, source)
    known = None
    if not isinstance(labels[0], LabelSet):
        known = sort_classes(label for label, part in zip(labels, members, strict=True) if part == "train")
    whole = _number(sequences, labels, source, known)
    given = {part: whole.select(members == part) for part in PARTS if (members == part).any()}
    return set_aside(
        given, source, f"The file's split column gave {listed([PARTS[part] for part in given])}.", seed
    )


def _split_members(column: Sequence[str | None], source: str) -> np.ndarray:
    members = [SPLIT_NAMES.get((split or "").lower()) for split in column]
    if None in members:
        i = members.index(None)
        raise InputError(
            f"{source}, record {i + 1}: split {column[i] or ''!r}, expected train, valid or test"
        )
    if "train" not in members:
        raise InputError(
            f"{source}: no record has split 'train', found {listed(sorted(set(filter(None, members))))}"
        )
    return np.array(members)


def set_aside(given: dict[str, Labelled], source: str, policy: str = "", seed: int = 0) -> Splits:
    """Completes the parts `given` ("train" and perhaps "valid", "test") with tenths of the training records.

    Records are ordered by a hash of the sequence, or its reverse complement, whichever is smaller: equal
    sequences stay on one side, and the split depends neither on the order of the file nor on the machine.

    Raises:
        InputError: too few different sequences, or a class that is left without training records.
    """
    if missing := [part for part in ("test", "valid") if part not in given]:
        given = given | _tenths(given["train"], missing, source, seed)
        names = [f"10% for {PARTS[part]}" for part in reversed(missing)]
        policy += (
            f" Of the training records, {listed(names)} were set aside by hash of the sequence (seed {seed});"
            " duplicates, reverse complements included, stay on one side."
        )
    train = given["train"]
    present = np.unique(train.labels) if train.labels.ndim == 1 else np.flatnonzero(train.labels.any(0))
    if len(present) < min(2, len(train.classes)):
        found = abridged([train.classes[i] for i in present])
        raise InputError(f"{source}: training has only label {found}, expected at least two different labels")
    for part in ("valid", "test"):
        _check_seen(train, given[part], PARTS[part], source)
    return Splits(train, given["valid"], given["test"], policy.strip())


def _tenths(train: Labelled, missing: list[str], source: str, seed: int) -> dict[str, Labelled]:
    """A tenth of the different sequences for each missing part, and what is left for training."""
    order, distinct = hash_order(train.sequences, seed)
    if distinct <= len(missing):
        raise InputError(
            f"{source}: {distinct} different sequences are too few to set"
            f" {listed([PARTS[part] for part in missing])} aside; give separate files"
        )
    place = order // max(1, round(distinct / 10))
    parts = {part: train.select(place == i) for i, part in enumerate(missing)}
    return parts | {"train": train.select(place >= len(missing))}


def _check_seen(train: Labelled, part: Labelled, name: str, source: str) -> None:
    if train.labels.ndim == 2:
        return  # a label that only other parts have is left out of the scores that need both kinds
    unseen = np.setdiff1d(part.labels, train.labels)
    if len(unseen):
        raise InputError(
            f"{source}: label {train.classes[unseen[0]]!r} is in {name} and not in training after the split;"
            " give it more records, or your own split column"
        )


def hash_order(sequences: Sequences, seed: int = 0) -> tuple[np.ndarray, int]:
    """Rank of each sequence's hash among the different ones, int64 (n,), and the number of different ones."""
    key = str(seed).encode()
    digests = [hashlib.blake2b(canonical(ids), digest_size=8, key=key).digest() for ids in sequences]
    distinct, order = np.unique(np.frombuffer(b"".join(digests), ">u8"), return_inverse=True)
    return order, len(distinct)


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
