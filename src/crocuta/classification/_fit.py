"""What one training gave, what it was of, and the folder of one that stands alone."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoConfig, PreTrainedConfig

from crocuta.data.labelled import Labelled, Splits
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.models.base import ModelConfig
from crocuta.runs.claim import claim

FIT = "fit.json"  # a model's folder has it from its end on
RECORD = "training.json"


@dataclass(frozen=True)
class Fit:
    """What one training gave: its costs and its validation history."""

    seed: int
    parameters: int
    seconds: float
    peak_memory_mb: float
    epochs: int
    best_epoch: int
    history: list[dict[str, float]]
    valid: dict[str, float]
    trained_parameters: int | None = None


def read_fit(folder: Path) -> Fit | None:
    """The record of a training that has ended; None: it has not."""
    path = folder / FIT
    return Fit(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def write_fit(folder: Path, fit: Fit) -> None:
    """Written last: what a killed training left has none."""
    write_json(folder / FIT, asdict(fit))


def pretrained_config(model: str | PathLike) -> PreTrainedConfig:
    """The configuration of a folder, or of a name on the model hub; raises `InputError` where there is none."""
    try:
        return AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{model}: neither the folder of a model (with config.json) nor a name that the model hub gives:"
            f" {str(error).splitlines()[0]}"
        ) from error


def identity(model: ModelConfig | str | PathLike) -> tuple[Any, Path | None]:
    """What a model is: a setting (a configuration, or a hub's name and revision), or the folder of its weights."""
    if isinstance(model, ModelConfig):
        config = json.loads(model.to_json_string(use_diff=True))
        for written_by_saving in ("transformers_version", "architectures", "dtype"):
            config.pop(written_by_saving, None)
        return config, None
    if Path(model).is_dir():
        return None, Path(model)
    return f"{model}@{pretrained_config(model)._commit_hash}", None


def digest(*parts: Labelled) -> str:
    """Of sequences in memory and their labels."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update("\0".join(part.classes).encode())
        for array in (part.sequences.offsets, part.sequences.ids, part.labels):
            whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()


def stand_alone(
    output: str | PathLike,
    kind: str,
    model: ModelConfig | str | PathLike,
    splits: Splits,
    resume: bool,
    train: Callable[[Path, Callable[[], None]], Fit],
    **settings: Any,
) -> Fit:
    """One training in a folder of its own, claimed for it; `train` is given the folder, and what says "keep it".

    Raises:
        InputError: see `crocuta.runs.claim.claim`.
    """
    setting, weights = identity(model)
    asked = {**settings, "model": setting, "data": digest(splits.train, splits.valid)}
    with claim(output, kind, asked, {"weights": weights}, resume=resume, record=RECORD) as run:
        fit = read_fit(run.folder)
        if fit is None:
            fit = train(run.folder, run.keep)
        if not run.finished:
            run.finish([fit.seed])
    return fit
