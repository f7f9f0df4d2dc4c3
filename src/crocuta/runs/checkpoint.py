"""Checkpoints of a training: tensors as safetensors, the rest as JSON; nothing that could run code."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from crocuta.files import replacing, write_json

FOLDER = "checkpoint"


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors, whole or not at all; those that share memory are written each."""
    with replacing(path, "wb") as file:
        file.write(
            save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
        )


def save_checkpoint(run: Path, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """Writes `run/checkpoint/`: a file for each of `tensors`, and `state`; the one before stays until it is whole."""
    folder, fresh, old = run / FOLDER, run / f".{FOLDER}.new", run / f".{FOLDER}.old"
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    for name, content in tensors.items():
        save_tensors(fresh / f"{name}.safetensors", content)
    write_json(fresh / "state.json", state)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def read_checkpoint(run: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """Tensors and state of the last whole checkpoint; None: there is none."""
    for folder in (run / FOLDER, run / f".{FOLDER}.old"):
        if (folder / "state.json").exists():
            tensors = {path.stem: load_file(path) for path in folder.glob("*.safetensors")}
            return tensors, json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return None


def remove_checkpoint(run: Path) -> None:
    """Removes it, when a training has ended."""
    for name in (FOLDER, f".{FOLDER}.new", f".{FOLDER}.old"):
        shutil.rmtree(run / name, ignore_errors=True)


def split_state(optimizers: Sequence[torch.optim.Optimizer]) -> tuple[dict[str, Tensor], list[dict]]:
    """Optimisers' moments as named tensors, and what else they remember, of JSON's types.

    Groups are left out: they follow from the settings, and their learning rates from the step.
    """
    tensors, rest = {}, []
    for i, optimizer in enumerate(optimizers):
        plain: dict[str, Any] = {}
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"{i}.{index}.{key}"] = value
                else:
                    plain.setdefault(str(index), {})[key] = value
        rest.append(plain)
    return tensors, rest


def join_state(
    optimizers: Sequence[torch.optim.Optimizer],
    tensors: Mapping[str, Tensor],
    rest: Sequence[Mapping[str, Any]],
) -> None:
    """Gives optimisers back what `split_state` took apart."""
    for i, (optimizer, plain) in enumerate(zip(optimizers, rest, strict=True)):
        state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in plain.items()}
        for name, value in tensors.items():
            which, index, key = name.split(".", 2)
            if int(which) == i:
                state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
