"""The image processor: sizes, channels, values, saving, and that it needs neither torchvision nor Pillow."""

import subprocess
import sys

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoImageProcessor, CrocutaImageProcessor, LViTConfig, LViTModel
    from transformers import AutoImageProcessor

    from crocuta.models.vision.lvit import LViTConfig, LViTModel
    from crocuta.models.vision.processor import CrocutaImageProcessor


def colours(height=10, width=12):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_values_are_rescaled_and_normalised():
    processor = CrocutaImageProcessor(do_resize=False, image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.6, 0.7])
    pixels = processor(colours(), return_tensors="pt")["pixel_values"][0].numpy()
    expected = (np.moveaxis(colours(), -1, 0) / 255 - np.array([0.1, 0.2, 0.3])[:, None, None]) / np.array(
        [0.5, 0.6, 0.7]
    )[:, None, None]
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


@pytest.mark.parametrize(
    "image",
    [colours(), np.moveaxis(colours(), -1, 0), torch.from_numpy(colours()), colours()[..., 0]],
    ids=["last", "first", "tensor", "grey"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(image, channels):
    processor = CrocutaImageProcessor(size={"height": 8, "width": 6}, num_channels=channels)
    assert processor([image, image], return_tensors="pt")["pixel_values"].shape == (2, channels, 8, 6)
    assert processor(image)["pixel_values"][0].shape == (channels, 8, 6)


def test_colours_turn_grey_as_pillow_does_and_grey_repeats():
    pil = pytest.importorskip("PIL.Image")
    raw = {"do_resize": False, "do_rescale": False, "do_normalize": False, "return_tensors": "pt"}
    grey = CrocutaImageProcessor(num_channels=1)(colours(), **raw)["pixel_values"][0, 0]
    expected = np.asarray(pil.fromarray(colours()).convert("L"), np.float32)
    assert (grey.numpy() - expected).__abs__().max() <= 1.0
    repeated = CrocutaImageProcessor()(colours()[..., 0], **raw)["pixel_values"][0]
    assert (repeated == torch.from_numpy(colours()[..., 0]).float()).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_pillow_images(mode):
    pil = pytest.importorskip("PIL.Image")
    picture = pil.fromarray(colours(8, 8)).convert(mode)
    processor = CrocutaImageProcessor(size={"height": 8, "width": 8})
    pixels = processor(picture, return_tensors="pt")["pixel_values"]
    again = processor(np.asarray(picture.convert("RGB")), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(pixels, again)


def test_shrinking_averages():
    """Without antialiasing a checkerboard shrinks to black, white or a pattern."""
    board = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)
    processor = CrocutaImageProcessor(size={"height": 4, "width": 4}, num_channels=1, do_normalize=False)
    inside = processor(board, return_tensors="pt")["pixel_values"][0, 0, 1:-1, 1:-1]
    torch.testing.assert_close(inside, torch.full((2, 2), 0.5), atol=0.02, rtol=0)


def test_saves_with_the_model_and_loads_by_name(tmp_path):
    config = LViTConfig(
        image_size=8,
        patch_size=4,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    processor = CrocutaImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.1], image_std=[0.3])
    LViTModel(config).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = AutoImageProcessor.from_pretrained(tmp_path)
    assert isinstance(again, CrocutaImageProcessor)
    assert torch.equal(
        again(colours(), return_tensors="pt")["pixel_values"],
        processor(colours(), return_tensors="pt")["pixel_values"],
    )


WITHOUT = """
import importlib.abc, importlib.util, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("PIL", "torchvision"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name.split(".")[0] in ("PIL", "torchvision") else found(name, package)
)
import numpy as np
import crocuta.models.vision.lvit
from crocuta.models.vision.processor import CrocutaImageProcessor

processor = CrocutaImageProcessor(size={"height": 4, "width": 4})
assert processor(np.zeros((8, 8, 3), np.uint8), return_tensors="pt")["pixel_values"].shape == (1, 3, 4, 4)
assert "PIL" not in sys.modules and "torchvision" not in sys.modules
"""


def test_needs_neither_torchvision_nor_pillow():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
