"""Training graph encoders on the whole graph at once, over seeds; `crocuta.runs.seeds` tells of the run folder.

Beside each seed's model lies `embeddings.h5ad`: the nodes' points, by name. `curvatures.json` has what a search found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from crocuta.data.graphs import GraphData, read_graph
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.graphs.points import write_points
from crocuta.graphs.problems import Features, NodeProblem, Problem, make_problem
from crocuta.models.graph import GraphConfig, GraphModel
from crocuta.optim import RiemannianAdam, parameter_groups
from crocuta.runs.claim import Claim
from crocuta.runs.cost import Cost, estimate_training
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.loop import Course
from crocuta.runs.progress import SILENT, Progress, Stage
from crocuta.runs.saved import read_json
from crocuta.runs.seeds import PREDICTIONS, Trainings, learn, mean_over_seeds, train_seeds, write_table

OLD_NAMES = {
    "lr": "learning_rate",
    "curvature_lr": "curvature_learning_rate",
    "final_lr": "floor",
}  # of 0.1.0


@dataclass(frozen=True)
class GraphRecipe:
    """How a graph encoder is trained; the epoch that does best on validation is kept.

    Args:
        epochs, patience: steps on the whole graph, and after how many without a better validation score to stop.
        every: epochs between two looks at validation.
        learning_rate, curvature_learning_rate, weight_decay: of Riemannian Adam, whose decay is decoupled;
            `curvature_learning_rate` by default a tenth of `learning_rate`.
        clip: largest norm of the gradient.
        floor: share of the learning rate that a cosine falls to; 1: it does not fall.
    """

    epochs: int = 1000
    patience: int = 200
    every: int = 5
    learning_rate: float = 0.01
    curvature_learning_rate: float | None = None
    weight_decay: float = 0.0
    clip: float = 1.0
    floor: float = 1.0

    def course(self, seed: int, device: str = AUTO) -> Course:
        """What the loop is asked for."""
        if (
            device == AUTO and choose_device().type == "mps"
        ):  # has no float64, in which edges get their weights
            device = "cpu"
        looks = {*range(self.every, self.epochs + 1, self.every), self.epochs}
        return Course(
            self.epochs, warm_up=0.0, floor=self.floor, clip=self.clip, evaluate=looks, patience=self.patience,
            device=device, seed=seed,
        )  # fmt: skip

    def optimizer(self, model: nn.Module) -> RiemannianAdam:
        """With groups for points, matrices, the rest, and curvatures."""
        rate = self.curvature_learning_rate
        rate = self.learning_rate / 10 if rate is None else rate
        return RiemannianAdam(parameter_groups(model, self.learning_rate, rate, self.weight_decay))


@dataclass(frozen=True)
class GraphRun:
    """A comparison-free run: one encoder, one task, several seeds. `split` is that of node classification."""

    task: str
    config: Mapping[str, Any]
    recipe: GraphRecipe = GraphRecipe()
    seeds: int = 5
    split: str = "clean"
    degrees: bool = False

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> GraphRun:
        """From the config.json of a run, of this version or of 0.1.0."""
        recipe: dict[str, Any] = {
            str(OLD_NAMES.get(name, name)): found for name, found in config["recipe"].items()
        }
        return cls(
            config["task"],
            config["config"],
            GraphRecipe(**recipe),
            config["seeds"],
            config["split"],
            config["degrees"],
        )

    def problem(self, data: GraphData, seed: int) -> Problem:
        """What a seed learns; its split follows from the seed."""
        return make_problem(self.task, data, Features(self.degrees), seed, self.split)


def build_encoder(run: GraphRun, data: GraphData, problem: Problem, seed: int) -> GraphModel:
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


def fit_graph(
    model: Any, problem: Problem, recipe: GraphRecipe, seed: int, device: str = AUTO, **options: Any
) -> dict[str, Any]:
    """Trains in place, ends with the best epoch's weights; returns scores by part and what it took.

    Args:
        options: of `crocuta.runs.loop.fit`: where checkpoints lie, who hears of progress.

    Raises:
        InputError: the loss or its gradient is not finite; says at which step.
    """
    course = recipe.course(seed, device)
    problem.to(choose_device(course.device))
    found = learn(model, recipe.optimizer(model), problem, course, **options)
    valid = problem.evaluate(model, "valid")
    found |= {"seed": seed, "metric": problem.headline, "curvatures": model.curvatures()}
    found["milliseconds_per_epoch"] = round(1e3 * found["cpu_seconds"] / max(found["epochs"], 1), 3)
    if isinstance(problem, NodeProblem):
        found["leaked"] = problem.leaked
    return {"valid": valid, "test": problem.evaluate(model, "test") if problem.held_out else valid, **found}


def train_seed(
    run: GraphRun, data: GraphData, seed: int, device: str = AUTO, **options: Any
) -> tuple[GraphModel, dict[str, Any]]:
    """One training: split, model and batches follow from the seed; see `fit`."""
    problem = run.problem(data, seed)
    model = build_encoder(run, data, problem, seed)
    return model, fit_graph(model, problem, run.recipe, seed, device, **options)


class GraphTrainings(Trainings):
    """The seeds of a run on the graph in a file."""

    kind, unit = "lab graph train", "epochs"

    def __init__(self, path: str | PathLike, run: GraphRun, search: Sequence[float], device: str):
        self.run, self.search, self.device, self.seeds = run, list(search), device, run.seeds
        self.settings = {**asdict(run), "config": dict(run.config), "search": self.search}
        self.inputs = {"data": path}
        self.path, self.searched = path, {}

    def begin(self, run: Claim, progress: Progress) -> None:
        self.data = read_graph(self.path)
        if self.search:
            self.run, self.searched = self._choose_curvature(run, progress)

    def _choose_curvature(self, claimed: Claim, progress: Progress) -> tuple[GraphRun, dict[str, float]]:
        """The run at the curvature that does best on the first seed's validation, and all scores."""
        path = claimed.folder / "curvatures.json"
        found = read_json(path) if path.exists() else {}
        for c in self.search:
            if f"{c:g}" not in found:
                with progress.stage(f"c = {c:g}", unit=self.unit) as stage:
                    _, fitted = train_seed(self._at(c), self.data, 0, self.device, stage=stage)
                found[f"{c:g}"] = fitted["valid"][fitted["metric"]]
                write_json(path, found)
                claimed.keep()
        return self._at(max(self.search, key=lambda c: found[f"{c:g}"])), found

    def _at(self, c: float) -> GraphRun:
        return replace(self.run, config={**self.run.config, "c": c})

    def train(self, seed: int, folder: Path, stage: Stage, keep: Callable[[], object]) -> dict[str, Any]:
        problem = self.run.problem(self.data, seed)
        model = build_encoder(self.run, self.data, problem, seed)
        found = fit_graph(
            model, problem, self.run.recipe, seed, self.device, folder=folder, stage=stage, keep=keep
        )
        model.save_pretrained(folder)
        write_points(folder / "embeddings.h5ad", model, problem, self.data)
        write_table(folder / PREDICTIONS, *problem.predictions(model, self.data.node_names, seed))
        return found

    def about(self, fits: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            "searched": self.searched,
            "curvature": self.run.config.get("c", 1.0),
            "metric": fits[0]["metric"],
            "nodes": self.data.num_nodes,
            "links": len(self.data.edges),
        }


