"""What the models of a run say of other images, and how good that is where their classes are known."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from os import PathLike
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageClassification

from crocuta.data.images import Images, read_images, read_unlabelled
from crocuta.errors import InputError
from crocuta.models.vision.processor import CrocutaImageProcessor
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.progress import SILENT, Progress
from crocuta.runs.saved import SavedRun
from crocuta.runs.seeds import mean_and_sd, seeds_of, spread, write_table
from crocuta.vision.training import finite_scores

BATCH = 250


def predict_images(
    run: SavedRun,
    images: str | PathLike,
    output: str | PathLike,
    *,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> int:
    """Writes a row for each image: the most probable class, and the mean over seeds of all classes' probabilities.

    Images are read one batch at a time, and brought to the size and channels of the models.

    Args:
        images: see `crocuta.data.images.read_unlabelled`.

    Returns:
        the number of images.
    """
    models = _models(run, choose_device(device))
    classes = run.metrics["classes"]
    size = models[0][1].size
    found = read_unlabelled(images, (size["height"], size["width"]))
    with progress.stage("predicting", unit="images") as stage:

        def rows() -> Iterator[list[Any]]:
            while batch := list(islice(found, BATCH)):
                p, _ = mean_and_sd(
                    [_probabilities(*model, [pixels for _, pixels in batch]) for model in models]
                )
                for (name, _), each in zip(batch, p, strict=True):
                    yield [name, classes[int(each.argmax())], *each]
                stage.advance(len(batch))

        return write_table(output, ["name", "predicted", *(f"p({name})" for name in classes)], rows())


def evaluate_images(
    run: SavedRun, images: str | PathLike, *, device: str = AUTO, progress: Progress = SILENT
) -> dict[str, Any]:
    """Scores of every seed on images with classes: mean and standard deviation, and each seed's own.

    Args:
        images: see `crocuta.data.images.read_images`; where they have a test part, that is taken.

    Raises:
        InputError: a class that the models do not know, or images of another size.
    """
    labelled, fits = _with_classes(run, images), []
    models = _models(run, choose_device(device))
    with progress.stage("evaluating", total=len(models), unit="seeds") as stage:
        for model in models:
            blocks = np.array_split(labelled.pixels, max(1, len(labelled) // BATCH))
            p = np.concatenate([_probabilities(*model, list(block)) for block in blocks])
            fits.append(finite_scores(labelled.labels, p))
            stage.advance()
    scored = [{"seed": fit["seed"], **found} for fit, found in zip(run.metrics["seeds"], fits, strict=True)]
    return {"images": len(labelled), "test": spread(fits), "seeds": scored}


def _with_classes(run: SavedRun, path: str | PathLike) -> Images:
    """Labelled images, their classes numbered as the models number them."""
    parts = read_images(path, run.config["image_size"])
    images, known = parts.test or parts.train, run.metrics["classes"]
    present = [images.classes[i] for i in np.unique(images.labels)]
    unknown = [name for name in present if name not in known]
    if unknown:
        raise InputError(f"{path}: class {unknown[0]!r} is none of those of {run.path} ({', '.join(known)})")
    number = np.array([known.index(name) if name in known else -1 for name in images.classes])
    return Images(images.pixels, number[images.labels], tuple(known))


def _models(run: SavedRun, device: torch.device) -> list[tuple[Any, CrocutaImageProcessor]]:
    """The model of every seed, with its processor."""
    found = []
    for folder in seeds_of(run):
        model: Any = AutoModelForImageClassification.from_pretrained(folder)
        found.append((model.eval().to(device), CrocutaImageProcessor.from_pretrained(folder)))
    return found


@torch.inference_mode()
def _probabilities(model: Any, processor: CrocutaImageProcessor, images: list[np.ndarray]) -> np.ndarray:
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    return model(pixel_values=pixels.to(model.device)).logits.float().softmax(-1).cpu().numpy()
