"""Cost of the hyperbolic layers against their Euclidean twins, forward and backward, both sides in one run.

    python benchmarks/layers.py [--rounds 20] [--only conv]

Rounds alternate between the two sides; the best CPU time of each counts, so that load from elsewhere hits both.
Memory is what is alive between forward and backward: the tensors that autograd saved and the output, parameters
and input not counted twice. Gradients flow to the input and to every parameter. Writes
`benchmarks/results/layers.json`: `layers` maps a class's name (and a variant, after a comma) to its row; `bar` is what
the ratio of times is to stay below, `hypercore` and `hge` that ratio for the original systems, measured elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import twins
from peft import LoraConfig, PeftConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta import nn as hyperbolic
from crocuta.manifolds import (
    Lorentz,
    Manifold,
    Poincare,
    PseudoHyperboloid,
    lorentz_to_poincare,
    poincare_to_lorentz,
)
from crocuta.models.hyplora import HypLoraConfig

RESULT = Path(__file__).parent / "results" / "layers.json"


class Side:
    """A layer, its inputs, and a gradient of its output's shape."""

    def __init__(self, layer: nn.Module, inputs: tuple[Tensor, ...]):
        self.layer = layer
        self.inputs = tuple(x.detach().requires_grad_(x.is_floating_point()) for x in inputs)
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


class Case(NamedTuple):
    """A hyperbolic layer and its twin; shapes are of intrinsic and of Euclidean vectors."""

    layer: nn.Module
    twin: nn.Module
    shape: tuple[int, ...]
    twin_shape: tuple[int, ...]
    bar: float | None = None
    count: int = 1  # of inputs
    words: int = 0  # above 0, inputs are indices below it

    def sides(self) -> tuple[Side, Side]:
        """Both layers with inputs of like size: points near the origin, and vectors."""
        if self.words:
            ids = torch.randint(self.words, self.shape)
            return Side(self.layer, (ids,)), Side(self.twin, (ids,))
        manifold = getattr(self.layer, "manifold_in", getattr(self.layer, "manifold", None))
        if not isinstance(manifold, Manifold):  # of vectors, both
            x = torch.randn(self.shape)
            return Side(self.layer, (x,)), Side(self.twin, (x,))
        points = (
            manifold.expmap0(torch.randn(self.shape) / self.shape[-1] ** 0.5) for _ in range(self.count)
        )
        vectors = (torch.randn(self.twin_shape) for _ in range(self.count))
        return Side(self.layer, tuple(points)), Side(self.twin, tuple(vectors))


class OfPoints(twins.Apply):
    """A function of points as a layer."""

    def __init__(self, manifold: Manifold, function: Callable[..., Tensor]):
        super().__init__(function)
        self.manifold = manifold


# the original systems' own ratios of times, forward and backward on a CPU
HYPERCORE = {
    "LorentzLinear": 1.34,
    "LorentzBoostLinear": 1.75,
    "TangentLinear": 8.9,
    "LorentzLayerNorm": 2.8,
    "LorentzResidual": 10.7,
    "LorentzConv2d": 6.8,
    "LorentzBatchNorm2d": 9.7,
}
HGE = {"LorentzConv1d": 4.2, "LorentzBatchNorm1d": 20.4}

TOKENS, NARROW = (
    (16, 256, 256),
    (16, 256, 255),
)  # batch, length, width; one dimension less, for equal coordinates
SEQUENCE, SEQUENCE_FIRST = (100, 300, 31), (100, 32, 300)
IMAGE, IMAGE_FIRST = (16, 28, 28, 63), (16, 64, 28, 28)
BALL_SEQUENCE, BALL_IMAGE = (100, 300, 32), (16, 28, 28, 64)


def linear_cases(m: Lorentz, ball: Poincare) -> dict[str, Case]:
    """Linear layers, heads and feed-forward layers."""
    pseudo = PseudoHyperboloid((2, 255))
    swiglu = hyperbolic.LorentzSwiGLU(m, 256)

    def against_linear(layer: nn.Module, out: int = 256, bar: float | None = None) -> Case:
        return Case(layer, nn.Linear(256, out), TOKENS, TOKENS, bar)

    return {
        "LorentzLinear": against_linear(hyperbolic.LorentzLinear(m, 256, 256), bar=1.25),
        "LorentzBoostLinear": against_linear(hyperbolic.LorentzBoostLinear(m, 256, 256)),
        "TangentLinear": against_linear(hyperbolic.TangentLinear(m, 256, 256)),
        "PoincareLinear": against_linear(hyperbolic.PoincareLinear(ball, 256, 256)),
        "PseudoHyperboloidLinear": against_linear(hyperbolic.PseudoHyperboloidLinear(pseudo, pseudo)),
        "LorentzCentroidClassifier": against_linear(hyperbolic.LorentzCentroidClassifier(m, 256, 10), 10),
        "LorentzMLR": against_linear(hyperbolic.LorentzMLR(m, 256, 10), 10),
        "PoincareMLR": against_linear(hyperbolic.PoincareMLR(ball, 256, 10), 10),
        "LorentzFeedForward": Case(
            hyperbolic.LorentzFeedForward(m, 256),
            nn.Sequential(nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256)),
            (4, 256, 256),
            (4, 256, 256),
        ),
        "LorentzSwiGLU": Case(
            swiglu, twins.SwiGLU(256, swiglu.hidden_features + 1), (4, 256, 256), (4, 256, 256)
        ),
    }


