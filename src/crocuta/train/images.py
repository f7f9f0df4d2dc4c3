"""Training image classifiers over seeds, into a run folder; resumable at every epoch.

```
run/
  config.json       what was asked
  manifest.json     where it was done: versions, machine, command, digest of the data
  metrics.json      scores of every seed, mean and standard deviation
  models/seed-0/    the model of the best epoch on validation, its image processor, fit.json
```
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForImageClassification, PreTrainedModel, ViTConfig

from crocuta.analysis.scores import scores
from crocuta.data.image_jitter import Jitter
from crocuta.data.images import ImageParts, Images, read_images
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.models.image_processor import CrocutaImageProcessor
from crocuta.models.lorentz_resnet import LorentzResNetConfig
from crocuta.models.lvit import LViTConfig
from crocuta.optim import parameter_groups
from crocuta.runs.device import memory_mb
from crocuta.runs.manifest import manifest
from crocuta.runs.optimisation import learning_rate_factor
from crocuta.runs.recipe import Recipe
from crocuta.train.checkpoint import load_checkpoint, read_state, save_checkpoint
from crocuta.train.seeds import check_folder, mean_over_seeds

MODELS = {"lvit": LViTConfig, "vit": ViTConfig, "lorentz-resnet": LorentzResNetConfig}
LAST_RATE = 0.01  # of the learning rate, where its cosine ends

Progress = Callable[[int, int, float], None]  # epoch, epochs, validation accuracy


@dataclass(frozen=True)
class ImageRun:
    """One image model, several seeds.

    Args:
        model: "lvit", "vit" (transformers' own) or "lorentz-resnet", with new weights; or a folder or hub name of a
            pretrained model of any of them, whose sizes it keeps.
        sizes: of the configuration, beside what the images and classes decide.
        recipe: how it is trained; `filter_learning_rate` and `patience` have no part here.
        jitter: of the training images.
        valid, test: shares held out, stratified by class, the same for every seed; `test` only where the data have no
            test part of their own.
        label_smoothing: as in `torch.nn.functional.cross_entropy`.
    """

    model: str = "lvit"
    sizes: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)
    jitter: Jitter = field(default_factory=Jitter)
    seeds: int = 3
    valid: float = 0.1
    test: float = 0.2
    label_smoothing: float = 0.0


class Split(NamedTuple):
    """Images to fit, to choose the epoch by, and to judge on."""

    train: Images
    valid: Images
    test: Images


def split(parts: ImageParts, valid: float, test: float) -> Split:
    """Holds out shares of the images, stratified by class, always the same ones.

    Raises:
        InputError: a class has too few images to be in every part.
    """
    train, held_out = parts
    if held_out is None:
        train, held_out = _hold_out(train, test)
    train, chosen = _hold_out(train, valid)
    return Split(train, chosen, held_out)


def _hold_out(images: Images, share: float) -> tuple[Images, Images]:
    from sklearn.model_selection import train_test_split

    try:
        kept, held = train_test_split(
            np.arange(len(images)), test_size=share, stratify=images.labels, random_state=0
        )
    except ValueError as error:
        raise InputError(f"{share:.0%} of {len(images):,} images cannot be held out: {error}") from error
    return images.take(np.asarray(kept)), images.take(np.asarray(held))


def make_processor(images: Images, size: int | None = None) -> CrocutaImageProcessor:
    """Normalises by these images' mean and standard deviation in each channel."""
    moments = images.pixels.astype(np.float64).transpose(1, 0, 2, 3).reshape(images.pixels.shape[1], -1) / 255
    height, width = (size, size) if size else images.pixels.shape[2:]
    return CrocutaImageProcessor(
        size={"height": height, "width": width},
        num_channels=len(moments),
        image_mean=[round(float(value), 6) for value in moments.mean(1)],
        image_std=[round(float(max(value, 1 / 255)), 6) for value in moments.std(1)],
    )


def build(run: ImageRun, images: Images, seed: int) -> PreTrainedModel:
    """A classifier of these images' classes; weights follow from the seed, where they are new.

    Raises:
        InputError: the sizes do not fit, or the pretrained model cannot be read.
    """
    model = _build(run, images, seed)
    channels, *size = images.pixels.shape[1:]
    wanted = getattr(model.config, "image_size", None)
    if channels != model.config.num_channels or (wanted and size != [wanted, wanted]):
        square = f" of {wanted} x {wanted} pixels" if wanted else ""
        raise InputError(
            f"model {run.model} reads images{square} in {model.config.num_channels} channels, these have"
            f" {size[0]} x {size[1]} in {channels}; pictures in folders are brought to a size by --image-size"
        )
    return model


def _build(run: ImageRun, images: Images, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    # a name that is no folder would be looked for on the web, for long
    if run.model not in MODELS and not Path(run.model).is_dir():
        raise InputError(
            f"model {run.model}: no such folder; expected a folder, or one of {', '.join(MODELS)}"
        )
    labels: dict[str, Any] = {
        "id2label": dict(enumerate(images.classes)),
        "label2id": {name: i for i, name in enumerate(images.classes)},
    }
    try:
        if run.model not in MODELS:
            return AutoModelForImageClassification.from_pretrained(
                run.model, ignore_mismatched_sizes=True, **labels
            )
        channels, height = images.pixels.shape[1:3]
        sizes = {"image_size": height} if run.model != "lorentz-resnet" else {}
        config = MODELS[run.model](**{**sizes, "num_channels": channels, **labels, **run.sizes})
        return AutoModelForImageClassification.from_config(config)
    except (OSError, ValueError) as error:
        raise InputError(f"model {run.model}: {str(error).splitlines()[0]}") from error


def fit(
    model: PreTrainedModel,
    data: Split,
    run: ImageRun,
    folder: Path,
    seed: int,
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains in place; `folder` holds the best epoch's model and, until the end, a checkpoint to go on from.

    Raises:
        InputError: the loss is not finite; says at which epoch.
    """
    recipe, processor = run.recipe, make_processor(data.train)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)  # pyright: ignore[reportArgumentType]
    groups = parameter_groups(
        model, recipe.learning_rate, recipe.curvature_learning_rate, recipe.weight_decay
    )
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    rates = [group["lr"] for group in groups]
    state = read_state(folder) or {
        "epoch": 0, "best": -1.0, "history": [], "seconds": 0.0, "cpu_seconds": 0.0, "peak_memory_mb": 0.0,
    }  # fmt: skip
    if state["epoch"]:
        load_checkpoint(optimizer, state["folder"])
        model.load_state_dict(type(model).from_pretrained(state["folder"] / "model").state_dict())
    for epoch in range(state["epoch"] + 1, recipe.epochs + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        loss = _epoch(model, data.train, processor, run, optimizer, rates, seed, epoch)
        state["seconds"] += time.perf_counter() - wall
        state["cpu_seconds"] += time.process_time() - cpu
        state["peak_memory_mb"] = max(state["peak_memory_mb"], memory_mb())
        accuracy = judge(model, processor, data.valid)["accuracy"]
        if accuracy >= state["best"]:
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
            state |= {"best": accuracy, "best_epoch": epoch}
        state["history"].append({"epoch": epoch, "loss": loss, "valid_accuracy": accuracy})
        state["epoch"] = epoch
        save_checkpoint(
            folder, model, optimizer, {key: value for key, value in state.items() if key != "folder"}
        )
        if progress:
            progress(epoch, recipe.epochs, accuracy)
    model.load_state_dict(type(model).from_pretrained(folder).state_dict())
    found = {part: judge(model, processor, getattr(data, part)) for part in ("valid", "test")}
    kept = {key: state[key] for key in ("best_epoch", "seconds", "cpu_seconds", "peak_memory_mb", "history")}
    return {"seed": seed, **found, **kept, "epochs": recipe.epochs, "parameters": model.num_parameters()}


def _epoch(
    model: PreTrainedModel,
    images: Images,
    processor: CrocutaImageProcessor,
    run: ImageRun,
    optimizer: torch.optim.Optimizer,
    rates: list[float],
    seed: int,
    epoch: int,
) -> float:
    """Every image once, in an order that follows from seed and epoch; the mean loss."""
    torch.manual_seed(1_000_003 * seed + epoch)  # so that a resumed training does what an unbroken one does
    order = torch.randperm(len(images))
    batches = order.split(run.recipe.batch_size)
    total, steps = 0.0, run.recipe.epochs * len(batches)
    model.train()
    for i, rows in enumerate(batches):
        share = learning_rate_factor((epoch - 1) * len(batches) + i, steps, run.recipe.warmup, LAST_RATE)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * share
        pixels, labels = _batch(images, rows.numpy(), model.device)
        logits = model(pixel_values=normalise(processor, run.jitter(pixels))).logits
        loss = F.cross_entropy(logits, labels, label_smoothing=run.label_smoothing)
        if not torch.isfinite(loss):
            raise InputError(
                f"the loss is {loss.item()} at epoch {epoch}; lower --learning-rate (or check the images)"
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), run.recipe.clip)
        optimizer.step()
        total += loss.item() * len(rows)
    return total / len(images)


def _batch(images: Images, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    pixels = torch.from_numpy(images.pixels[rows]).to(device).float() / 255
    return pixels, torch.from_numpy(images.labels[rows]).to(device)


def normalise(processor: CrocutaImageProcessor, pixels: Tensor) -> Tensor:
    """What the processor does to pixels between 0 and 1 of the right size and channels."""
    mean, std = (pixels.new_tensor(x).reshape(-1, 1, 1) for x in (processor.image_mean, processor.image_std))
    return (pixels - mean) / std


@torch.inference_mode()
def judge(
    model: PreTrainedModel, processor: CrocutaImageProcessor, images: Images, batch_size: int = 250
) -> dict[str, float]:
    """Scores of a model on images; see `crocuta.analysis.scores`."""
    model.eval()
    found = []
    for rows in np.array_split(np.arange(len(images)), max(1, len(images) // batch_size)):
        pixels, _ = _batch(images, rows, model.device)
        found.append(model(pixel_values=normalise(processor, pixels)).logits.float().softmax(-1).cpu())
    result = scores(images.labels, torch.cat(found).numpy())
    return {name: value for name, value in result.items() if math.isfinite(value)}


def train_images(
    path: str | PathLike,
    run: ImageRun,
    output: str | PathLike,
    *,
    image_size: int | None = None,
    resume: bool = False,
    progress: Callable[[str], Progress] | None = None,
) -> dict[str, Any]:
    """Trains every seed on the images of a file or folder, and writes the run folder.

    Args:
        path: see `crocuta.data.images.read_images`.
        image_size: height and width of pictures in folders.
        resume: go on with a run that was stopped, at the epoch where it was.
        progress: gives a callback for a training of that name.

    Raises:
        InputError: the images or the settings do not fit; the folder holds another run.
    """
    output = Path(output)
    asked = json.loads(json.dumps({"data": str(path), "image_size": image_size, **asdict(run)}))
    check_folder(output, asked, resume)
    data = split(read_images(path, image_size), run.valid, run.test)
    fits = []
    for seed in range(run.seeds):
        folder = output / "models" / f"seed-{seed}"
        if not (folder / "fit.json").exists():
            model = build(run, data.train, seed)
            write_json(output / "config.json", asked)
            found = fit(model, data, run, folder, seed, progress=progress and progress(f"seed {seed}"))
            write_json(folder / "fit.json", found)
            shutil.rmtree(folder / "checkpoint")
        fits.append(json.loads((folder / "fit.json").read_text()))
    metrics = {
        "model": run.model,
        "classes": list(data.train.classes),
        "seeds": fits,
        **mean_over_seeds(fits),
    }
    metrics["images"] = {name: len(images) for name, images in data._asdict().items()}
    write_json(output / "manifest.json", manifest([Path(path)], range(run.seeds)))
    write_json(output / "metrics.json", metrics)
    return metrics
