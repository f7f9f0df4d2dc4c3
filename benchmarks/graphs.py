"""Graph encoders on published graphs: links, classes, distances, and what an epoch costs.

    python benchmarks/graphs.py tune [--tasks cora-nc ...] [--encoders hybonet ...]   # settings, on validation only
    python benchmarks/graphs.py scores [--tasks ...] [--encoders ...] [--seeds 5]     # test scores with those settings
    python benchmarks/graphs.py reconstruct [--seeds 5]                               # disease and wordnet
    python benchmarks/graphs.py speed                                                 # an epoch on airport
    python benchmarks/graphs.py page                                                  # tables of docs/graphs.md

Every encoder is tuned on the same grid by the validation score of seeds that are not evaluated (100, 101), GCN and GAT
as well. Results are kept in `results/graphs.json` one training at a time, so that an interrupted run goes on where it
was. Graphs are read from `../shared/data/graphs` (`--data`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from crocuta.data.graphs import GraphData, read_graph
from crocuta.files import write_json
from crocuta.graphs.training import GraphRecipe, GraphRun, build_encoder, seeds_summary, train_seed
from crocuta.models.graph import ENCODERS
from crocuta.quiet import prepare

HERE = Path(__file__).parent
RESULT = HERE / "results" / "graphs.json"
PAGE = HERE.parents[0] / "docs" / "graphs.md"
TUNING_SEEDS = (100, 101)
PASSING = [name for name in ENCODERS if name != "embedding"]
FLAT = ("gcn", "gat")


class Task(NamedTuple):
    """A graph and a question; `grid` holds what is tuned, `bar` what is asked for."""

    file: str
    task: str
    grid: dict[str, tuple]
    epochs: int
    degrees: bool = False
    split: str = "clean"
    bar: float | None = None


LINKS = {"num_layers": (1, 2), "activation": ("relu", "none"), "learning_rate": (0.02,)}
WORDS = {"num_layers": (1, 2), "dropout": (0.4, 0.7), "weight_decay": (0.01,)}
CLASSES = {
    "activation": ("relu", "none"),
    "dropout": (0.6, 0.8),
    "hidden_size": (16, 64),
    "weight_decay": (0.03,),
}
TASKS = {
    "disease-lp": Task("disease_lp.npz", "lp", LINKS, 1000, bar=0.95),
    "airport-lp": Task("airport.npz", "lp", LINKS, 600, degrees=True, bar=0.96),
    "cora-lp": Task("cora.npz", "lp", WORDS, 500, bar=0.92),
    "cora-nc": Task("cora.npz", "nc", CLASSES, 300, split="public", bar=0.80),
    "airport-nc": Task("airport.npz", "nc", CLASSES, 300, degrees=True),
    "airport-nc-original": Task("airport.npz", "nc", CLASSES, 300, degrees=True, split="original"),
}
CURVATURES = {
    "fixed": {},
    "shared": {"learnable": True},
    "per-layer": {"learnable": True, "per_layer": True},
}


class Store:
    """Results by key, written after each training."""

    def __init__(self):
        self.content: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}

    def get(self, part: str, key: str, make) -> Any:
        """The result of that key, made if it is not there."""
        kept = self.content.setdefault(part, {})
        if key not in kept:
            kept[key] = make()
            write_json(RESULT, self.content)
        return kept[key]


def recipe_of(task: Task, setting: dict[str, Any]) -> GraphRecipe:
    """Links are judged every 5 epochs, classes every epoch."""
    options = {key: setting[key] for key in ("learning_rate", "weight_decay") if key in setting}
    every = 5 if task.task == "lp" else 1
    return GraphRecipe(epochs=task.epochs, patience=max(100, task.epochs // 4), every=every, **options)


def run_of(name: str, encoder: str, setting: dict[str, Any], curvature: str = "fixed") -> GraphRun:
    """One training of a task; GAT has four heads, as has every encoder with heads."""
    task = TASKS[name]
    config = {key: value for key, value in setting.items() if key not in ("learning_rate", "weight_decay")}
    config |= {"encoder": encoder, "heads": 4, **CURVATURES[curvature]}
    return GraphRun(task.task, config, recipe_of(task, setting), 1, task.split, task.degrees)


def settings(task: Task, encoder: str) -> list[dict[str, Any]]:
    """Every point of the grid; GCN and HGNN may also average their neighbours, as HGCN and the others do."""
    grid = task.grid
    if encoder in ("gcn", "hgnn") and task.task == "lp":
        grid = grid | {"normalisation": ("symmetric", "row")}
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def trained(run: GraphRun, data: GraphData, seed: int) -> dict[str, Any]:
    """Scores of one training; one that breaks down scores nothing."""
    start = time.time()
    try:
        _, found = train_seed(run, data, seed)
    except ValueError as error:
        return {"failed": str(error)}
    found = {key: found[key] for key in found if key != "epochs"}
    return found | {"seconds": round(time.time() - start, 1)}


def tune(store: Store, name: str, encoder: str, data: GraphData) -> dict[str, Any]:
    """The setting with the best mean validation score; an original split that leaks takes the clean one's."""
    best, chosen = -1.0, {}
    for setting in settings(TASKS[name], encoder):
        label = ",".join(f"{key}={value}" for key, value in setting.items())
        scores = []
        for seed in TUNING_SEEDS:
            key = f"{name}/{encoder}/{label}/{seed}"
            found = store.get(
                "tuning", key, lambda s=setting, n=seed: trained(run_of(name, encoder, s), data, n)
            )
            scores.append(0.0 if "failed" in found else found["valid"][found["metric"]])
        mean = sum(scores) / len(scores)
        if mean > best:
            best, chosen = mean, setting
    print(f"{name:20} {encoder:8} validation {best:.4f} {chosen}", flush=True)
    return chosen