def low_rank_cases(m: Lorentz, ball: Poincare) -> dict[str, Case]:
    """A linear layer with HypLoRA's update beside one with LoRA's, rank 8."""

    def adapted(config: PeftConfig) -> nn.Module:
        return get_peft_model(nn.Sequential(nn.Linear(256, 256)), config)

    lora = adapted(LoraConfig(r=8, target_modules=["0"]))
    return {
        name: Case(
            adapted(HypLoraConfig(form=form, c=m.initial_c, target_modules=["0"])), lora, TOKENS, TOKENS
        )
        for name, form in (("TangentLowRank", "hybrid"), ("LorentzLowRank", "full"))
    }


def conv_cases(m: Lorentz, ball: Poincare) -> dict[str, Case]:
    """Convolutions, the blocks made of them, and pooling."""
    half = {"kernel_size": 2, "stride": 2}
    small, small_first = (16, 14, 14, 63), (16, 64, 14, 14)
    return {
        "LorentzConv1d": Case(
            hyperbolic.LorentzConv1d(m, 31, 31, 9, padding=4),
            nn.Conv1d(32, 32, 9, padding=4),
            SEQUENCE,
            SEQUENCE_FIRST,
            1.4,
        ),
        "LorentzConv2d": Case(
            hyperbolic.LorentzConv2d(m, 63, 63, 3, padding=1),
            nn.Conv2d(64, 64, 3, padding=1),
            IMAGE,
            IMAGE_FIRST,
            1.4,
        ),
        "LorentzConv2d, groups=4": Case(
            hyperbolic.LorentzConv2d(m, 64, 64, 3, padding=1, groups=4),
            nn.Conv2d(64, 64, 3, padding=1, groups=4),
            BALL_IMAGE,
            IMAGE_FIRST,
        ),
        "LorentzConvTranspose1d": Case(
            hyperbolic.LorentzConvTranspose1d(m, 31, 31, **half),
            nn.ConvTranspose1d(32, 32, **half),
            SEQUENCE,
            SEQUENCE_FIRST,
        ),
        "LorentzConvTranspose2d": Case(
            hyperbolic.LorentzConvTranspose2d(m, 63, 63, **half),
            nn.ConvTranspose2d(64, 64, **half),
            small,
            small_first,
        ),
        "PoincareConv1d": Case(
            hyperbolic.PoincareConv1d(ball, 32, 32, 9, padding=4),
            nn.Conv1d(32, 32, 9, padding=4),
            BALL_SEQUENCE,
            SEQUENCE_FIRST,
        ),
        "PoincareConv2d": Case(
            hyperbolic.PoincareConv2d(ball, 64, 64, 3, padding=1),
            nn.Conv2d(64, 64, 3, padding=1),
            BALL_IMAGE,
            IMAGE_FIRST,
        ),
        "LorentzPatchEmbedding": Case(
            hyperbolic.LorentzPatchEmbedding(m, 3, 128, 8),
            nn.Conv2d(3, 128, 8, stride=8),
            (8, 128, 128, 3),
            (8, 3, 128, 128),
        ),
        "LorentzAvgPool1d": Case(
            hyperbolic.LorentzAvgPool1d(m, 2), nn.AvgPool1d(2), SEQUENCE, SEQUENCE_FIRST
        ),
        "LorentzAvgPool2d": Case(hyperbolic.LorentzAvgPool2d(m, 2), nn.AvgPool2d(2), IMAGE, IMAGE_FIRST),
        "LorentzGlobalPool": Case(
            hyperbolic.LorentzGlobalPool(m), twins.Apply(lambda x: x.mean((2, 3))), IMAGE, IMAGE_FIRST
        ),
        "LorentzInputBlock": Case(
            hyperbolic.LorentzInputBlock(m, 3, 63),
            nn.Sequential(twins.normalised_conv(3, 64, 3), nn.ReLU()),
            (*IMAGE[:3], 3),
            (16, 3, 28, 28),
        ),
        "LorentzBasicBlock": Case(
            hyperbolic.LorentzBasicBlock(m, 63, 63), twins.basic_block(64), small, small_first
        ),
        "LorentzBottleneckBlock": Case(
            hyperbolic.LorentzBottleneckBlock(m, 64, 16),
            twins.bottleneck_block(64, 16),
            (16, 14, 14, 64),
            small_first,
        ),
    }


