"""Training of image classifiers: what it learns, keeps, resumes and refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from crocuta.data.images import ImageParts, Images
from crocuta.errors import InputError
from crocuta.runs.progress import Progress, Stage
from crocuta.runs.recipe import Recipe
from crocuta.vision.jitter import Jitter


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoImageProcessor, AutoModelForImageClassification, Course, training, ImageRun, build_classifier
    global make_processor, split_images, train_images, RUN
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    from crocuta.runs.loop import Course
    from crocuta.vision import training
    from crocuta.vision.training import ImageRun, build_classifier, make_processor, split_images, train_images

    RUN = ImageRun(sizes=VIT, recipe=Recipe(learning_rate=3e-3, epochs=3, batch_size=16), seeds=1)


VIT = {"patch_size": 4, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
VIT |= {"intermediate_size": 32}


def shades(n=120, channels=1, seed=0):
    """Noise, dark or bright."""
    rng = np.random.default_rng(seed)
    pixels, labels = rng.integers(0, 100, (n, channels, 8, 8), dtype=np.uint8), rng.integers(0, 2, n)
    pixels[labels == 1] += 100
    return Images(pixels, labels, ("dark", "bright"))


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A file that stands for `shades`."""
    monkeypatch.setattr(training, "read_images", lambda path, size: ImageParts(shades(), None))
    path = tmp_path / "shades"
    path.write_bytes(b"shades")
    return path


class Stopping(Progress):
    """Interrupts a training when the last step but one of its third epoch is told."""

    def stage(self, name, total=None, unit=""):
        return StoppingStage(name, total, unit)


class StoppingStage(Stage):
    def show(self):
        if self.done == 17:
            raise KeyboardInterrupt


def test_split_is_stratified_disjoint_and_always_the_same():
    images = shades(200)
    images.pixels[:, 0, 0, 0] = np.arange(200)
    first, second = (
        split_images(ImageParts(images, None), 0.1, 0.2),
        split_images(ImageParts(images, None), 0.1, 0.2),
    )
    assert [len(part) for part in first] == [144, 16, 40]
    assert (first.test.pixels == second.test.pixels).all()
    kept = np.concatenate([part.pixels[:, 0, 0, 0] for part in first])
    assert sorted(kept) == list(range(200))
    shares = [part.labels.mean() for part in first]
    assert max(shares) - min(shares) < 0.05
    own = split_images(ImageParts(images, images.take(np.arange(7))), 0.1, 0.2)
    assert [len(part) for part in own] == [180, 20, 7]
    with pytest.raises(InputError, match="cannot be held out"):
        split_images(ImageParts(images.take(np.arange(1)), None), 0.1, 0.2)


def test_processor_does_to_images_what_training_does():
    images = shades(20, channels=3)
    processor = make_processor(images)
    pixels = torch.from_numpy(images.pixels)
    expected = processor(list(pixels), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(training.normalise(processor, pixels / 255), expected)
    assert expected.mean().abs() < 0.01
    assert abs(expected.std() - 1) < 0.01


@pytest.mark.parametrize("model", ["lvit", "vit", "lorentz-resnet"])
def test_run_folder(data, tmp_path, model):
    sizes = {"depths": [1], "channels": [6]} if model == "lorentz-resnet" else VIT
    run = replace(RUN, model=model, sizes=sizes, jitter=Jitter(shift=0.1))
    run = replace(run, recipe=replace(run.recipe, epochs=4, learning_rate=1e-2))
    metrics = train_images(data, run, tmp_path / "run")
    assert metrics["test"]["accuracy"]["mean"] > 0.9
    assert metrics["images"] == {"train": 86, "valid": 10, "test": 24}
    folder = tmp_path / "run" / "models" / "seed-0"
    assert not (folder / "checkpoint").exists()
    net = AutoModelForImageClassification.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)
    test = split_images(ImageParts(shades(), None), 0.1, 0.2).test
    logits = net(**processor(list(test.pixels), return_tensors="pt")).logits
    accuracy = (logits.argmax(1).numpy() == test.labels).mean()
    assert accuracy == pytest.approx(metrics["test"]["accuracy"]["mean"])
    assert net.config.id2label == {0: "dark", 1: "bright"}


def test_a_resumed_training_ends_as_an_unbroken_one(data, tmp_path, monkeypatch):
    course = Course
    monkeypatch.setattr(
        training, "Course", lambda *args, **options: course(*args, checkpoint_seconds=0, **options)
    )
    run = replace(RUN, seeds=2, jitter=Jitter(degrees=10.0), sizes={**VIT, "dropout": 0.1, "learnable": True})
    whole = train_images(data, run, tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        train_images(data, run, tmp_path / "run", progress=Stopping())
    assert (tmp_path / "run" / "models" / "seed-0" / "checkpoint").exists()
    with pytest.raises(InputError, match="holds an unfinished run already"):
        train_images(data, run, tmp_path / "run")
    with pytest.raises(InputError, match=r"began with label_smoothing = 0.0, now it is 0.1"):
        train_images(data, replace(run, label_smoothing=0.1), tmp_path / "run", resume=True)
    resumed = train_images(data, run, tmp_path / "run", resume=True)
    for one, other in zip(whole["seeds"], resumed["seeds"], strict=True):
        assert one["history"] == other["history"]
        assert one["test"] == other["test"]
    assert whole["seeds"][0]["history"] != whole["seeds"][1]["history"]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["recipe"]["epochs"] == 3


def test_goes_on_from_a_pretrained_model(data, tmp_path):
    train_images(data, RUN, tmp_path / "first")
    folder = tmp_path / "first" / "models" / "seed-0"
    before = AutoModelForImageClassification.from_pretrained(folder)
    three = replace(shades(), classes=("a", "b", "c"))
    model = build_classifier(replace(RUN, model=str(folder)), three, seed=0)
    assert model.config.num_classes == 3
    weight = before.lvit.layers[0].attention.q_proj.weight
    assert torch.equal(model.lvit.layers[0].attention.q_proj.weight, weight)


def test_what_does_not_fit_is_named(tmp_path):
    wide = Images(np.zeros((4, 1, 8, 12), np.uint8), np.arange(4) % 2, ("a", "b"))
    with pytest.raises(
        InputError, match=r"of 8 x 8 pixels in 1 channels, these have 8 x 12 in 1; .*`image_size`"
    ):
        build_classifier(RUN, wide, 0)
    build_classifier(RUN, shades(), 0).save_pretrained(tmp_path / "grey")
    with pytest.raises(InputError, match="in 1 channels, these have 8 x 8 in 3"):
        build_classifier(replace(RUN, model=str(tmp_path / "grey")), shades(channels=3), 0)
    with pytest.raises(
        InputError, match="model lvit: image_size must be a multiple of patch_size = 3, got 8"
    ):
        build_classifier(replace(RUN, sizes={**VIT, "patch_size": 3}), shades(), 0)
    with pytest.raises(InputError, match="expected a folder, or one of lvit, vit, lorentz-resnet"):
        build_classifier(replace(RUN, model=str(tmp_path / "absent")), shades(), 0)