def judge(store: Store, name: str, encoder: str, data: GraphData, seeds: int) -> None:
    """Test scores over seeds, at fixed, shared and per-layer curvature."""
    setting = tune(store, name.removesuffix("-original"), encoder, data)
    for curvature in ("fixed",) if encoder in FLAT else CURVATURES:
        fits = [
            store.get(
                "scores", f"{name}/{encoder}/{curvature}/{seed}",
                lambda c=curvature, n=seed: trained(run_of(name, encoder, setting, c), data, n),
            )
            for seed in range(seeds)
        ]  # fmt: skip
        kept = [fit for fit in fits if "failed" not in fit]
        if kept:
            found = seeds_summary(kept)["test"][kept[0]["metric"]]
            print(
                f"{name:20} {encoder:8} {curvature:10} test {found['mean']:.4f} ± {found['sd'] or 0:.4f}",
                flush=True,
            )


def reconstruct(store: Store, folder: Path, seeds: int) -> None:
    """A point for each node in 10 dimensions, hyperbolic and flat."""
    for file, epochs, count in (("disease_lp.npz", 300, seeds), ("hyperbolics_edges/wordnet.edges", 300, 1)):
        data = read_graph(folder / file)
        data = GraphData(data.name, data.edges, data.num_nodes)
        for space in ("lorentz", "poincare", "euclidean"):
            config = {"encoder": "embedding", "hidden_size": 10, "space": space}
            recipe = GraphRecipe(epochs=epochs, every=100, patience=epochs, learning_rate=0.02, floor=0.01)
            run = GraphRun("md", config, recipe)
            for seed in range(count):
                found = store.get(
                    "reconstruction",
                    f"{data.name}/{space}/{seed}",
                    lambda r=run, d=data, n=seed: trained(r, d, n),
                )
                print(data.name, space, seed, found.get("test", found), flush=True)


