"""Libraries of repeated elements whose FASTA headers say `>name#Class/Superfamily`, and words for what they say."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from crocuta.data.sequences import Sequences
from crocuta.data.text import open_lines
from crocuta.errors import InputError

CLASSES = {
    "LTR": "long terminal repeat retrotransposon",
    "LINE": "long interspersed nuclear element",
    "SINE": "short interspersed nuclear element",
    "DNA": "DNA transposon",
    "RC": "rolling circle transposon",
    "Retroposon": "composite retroposon",
    "Satellite": "satellite repeat",
    "tRNA": "transfer RNA repeat",
    "snRNA": "small nuclear RNA repeat",
    "rRNA": "ribosomal RNA repeat",
    "scRNA": "small cytoplasmic RNA repeat",
    "Simple_repeat": "simple repeat",
}


@dataclass(frozen=True)
class Elements:
    """Sequences with their labels `Class/Superfamily` (or `Class` alone)."""

    sequences: Sequences
    labels: list[str]


def read_elements(path: str | PathLike) -> Elements:
    """Reads a library as RepeatMasker and RepeatModeler write them, plain or gzip.

    Raises:
        InputError: a header has no `#`, or a file holds no element.
    """
    path = Path(path)
    names, labels, parts = [], [], []
    with open_lines(path) as lines:
        for number, line in lines:
            text = line.strip()
            if text.startswith(">"):
                name, mark, label = text[1:].split(None, 1)[0].partition("#")
                if not (mark and label):
                    raise InputError(
                        f"{path}: line {number}: header {text[:60]!r} names no class; expected"
                        " >name#Class/Superfamily, as RepeatModeler writes it"
                    )
                names.append(name)
                labels.append(label)
                parts.append([])
            elif text and not parts:
                raise InputError(
                    f"{path}: line {number}: nucleotides before the first header; expected >name#Class"
                )
            elif text:
                parts[-1].append(text)
    if not names:
        raise InputError(f"{path}: no elements; expected FASTA with headers >name#Class/Superfamily")
    return Elements(Sequences.from_strings(map("".join, parts), names), labels)


def element_caption(label: str, species: str | None = None) -> str:
    """What a label says, in words.

    >>> element_caption("LTR/ERV1", "human")
    'a long terminal repeat retrotransposon of the ERV1 superfamily in human'
    >>> element_caption("Satellite")
    'a satellite repeat'
    """
    kind, _, superfamily = label.partition("/")
    words = f"a {CLASSES.get(kind, kind)}"
    if superfamily:
        words += f" of the {superfamily} superfamily"
    return words if species is None else f"{words} in {species}"


def with_enough_groups(labels: list[str], groups: np.ndarray, least: int) -> np.ndarray:
    """Which elements have a label that occurs in at least `least` groups of like sequences, bool (n,)."""
    members: dict[str, set[int]] = {}
    for label, group in zip(labels, groups.tolist(), strict=True):
        members.setdefault(label, set()).add(group)
    return np.array([len(members[label]) >= least for label in labels])
