"""The files of an ensemble of words and DNA, in `models/` of its run folder::

    words.json                  captions, their labels, and how frequent each is
    tokenizer/                  of words
    counts.safetensors          what all members share: how rare k-mers are, principal components
    member-0.safetensors, ...   weights

Runs of 0.1.0 have these files in the run folder itself, captions in config.json, and whole components.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer

from crocuta.errors import InputError
from crocuta.files import follow_umask, write_json
from crocuta.models.clip.lclip import LClipModel
from crocuta.runs.checkpoint import save_tensors
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.saved import SavedRun, read_json
from crocuta.words.ensemble import COUNTED, WordEnsemble, Words, WordsRecipe, share_components

SHARED = {f"content_encoder.{name}" for name in COUNTED}


def save_words(words: Words, folder: Path) -> None:
    """Writes captions and the tokenizer."""
    words.tokenizer.save_pretrained(folder / "tokenizer")
    follow_umask(folder / "tokenizer")
    table = {"captions": words.captions, "labels": words.labels.tolist(), "prior": words.prior.tolist()}
    write_json(folder / "words.json", table)


def save_counts(shared: dict[str, Tensor], folder: Path) -> None:
    """Writes what members share, without repetition.

    The rows of a k-mer and of its reverse complement are the same; those of k-mers that no sequence has are zero,
    as are the columns beyond the number of sequences.
    """
    basis = shared["basis"].cpu()
    used = int(basis.any(0).sum())  # the components' order is that of their size
    rows = np.ascontiguousarray(basis[:, :used].numpy())
    whole = rows.view(np.dtype((np.void, rows.itemsize * used))).ravel()  # compared as bytes: much faster
    _, first, place = np.unique(whole, return_index=True, return_inverse=True)
    distinct, place = torch.from_numpy(rows[first]), torch.from_numpy(place.astype(np.int32))
    rest = {name: shared[name] for name in ("rarity", "centre")}
    save_tensors(folder / "counts.safetensors", {**rest, "basis": distinct, "basis_rows": place})


def read_counts(folder: Path, components: int) -> dict[str, Tensor]:
    """What members share: `COUNTED`."""
    found = load_file(folder / "counts.safetensors")
    if "basis_rows" not in found:
        return {name: found[f"content_encoder.{name}"] for name in COUNTED}
    rows = found["basis"][found.pop("basis_rows").long()]
    return {**found, "basis": torch.nn.functional.pad(rows, (0, components - rows.shape[1]))}


def member_file(folder: Path, number: int) -> Path:
    """Where a member's weights lie."""
    return folder / f"member-{number}.safetensors"


def save_member(model: LClipModel, path: Path) -> None:
    """Writes what is a member's own."""
    save_tensors(path, {name: x for name, x in model.state_dict().items() if name not in SHARED})


def read_member(path: Path, model: LClipModel, shared: dict[str, Tensor]) -> None:
    """Gives a new model a member's weights and what all share."""
    share_components(shared, model.content_encoder)
    model.load_state_dict(
        {**{f"content_encoder.{name}": shared[name] for name in COUNTED}, **load_file(path)}
    )


def load_words(run: str | PathLike, device: str = AUTO) -> WordEnsemble:
    """The ensemble of a run folder.

    Raises:
        InputError: the folder holds none, or its files do not belong together.
    """
    saved, where = SavedRun(run, "words train"), choose_device(device)
    folder = saved.path / "models"
    try:
        recipe = WordsRecipe(**saved.config["recipe"])
        if folder.exists():
            table = read_json(folder / "words.json")
        else:
            folder, table = saved.path, saved.config
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        prior = np.array(table["prior"], np.float32)
        words = Words(table["captions"], np.array(table["labels"]), prior, tokenizer)
        shared = {name: x.to(where) for name, x in read_counts(folder, recipe.components).items()}
        models = []
        for i in range(recipe.members):
            models.append(recipe.model(len(tokenizer)))
            read_member(member_file(folder, i), models[-1], shared)
            models[-1].to(where)
    except OSError as error:
        raise InputError(f"{run}: the run is damaged ({error})") from error
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{run}: the run is damaged: {str(error).splitlines()[0]}") from error
    return WordEnsemble(models, words)