def norm_cases(m: Lorentz, ball: Poincare) -> dict[str, Case]:
    """Normalisations."""
    normalize = twins.Apply(lambda x: F.normalize(x, dim=-1))
    return {
        "LorentzBatchNorm1d": Case(
            hyperbolic.LorentzBatchNorm1d(m, 31), nn.BatchNorm1d(32), SEQUENCE, SEQUENCE_FIRST, 4.0
        ),
        "LorentzBatchNorm2d": Case(
            hyperbolic.LorentzBatchNorm2d(m, 63), nn.BatchNorm2d(64), IMAGE, IMAGE_FIRST, 4.0
        ),
        "PoincareBatchNorm1d": Case(
            hyperbolic.PoincareBatchNorm1d(ball, 32), nn.BatchNorm1d(32), BALL_SEQUENCE, SEQUENCE_FIRST
        ),
        "PoincareBatchNorm2d": Case(
            hyperbolic.PoincareBatchNorm2d(ball, 64), nn.BatchNorm2d(64), BALL_IMAGE, IMAGE_FIRST
        ),
        "LorentzLayerNorm": Case(hyperbolic.LorentzLayerNorm(m, 255), nn.LayerNorm(256), NARROW, TOKENS, 2.0),
        "LorentzRMSNorm": Case(hyperbolic.LorentzRMSNorm(m, 255), nn.RMSNorm(256), NARROW, TOKENS, 2.0),
        "LorentzNormalize": Case(hyperbolic.LorentzNormalize(m), normalize, NARROW, TOKENS),
    }


def pointwise_cases(m: Lorentz, ball: Poincare) -> dict[str, Case]:
    """Activations, residuals, maps between curvatures."""
    other = Lorentz(0.5)

    def addition(layer: nn.Module, shape: tuple[int, ...] = NARROW, bar: float | None = None) -> Case:
        return Case(layer, twins.Apply(torch.add), shape, TOKENS, bar, count=2)

    return {
        "LorentzResidual": addition(hyperbolic.LorentzResidual(m), bar=4.0),
        "LorentzScaledResidual": addition(hyperbolic.LorentzScaledResidual(m), bar=4.0),
        "LorentzSpaceAddition": addition(hyperbolic.LorentzSpaceAddition(m), bar=4.0),
        "TangentResidual": addition(hyperbolic.TangentResidual(m)),
        "PoincareResidual": addition(hyperbolic.PoincareResidual(ball), TOKENS),
        "LorentzActivation": Case(hyperbolic.LorentzActivation(m), nn.ReLU(), NARROW, TOKENS),
        "TangentActivation": Case(hyperbolic.TangentActivation(m), nn.ReLU(), NARROW, TOKENS),
        "LorentzDropout": Case(hyperbolic.LorentzDropout(m), nn.Dropout(), NARROW, TOKENS),
        "LorentzFlatten": Case(hyperbolic.LorentzFlatten(m), nn.Flatten(), SEQUENCE, SEQUENCE_FIRST),
        "Rescale": Case(hyperbolic.Rescale(m, other), twins.Apply(lambda x: 2.0 * x), NARROW, TOKENS),
        "Remap": Case(hyperbolic.Remap(m, other), twins.Apply(lambda x: 2.0 * x), NARROW, TOKENS),
    }