def train_graph(
    path: str | PathLike,
    run: GraphRun,
    output: str | PathLike,
    *,
    search: Sequence[float] = (),
    device: str = AUTO,
    resume: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Trains every seed on the graph in a file, writes the run folder, and returns its metrics.

    Args:
        search: curvatures to choose from, by the first seed's validation score.
        device: see `crocuta.runs.device.choose_device`.
        resume: go on with an unfinished run; seeds that are done are kept, and a finished run is shown.

    Raises:
        InputError: the file, the task or the settings do not fit; the folder may not be taken.
    """
    return train_seeds(GraphTrainings(path, run, search, device), output, resume=resume, progress=progress)


def estimate_graph(
    path: str | PathLike, run: GraphRun, search: Sequence[float] = (), device: str = AUTO
) -> Cost:
    """What `train_graph` would take, without early stopping."""
    data, course = read_graph(path), run.recipe.course(0, device)

    def make():
        problem = run.problem(data, 0)
        model = build_encoder(run, data, problem, 0)
        problem.to(choose_device(course.device))
        return model, run.recipe.optimizer(model), problem

    return estimate_training(make, course, run.seeds + len(search))


def seeds_summary(fits: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scores of all seeds: mean and standard deviation by part, and each seed's own."""
    return {"metric": fits[0]["metric"], **mean_over_seeds(fits), "seeds": fits}
