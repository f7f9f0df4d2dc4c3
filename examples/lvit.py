"""A vision transformer on the hyperboloid and transformers' own: python examples/lvit.py [images-idx3-ubyte.gz]

Without a path, scikit-learn's handwritten digits of 8 x 8 pixels; with one, MNIST's (labels beside the images).
"""

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, ViTConfig, ViTForImageClassification

from crocuta.data.images import read_images
from crocuta.models.vision.lvit import LViTConfig, LViTForImageClassification
from crocuta.optim import parameter_groups
from crocuta.vision.jitter import Jitter


def load(path: str | None) -> tuple[Tensor, Tensor]:
    """Pixels (n, 1, height, width), about 0 with variance 1, and digits (n,)."""
    if path is None:
        pixels, digits = map(torch.from_numpy, load_digits(return_X_y=True))
        pixels = pixels.float().reshape(-1, 1, 8, 8)
    else:
        images = read_images(path).train
        pixels, digits = torch.from_numpy(images.pixels).float(), torch.from_numpy(images.labels)
    return (pixels - pixels.mean()) / pixels.std(), digits


def build(kind: str, size: int) -> PreTrainedModel:
    """Both kinds at one width and depth; 16 patches of an image."""
    sizes = {
        "image_size": size,
        "patch_size": size // 4,
        "num_channels": 1,
        "num_labels": 10,
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 256,
    }
    if kind == "ViT":
        return ViTForImageClassification(ViTConfig(**sizes))
    return LViTForImageClassification(LViTConfig(**sizes, learnable=True))


def train(model: PreTrainedModel, pixels: Tensor, digits: Tensor, epochs: int, rate: float = 2e-3) -> None:
    """AdamW on a one-cycle schedule, images shifted and turned a little."""
    optimizer = torch.optim.AdamW(parameter_groups(model, rate, weight_decay=0.05))
    batches = -(-len(pixels) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * batches, pct_start=0.1)
    jitter = Jitter(shift=0.06, degrees=8)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(pixels)).split(64):
            optimizer.zero_grad()
            logits = model(pixel_values=jitter(pixels[rows])).logits
            cross_entropy(logits, digits[rows]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()


@torch.inference_mode()
def accuracy(model: PreTrainedModel, pixels: Tensor, digits: Tensor) -> float:
    """Share of images told right."""
    return (model.eval()(pixel_values=pixels).logits.argmax(1) == digits).float().mean().item()


def main(path: str | None, epochs: int, kinds: tuple[str, ...] = ("LViT", "ViT")) -> dict[str, float]:
    """Train on four fifths of the images, judge on the others."""
    pixels, digits = load(path)
    split = train_test_split(pixels, digits, test_size=0.2, stratify=digits, random_state=0)
    train_pixels, test_pixels, train_digits, test_digits = split
    found = {}
    for kind in kinds:
        torch.manual_seed(0)
        model = build(kind, pixels.shape[-1])
        train(model, train_pixels, train_digits, epochs)
        found[kind] = accuracy(model, test_pixels, test_digits)
        print(f"{kind:5} test accuracy {found[kind]:.4f}, {model.num_parameters():,} parameters")
        if kind == "LViT":
            points = model.lvit(test_pixels[:100]).pooler_output  # on the hyperboloid
            manifold = model.lvit.manifold
            print(
                f"      c = {manifold.c.item():.2f}, images {manifold.dist0(points).mean():.2f} from the origin"
            )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", help="idx file of images, plain or gzip")
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args()
    main(options.path, options.epochs)