def sequence_cases(m: Lorentz, ball: Poincare) -> dict[str, Case]:
    """Attention, positions, embeddings, the transformer block."""
    shape, ids = (2, 512, 256), (16, 256)
    attention = twins.Attention(256, 4)
    block = hyperbolic.LorentzTransformerBlock(m, 256, 4)
    block_twin = twins.Block(256, 4, block.feed_forward.hidden_features + 1)
    sinusoid = twins.LearnedPosition(256, 256)
    return {
        "LorentzMultiheadAttention": Case(
            hyperbolic.LorentzMultiheadAttention(m, 256, 4), attention, shape, shape, 1.3
        ),
        "LorentzCentroidMultiheadAttention": Case(
            hyperbolic.LorentzCentroidMultiheadAttention(m, 256, 4, head_dim=64), attention, shape, shape
        ),
        "LorentzFocusedAttention": Case(
            hyperbolic.LorentzFocusedAttention(m, 256, 4), attention, shape, shape
        ),
        "PoincareMultiheadAttention": Case(
            hyperbolic.PoincareMultiheadAttention(ball, 256, 4), attention, shape, shape
        ),
        "LorentzTransformerBlock": Case(block, block_twin, shape, shape, 1.3),
        "LorentzLearnedPosition": Case(
            hyperbolic.LorentzLearnedPosition(m, 256, 255), twins.LearnedPosition(256, 256), NARROW, TOKENS
        ),
        "LorentzSinusoidalPosition": Case(
            hyperbolic.LorentzSinusoidalPosition(m, 255), sinusoid.requires_grad_(False), NARROW, TOKENS
        ),
        "LorentzRelativePosition": Case(
            hyperbolic.LorentzRelativePosition(m, 256), twins.Residual(nn.Linear(256, 256)), TOKENS, TOKENS
        ),
        "LorentzEmbedding": Case(
            hyperbolic.LorentzEmbedding(m, 4096, 255), nn.Embedding(4096, 256), ids, ids, words=4096
        ),
        "PoincareEmbedding": Case(
            hyperbolic.PoincareEmbedding(ball, 4096, 256), nn.Embedding(4096, 256), ids, ids, words=4096
        ),
        "LorentzPositionalEmbedding": Case(
            hyperbolic.LorentzPositionalEmbedding(m, 4096, 255, 256),
            twins.PositionalEmbedding(4096, 256, 256),
            ids,
            ids,
            words=4096,
        ),
    }


def head_cases(m: Lorentz, ball: Poincare) -> dict[str, Case]:
    """Losses of pairs, decoders of graphs, maps between models."""
    pairs, vectors = (256, 63), (256, 64)
    apart = twins.Apply(lambda x, y: (1 - F.cosine_similarity(x, y)).mean())
    hidden = nn.Sequential(nn.Linear(256, 100), nn.Linear(100, 10))
    scale = twins.Apply(lambda x: 2.0 * x)
    return {
        "HyperbolicContrastiveLoss": Case(
            hyperbolic.HyperbolicContrastiveLoss(m), hyperbolic.CosineContrastiveLoss(), pairs, vectors, count=2
        ),
        "EntailmentConeLoss": Case(hyperbolic.EntailmentConeLoss(m), apart, pairs, vectors, count=2),
        "FermiDiracDecoder": Case(
            hyperbolic.FermiDiracDecoder(m), twins.Apply(lambda x, y: (x * y).sum(-1).sigmoid()), NARROW, TOKENS,
            count=2,
        ),
        "TangentDecoder": Case(hyperbolic.TangentDecoder(m, 255, 10), nn.Linear(256, 10), NARROW, TOKENS),
        "CentroidDistance": Case(hyperbolic.CentroidDistance(m, 255, 10), nn.Linear(256, 10), NARROW, TOKENS),
        "CentroidDistanceClassifier": Case(
            hyperbolic.CentroidDistanceClassifier(m, 255, 10), hidden, NARROW, TOKENS
        ),
        "lorentz_to_poincare": Case(OfPoints(m, lambda x: lorentz_to_poincare(x, 1.0)), scale, NARROW, TOKENS),
        "poincare_to_lorentz": Case(OfPoints(ball, lambda x: poincare_to_lorentz(x, 1.0)), scale, TOKENS, TOKENS),
        "Rotary": Case(hyperbolic.Rotary(64), twins.Rotary(256, 64), (4, 256, 4, 64), (4, 256, 4, 64)),
    }  # fmt: skip


def cases() -> dict[str, Case]:
    """Class name, and variant after a comma -> what to measure."""
    m, ball, found = Lorentz(), Poincare(), {}
    groups = (
        linear_cases,
        low_rank_cases,
        conv_cases,
        norm_cases,
        pointwise_cases,
        sequence_cases,
        head_cases,
    )
    for group in groups:
        found.update(group(m, ball))
    return found


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
    for name, case in cases().items():
        if arguments.only.lower() in name.lower():
            rows[name] = {
                **measure(*case.sides(), arguments.rounds),
                "bar": case.bar,
                "shape": list(case.shape),
                "hypercore": HYPERCORE.get(name),
                "hge": HGE.get(name),
            }
            print(f"{name:34}", *(f"{key} {value!s:<8}" for key, value in rows[name].items()), flush=True)
    if not arguments.only:
        machine = {"torch": torch.__version__, "processor": platform.machine(), "cores": os.cpu_count()}
        result = {"machine": machine, "threads": 1, "rounds": arguments.rounds, "layers": rows}
        RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
