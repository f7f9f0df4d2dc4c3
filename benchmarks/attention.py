"""Cost of Lorentz attention and of the transformer block against their Euclidean twins, both sides in one run.

    python benchmarks/attention.py [--batch 2] [--width 256] [--heads 4] [--rounds 7]

Forward and backward. The twin of attention is `scaled_dot_product_attention` between linear maps, that of the block is
a pre-norm RMSNorm, SwiGLU block around it. Rounds alternate between the two sides; the best wall time and the best CPU
time of each count. Saved memory is what autograd keeps for the backward pass, parameters aside.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import torch
import twins
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.attention import LorentzFocusedAttention, LorentzMultiheadAttention
from crocuta.nn.lorentz.transformer import LorentzTransformerBlock

RESULT = Path(__file__).parent / "results" / "attention.json"


def saved_bytes(module: nn.Module, x: Tensor, options: dict) -> int:
    """Bytes of distinct storages that the backward pass keeps, parameters aside."""
    own = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = module(x, **options)
    del out
    return sum(kept.values())


def once(module: nn.Module, x: Tensor, weight: Tensor, options: dict) -> tuple[float, float]:
    """Wall and CPU seconds of one forward and backward pass."""
    module.zero_grad()
    x.grad = None
    wall, cpu = time.perf_counter(), time.process_time()
    (module(x, **options) * weight).sum().backward()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(ours: nn.Module, twin: nn.Module, length: int, arguments: argparse.Namespace, **options) -> dict:
    """Best milliseconds and saved MiB of each side."""
    width, batch = arguments.width, arguments.batch
    s = torch.randn(batch, length, width)
    weight = torch.randn(batch, length, width)
    sides = {
        "crocuta": (ours, Lorentz().lift(s).requires_grad_(), F.pad(weight, (1, 0))),
        "euclidean": (twin, s.clone().requires_grad_(), weight),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, (module, x, functional) in sides.items():
            times[name].append(once(module, x, functional, options))
    row = {}
    for name, (module, x, _) in sides.items():
        row[f"{name}_ms"] = round(1e3 * min(wall for wall, _ in times[name]), 1)
        row[f"{name}_cpu_ms"] = round(1e3 * min(cpu for _, cpu in times[name]), 1)
        row[f"{name}_saved_mib"] = round(saved_bytes(module, x, options) / 2**20, 2)
    row["ratio"] = round(row["crocuta_ms"] / row["euclidean_ms"], 3)
    row["cpu_ratio"] = round(row["crocuta_cpu_ms"] / row["euclidean_cpu_ms"], 3)
    row["saved_ratio"] = round(row["crocuta_saved_mib"] / row["euclidean_saved_mib"], 3)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 2048])
    arguments = parser.parse_args()
    torch.manual_seed(0)
    m, width, heads = Lorentz(), arguments.width, arguments.heads
    twin = twins.Attention(width, heads)
    block = LorentzTransformerBlock(m, width, heads)
    twin_block = twins.Block(width, heads, block.feed_forward.hidden_features + 1)
    pairs = {
        "attention": (LorentzMultiheadAttention(m, width, heads), twin, {}),
        "attention, causal": (LorentzMultiheadAttention(m, width, heads), twin, {"is_causal": True}),
        "focused attention": (LorentzFocusedAttention(m, width, heads), twin, {}),
        "transformer block": (block, twin_block, {}),
    }
    results = {}
    print(f"{'':28}{'crocuta ms':>12}{'Euclid ms':>12}{'ratio':>8}{'CPU ratio':>11}{'memory ratio':>14}")
    for name, (ours, theirs, options) in pairs.items():
        for length in arguments.lengths:
            row = compare(ours, theirs, length, arguments, **options)
            results[f"{name}, length {length}"] = row
            print(
                f"{name + f', {length}':28}{row['crocuta_ms']:12.1f}{row['euclidean_ms']:12.1f}"
                f"{row['ratio']:8.2f}{row['cpu_ratio']:11.2f}{row['saved_ratio']:14.2f}",
                flush=True,
            )
    machine = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "processor": platform.machine(),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(
        json.dumps({"arguments": vars(arguments), "machine": machine, "results": results}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
