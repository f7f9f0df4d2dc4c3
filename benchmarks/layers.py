"""Cost of the hyperbolic layers against their Euclidean twins, forward and backward, both sides in one run.

    python benchmarks/layers.py [--rounds 20] [--only conv]

Rounds alternate between the two sides; the best CPU time of each counts, so that load from elsewhere hits both.
Memory is what is alive between forward and backward: the tensors that autograd saved and the output, parameters
and input not counted twice. Gradients flow to the input and to every parameter. Writes
`benchmarks/results/layers.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz_conv import LorentzConv1d, LorentzConv2d
from crocuta.nn.lorentz_linear import LorentzBoostLinear, LorentzLinear, TangentLinear
from crocuta.nn.lorentz_norm import LorentzBatchNorm1d, LorentzBatchNorm2d, LorentzLayerNorm, LorentzRMSNorm
from crocuta.nn.lorentz_pointwise import LorentzActivation, LorentzResidual, LorentzSpaceAddition

RESULT = Path(__file__).parent / "results" / "layers.json"


class Sum(nn.Module):
    """The Euclidean residual."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y."""
        return x + y


class Side:
    """A layer, its inputs, and a gradient of its output's shape."""

    def __init__(self, layer: nn.Module, inputs: tuple[Tensor, ...]):
        self.layer, self.inputs = layer, tuple(x.detach().requires_grad_() for x in inputs)
        self.gradient = torch.randn_like(layer(*self.inputs))

    def step(self) -> float:
        """CPU seconds of one forward and backward pass."""
        for tensor in (*self.inputs, *self.layer.parameters()):
            tensor.grad = None
        start = time.process_time()
        self.layer(*self.inputs).backward(self.gradient)
        return time.process_time() - start

    def memory(self) -> float:
        """MiB alive after the forward pass: saved tensors, inputs and output; each storage once."""
        storages: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            out = self.layer(*self.inputs)
        for tensor in (*self.inputs, out):
            note(tensor)
        for parameter in self.layer.parameters():
            storages.pop(parameter.untyped_storage().data_ptr(), None)
        return sum(storages.values()) / 2**20


def cases() -> dict[str, tuple[Callable[[], Side], Callable[[], Side], float | None]]:
    """Name -> the hyperbolic side, the Euclidean side, and the bar on the ratio of times, if there is one."""
    m = Lorentz()

    def points(*shape: int, count: int = 1) -> tuple[Tensor, ...]:
        return tuple(m.lift(torch.randn(*shape) / shape[-1] ** 0.5) for _ in range(count))

    def flat(*shape: int, count: int = 1) -> tuple[Tensor, ...]:
        return tuple(torch.randn(*shape) for _ in range(count))

    tokens = (16, 256, 256)  # batch, length, width

    def pair(ours, theirs, bar, shape, channels_first=None, count=1):
        other = shape if channels_first is None else channels_first
        return (
            lambda: Side(ours, points(*shape, count=count)),
            lambda: Side(theirs, flat(*other, count=count)),
            bar,
        )

    sequence, sequence_first = (100, 300, 31), (100, 32, 300)
    image, image_first = (16, 28, 28, 63), (16, 64, 28, 28)
    return {
        "LorentzLinear 256": pair(LorentzLinear(m, 256, 256), nn.Linear(256, 256), 1.25, tokens),
        "LorentzBoostLinear 256": pair(LorentzBoostLinear(m, 256, 256), nn.Linear(256, 256), None, tokens),
        "TangentLinear 256": pair(TangentLinear(m, 256, 256), nn.Linear(256, 256), None, tokens),
        "LorentzConv1d 32, 9": pair(
            LorentzConv1d(m, 31, 31, 9, padding=4),
            nn.Conv1d(32, 32, 9, padding=4),
            1.4,
            sequence,
            sequence_first,
        ),
        "LorentzConv2d 64, 3": pair(
            LorentzConv2d(m, 63, 63, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1), 1.4, image, image_first
        ),
        "LorentzBatchNorm1d 32": pair(
            LorentzBatchNorm1d(m, 31), nn.BatchNorm1d(32), 4.0, sequence, sequence_first
        ),
        "LorentzBatchNorm2d 64": pair(LorentzBatchNorm2d(m, 63), nn.BatchNorm2d(64), 4.0, image, image_first),
        "LorentzLayerNorm 256": pair(
            LorentzLayerNorm(m, 255), nn.LayerNorm(256), 2.0, (16, 256, 255), (16, 256, 256)
        ),
        "LorentzRMSNorm 256": pair(
            LorentzRMSNorm(m, 255), nn.RMSNorm(256), 2.0, (16, 256, 255), (16, 256, 256)
        ),
        "LorentzResidual 256": pair(LorentzResidual(m), Sum(), 4.0, (16, 256, 255), (16, 256, 256), count=2),
        "LorentzSpaceAddition 256": pair(
            LorentzSpaceAddition(m), Sum(), 4.0, (16, 256, 255), (16, 256, 256), count=2
        ),
        "LorentzActivation 256": pair(LorentzActivation(m), nn.ReLU(), None, (16, 256, 255), (16, 256, 256)),
    }


def measure(ours: Side, theirs: Side, rounds: int) -> dict[str, float]:
    """Best CPU milliseconds and memory of each side, rounds alternating."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, found in zip((ours, theirs), times, strict=True):
            found.append(side.step())
    best = [min(found) for found in times]
    memory = [ours.memory(), theirs.memory()]
    return {
        "ms": round(1e3 * best[0], 2),
        "twin_ms": round(1e3 * best[1], 2),
        "time_ratio": round(best[0] / best[1], 2),
        "mib": round(memory[0], 1),
        "twin_mib": round(memory[1], 1),
        "memory_ratio": round(memory[0] / memory[1], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="", help="measure cases whose name holds this; writes no result")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = {}
    for name, (ours, theirs, bar) in cases().items():
        if arguments.only.lower() in name.lower():
            rows[name] = {**measure(ours(), theirs(), arguments.rounds), "bar": bar}
            print(f"{name:28}", *(f"{key} {value!s:<8}" for key, value in rows[name].items()))
    if not arguments.only:
        machine = {"torch": torch.__version__, "processor": platform.machine(), "cores": os.cpu_count()}
        result = {"machine": machine, "threads": 1, "rounds": arguments.rounds, "layers": rows}
        RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
