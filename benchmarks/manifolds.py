"""Speed of the hot maps of hyperboloid and ball against geoopt, forward and backward, both sides in one run.

    python benchmarks/manifolds.py [--rows 65536] [--dim 64] [--rounds 30]

Rounds alternate between the two libraries and the best of each counts, so that load from elsewhere hits both.
Points are at radius about 0.8 (weights of a young model) and about 8 (a trained one; 4 in the ball, where geoopt's
float32 ends at 6.2), independent; `near` are pairs at a distance of about 1e-2, where geoopt's distance is rounding
noise.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import geoopt
import torch
from torch import Tensor

from crocuta.manifolds import Lorentz, Manifold, Poincare

RESULT = Path(__file__).parent / "results" / "manifolds.json"


def once(function: Callable[[], Tensor], leaves: tuple[Tensor, ...]) -> tuple[float, float]:
    """Wall and CPU seconds of one forward and backward pass."""
    for leaf in leaves:
        leaf.grad = None
    wall, cpu = time.perf_counter(), time.process_time()
    function().backward()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(ours: Callable, theirs: Callable, leaves: tuple, their_leaves: tuple, rounds: int) -> dict:
    """Best milliseconds of each side, rounds alternating."""
    times: dict[str, list[tuple[float, float]]] = {"crocuta": [], "geoopt": []}
    for _ in range(rounds):
        times["crocuta"].append(once(ours, leaves))
        times["geoopt"].append(once(theirs, their_leaves))
    row = {}
    for name, values in times.items():
        row[f"{name}_ms"] = round(1e3 * min(wall for wall, _ in values), 2)
        row[f"{name}_cpu_ms"] = round(1e3 * sorted(cpu for _, cpu in values)[len(values) // 4], 2)
    row["ratio"] = round(row["crocuta_ms"] / row["geoopt_ms"], 3)
    row["cpu_ratio"] = round(row["crocuta_cpu_ms"] / max(row["geoopt_cpu_ms"], 1e-3), 3)
    return row


def cases(rows: int, dim: int, rounds: int) -> dict[str, dict]:
    """Every map of both models, near the origin and far out."""
    torch.manual_seed(0)
    spaces = [("", Lorentz(), geoopt.Lorentz(), 8.0), ("ball: ", Poincare(), geoopt.PoincareBall(), 4.0)]
    results = {}
    for model, ours, theirs, far in spaces:
        for name, scale in (("r = 0.8", 0.8), (f"r = {far:g}", far), ("near", 0.8)):
            found = of_model(ours, theirs, name == "near", scale, rows, dim, rounds)
            results |= {f"{model}{function}, {name}": row for function, row in found.items()}
    return results


def of_model(
    ours: Manifold, theirs: geoopt.Manifold, near: bool, scale: float, rows: int, dim: int, rounds: int
) -> dict[str, dict]:
    """Distances of pairs at this radius; and, unless they are near each other, the maps at the origin."""
    s = torch.randn(rows, dim) * (scale / dim**0.5)
    t = s + 0.01 * torch.randn_like(s) / dim**0.5 if near else s[torch.randperm(rows)]
    x, y = (ours.expmap0(v).requires_grad_() for v in (s, t))
    found = {
        "dist": compare(
            lambda: ours.dist(x, y).sum(), lambda: theirs.dist(x, y).sum(), (x, y), (x, y), rounds
        )
    }
    if near:
        return found
    s.requires_grad_()
    times = x.shape[-1] - dim  # geoopt's tangents at the origin have as many coordinates as points
    ambient = torch.cat([torch.zeros(rows, times), s.detach()], dim=-1).requires_grad_()
    weight, weight0 = torch.randn_like(x), torch.randn_like(s)
    found["expmap0"] = compare(
        lambda: (ours.expmap0(s) * weight).sum(), lambda: (theirs.expmap0(ambient) * weight).sum(), (s,), (ambient,),
        rounds,
    )  # fmt: skip
    found["logmap0"] = compare(
        lambda: (ours.logmap0(x) * weight0).sum(),
        lambda: (theirs.logmap0(x) * weight).sum(),
        (x,),
        (x,),
        rounds,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=65536)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    results = cases(arguments.rows, arguments.dim, arguments.rounds)
    print(f"{'':24}{'crocuta ms':>12}{'geoopt ms':>12}{'ratio':>8}{'CPU ratio':>11}")
    for name, row in results.items():
        print(
            f"{name:24}{row['crocuta_ms']:12.2f}{row['geoopt_ms']:12.2f}"
            f"{row['ratio']:8.2f}{row['cpu_ratio']:11.2f}"
        )
    machine = {
        "torch": torch.__version__,
        "geoopt": geoopt.__version__,
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
