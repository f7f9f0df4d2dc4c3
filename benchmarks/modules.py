"""Writes `docs/modules.md`: every hyperbolic module, its source, what it is held to, and what it costs.

    python benchmarks/modules.py

Records are kept by hand in `module_records.py` and `module_notes.py`; our costs come from `results/layers.json` and
`results/attention.json`, so the page follows when those are measured again. `tests/test_modules.py` fails where the
page is not what this script writes, where a class or a test it names does not exist, and where a cost above `MATERIAL`
has no explanation.
"""

from __future__ import annotations

import json
from pathlib import Path

from module_notes import FAILURES, FLOOR, Failure
from module_records import GROUPS, Module

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "modules.md"
RESULTS = Path(__file__).parent / "results"
MATERIAL = 1.15  # a ratio of times above this is explained on the page
ATTENTION = {
    "attention, length 2048": "LorentzMultiheadAttention",
    "focused attention, length 2048": "LorentzFocusedAttention",
    "transformer block, length 2048": "LorentzTransformerBlock",
}

TEXT = """# Modules

Every module that HyperCore (arXiv 2504.08912) and Hyperbolic Genome Embeddings (HGE, arXiv 2507.21648) offer, graph
layers and whole models aside, and what stands for it here: the equation it follows, what its values are held to, and
what it costs. [Hyperbolic layers](layers.md) shows how they make a network.

- **Source**: paper and equation; the class's docstring says more.
- **Held to**: *golden* means values and gradients of the original on fixed weights, where it is right, equal to 1e-9 in
  float64 at k = 1, 0.5 and 2 (k = 1/c); other oracles are named. *Laws* are those of `crocuta.testing`, which layers
  pass besides: on the manifold, gradients equal to finite differences, bfloat16 autocast, reload, fixed and learnable
  curvature, c of 0.1, 1 and 2.7.
- **Cost**: forward and backward on one CPU thread, CPU time as a multiple of a Euclidean twin's of equal width, both
  measured in one run; in brackets the memory alive between the two passes. *Theirs*: HyperCore's layer, or HGE's,
  against its own twin, as we measured the original code on a CPU.

`python benchmarks/modules.py` writes this page; `benchmarks/layers.py` and `benchmarks/attention.py` measure our costs.

{groups}## What goes wrong in the originals

Measured on the published code. Each has a test that shows ours right.

{failures}

## What is left to the floor

The Euclidean twin is the floor. Where we need more than {material:.2f} times its CPU time, this is what the rest buys:

{floor}
"""


def costs() -> dict[str, tuple[float, float]]:
    """Class name -> ratio of CPU times, ratio of memory; the first row of a class counts."""
    found: dict[str, tuple[float, float]] = {}
    for key, row in json.loads((RESULTS / "layers.json").read_text())["layers"].items():
        found.setdefault(key.split()[0], (row["time_ratio"], row["memory_ratio"]))
    for key, row in json.loads((RESULTS / "attention.json").read_text())["results"].items():
        if key in ATTENTION:
            found.setdefault(ATTENTION[key], (row["cpu_ratio"], row["saved_ratio"]))
    return found


def cost_cell(module: Module, found: dict[str, tuple[float, float]]) -> str:
    """`1.09 (1.00); theirs 1.34`, a part left out where nothing was measured."""
    measured = [found[name] for name in module.classes if name in found and not module.note]
    ours = "; ".join(f"{time:.2f} ({memory:.2f})" for time, memory in measured)
    return "; ".join(part for part in (ours, module.theirs and f"theirs {module.theirs}") if part) or "-"


def module_table(modules: tuple[Module, ...], found: dict[str, tuple[float, float]]) -> str:
    lines = ["| original | crocuta | source | held to | cost (memory) |", "|---|---|---|---|---|"]
    for module in modules:
        ours = ", ".join(f"`{name}`" for name in module.classes) + f" {module.note}"
        tests = ", ".join(f"`{test}`" for test in module.tests)
        held = f"{module.oracle}: {tests}" if tests else module.oracle
        cells = (module.original, ours.strip(), module.source, held, cost_cell(module, found))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def failure_table(failures: tuple[Failure, ...]) -> str:
    lines = ["| original | what happens there | test |", "|---|---|---|"]
    for failure in failures:
        tests = ", ".join(f"`{test}`" for test in failure.tests)
        lines.append(f"| {failure.where} | {failure.what} | {tests} |")
    return "\n".join(lines)


def floor_list(found: dict[str, tuple[float, float]]) -> str:
    named = [name for modules in GROUPS.values() for module in modules for name in module.classes]
    return "\n".join(
        f"- `{name}` {found[name][0]:.2f}: {FLOOR[name]}"
        for name in dict.fromkeys(named)
        if name in found and found[name][0] > MATERIAL
    )


def render() -> str:
    """The whole page."""
    found = costs()
    groups = "".join(f"## {title}\n\n{module_table(rows, found)}\n\n" for title, rows in GROUPS.items())
    return TEXT.format(
        groups=groups, failures=failure_table(FAILURES), floor=floor_list(found), material=MATERIAL
    )


if __name__ == "__main__":
    PAGE.write_text(render())
