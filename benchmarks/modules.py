"""Writes `docs/modules.md`: every hyperbolic module, its source, what it is held to, and what it costs.

    python benchmarks/modules.py

Records are kept by hand in `module_records.py` and `module_notes.py`; our costs come from the files of `results/`
(`module_costs.py`), so the page follows when those are measured again. `tests/test_modules.py` fails where the
page is not what this script writes, where a class or a test it names does not exist, and where a cost above `MATERIAL`
has no explanation.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from module_costs import Cost, layer_costs, other_costs
from module_notes import FAILURES, FLOOR, Failure
from module_records import GROUPS, Module

import crocuta.manifolds
import crocuta.nn
import crocuta.optim
import crocuta.retrieval

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "modules.md"
ARXIV = re.compile(
    r"([A-Z][^,;:()]*? \d{4}(?: \(cones\))?), arXiv (\d{4}\.\d{4,5})"
)  # "Su et al. 2021", "2104.09864"
MATERIAL = 1.15  # a ratio of times above this is explained on the page
HOMES = (crocuta.nn, crocuta.manifolds, crocuta.optim, crocuta.retrieval)
MODULE = re.compile(r"`(crocuta\.[a-z_.]+)`")

TEXT = """# Modules

This page lists every module of HyperCore (arXiv 2504.08912) and Hyperbolic Genome Embeddings (HGE, arXiv 2507.21648),
and its counterpart in crocuta: the equation it follows, what its values are tested against, and what it costs.
[Hyperbolic layers](layers.md) shows how to build a network from them.

- **Source**: paper (listed at the end) and equation; the class's docstring says more.
- **Held to**: *golden* means values and gradients of the original on fixed weights, where it is right, equal to 1e-9 in
  float64 at k = 1, 0.5 and 2 (k = 1/c); other oracles are named. *Laws* are those of `crocuta.testing`, which every
  layer passes (`tests/nn/test_every_layer.py`): on the manifold, gradients equal to finite differences, bfloat16
  autocast, reload, fixed and learnable curvature, c of 0.1, 1 and 2.7.
- **Cost**: forward and backward on one CPU thread, CPU time as a multiple of a Euclidean twin's of equal width, both
  measured in one run; in brackets the memory alive between the two passes, likewise. Attention and the transformer
  block are measured at length 2048. Where the multiple is of something else, the row says of what. **Theirs**:
  HyperCore's layer, or HGE's, against its own twin, as we measured the original code on a CPU.

Names link to their source, tests (folded) to theirs. `python benchmarks/modules.py` writes this page;
`benchmarks/layers.py` ([figures](../benchmarks/results/layers.json)) and `benchmarks/attention.py`
([figures](../benchmarks/results/attention.json)) measure the costs of layers, the benchmarks of each part those of
whole networks.

{groups}## What goes wrong in the originals

These failures were measured on the published code. For each, a test shows that crocuta is right.

{failures}

## Where the extra time goes

The Euclidean twin is the lower bound. Where crocuta needs more than {material:.2f} times its CPU time, the reason is:

{floor}

## Papers

{papers}
"""


def cost_cells(module: Module, found: dict[str, Cost], words: dict[str, str]) -> tuple[str, str]:
    """Ours, `1.09 (1.00)` for each class that was measured, and theirs."""
    measured = [found[name] for name in module.classes if name in found]
    ours = [f"{cost.time:.2f} ({cost.memory:.2f})" for cost in measured]
    ours += filter(None, [words.get(module.original)])
    theirs = [f"{cost.hypercore:g}" for cost in measured if cost.hypercore]
    theirs += [f"HGE {cost.hge:g}" for cost in measured if cost.hge]
    return "; ".join(ours), "; ".join([*theirs, *filter(None, [module.theirs])])


def linked(name: str) -> str:
    """A public name, linked to its source."""
    thing = next(getattr(home, name) for home in HOMES if name in home.__all__)
    source = Path(str(inspect.getsourcefile(inspect.unwrap(thing)))).relative_to(ROOT)
    return f"[`{name}`](../{source})"


def link_modules(note: str) -> str:
    """`crocuta.models.vision.lvit` linked to its source."""
    return MODULE.sub(lambda found: f"[{found[0]}](../src/{found[1].replace('.', '/')}.py)", note)


def module_table(modules: tuple[Module, ...], found: dict[str, Cost], words: dict[str, str]) -> str:
    lines = ["| original | crocuta | cost | theirs | source | held to |", "|---|---|---|---|---|---|"]
    for module in modules:
        ours = ", ".join(map(linked, module.classes)) + f" {link_modules(module.note)}"
        cost, theirs = cost_cells(module, found, words)
        source = ARXIV.sub(r"\1", module.source)
        cells = (module.original, ours.strip(), cost, theirs, source, ARXIV.sub(r"\1", module.oracle))
        lines.append(f"| {' | '.join(cell or '-' for cell in cells)} |")
    return "\n".join(lines)


def test_link(test: str) -> str:
    path, name = test.split("::")
    return f"[`{name}`](../{path})"


def test_list(modules: tuple[Module, ...]) -> str:
    """Folded away: they are long."""
    items = [f"- {m.original}: {', '.join(map(test_link, m.tests))}" for m in modules if m.tests]
    return "\n".join(["<details><summary>Tests</summary>", "", *items, "", "</details>"])


def reference_list() -> str:
    """The papers that sources name, each once."""
    papers = {paper for rows in GROUPS.values() for row in rows for paper in ARXIV.findall(row.source)}
    return "\n".join(
        f"- {name}: [arXiv {number}](https://arxiv.org/abs/{number})" for name, number in sorted(papers)
    )


def failure_table(failures: tuple[Failure, ...]) -> str:
    lines = ["| original | what happens there | test |", "|---|---|---|"]
    for failure in failures:
        tests = ", ".join(map(test_link, failure.tests))
        lines.append(f"| {failure.where} | {failure.what} | {tests} |")
    return "\n".join(lines)


def floor_list(found: dict[str, Cost]) -> str:
    named = [name for modules in GROUPS.values() for module in modules for name in module.classes]
    return "\n".join(
        f"- `{name}` {found[name].time:.2f}: {FLOOR[name]}"
        for name in dict.fromkeys(named)
        if name in found and found[name].time > MATERIAL
    )


def render() -> str:
    """The whole page."""
    found, words = layer_costs(), other_costs()
    groups = "".join(
        f"## {title}\n\n{module_table(rows, found, words)}\n\n{test_list(rows)}\n\n"
        for title, rows in GROUPS.items()
    )
    return TEXT.format(
        groups=groups,
        failures=failure_table(FAILURES),
        floor=floor_list(found),
        papers=reference_list(),
        material=MATERIAL,
    )


if __name__ == "__main__":
    PAGE.write_text(render())
