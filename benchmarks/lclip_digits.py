"""Handwritten digits and words about them, for `lclip.py`: single digits, and pairs side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from crocuta.data.images import Images, read_images
from crocuta.models.clip.lclip import ClipConfig, ClipModel, LClipConfig, LClipModel
from crocuta.models.lorentz_language import LorentzTransformerConfig
from crocuta.models.vision.lvit import LViTConfig
from crocuta.models.vision.resnet import LorentzResNetConfig
from crocuta.runs.recipe import Recipe
from crocuta.words.clip import train_clip
from crocuta.words.tokenizer import word_tokenizer

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = ("a photo of the digit {}", "the digit {}", "a {}", "a handwritten {}")
PAIR = "a {} to the left of a {}"
TEST, HELD_OUT_PAIRS = 2000, 20
BATCH = 128
IMAGE_ENCODERS = {
    "lorentz-resnet": LorentzResNetConfig(
        num_channels=1, depths=[1, 1], channels=[16, 32], stem_stride=2, learnable=True
    ),
    "lvit": LViTConfig(
        image_size=28, patch_size=7, num_channels=1, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=192, learnable=True,
    ),
}  # fmt: skip
EPOCHS = {"lorentz-resnet": 8, "lvit": 30}
RATES = {"lorentz-resnet": 1e-2, "lvit": 3e-3}


class Digits(NamedTuple):
    """Pixels (n, 1, 28, 28), mean about 0, and labels."""

    pixels: torch.Tensor
    labels: np.ndarray


def normalised(images: Images) -> Digits:
    pixels = torch.from_numpy(np.asarray(images.pixels, np.float32)).reshape(-1, 1, 28, 28) / 255
    return Digits((pixels - 0.13) / 0.31, np.asarray(images.labels))


def beside(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Two digits at half their size, one to the left of the other."""
    pair = torch.cat([F.avg_pool2d(left, 2), F.avg_pool2d(right, 2)], dim=-1)
    return F.pad(pair, (0, 0, 7, 7), value=float(pair.min()))


class Problem(NamedTuple):
    """Training and test digits, the pairs of digits that training never shows, and the words."""

    train: Digits
    test: Digits
    held_out: np.ndarray
    tokenizer: Any

    def tokens(self, captions: list[str]) -> dict[str, torch.Tensor]:
        found = self.tokenizer(captions, padding=True, return_tensors="pt")
        return {"text_ids": found["input_ids"], "text_mask": found["attention_mask"]}


