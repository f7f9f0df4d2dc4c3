"""Training graph encoders on the whole graph at once, over seeds, into a run folder.

```
run/
  config.json       what was asked
  manifest.json     where it was done: versions, machine, command, digest of the data
  metrics.json      scores of every seed, mean and standard deviation
  models/seed-0/    the model of the best epoch on validation
```
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from crocuta.data.graphs import GraphData, read_graph
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.models.graph import GraphConfig, GraphModel
from crocuta.optim import RiemannianAdam, parameter_groups
from crocuta.runs.manifest import manifest
from crocuta.train.graph_problems import Inputs, NodeProblem, Problem, make_problem
from crocuta.train.seeds import check_folder, mean_over_seeds

Progress = Callable[[int, int, float], None]  # epoch, epochs, validation score


@dataclass(frozen=True)
class GraphRecipe:
    """How a graph encoder is trained; the epoch that does best on validation is kept.

    Args:
        epochs, patience: steps on the whole graph, and after how many without a better validation score to stop.
        every: epochs between two looks at validation.
        lr, curvature_lr, weight_decay: of Riemannian Adam; `curvature_lr` by default `lr / 10`.
        clip: largest norm of the gradient.
        final_lr: the learning rate falls on a cosine to this share of itself.
    """

    epochs: int = 1000
    patience: int = 200
    every: int = 5
    lr: float = 0.01
    curvature_lr: float | None = None
    weight_decay: float = 0.0
    clip: float = 1.0
    final_lr: float = 1.0


@dataclass(frozen=True)
class GraphRun:
    """A comparison-free run: one encoder, one task, several seeds. `split` is that of node classification."""

    task: str
    config: Mapping[str, Any]
    recipe: GraphRecipe = GraphRecipe()
    seeds: int = 5
    split: str = "clean"
    degrees: bool = False


def fit(
    model: nn.Module, problem: Problem, recipe: GraphRecipe, seed: int, progress: Progress | None = None
) -> dict[str, Any]:
    """Trains in place, ends with the best epoch's weights; returns scores by part, epochs and seconds per epoch.

    Raises:
        InputError: the loss is not finite; says at which epoch.
    """
    rate = recipe.lr / 10 if recipe.curvature_lr is None else recipe.curvature_lr
    groups = parameter_groups(model, recipe.lr, rate, recipe.weight_decay)
    optimizer = RiemannianAdam(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: falling(epoch, recipe))
    generator = torch.Generator().manual_seed(seed)
    best, best_state, best_epoch, spent = (-math.inf, -math.inf), deepcopy(model.state_dict()), 0, 0.0
    epoch = 0
    for epoch in range(1, recipe.epochs + 1):
        start = time.process_time()
        step(model, problem, optimizer, recipe.clip, generator, epoch)
        schedule.step()
        spent += time.process_time() - start
        if epoch % recipe.every and epoch != recipe.epochs:
            continue
        model.eval()
        found = problem.score(model, "valid")
        model.train()
        rank = (found[problem.headline], found.get("log_likelihood", 0.0))
        if rank > best:
            best, best_state, best_epoch = rank, deepcopy(model.state_dict()), epoch
        if progress:
            progress(epoch, recipe.epochs, found[problem.headline])
        if epoch - best_epoch >= recipe.patience:
            break
    model.load_state_dict(best_state)
    model.eval()
    valid = problem.score(model, "valid")
    test = problem.score(model, "test") if problem.held_out else valid
    return {
        "valid": valid, "test": test,
        "best_epoch": best_epoch, "epochs": epoch, "milliseconds_per_epoch": round(1e3 * spent / epoch, 3),
    }  # fmt: skip


def step(
    model: nn.Module, problem: Problem, optimizer: Any, clip: float, generator: torch.Generator, epoch: int
) -> None:
    """One epoch: one step on the whole graph."""
    optimizer.zero_grad()
    loss = problem.loss(model, generator)
    loss.backward()
    if not torch.isfinite(loss):
        raise InputError(f"the loss is {loss.item()} at epoch {epoch}; lower --lr (or check the features)")
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()


def falling(epoch: int, recipe: GraphRecipe) -> float:
    """Share of the learning rate: a cosine from 1 to `final_lr`."""
    return recipe.final_lr + (1 - recipe.final_lr) * (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2


def build(run: GraphRun, data: GraphData, problem: Problem, seed: int) -> GraphModel:
    """A new model for the problem's features."""
    torch.manual_seed(seed)
    width = (
        0
        if problem.features is None or run.config.get("encoder") == "embedding"
        else problem.features.shape[1]
    )
    labels = {"num_labels": data.num_classes} if run.task == "nc" else {}
    try:
        config = GraphConfig(in_features=width, num_nodes=data.num_nodes, **labels, **run.config)
        model = problem.model(config)
    except ValueError as error:
        raise InputError(str(error)) from error
    problem.start(model, torch.Generator().manual_seed(seed))
    return model


