"""Cost of the hyperbolic CNNs beside their Euclidean twin: forward, backward and optimizer step, one run.

    python benchmarks/hcnn.py [--batch 100] [--length 300] [--rounds 15]

Rounds alternate between the models and the median of each counts. Memory is what a model keeps for its backward pass
(tensors saved by autograd, parameters left out), and the highest resident memory of a process that trains it alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from pathlib import Path

import psutil
import torch
from torch import nn

from crocuta import optim
from crocuta.models.cnn import CNNConfig, CNNForSequenceClassification
from crocuta.models.hcnn import HCNNConfig, HCNNForSequenceClassification

RESULT = Path(__file__).parent / "results" / "hcnn.json"
# Khan et al.'s code, measured beside the same CNN on one machine (batch 100, L = 300): times its time.
ORIGINAL = {"HCNN-S": 6.9, "HCNN-M": 8.6}
NAMES = ("CNN", "HCNN-S", "HCNN-M")


def build(name: str, length: int) -> nn.Module:
    """A model of the original's size, flattening, with learnable curvature."""
    if name == "CNN":
        return CNNForSequenceClassification(CNNConfig(max_length=length))
    curvatures = {"HCNN-S": "single", "HCNN-M": "multiple"}[name]
    return HCNNForSequenceClassification(HCNNConfig(max_length=length, pool=None, curvatures=curvatures))


class Training:
    """A model with its optimizer and a batch."""

    def __init__(self, name: str, batch: int, length: int):
        torch.manual_seed(0)
        self.model = build(name, length).train()
        groups = optim.parameter_groups(self.model, 1e-4, curvature_lr=1e-2, weight_decay=0.1)
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        self.inputs = {
            "input_ids": torch.randint(7, 11, (batch, length)),
            "labels": torch.randint(0, 2, (batch,)),
        }

    def step(self) -> tuple[float, float]:
        """Wall and CPU seconds of one step."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.optimizer.zero_grad()
        self.model(**self.inputs).loss.backward()
        self.optimizer.step()
        return time.perf_counter() - wall, time.process_time() - cpu

    def saved_mebibytes(self) -> float:
        """What the forward pass keeps for the backward pass."""
        own = {p.untyped_storage().data_ptr() for p in self.model.parameters()}
        kept: dict[int, int] = {}

        def pack(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = self.model(**self.inputs).loss
        size = sum(kept.values()) / 2**20
        del loss
        return size


def peak_memory(name: str, batch: int, length: int, results) -> None:
    """Highest resident memory above that of an idle process, over five steps; in a process of its own."""
    training, process = Training(name, batch, length), psutil.Process()
    base = process.memory_info().rss
    for _ in range(5):
        training.step()
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    results.put((peak - base) / 2**20)


def alone(name: str, batch: int, length: int) -> float:
    """`peak_memory` in MiB."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=peak_memory, args=(name, batch, length, results))
    process.start()
    value = results.get()
    process.join()
    return value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--length", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    trainings = {name: Training(name, arguments.batch, arguments.length) for name in NAMES}
    times: dict[str, list] = {name: [] for name in NAMES}
    for round_ in range(arguments.rounds + 2):
        for name, training in trainings.items():
            cost = training.step()
            if round_ >= 2:
                times[name].append(cost)
    rows = {}
    for name, training in trainings.items():
        rows[name] = {
            "parameters": sum(p.numel() for p in training.model.parameters()),
            "wall_ms": round(1e3 * statistics.median(wall for wall, _ in times[name]), 1),
            "cpu_ms": round(1e3 * statistics.median(cpu for _, cpu in times[name]), 1),
            "saved_mib": round(training.saved_mebibytes(), 1),
            "peak_mib": round(alone(name, arguments.batch, arguments.length), 1),
        }
    print(f"{'':8}{'parameters':>12}{'ms':>9}{'ratio':>7}{'CPU':>7}{'saved':>9}{'peak':>9}   original")
    for name, row in rows.items():
        for key in ("wall_ms", "cpu_ms", "saved_mib", "peak_mib"):
            row[key.rsplit("_", 1)[0] + "_ratio"] = round(row[key] / rows["CNN"][key], 3)
        print(
            f"{name:8}{row['parameters']:12,}{row['wall_ms']:9.1f}{row['wall_ratio']:7.2f}{row['cpu_ratio']:7.2f}"
            f"{row['saved_ratio']:9.2f}{row['peak_ratio']:9.2f}   {ORIGINAL.get(name, '')}"
        )
    machine = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(
        json.dumps(
            {"arguments": vars(arguments), "machine": machine, "original": ORIGINAL, "results": rows},
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