def pose(folder: Path, seed: int) -> Problem:
    """Splits digits, and pairs so that each digit stands on either side of some pair of the training part.

    The first `TEST` of one fixed order were in sight while settings were chosen and are never tested on; each seed is
    tested on `TEST` others.
    """
    digits = normalised(read_images(folder).train)
    order = np.random.default_rng(0).permutation(len(digits.labels))
    test = np.arange(TEST) + (1 + seed) * TEST
    generator = np.random.default_rng(seed)
    held_out = np.zeros((10, 10), bool)
    for shift in generator.permutation(np.arange(1, 10))[: HELD_OUT_PAIRS // 10]:
        held_out[np.arange(10), (np.arange(10) + shift) % 10] = True
    train, test = (
        Digits(digits.pixels[rows], digits.labels[rows]) for rows in (np.delete(order, test), order[test])
    )
    captions = [template.format(name) for template in TEMPLATES for name in NAMES]
    return Problem(train, test, held_out, word_tokenizer([*captions, PAIR.format("one", "two")]))


def batches(problem: Problem, seed: int, epoch: int) -> Iterator[dict[str, torch.Tensor]]:
    """Half of each batch is single digits, shifted by a pixel or two, the other half pairs that are not held out."""
    generator = np.random.default_rng([seed, epoch])
    pixels, labels = problem.train
    order = generator.permutation(len(labels))
    for start in range(0, len(order) // BATCH * BATCH, BATCH):
        chosen = order[start : start + BATCH // 2]
        left, right = generator.integers(0, len(labels), (2, BATCH))
        allowed = np.flatnonzero(~problem.held_out[labels[left], labels[right]])[: BATCH // 2]
        left, right = left[allowed], right[allowed]
        singles = torch.roll(pixels[chosen], tuple(generator.integers(-2, 3, 2).tolist()), dims=(2, 3))
        templates = generator.integers(0, len(TEMPLATES), len(chosen))
        captions = [TEMPLATES[t].format(NAMES[d]) for t, d in zip(templates, labels[chosen], strict=True)]
        captions += [
            PAIR.format(NAMES[a], NAMES[b]) for a, b in zip(labels[left], labels[right], strict=True)
        ]
        group = np.concatenate([labels[chosen], 10 + 10 * labels[left] + labels[right]])
        yield {
            "pixel_values": torch.cat([singles, beside(pixels[left], pixels[right])]),
            "group": torch.from_numpy(group.astype(np.int64)),
        } | problem.tokens(captions)


@torch.no_grad()
def judge(model: LClipModel, problem: Problem, seed: int) -> dict[str, float]:
    """Zero-shot accuracies: of ten classes by prompts; of a hundred pairs, those seen in training and those not."""
    encode = lambda images: torch.cat([model.encode_image(part) for part in images.split(500)])  # noqa: E731
    prompts = [
        model.encode_text(**problem.tokens([template.format(name) for name in NAMES]))
        for template in TEMPLATES
    ]
    pixels, labels = problem.test
    single = model.classify(encode(pixels), torch.stack(prompts, 1)).argmax(1).numpy()
    one = model.classify(encode(pixels), prompts[0][:, None]).argmax(1).numpy()
    left, right = np.random.default_rng([seed, 999]).integers(0, len(labels), (2, 4000))
    words = model.encode_text(**problem.tokens([PAIR.format(a, b) for a in NAMES for b in NAMES]))
    points = encode(beside(pixels[left], pixels[right]))
    found = model.retrieve(points, words, 1).indices[:, 0].numpy()
    pair = 10 * labels[left] + labels[right]
    unseen = problem.held_out[labels[left], labels[right]]
    relevant = torch.from_numpy(pair[:, None] == np.arange(100))
    nearest = model.retrieve(words, points, 10).indices
    return {
        "digits, four prompts": float((single == labels).mean()),
        "digits, one prompt": float((one == labels).mean()),
        "pairs of combinations seen": float((found == pair)[~unseen].mean()),
        "pairs of combinations never seen": float((found == pair)[unseen].mean()),
        "share of the 10 images nearest to a caption": float(relevant.T.gather(1, nearest).float().mean()),
    }


def fit(kind: str, problem: Problem, seed: int, encoder: str = "lorentz-resnet") -> dict[str, Any]:
    torch.manual_seed(seed)
    towers = {
        "content_config": IMAGE_ENCODERS[encoder],
        "text_config": LorentzTransformerConfig(
            vocab_size=len(problem.tokenizer), d_model=32, n_layer=2, n_head=2, initializer_range=0.1
        ),
    }
    maker, config = (LClipModel, LClipConfig) if kind == "L-CLIP" else (ClipModel, ClipConfig)
    model = maker(config(**towers, projection_dim=32))
    start = time.process_time()
    recipe = Recipe(learning_rate=RATES[encoder], weight_decay=0.05, warmup=0.1)
    history = train_clip(
        model, partial(batches, problem, seed),
        epochs=EPOCHS[encoder], steps=len(problem.train.labels) // BATCH, recipe=recipe,
    )  # fmt: skip
    found: dict[str, Any] = {"seed": seed, "cpu_seconds": time.process_time() - start, "loss": history}
    if kind == "L-CLIP":
        found["curvature"] = torch.as_tensor(model.manifold.c).item()
        found["outside its cone, radians"] = excess(model, problem)
    return found | {"parameters": model.num_parameters()} | judge(model, problem, seed)


@torch.no_grad()
def excess(model: LClipModel, problem: Problem) -> float:
    """How far test digits lie outside the cone of their caption, on average."""
    text = model.encode_text(
        **problem.tokens([TEMPLATES[0].format(NAMES[d]) for d in problem.test.labels[:500]])
    )
    assert model.entailment is not None
    return model.entailment(text, model.encode_image(problem.test.pixels[:500])).item()


def measure(folder: Path, seeds: int, kinds: list[str], save) -> dict[str, Any]:
    found: dict[str, Any] = {"runs": []}
    for seed in range(seeds):
        problem = pose(folder, seed)
        run: dict[str, Any] = {"seed": seed}
        for kind in kinds:
            run[kind] = fit(kind, problem, seed)
            print(seed, kind, run[kind], flush=True)
            save(found | {"runs": [*found["runs"], run]})
        found["runs"].append(run)
    return found
