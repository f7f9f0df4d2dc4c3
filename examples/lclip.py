"""L-CLIP on handwritten digits and words about them: classes that are named, not numbered.

    python examples/lclip.py                                        # scikit-learn's 1,797 digits
    python examples/lclip.py path/to/t10k-images-idx3-ubyte.gz      # any labelled images that crocuta reads

Trains on captions ("a photo of the digit three"), then classifies held-out images by prompts alone, and shows which
images a caption finds, and that captions lie nearer to the origin than what they describe.
"""

import argparse

import numpy as np
import torch

from crocuta.data.images import read_images
from crocuta.models.clip.lclip import LClipConfig, LClipModel
from crocuta.models.lorentz_language import LorentzTransformerConfig
from crocuta.models.vision.resnet import LorentzResNetConfig
from crocuta.runs.recipe import Recipe
from crocuta.words.clip import train_clip
from crocuta.words.tokenizer import word_tokenizer

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = ("a photo of the digit {}", "a handwritten {}")
BATCH = 64


def load(path: str | None) -> tuple[torch.Tensor, np.ndarray]:
    """Pixels (n, 1, height, width) of mean 0 and deviation 1, and labels (n,)."""
    if path is None:
        from sklearn.datasets import load_digits

        bundle = load_digits()
        pixels, labels = bundle.images, bundle.target
    else:
        images = read_images(path).train
        pixels, labels = images.pixels, images.labels
    pixels = torch.from_numpy(np.asarray(pixels, np.float32))
    pixels = pixels.reshape(len(pixels), 1, *pixels.shape[-2:] if pixels.ndim == 3 else pixels.shape[1:3])
    return (pixels - pixels.mean()) / pixels.std(), np.asarray(labels)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="?")
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    torch.manual_seed(0)
    pixels, labels = load(options.images)
    order = np.random.default_rng(0).permutation(len(labels))
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    tokenizer = word_tokenizer(template.format(name) for template in TEMPLATES for name in NAMES)

    def words(captions: list[str]) -> dict[str, torch.Tensor]:
        found = tokenizer(captions, padding=True, return_tensors="pt")
        return {"text_ids": found["input_ids"], "text_mask": found["attention_mask"]}

    def batches(epoch: int):
        generator = np.random.default_rng([1, epoch])
        rows = generator.permutation(train)
        for start in range(0, len(rows) // BATCH * BATCH, BATCH):
            chosen = rows[start : start + BATCH]
            templates = generator.integers(0, len(TEMPLATES), BATCH)
            captions = [TEMPLATES[t].format(NAMES[d]) for t, d in zip(templates, labels[chosen], strict=True)]
            group = torch.from_numpy(labels[chosen].astype(np.int64))  # images of one digit are partners
            yield {"pixel_values": pixels[chosen], "group": group} | words(captions)

    model = LClipModel(
        LClipConfig(
            content_config=LorentzResNetConfig(
                num_channels=1, depths=[1, 1], channels=[8, 16], learnable=True
            ),
            text_config=LorentzTransformerConfig(
                vocab_size=len(tokenizer), d_model=16, n_layer=1, n_head=2, initializer_range=0.1
            ),
            projection_dim=16,
        )
    )
    recipe = Recipe(learning_rate=1e-2, weight_decay=0.05, warmup=0.1)
    losses = train_clip(model, batches, epochs=options.epochs, steps=len(train) // BATCH, recipe=recipe)
    print(
        f"loss {losses[0]:.2f} to {losses[-1]:.2f}, curvature {-torch.as_tensor(model.manifold.c).item():.2f}"
    )
    with torch.no_grad():
        prompts = torch.stack(
            [model.encode_text(**words([t.format(name) for name in NAMES])) for t in TEMPLATES], dim=1
        )
        points = model.encode_image(pixels[test])
        guess = model.classify(points, prompts).argmax(1).numpy()
        print(f"zero-shot accuracy {np.mean(guess == labels[test]):.1%} on {len(test)} images held out")
        asked = model.encode_text(**words(["a photo of the digit three"]))
        found = model.retrieve(asked, points, 10).indices[0]
        print(f"nearest to 'a photo of the digit three': {labels[test][found.numpy()].tolist()}")
        out = [model.manifold.dist0(p).mean().item() for p in (prompts, points)]
        print(f"distance from the origin: words {out[0]:.2f}, images {out[1]:.2f}")


if __name__ == "__main__":
    main()