def speed(store: Store, folder: Path, rounds: int = 40) -> None:
    """Best CPU milliseconds of an epoch (one step on the training graph) of each encoder, rounds alternating."""
    data, sides, best = read_graph(folder / "airport.npz"), {}, {}
    for encoder in PASSING:
        run = GraphRun("lp", {"encoder": encoder, "heads": 4}, degrees=True)
        problem = run.problem(data, 0)
        model = build_encoder(run, data, problem, 0)
        sides[encoder] = model.train(), problem, run.recipe.optimizer(model)
    for _ in range(rounds):
        for encoder, side in sides.items():
            start = time.process_time()
            model, problem, optimizer = side
            optimizer.zero_grad()
            problem.loss(model).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            best[encoder] = min(best.get(encoder, 9.0), time.process_time() - start)
    rows = {
        name: {"ms": round(1e3 * value, 2), "to_gcn": round(value / best["gcn"], 2)}
        for name, value in best.items()
    }
    store.content["speed"] = {"threads": torch.get_num_threads(), "graph": "airport", "dim": 16, "rows": rows}
    write_json(RESULT, store.content)
    for name, row in rows.items():
        print(name, row)


def cell(fits: list[dict[str, Any]]) -> str:
    """`0.972 ± 0.003 (5)`."""
    kept = [fit for fit in fits if "failed" not in fit]
    if not kept:
        return "-"
    found = seeds_summary(kept)["test"][kept[0]["metric"]]
    sd = "" if found["sd"] is None else f" ± {found['sd']:.3f}"
    return f"{found['mean']:.3f}{sd}" + ("" if len(kept) == 5 else f" ({len(kept)} seeds)")


def tables(content: dict[str, Any]) -> str:
    """What is measured, as Markdown."""
    by: dict[tuple[str, str, str], list] = {}
    for key, fit in content.get("scores", {}).items():
        name, encoder, curvature, _ = key.split("/")
        by.setdefault((name, encoder, curvature), []).append(fit)
    names = [name for name in TASKS if any(key[0] == name for key in by)]
    lines = [f"| encoder | curvature | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for encoder in PASSING:
        for curvature in CURVATURES:
            cells = [cell(by.get((name, encoder, curvature), [])) for name in names]
            if any(text != "-" for text in cells):
                shown = "-" if encoder in FLAT else curvature
                lines.append(f"| {encoder} | {shown} | {' | '.join(cells)} |")
    parts = ["\n".join(lines)] if names else []
    if "speed" in content:
        rows = content["speed"]["rows"].items()
        lines = ["| encoder | ms per epoch | times GCN's |", "|---|---|---|"]
        parts.append(
            "\n".join([*lines, *(f"| {name} | {row['ms']} | {row['to_gcn']} |" for name, row in rows)])
        )
    found: dict[tuple[str, str], list] = {}
    for key, fit in content.get("reconstruction", {}).items():
        found.setdefault(tuple(key.split("/")[:2]), []).append(fit)  # type: ignore[arg-type]
    if found:
        lines = ["| graph | space | mAP | distortion | seconds |", "|---|---|---|---|---|"]
        for (graph, space), fits in found.items():
            scores = seeds_summary(fits)["test"]
            lines.append(
                f"| {graph} | {space} | {scores['map']['mean']:.3f} | {scores['distortion']['mean']:.3f} |"
                f" {fits[0]['seconds']:.0f} |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def write_page(content: dict[str, Any]) -> None:
    """Puts the tables between the page's marks."""
    text = PAGE.read_text()
    before, _, rest = text.partition("<!-- measured -->\n")
    _, mark, after = rest.partition("<!-- end -->")
    PAGE.write_text(f"{before}<!-- measured -->\n{tables(content)}\n{mark}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("tune", "scores", "reconstruct", "speed", "page"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--encoders", nargs="+", choices=PASSING, default=PASSING)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data" / "graphs")
    arguments = parser.parse_args()
    prepare()
    torch.set_num_threads(1)
    store = Store()
    if arguments.part == "page":
        write_page(store.content)
    elif arguments.part == "speed":
        speed(store, arguments.data)
    elif arguments.part == "reconstruct":
        reconstruct(store, arguments.data, arguments.seeds)
    else:
        for name, encoder in itertools.product(arguments.tasks, arguments.encoders):
            data = read_graph(arguments.data / TASKS[name].file)
            if arguments.part == "scores":
                judge(store, name, encoder, data, arguments.seeds)
            elif not name.endswith("-original"):
                tune(store, name, encoder, data)


if __name__ == "__main__":
    main()
