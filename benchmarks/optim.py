"""Time of an optimiser's step, against torch on flat parameters and against geoopt on points, in one run.

    python benchmarks/optim.py [--rounds 60]

Rounds alternate between the two sides, so that load from elsewhere hits both; medians count. Flat: a million
parameters of a transformer's shapes. Points: 10,000 x 64 on the hyperboloid.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import geoopt
import torch
from torch import nn

from crocuta.manifolds import Lorentz
from crocuta.optim import RiemannianAdam, RiemannianSGD

RESULT = Path(__file__).parent / "results" / "optim.json"


def network() -> nn.Module:
    """About a million parameters in 128 tensors."""
    layer = nn.TransformerEncoderLayer(96, 4, 192, batch_first=True)
    model = nn.TransformerEncoder(layer, 14, enable_nested_tensor=False)
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    return model


def compare(ours: torch.optim.Optimizer, theirs: torch.optim.Optimizer, rounds: int) -> dict[str, float]:
    """Median milliseconds of a step of each side, rounds alternating."""
    times: dict[str, list[float]] = {"crocuta": [], "other": []}
    for turn in range(rounds + 3):
        for name, optimizer in (("crocuta", ours), ("other", theirs)):
            start = time.perf_counter()
            optimizer.step()
            if turn >= 3:
                times[name].append(time.perf_counter() - start)
    row = {f"{name}_ms": round(1e3 * statistics.median(values), 3) for name, values in times.items()}
    return row | {"ratio": round(row["crocuta_ms"] / row["other_ms"], 3)}


def flat(rounds: int) -> dict[str, dict]:
    """All-Euclidean models: torch's own optimisers beside ours."""
    a, b = network(), network()
    count = sum(p.numel() for p in a.parameters())
    adam = compare(RiemannianAdam(a, weight_decay=0.01), torch.optim.AdamW(b.parameters()), rounds)
    sgd = {"lr": 1e-3, "momentum": 0.9}
    plain = compare(RiemannianSGD(a, **sgd), torch.optim.SGD(b.parameters(), **sgd), rounds)
    return {f"AdamW, {count} parameters": adam, f"SGD, {count} parameters": plain}


def points(rounds: int, rows: int = 10_000, dim: int = 64) -> dict[str, dict]:
    """Points of the hyperboloid: geoopt's optimisers beside ours."""
    manifold, results = Lorentz(), {}
    x = manifold.random((rows, dim), std=0.1)
    pairs = {
        "Adam": (RiemannianAdam, geoopt.optim.RiemannianAdam, {}),
        "AMSGrad": (RiemannianAdam, geoopt.optim.RiemannianAdam, {"amsgrad": True}),
        "SGD, momentum": (RiemannianSGD, geoopt.optim.RiemannianSGD, {"momentum": 0.9}),
    }
    for name, (ours, theirs, settings) in pairs.items():
        a, b = nn.Parameter(x.clone()), geoopt.ManifoldParameter(x.clone(), manifold=geoopt.Lorentz())
        a.grad = torch.randn_like(x) * 0.01
        b.grad = a.grad.clone()
        optimizer = ours([{"params": [a], "manifold": manifold}], lr=1e-3, **settings)
        row = compare(optimizer, theirs([b], lr=1e-3, **settings), rounds)
        results[f"{name}, {rows} x {dim} points"] = row | {"speed-up": round(1 / row["ratio"], 2)}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    torch.manual_seed(0)
    results = flat(rounds) | points(rounds)
    for name, row in results.items():
        print(f"{name:32}", *(f"{key} {value:8.3f}" for key, value in row.items()))
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    versions = {"torch": torch.__version__, "geoopt": geoopt.__version__}
    RESULT.write_text(
        json.dumps({"machine": machine, "versions": versions, "results": results}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
