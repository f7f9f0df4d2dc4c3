"""LoRA and HypLoRA through `peft` on a HyenaDNA: train an adapter and a head, save them, put them on a fresh base.

    python examples/hyplora.py my-hyenadna/       # a folder of pretrained weights
    python examples/hyplora.py --sequences 200    # without one: a tiny model with new weights, which shows the verbs

The same from the command line: crocuta train data.csv -m my-hyenadna/ --adapt lora:4 --adapt hyplora:4
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from crocuta.analysis.scores import scores
from crocuta.data.batch import pad_batch
from crocuta.data.demo import load_demo
from crocuta.data.labelled import Labelled
from crocuta.models.hyena import HyenaConfig, HyenaForSequenceClassification
from crocuta.models.hyplora import HypLoraConfig  # also makes peft know HypLoRA
from crocuta.quiet import prepare

LAYERS = ["in_proj", "out_proj", "fc1", "fc2"]
HEAD = ["score"]  # new, so trained whole and saved with the adapter
ADAPTERS = {
    "LoRA": LoraConfig(r=4, lora_alpha=8, target_modules=LAYERS, modules_to_save=HEAD),
    "HypLoRA": HypLoraConfig(r=4, hyplora_alpha=8, target_modules=LAYERS, modules_to_save=HEAD),
    "HypLoRA, fully hyperbolic": HypLoraConfig(
        r=4, hyplora_alpha=8, form="full", target_modules=LAYERS, modules_to_save=HEAD
    ),
    "HypLoRA, curvature learned": HypLoraConfig(
        r=4, hyplora_alpha=8, learnable_curvature=True, target_modules=LAYERS, modules_to_save=HEAD
    ),
}


def base(pretrained: Path | None) -> Any:
    """The same model at each call."""
    torch.manual_seed(0)
    if pretrained:
        return HyenaForSequenceClassification.from_pretrained(pretrained)
    config = HyenaConfig(d_model=32, n_layer=1, filter_order=16, max_seq_len=256, initializer_range=0.08)
    return HyenaForSequenceClassification(config)


def train(model: Any, data: Labelled, epochs: int) -> None:
    """Plain steps of AdamW on what peft left trainable."""
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=4e-3)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(data)).split(32):
            ids, mask = pad_batch([data.sequences[i] for i in rows.tolist()], "left", append_separator=True)
            labels = torch.from_numpy(data.labels[rows.numpy()]).long()
            loss = model(
                input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), labels=labels
            ).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def probabilities(model: Any, data: Labelled) -> np.ndarray:
    """Class probabilities; crocuta's own method lies below peft's wrapper."""
    return model.get_base_model().probabilities(data.sequences)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pretrained", nargs="?", type=Path)
    parser.add_argument("--sequences", type=int, help="of the training set; default all")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("adapters"))
    arguments = parser.parse_args()
    prepare()
    splits = load_demo()
    data = splits.train.select(range(arguments.sequences or len(splits.train)))

    for title, config in ADAPTERS.items():
        model = get_peft_model(base(arguments.pretrained), config)
        train(model, data, arguments.epochs)
        found = probabilities(model, splits.test)
        trained, whole = model.get_nb_trainable_parameters()
        mcc = scores(splits.test.labels, found)["mcc"]

        # The adapter and the head alone, as safetensors; they go onto a fresh base.
        folder = arguments.output / title.lower().replace(", ", "-").replace(" ", "-")
        model.save_pretrained(folder)
        loaded = PeftModel.from_pretrained(base(arguments.pretrained), folder)
        assert np.allclose(probabilities(loaded, splits.test), found, atol=1e-4)
        size = (folder / "adapter_model.safetensors").stat().st_size / 1024
        print(f"{title:28} {trained:6,} of {whole:,} trained, {size:.0f} KiB, MCC {mcc:.3f}")

    # LoRA's update is a matrix and can be merged; HypLoRA's is none, and peft's verb says so.
    try:
        model.merge_and_unload()
    except ValueError as error:
        print(error)


if __name__ == "__main__":
    main()
