"""Cost of a generated token: streaming, a cache that reads the whole past at each step, a whole forward for each.

    OMP_NUM_THREADS=1 python benchmarks/generation.py [--width 128] [--layers 2] [--order 2] [--dtype float32]

Streaming generates every token; the prompt's cost is given apart. The cache is timed over `--steps` tokens at five
lengths between prompt and end, the forward once at three, and both are averaged: what the whole generation would cost
per token. Error: largest difference of a logit from the forward over the same tokens, beside the logits' deviation.
Writes results/generation.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
from crocuta.models.hyena import generation as hyena_generate
from crocuta.models.hyena.generation import HyenaStream, TokenSampler
from crocuta.nn.hyena import causal_convolution
from crocuta.nn.hyena.streaming import OnlineConvolution

RESULT = Path(__file__).parent / "results" / "generation.json"
CASES = [(1_000, 1_000), (1_000, 8_000), (10_000, 10_000)]


class CachedConvolution:
    """The obvious step: keep all values, and take their dot product with the filter for every token."""

    def __init__(self, slots: int, batch: int, width: int, capacity: int, dtype: torch.dtype, device):
        self.values: list[Tensor] = [torch.empty(0)] * slots
        self.reversed: list[Tensor] = [torch.empty(0)] * slots
        self.skip: list[Tensor] = [torch.empty(0)] * slots
        self.capacity = capacity

    def prime(self, slot: int, x: Tensor, k: Tensor, skip: Tensor) -> Tensor:
        self.reversed[slot], self.skip[slot], self.seen = k.flip(-1).contiguous(), skip, x.shape[-1]
        self.values[slot] = torch.nn.functional.pad(x, (0, self.capacity))
        return causal_convolution(x, k[:, : x.shape[-1]], skip)

    def step(self, slot: int, x: Tensor) -> Tensor:
        self.values[slot][..., self.seen] = x
        past = self.values[slot][..., : self.seen + 1]
        filters = self.reversed[slot][:, -self.seen - 1 :]
        return torch.einsum("bdt,dt->bd", past, filters) + self.skip[slot] * x

    def advance(self) -> None:
        self.seen += 1


def streaming(model: HyenaForCausalLM, prompt: Tensor, new: int) -> dict:
    """Seconds and error of generating `new` tokens."""
    sample = TokenSampler([7, 8, 9, 10], 1.0, None, torch.Generator().manual_seed(0))
    start = time.perf_counter()
    stream = HyenaStream(model, prompt, new)
    read = time.perf_counter()
    tokens, logits = [], [stream.logits]
    for _ in range(new):
        tokens.append(sample(logits[-1]))
        logits.append(stream.step(tokens[-1]))
    end = time.perf_counter()
    ids = torch.cat([prompt, torch.stack(tokens, dim=1)], dim=1)
    with torch.inference_mode():
        expected = model(ids).logits[:, prompt.shape[1] - 1 :]
    return {
        "prompt_s": round(read - start, 3),
        "ms_per_token": round(1e3 * (end - read) / new, 3),
        "error": float((torch.stack(logits, dim=1) - expected).abs().max()),
        "logit_deviation": round(float(expected.std()), 3),
    }


def cached(model: HyenaForCausalLM, prompt: Tensor, new: int, steps: int) -> float:
    """Milliseconds per token of the cache, averaged over lengths."""
    hyena_generate.OnlineConvolution = CachedConvolution  # pyright: ignore[reportAttributeAccessIssue]
    times = []
    for length in np.linspace(prompt.shape[1], prompt.shape[1] + new - steps, 5).astype(int):
        ids = torch.randint(7, 11, (len(prompt), int(length)))
        stream = HyenaStream(model, ids, steps)
        start = time.perf_counter()
        for _ in range(steps):
            stream.step(stream.logits[:, 7:11].argmax(-1) + 7)
        times.append((time.perf_counter() - start) / steps)
    hyena_generate.OnlineConvolution = OnlineConvolution
    return round(1e3 * float(np.mean(times)), 3)


@torch.inference_mode()
def naive(model: HyenaForCausalLM, prompt: Tensor, new: int) -> float:
    """Milliseconds per token of a whole forward for each, averaged over lengths."""
    times = []
    for length in np.linspace(prompt.shape[1], prompt.shape[1] + new, 3).astype(int):
        ids = torch.randint(7, 11, (len(prompt), int(length)))
        start = time.perf_counter()
        model(ids)
        times.append(time.perf_counter() - start)
    return round(1e3 * float(np.mean(times)), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--order", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = HyenaConfig(
        d_model=arguments.width,
        n_layer=arguments.layers,
        hyena_order=arguments.order,
        max_seq_len=20_002,
        initializer_range=0.08,
    )
    model = HyenaForCausalLM(config).eval().to(getattr(torch, arguments.dtype))
    results = {}
    for read, new in CASES:
        prompt = torch.randint(7, 11, (arguments.batch, read))
        streaming(model, prompt[:, :100], 100)
        rounds = [streaming(model, prompt, new) for _ in range(arguments.rounds)]
        row = min(rounds, key=lambda found: found["ms_per_token"])
        row["rounds_ms_per_token"] = [found["ms_per_token"] for found in rounds]
        row["cached_ms_per_token"] = cached(model, prompt, new, arguments.steps)
        row["naive_ms_per_token"] = naive(model, prompt, new)
        results[f"{read:,} + {new:,}"] = row
        print(
            f"{read:>7,} + {new:<7,} streaming {row['ms_per_token']:.3f} ms (prompt {row['prompt_s']:.2f} s),"
            f" cache {row['cached_ms_per_token']:.2f} ms, forward {row['naive_ms_per_token']:.0f} ms;"
            f" error {row['error']:.1e} of logits with deviation {row['logit_deviation']:.2f}",
            flush=True,
        )
    machine = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "processor": platform.machine(),
    }
    settings = {key: value for key, value in vars(arguments).items() if key != "output"}
    content = {"arguments": settings, "machine": machine, "results": results}
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
