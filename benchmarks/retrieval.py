"""The hyperbolic index against brute force, and GraphRAG against its twins on questions from real hierarchies.

    python benchmarks/retrieval.py speed                                          # 100,000 points
    python benchmarks/retrieval.py answers [--sets dengue elements] [--arms ...] [--seeds 3] [--epochs 2]
    python benchmarks/retrieval.py page                                           # tables of docs/retrieval.md

Entities of test questions are in no question of training (`retrieval_questions.py`). Every arm has the same language
model (a new GPT-2 of 2 layers), questions, steps and learning rate. Results are kept in `results/retrieval.json` one
training at a time, so that an interrupted run goes on where it was. Data are read from `../shared/data` (`--data`).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from retrieval_questions import Asked, Data, dengue, elements

from crocuta.analysis.bootstrap import mean_sd
from crocuta.files import replacing, write_json
from crocuta.manifolds import Lorentz
from crocuta.quiet import prepare
from crocuta.retrieval import (
    HyperbolicIndex,
    RagRecipe,
    RagSettings,
    Retrieval,
    build_rag,
    exact_match,
    fit_rag,
)
from crocuta.runs.progress import shown

HERE = Path(__file__).parent
RESULT = HERE / "results" / "retrieval.json"
PAGE = HERE.parents[0] / "docs" / "retrieval.md"
SETS: dict[str, Callable[[Path], Data]] = {"dengue": dengue, "elements": elements}
JUDGED = 200  # test questions of each kind, at most


def encoder(name: str, **options: Any) -> dict[str, Any]:
    """Settings of a graph encoder."""
    return {"encoder": {"encoder": name, "hidden_size": 64, "num_layers": 1, "activation": "none", **options}}


ARMS: dict[str, dict[str, Any]] = {
    "no retrieval": {"prompt": "none"},
    "HyboNet": encoder("hybonet"),
    "GCN": encoder("gcn"),
    "HGCN": encoder("hgcn"),
    "triples as text": {"prompt": "text"},
    "HyboNet, untrained encoder": encoder("hybonet"),
    "HyboNet, one token": {**encoder("hybonet"), "tokens": 1},
    "GCN, one token": {**encoder("gcn"), "tokens": 1},
    "HyboNet, 4 dimensions": encoder("hybonet", hidden_size=4),
    "GCN, 4 dimensions": encoder("gcn", hidden_size=4),
    "HyboNet, prize-collecting tree": {**encoder("hybonet"), "retrieval": Retrieval(method="prizes")},
    "GCN, flat index": {**encoder("gcn"), "flat": True},
}
MAIN = ("no retrieval", "HyboNet", "GCN", "triples as text", "HyboNet, untrained encoder")


def load() -> dict[str, Any]:
    return json.loads(RESULT.read_text()) if RESULT.exists() else {"speed": {}, "answers": {}}


def judged(asked: list[Asked]) -> list[Asked]:
    """Test questions, up to `JUDGED` of each kind, spread over the entities."""
    chosen = []
    for kind in dict.fromkeys(item.kind for item in asked):
        some = [item for item in asked if item.kind == kind and item.question.split == "test"]
        step = -(-len(some) // JUDGED) | 1  # odd: answers to pairs alternate between yes and no
        chosen += some[::step]
    return chosen


def answer(name: str, data: Data, seed: int, epochs: int) -> dict[str, Any]:
    """One training of an arm and its exact match on test questions, by kind."""
    torch.manual_seed(seed)
    settings = RagSettings(**ARMS[name], seed=seed)
    questions = [item.question for item in data.asked]
    model = build_rag(settings, data.graph, questions)
    if "untrained" in name:
        model.prompt.encoder.requires_grad_(False)  # type: ignore[union-attr]
    start = time.perf_counter(), time.process_time()
    train = [question for question in questions if question.split == "train"]
    recipe = RagRecipe(epochs=epochs, learning_rate=2e-3, seed=seed)
    with shown() as progress, progress.stage(name, unit="steps") as stage:
        losses = fit_rag(model, train, recipe, stage=stage)
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    test = judged(data.asked)
    right = exact_match(model, [item.question for item in test])
    kinds = dict.fromkeys(item.kind for item in test)
    return {
        "exact_match": float(np.mean(right)),
        "by_kind": {
            kind: float(np.mean([hit for hit, item in zip(right, test, strict=True) if item.kind == kind]))
            for kind in kinds
        },
        "final_loss": float(np.mean(losses[-20:])), "steps": len(losses),
        "seconds": round(spent[0], 1), "processor_seconds": round(spent[1], 1), "judged": len(test),
        "seeds_found": seeds_found(model, test),
    }  # fmt: skip


def seeds_found(model: Any, test: list[Asked]) -> dict[str, float]:
    """Share of questions whose seeds are just the entities that they name, for one and for two."""
    if model.retriever is None:
        return {}
    place = model.retriever.graph.place
    hits: dict[str, list[bool]] = {"one": [], "two": []}
    for item, seeds in zip(test, model.retriever.seeds([item.question.text for item in test]), strict=True):
        named = {place[word.strip("?")] for word in item.question.text.split() if word.strip("?") in place}
        hits["one" if len(named) == 1 else "two"].append(set(seeds.entities) == named)
    return {key: float(np.mean(found)) for key, found in hits.items()}


def answers(options: argparse.Namespace) -> None:
    """Seeds outermost, so that an interrupted run has compared all arms on as many."""
    result = load()
    for seed in range(options.seeds):
        for chosen in options.sets:
            data = SETS[chosen](options.data)
            for arm in options.arms:
                found = result["answers"].setdefault(chosen, {}).setdefault(arm, {})
                if str(seed) not in found:
                    print(f"{chosen}, {arm}, seed {seed}", flush=True)
                    found[str(seed)] = answer(arm, data, seed, options.epochs)
                    print(f"  exact match {found[str(seed)]['exact_match']:.3f}", flush=True)
                    write_json(RESULT, result)


def speed(options: argparse.Namespace) -> None:
    """Queries a second at 100,000 points, each way in turn, the best of three; and whether the answers agree."""
    result = load()
    backends = ["torch", *(["faiss"] if importlib.util.find_spec("faiss") else [])]
    for dimension, radius in ((16, 3.0), (64, 3.0), (16, 10.0)):
        m, generator = Lorentz(), torch.Generator().manual_seed(0)
        points = clusters(m, 100_000, dimension, radius, generator)
        queries = clusters(m, 200, dimension, radius, generator)
        row: dict[str, Any] = {}
        truth = None
        for name in ("brute force", *backends):
            search = brute_force(m, points) if name == "brute force" else indexed(m, points, dimension, name)
            few = queries[:20] if name == "brute force" else queries
            seconds = []
            for _ in range(3):
                start = time.perf_counter()
                distances, indices = search(few)
                seconds.append(time.perf_counter() - start)
            row[name] = {"queries_per_second": round(len(few) / min(seconds), 1)}
            truth = (distances, indices) if truth is None else truth
            row[name]["same_distances"] = bool(torch.allclose(distances[:20], truth[0], rtol=2e-5))
            row[name]["same_points"] = float((indices[:20] == truth[1]).float().mean())
            print(dimension, radius, name, row[name], flush=True)
        result["speed"][f"{dimension} dimensions, radius {radius:g}"] = row
    result["machine"] = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }
    write_json(RESULT, result)


def clusters(m: Lorentz, n: int, dimension: int, radius: float, generator: torch.Generator) -> torch.Tensor:
    """Points around 100 centres at one radius; the same centres whatever n."""
    fixed = torch.Generator().manual_seed(1)
    s = torch.randn(100, 1, dimension, generator=fixed)
    centres = m.expmap0(s / s.norm(dim=-1, keepdim=True) * radius)
    offsets = torch.randn(100, n // 100, dimension, generator=generator) / dimension**0.5
    return m.from_normal_coordinates(centres, offsets).flatten(0, 1)


def brute_force(m: Lorentz, points: torch.Tensor, k: int = 10) -> Callable:
    """The k nearest by the manifold's distance to every point."""

    def search(queries: torch.Tensor):
        return torch.topk(torch.stack([m.dist(query, points) for query in queries]), k, largest=False)

    return search


