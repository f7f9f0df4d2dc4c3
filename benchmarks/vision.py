"""LViT, transformers' ViT of equal width and depth, and a Lorentz ResNet on 10,000 handwritten digits.

    python benchmarks/vision.py scores [--models lvit vit lorentz-resnet] [--seeds 3] [--work runs/vision]
    python benchmarks/vision.py tune --model lvit     # learning rates, on validation
    python benchmarks/vision.py speed                 # a training step of LViT and of ViT, interleaved
    python benchmarks/vision.py page                  # writes docs/vision.md's figures

MNIST's t10k images, in `../shared/data/images/mnist_t10k` or `--data`: 2,000 are held out for the test, stratified; of
the other 8,000 a tenth chooses the epoch and the learning rate. Each training runs in a process of its own, on
`OMP_NUM_THREADS` threads, and goes on where it was stopped. Times are CPU time, so that a busy machine blurs them less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from attention import saved_bytes
from transformers import AutoModelForImageClassification, PreTrainedModel, ViTConfig
from transformers.utils import logging

from crocuta.analysis.bootstrap import mean_sd
from crocuta.data.images import read_images
from crocuta.files import replacing, write_json
from crocuta.models.vision.lvit import LViTConfig
from crocuta.optim import parameter_groups
from crocuta.runs.progress import shown
from crocuta.runs.recipe import Recipe
from crocuta.vision.jitter import Jitter
from crocuta.vision.training import ImageLearner, ImageRun, build_classifier, fit_images, split_images

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "vision.json"
PAGE = ROOT / "docs" / "vision.md"
DATA = ROOT.parent / "shared" / "data" / "images" / "mnist_t10k"

TRANSFORMER = {
    "patch_size": 7, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 256,
}  # fmt: skip
SIZES = {
    "lvit": TRANSFORMER,
    "vit": TRANSFORMER,
    "lorentz-resnet": {"depths": [1, 1], "channels": [8, 16], "stem_stride": 2},
}
RATES = {"lvit": 2e-3, "vit": 2e-3, "lorentz-resnet": 1e-2}  # `tune` compares them with others
EPOCHS = {"lvit": 60, "vit": 60, "lorentz-resnet": 12}
JITTER = Jitter(shift=0.08, degrees=10, zoom=0.1)
TITLES = {"lvit": "LViT", "vit": "ViT (transformers)", "lorentz-resnet": "Lorentz ResNet"}
SPEEDS = {  # image, patch, width, layers, heads, batch
    "width 256, 6 layers, 64 patches": (32, 4, 256, 6, 4, 16),
    "width 192, 12 layers, 64 patches": (32, 4, 192, 12, 3, 16),
    "the digits' networks: width 64, 4 layers, 16 patches": (28, 7, 64, 4, 4, 64),
}


def image_run(model: str, rate: float, epochs: int) -> ImageRun:
    recipe = Recipe(learning_rate=rate, weight_decay=0.05, batch_size=64, epochs=epochs, warmup=0.1)
    return ImageRun(model, SIZES[model], recipe, JITTER)


def cell(model: str, seed: int, folder: Path, data: Path, rate: float, epochs: int) -> None:
    """One training; `folder/result.json` when it is done."""
    logging.disable_progress_bar()
    run = image_run(model, rate, epochs)
    parts = split_images(read_images(data), run.valid, run.test)
    with shown() as progress, progress.stage(folder.name, unit="steps") as stage:
        learner = ImageLearner(parts, run, seed)
        found = fit_images(
            build_classifier(run, parts.train, seed), learner, "cpu", folder=folder, stage=stage
        )
    write_json(folder / "result.json", found | {"threads": torch.get_num_threads()})


def finished(
    model: str, seed: int, work: Path, data: Path, rate: float | None = None, epochs: int | None = None
) -> dict:
    """The result of a training in a process of its own, unless it is there already."""
    rate, epochs = rate or RATES[model], epochs or EPOCHS[model]
    folder = work / f"{model}-{rate:g}-{epochs}-seed-{seed}"
    if not (folder / "result.json").exists():
        command = ["cell", model, str(seed), str(folder), str(data), str(rate), str(epochs)]
        subprocess.run([sys.executable, __file__, *command], check=True)
    return json.loads((folder / "result.json").read_text())


def scores(arguments: argparse.Namespace) -> None:
    for seed in range(arguments.seeds):
        for model in arguments.models:
            found = finished(model, seed, arguments.work, arguments.data)
            kept = {key: value for key, value in found.items() if key != "history"}
            keep("scores", f"{model}, seed {seed}", kept | {"learning_rate": RATES[model]})
            print(f"{model:16} seed {seed} test accuracy {found['test']['accuracy']:.4f}", flush=True)


def tune(arguments: argparse.Namespace) -> None:
    """Validation accuracy at several learning rates, a third of the epochs, seed 0; the test part is not looked at."""
    epochs = -(-EPOCHS[arguments.model] // 3)
    for rate in arguments.rates:
        found = finished(arguments.model, 0, arguments.work, arguments.data, rate, epochs)
        keep(
            "tuning", f"{arguments.model}, {rate:g}", {"epochs": epochs, "valid": found["valid"]["accuracy"]}
        )
        print(
            f"{arguments.model:16} {rate:g} validation accuracy {found['valid']['accuracy']:.4f}", flush=True
        )


def speed(arguments: argparse.Namespace) -> None:
    for name, (image, patch, width, layers, heads, batch) in SPEEDS.items():
        sizes: dict[str, Any] = {
            "image_size": image, "patch_size": patch, "num_channels": 1, "hidden_size": width, "num_labels": 10,
            "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": 4 * width,
        }  # fmt: skip
        pixels, labels = torch.randn(batch, 1, image, image), torch.randint(10, (batch,))
        sides = {}
        for side, config in (("lvit", LViTConfig(**sizes)), ("vit", ViTConfig(**sizes))):
            model = AutoModelForImageClassification.from_config(config, attn_implementation="sdpa").train()
            sides[side] = (model, stepper(model, pixels, labels))
        times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for _ in range(arguments.rounds):
            for side, (_, step) in sides.items():
                times[side].append(step())
        row: dict[str, float] = {"batch": batch}
        for side, (model, _) in sides.items():
            row[f"{side}_ms"] = round(1e3 * min(wall for wall, _ in times[side]), 1)
            row[f"{side}_cpu_ms"] = round(1e3 * min(cpu for _, cpu in times[side]), 1)
            row[f"{side}_saved_mib"] = round(saved_bytes(model, pixels, {}) / 2**20, 2)
            row[f"{side}_parameters"] = model.num_parameters()
        for kind in ("ms", "cpu_ms", "saved_mib"):
            row[f"{kind}_ratio"] = round(row[f"lvit_{kind}"] / row[f"vit_{kind}"], 3)
        keep("speed", name, row | {"load": round(os.getloadavg()[0], 2), "threads": torch.get_num_threads()})
        print(
            f"{name:44} CPU {row['cpu_ms_ratio']:.2f}, wall {row['ms_ratio']:.2f}, "
            f"memory {row['saved_mib_ratio']:.2f}",
            flush=True,
        )


def stepper(
    model: PreTrainedModel, pixels: torch.Tensor, labels: torch.Tensor
) -> Callable[[], tuple[float, float]]:
    """Wall and CPU seconds of a training step: forward, backward, optimiser."""
    optimizer = torch.optim.AdamW(parameter_groups(model, 1e-4), fused=True)

    def step() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        model(pixel_values=pixels, labels=labels).loss.backward()
        optimizer.step()
        return time.perf_counter() - wall, time.process_time() - cpu

    return step


def keep(part: str, name: str, row: dict[str, Any]) -> None:
    """Writes one row into the result file."""
    content = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    content["machine"] = {"torch": torch.__version__, "processor": platform.machine()}
    content.setdefault(part, {})[name] = row
    write_json(RESULT, content)


def page(arguments: argparse.Namespace) -> None:
    """Figures between the markers of docs/vision.md."""
    before, rest = PAGE.read_text().split("<!-- figures -->")
    after = rest.split("<!-- end of figures -->")[1]
    with replacing(PAGE) as file:
        file.write(before + "<!-- figures -->\n" + figures() + "<!-- end of figures -->" + after)


def figures() -> str:
    """The measured part of docs/vision.md, from the result file."""
    content = json.loads(RESULT.read_text())
    lines = score_table(content.get("scores", {}))
    lines += [
        "A training step of LViT and of ViT (forward, backward, AdamW), interleaved in one process:",
        "",
    ]
    lines += [
        "| | LViT, CPU ms | ViT, CPU ms | ratio | wall | memory kept for backward |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in content["speed"].items():
        lines.append(
            f"| {name}, batch {row['batch']} | {row['lvit_cpu_ms']:.0f} | {row['vit_cpu_ms']:.0f} | "
            f"**{row['cpu_ms_ratio']:.2f}** | {row['ms_ratio']:.2f} | {row['saved_mib_ratio']:.2f} |"
        )
    return "\n".join([*lines, ""])


def score_table(found: dict[str, Any]) -> list[str]:
    """A row for each model that was trained."""
    lines = [
        "| | test accuracy | seeds | parameters | epochs | CPU seconds of an epoch | peak memory, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, title in TITLES.items():
        rows = [row for name, row in found.items() if name.startswith(f"{model}, ")]
        if not rows:
            continue
        spread = mean_sd([100 * row["test"]["accuracy"] for row in rows])
        deviation = f" ± {spread.sd:.2f}" if len(rows) > 1 else ""
        seconds = sum(row["cpu_seconds"] / row["epochs"] for row in rows) / len(rows)
        memory = max(row["peak_memory_mb"] for row in rows)
        lines.append(
            f"| {title} | {spread.mean:.2f}%{deviation} | {len(rows)} | {rows[0]['parameters']:,} | "
            f"{rows[0]['epochs']} | {seconds:.1f} | {memory:.0f} |"
        )
    return [*lines, ""] if found else []


def main() -> None:
    if sys.argv[1:2] == ["cell"]:
        model, seed, folder, data, rate, epochs = sys.argv[2:]
        return cell(model, int(seed), Path(folder), Path(data), float(rate), int(epochs))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["scores", "tune", "speed", "page"])
    parser.add_argument("--models", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--model", default="lvit", choices=list(SIZES))
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-3, 2e-3, 4e-3])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "vision")
    arguments = parser.parse_args()
    return {"scores": scores, "tune": tune, "speed": speed, "page": page}[arguments.part](arguments)


if __name__ == "__main__":
    main()