def train_seed(
    run: GraphRun, data: GraphData, seed: int, progress: Progress | None = None
) -> tuple[GraphModel, dict[str, Any]]:
    """One training: split, model and batches follow from the seed."""
    problem = make_problem(run.task, data, Inputs(run.degrees), seed, run.split)
    model = build(run, data, problem, seed)
    found = fit(model, problem, run.recipe, seed, progress)
    found |= {"seed": seed, "metric": problem.headline, "curvatures": model.curvatures()}
    if isinstance(problem, NodeProblem):
        found["leaked"] = problem.leaked
    return model, found


def train_graph(
    path: str | PathLike,
    run: GraphRun,
    output: str | PathLike,
    *,
    search: tuple[float, ...] = (),
    resume: bool = False,
    progress: Callable[[str], Progress] | None = None,
) -> dict[str, Any]:
    """Trains every seed on the graph in a file, and writes the run folder.

    Args:
        search: curvatures to choose from, by the first seed's validation score.
        resume: keep the seeds that are done.
        progress: gives a callback for a training of that name.

    Raises:
        InputError: the file, the task or the settings do not fit; the folder holds another run.
    """
    data, output = read_graph(path), Path(output)
    asked = {"data": str(path), **asdict(run), "config": dict(run.config), "search": list(search)}
    check_folder(output, asked, resume)
    write_json(output / "config.json", asked)
    searched = {}
    if search:
        run, searched = choose_curvature(run, data, search, output, progress)
    fits = []
    for seed in range(run.seeds):
        done = output / "models" / f"seed-{seed}" / "fit.json"
        if not done.exists():
            model, found = train_seed(run, data, seed, progress and progress(f"seed {seed}"))
            model.save_pretrained(done.parent)
            write_json(done, found)
        fits.append(json.loads(done.read_text()))
    metrics = {"searched": searched, "curvature": run.config.get("c", 1.0), **summary(fits)}
    write_json(output / "manifest.json", manifest([Path(path)], range(run.seeds)))
    write_json(output / "metrics.json", metrics)
    return metrics


def choose_curvature(
    run: GraphRun,
    data: GraphData,
    search: tuple[float, ...],
    output: Path,
    progress: Callable[[str], Progress] | None = None,
) -> tuple[GraphRun, dict[str, float]]:
    """The run at the curvature that does best on the first seed's validation, and all scores."""
    path = output / "curvatures.json"
    scores = json.loads(path.read_text()) if path.exists() else {}
    for c in search:
        if f"{c:g}" not in scores:
            tried = replace(run, config={**run.config, "c": c})
            _, found = train_seed(tried, data, 0, progress and progress(f"c = {c:g}"))
            scores[f"{c:g}"] = found["valid"][found["metric"]]
            write_json(path, scores)
    best = max(search, key=lambda c: scores[f"{c:g}"])
    return replace(run, config={**run.config, "c": best}), scores


def summary(fits: list[dict[str, Any]]) -> dict[str, Any]:
    """Scores of all seeds: mean and standard deviation by part, and each seed's own."""
    return {"metric": fits[0]["metric"], **mean_over_seeds(fits), "seeds": fits}