def indexed(m: Lorentz, points: torch.Tensor, dimension: int, backend: str, k: int = 10) -> Callable:
    index = HyperbolicIndex(m, dimension, backend)
    index.add(points)
    return lambda queries: index.search(queries, k)


def page(options: argparse.Namespace) -> None:
    """Writes the tables between the marks of docs/retrieval.md."""
    result, text = load(), PAGE.read_text()
    for mark, lines in (("speed", speed_table(result)), ("answers", answer_tables(result))):
        before, _, rest = text.partition(f"<!-- {mark} -->\n")
        _, _, after = rest.partition(f"<!-- end {mark} -->")
        text = "\n".join([before + f"<!-- {mark} -->", *lines, f"<!-- end {mark} -->"]) + after
    with replacing(PAGE) as file:
        file.write(text)


def speed_table(result: dict[str, Any]) -> list[str]:
    lines = [
        "| 100,000 points | " + " | ".join(("brute force", "torch", "faiss")) + " | same nearest |",
        "|---" * 5 + "|",
    ]
    for name, row in result["speed"].items():
        base = row["brute force"]["queries_per_second"]
        cells = [f"{base:,.0f}"]
        for backend in ("torch", "faiss"):
            found = row.get(backend)
            cells.append(
                f"{found['queries_per_second']:,.0f} ({found['queries_per_second'] / base:.0f}x)"
                if found
                else "-"
            )
        same = min(row[backend]["same_points"] for backend in row)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {same:.1%} |")
    return lines


def answer_tables(result: dict[str, Any]) -> list[str]:
    lines = []
    for chosen, arms in result["answers"].items():
        kinds = list(next(iter(next(iter(arms.values())).values()))["by_kind"])
        lines += [f"**{TITLES[chosen]}**", "", "| arm | exact match | seeds | " + " | ".join(kinds) + " |"]
        lines += ["|---" * (3 + len(kinds)) + "|"]
        for arm in (arm for arm in ARMS if arm in arms):
            runs = list(arms[arm].values())
            cells = [percent([run["exact_match"] for run in runs]), str(len(runs))]
            cells += [f"{100 * np.mean([run['by_kind'][kind] for run in runs]):.0f}" for kind in kinds]
            lines.append(f"| {arm} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines[:-1]


TITLES = {"dengue": "Genomes of dengue virus", "elements": "Human transposable elements"}


def percent(values: list[float]) -> str:
    found = mean_sd(values)
    return f"{100 * found.mean:.1f}" + (f" ± {100 * found.sd:.1f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("speed", "answers", "page"))
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--arms", nargs="+", default=list(MAIN), choices=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    prepare()
    {"speed": speed, "answers": answers, "page": page}[options.part](options)


if __name__ == "__main__":
    main()
