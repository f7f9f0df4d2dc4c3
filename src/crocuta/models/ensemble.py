"""Trained classifiers that predict together, on sequences as strings or encoded."""

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification

from crocuta.data.encoding import encode, reverse_complement
from crocuta.data.sequences import Sequences
from crocuta.errors import InputError

Encoded = Sequence[np.ndarray] | Sequences


class Predictions(NamedTuple):
    """Predicted class names and the probabilities (n, classes) behind them."""

    labels: list[str]
    probabilities: np.ndarray


class Ensemble:
    """Several trained models of one task, which predict together by their mean probability.

    `both_strands` averages over each sequence and its reverse complement as well.
    """

    def __init__(self, members: Sequence[Any], both_strands: bool = False):
        self.members, self.both_strands = list(members), both_strands
        self.config: Any = self.members[0].config

    @classmethod
    def load(
        cls,
        folders: Iterable[str | PathLike],
        both_strands: bool = False,
        device: torch.device | str | None = None,
    ) -> "Ensemble":
        """Models from folders that `save_pretrained` made, on a device (None: the accelerator where there is one)."""
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls([load_classifier(folder).to(device) for folder in folders], both_strands)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.config.id2label[i] for i in range(self.config.num_classes))  # type: ignore[index]

    def probabilities(self, ids: Encoded, batch_size: int = 128) -> np.ndarray:
        """Mean class probabilities (n, classes) of encoded sequences."""
        strands = [ids, [reverse_complement(row) for row in ids]] if self.both_strands else [ids]
        return np.mean(
            [member.probabilities(s, batch_size) for member in self.members for s in strands], axis=0
        )

    def predict(self, sequences: Sequence[str], batch_size: int = 128) -> Predictions:
        """Classes of DNA strings, upper or lower case; nucleotides other than ACGT are read as N.

        Raises:
            InputError: a sequence is longer than a model reads.
        """
        ids = [encode(sequence) for sequence in sequences]
        for member in self.members:
            check_lengths(ids, member.config)
        probabilities = self.probabilities(ids, batch_size)
        return Predictions(
            name_labels(
                probabilities, self.classes, self.config.problem_type == "multi_label_classification"
            ),
            probabilities,
        )


def load_classifier(folder: str | PathLike) -> Any:
    """A model that `save_pretrained` saved.

    Raises:
        InputError: its files are missing, torn or of another kind.
    """
    try:
        return AutoModelForSequenceClassification.from_pretrained(folder)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{folder}: model.safetensors or config.json cannot be read ({reason});"
            " expected a whole folder from save_pretrained"
        ) from error


def name_labels(probabilities: np.ndarray, classes: Sequence[str], multi_label: bool) -> list[str]:
    """Names of the most probable classes; of all classes above one half, joined by `;`, if multi-label."""
    if multi_label:
        return [
            ";".join(name for name, p in zip(classes, row, strict=True) if p > 0.5) for row in probabilities
        ]
    return [classes[int(i)] for i in probabilities.argmax(axis=1)]


def check_lengths(ids: Encoded, config: Any, names: Sequence[str] | None = None) -> None:
    """Raises InputError for the first sequence that is longer than the model reads."""
    limit = config.longest_sequence
    if limit is None:
        return
    for i, row in enumerate(ids):
        if len(row) > limit:
            name = names[i] if names is not None else f"sequence {i + 1}"
            raise InputError(
                f"{name} has {len(row):,} nucleotides, {len(row) - limit:,} more than the model reads"
                f" ({limit:,}): cut it down to that (tables of coordinates: `window` {limit}); a model with new"
                " weights can be trained for more with `max_length`"
            )
