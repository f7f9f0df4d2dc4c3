"""Checkpoints of a training: parameters as safetensors, the optimiser's moments, and where the training stood."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from crocuta.files import write_json

FOLDER = "checkpoint"


def save_checkpoint(
    run: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Writes `run/checkpoint/`; the one before stays until the new one is whole."""
    folder, fresh, old = run / FOLDER, run / f".{FOLDER}.new", run / f".{FOLDER}.old"
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    model.save_pretrained(fresh / "model")
    torch.save(optimizer.state_dict(), fresh / "optimizer.pt")
    write_json(fresh / "state.json", state)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def read_state(run: Path) -> dict[str, Any] | None:
    """Where the last whole checkpoint stood, and its `folder`; None: there is none."""
    for folder in (run / FOLDER, run / f".{FOLDER}.old"):
        if (folder / "state.json").exists():
            return json.loads((folder / "state.json").read_text()) | {"folder": folder}
    return None


def load_checkpoint(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Gives an optimiser its moments back; no pickled code is run."""
    optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True, map_location="cpu"))
