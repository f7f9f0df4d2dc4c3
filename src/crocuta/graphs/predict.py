"""What the models of a run say of new pairs of nodes, and of nodes without a label."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
import torch

from crocuta.data.graphs import GraphData, read_graph, read_pairs
from crocuta.errors import InputError
from crocuta.graphs.training import GraphRun
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.progress import SILENT, Progress
from crocuta.runs.saved import SavedRun
from crocuta.runs.seeds import mean_and_sd, seeds_of, write_table

COLUMNS = {"lp": "p(link)", "md": "distance"}


def predict_graph(
    run: SavedRun,
    output: str | PathLike,
    pairs: str | PathLike | None = None,
    *,
    data: str | PathLike | None = None,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> int:
    """Writes a table of the mean over seeds and its standard deviation; returns the number of its rows.

    `lp`: probabilities of links. `md`: distances, in edges. `nc`: probabilities of the classes of all nodes. Messages
    pass along the links that each seed was trained on, as where it was evaluated.

    Args:
        pairs: two names of nodes on each line; for `nc` None.
        data: where the run's graph lies now; its content must be the same.

    Raises:
        InputError: the graph is not the run's, or `pairs` are missing, unknown, or of no use.
    """
    graph = read_graph(run.input("data", data))
    asked = GraphRun.read(run.config)
    if (pairs is None) != (asked.task == "nc"):
        raise InputError(
            f"{run.path}: its models predict the classes of all nodes; leave out `pairs`"
            if asked.task == "nc"
            else f"{run.path}: its models predict {COLUMNS[asked.task]} of pairs of nodes; give a file of `pairs`"
        )
    wanted = None if pairs is None else torch.from_numpy(read_pairs(pairs, graph))
    mean, sd = mean_and_sd(_answers(run, asked, graph, wanted, choose_device(device), progress))
    if wanted is None:
        classes = [str(i) for i in range(mean.shape[1])]
        columns = ["name", "predicted", *(f"p({name})" for name in classes)]
        rows = ([name, classes[p.argmax()], *p] for name, p in zip(graph.node_names, mean, strict=True))
        return write_table(output, columns, rows)
    names = graph.node_names
    ends = ([names[i], names[j]] for i, j in wanted.tolist())
    rows = ([*pair, value, spread] for pair, value, spread in zip(ends, mean, sd, strict=True))
    return write_table(output, ["source", "target", COLUMNS[asked.task], "sd"], rows)


def _answers(
    run: SavedRun,
    asked: GraphRun,
    graph: GraphData,
    pairs: torch.Tensor | None,
    device: torch.device,
    progress: Progress,
) -> list[np.ndarray]:
    """Of every seed."""
    found = []
    with progress.stage("predicting", total=len(run.metrics["seeds"]), unit="seeds") as stage:
        for seed, folder in enumerate(seeds_of(run)):
            problem = asked.problem(graph, seed)
            model: Any = problem.model.from_pretrained(folder, dtype="auto")
            model.eval().to(device)
            problem.match(model)
            problem.to(device)
            found.append(problem.answers(model, None if pairs is None else pairs.to(device)))
            stage.advance()
    return found
