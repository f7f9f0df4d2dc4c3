"""Training image classifiers over seeds; `crocuta.runs.seeds` tells of the run folder.

Beside each seed's model lies its image processor; predictions.tsv numbers the test images from 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForImageClassification, PreTrainedModel, ViTConfig

from crocuta.analysis.scores import scores
from crocuta.data.images import ImageParts, Images, files_of, read_images
from crocuta.errors import InputError
from crocuta.models.vision.lvit import LViTConfig
from crocuta.models.vision.processor import CrocutaImageProcessor
from crocuta.models.vision.resnet import LorentzResNetConfig
from crocuta.optim import parameter_groups
from crocuta.runs.claim import Claim
from crocuta.runs.cost import Cost, estimate_training
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.loop import Course, Learner, Score, epochs, mixed
from crocuta.runs.progress import SILENT, Progress, Stage
from crocuta.runs.recipe import Recipe
from crocuta.runs.seeds import (
    PREDICTIONS,
    Trainings,
    class_columns,
    class_rows,
    learn,
    train_seeds,
    write_table,
)
from crocuta.vision.jitter import Jitter

MODELS = {"lvit": LViTConfig, "vit": ViTConfig, "lorentz-resnet": LorentzResNetConfig}
FLOOR = 0.01  # of the learning rate, where its cosine ends


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


class ImageSplit(NamedTuple):
    """Images to fit, to choose the epoch by, and to evaluate on."""

    train: Images
    valid: Images
    test: Images


def split_images(parts: ImageParts, valid: float, test: float) -> ImageSplit:
    """Holds out shares of the images, stratified by class, always the same ones.

    Raises:
        InputError: a class has too few images to be in every part.
    """
    train, held_out = parts
    if held_out is None:
        train, held_out = _hold_out(train, test)
    train, chosen = _hold_out(train, valid)
    return ImageSplit(train, chosen, held_out)


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


def build_classifier(run: ImageRun, images: Images, seed: int) -> PreTrainedModel:
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
            f" {size[0]} x {size[1]} in {channels}; pictures in folders are brought to a size by `image_size`"
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


class ImageLearner(Learner):
    """Every image once in an epoch, in an order that follows from seed and epoch."""

    def __init__(self, data: ImageSplit, run: ImageRun, seed: int):
        self.data, self.run, self.seed = data, run, seed
        self.processor = make_processor(data.train)
        self.steps = -(-len(data.train) // run.recipe.batch_size)  # of an epoch
        self._order: tuple[int, Tensor] | None = None

    def batches(self, step: int, process: int, processes: int) -> list[np.ndarray]:
        epoch, place = divmod(step, self.steps)
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(mixed(self.seed, epoch))
            self._order = epoch, torch.randperm(len(self.data.train), generator=generator)
        return [self._order[1].split(self.run.recipe.batch_size)[place].numpy()]

    def loss(self, model: Any, batch: np.ndarray) -> Tensor:
        images = self.data.train
        pixels, labels = _pixels(images.pixels[batch], model), torch.from_numpy(images.labels[batch])
        logits = model(pixel_values=normalise(self.processor, self.run.jitter(pixels))).logits
        return F.cross_entropy(logits, labels.to(logits.device), label_smoothing=self.run.label_smoothing)

    def score(self, model: Any) -> Score:
        """Accuracy decides; of equals, the one that is surer of the true classes."""
        images = self.data.valid
        p = probabilities(model, self.processor, images.pixels)
        accuracy = float((p.argmax(1) == images.labels).mean())
        likelihood = float(np.log(p[np.arange(len(images)), images.labels].clip(1e-12)).mean())
        return Score((accuracy, likelihood), {"valid_accuracy": accuracy}, f"validation {accuracy:.3f}")

    def course(self, device: str = AUTO) -> Course:
        """What the loop is asked for."""
        recipe = self.run.recipe
        return Course(
            recipe.epochs * self.steps, warm_up=recipe.warmup, floor=FLOOR, clip=recipe.clip,
            evaluate=epochs(recipe.epochs, self.steps), device=device, seed=self.seed,
        )  # fmt: skip

    def optimizer(self, model: PreTrainedModel) -> torch.optim.AdamW:
        """With groups for matrices, the rest, and curvatures."""
        recipe = self.run.recipe
        groups = parameter_groups(
            model, recipe.learning_rate, recipe.curvature_learning_rate, recipe.weight_decay
        )
        return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def fit_images(
    model: PreTrainedModel, learner: ImageLearner, device: str = AUTO, **options: Any
) -> dict[str, Any]:
    """Trains in place, ends with the best epoch's weights; returns scores by part and what it took.

    Args:
        options: of `crocuta.runs.loop.fit`: where checkpoints lie, who hears of progress.

    Raises:
        InputError: the loss or its gradient is not finite; says at which step.
    """
    course = learner.course(device)
    model.to(choose_device(device))  # pyright: ignore[reportArgumentType]
    found = learn(model, learner.optimizer(model), learner, course, learner.steps, **options)
    parts = {
        part: evaluate(model, learner.processor, getattr(learner.data, part)) for part in ("valid", "test")
    }
    return {"seed": learner.seed, **parts, **found}


def _pixels(pixels: np.ndarray, model: Any) -> Tensor:
    """Bytes as floats between 0 and 1, where the model is."""
    return torch.from_numpy(pixels).to(model.device).float() / 255


def normalise(processor: CrocutaImageProcessor, pixels: Tensor) -> Tensor:
    """What the processor does to pixels between 0 and 1 of the right size and channels."""
    mean, std = (pixels.new_tensor(x).reshape(-1, 1, 1) for x in (processor.image_mean, processor.image_std))
    return (pixels - mean) / std


@torch.inference_mode()
def probabilities(
    model: Any, processor: CrocutaImageProcessor, pixels: np.ndarray, batch_size: int = 250
) -> np.ndarray:
    """Of the classes (n, classes), of images (n, channels, height, width) of 8 bits as the model reads them."""
    model.eval()
    found = []
    for rows in np.array_split(pixels, max(1, len(pixels) // batch_size)):
        logits = model(pixel_values=normalise(processor, _pixels(rows, model))).logits
        found.append(logits.float().softmax(-1).cpu())
    return torch.cat(found).numpy()


def evaluate(model: Any, processor: CrocutaImageProcessor, images: Images) -> dict[str, float]:
    """Scores of a model on images; see `crocuta.analysis.scores`."""
    return finite_scores(images.labels, probabilities(model, processor, images.pixels))


def finite_scores(labels: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """Those that these labels define."""
    return {name: value for name, value in scores(labels, p).items() if math.isfinite(value)}


class ImageTrainings(Trainings):
    """The seeds of a run on the images of a file or folder."""

    kind, unit = "lab image train", "steps"

    def __init__(self, path: str | PathLike, run: ImageRun, image_size: int | None, device: str):
        self.path, self.run, self.image_size, self.device, self.seeds = (
            path,
            run,
            image_size,
            device,
            run.seeds,
        )
        self.settings = {"image_size": image_size, **asdict(run)}
        pretrained = run.model if run.model not in MODELS and Path(run.model).is_dir() else None
        self.inputs = {"data": files_of(path), "model": pretrained}

    def begin(self, run: Claim, progress: Progress) -> None:
        self.data = split_images(read_images(self.path, self.image_size), self.run.valid, self.run.test)

    def train(self, seed: int, folder: Path, stage: Stage, keep: Callable[[], object]) -> dict[str, Any]:
        model, learner = (
            build_classifier(self.run, self.data.train, seed),
            ImageLearner(self.data, self.run, seed),
        )
        found = fit_images(model, learner, self.device, folder=folder, stage=stage, keep=keep)
        model.save_pretrained(folder)
        learner.processor.save_pretrained(folder)
        test = self.data.test
        classes, names = test.classes, [str(i) for i in range(len(test))]
        labels, p = [classes[i] for i in test.labels], probabilities(model, learner.processor, test.pixels)
        rows = class_rows(names, labels, Path(self.run.model).name, seed, classes, p)
        write_table(folder / PREDICTIONS, class_columns(classes), rows)
        return found

    def about(self, fits: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            "model": self.run.model,
            "classes": list(self.data.train.classes),
            "images": {name: len(images) for name, images in self.data._asdict().items()},
        }


def train_images(
    path: str | PathLike,
    run: ImageRun,
    output: str | PathLike,
    *,
    image_size: int | None = None,
    device: str = AUTO,
    resume: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Trains every seed on the images of a file or folder, writes the run folder, and returns its metrics.

    Args:
        path: see `crocuta.data.images.read_images`.
        image_size: height and width of pictures in folders.
        device: see `crocuta.runs.device.choose_device`.
        resume: go on with a run that was stopped, where it was; a finished run is shown.

    Raises:
        InputError: the images or the settings do not fit; the folder may not be taken.
    """
    return train_seeds(
        ImageTrainings(path, run, image_size, device), output, resume=resume, progress=progress
    )


def estimate_images(
    path: str | PathLike, run: ImageRun, image_size: int | None = None, device: str = AUTO
) -> Cost:
    """What `train_images` would take."""
    learner = ImageLearner(split_images(read_images(path, image_size), run.valid, run.test), run, 0)

    def make():
        model = build_classifier(run, learner.data.train, 0)
        model.to(choose_device(device))  # pyright: ignore[reportArgumentType]
        return model, learner.optimizer(model), learner

    return estimate_training(make, learner.course(device), run.seeds)
