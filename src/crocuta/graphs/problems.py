"""The three questions one asks of a graph: which links, which classes, which distances."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crocuta.analysis.scores import scores
from crocuta.data.graphs import (
    GraphData,
    degree_features,
    normalised_features,
    split_links,
    split_nodes,
)
from crocuta.errors import InputError
from crocuta.graphs.scores import hop_distances, reconstruction_scores
from crocuta.graphs.start import tree_layout
from crocuta.models.graph import (
    GraphForLinkPrediction,
    GraphForNodeClassification,
    GraphForReconstruction,
    GraphModel,
    points_of,
)
from crocuta.nn.graph import Graph
from crocuta.runs.loop import Learner, Score
from crocuta.runs.seeds import class_columns, class_rows

ALL_PAIRS = 5000  # nodes up to which every distance is known in training
LANDMARKS = 256  # sources whose distances are known in a larger graph
EVALUATED = 256  # nodes of a larger graph that reconstruction is evaluated on
SHOWN_PAIRS = 10_000  # of a reconstruction, that predictions.tsv holds
BLOCK = 1 << 16  # pairs at a time

Table = tuple[list[str], Iterable[Sequence[Any]]]  # columns, rows


class Problem(Learner):
    """Inputs, a loss, and scores by part; `headline` is the score that chooses among epochs, each of one step."""

    headline: str
    model: type[GraphModel]
    graph: Graph
    features: Tensor | None
    held_out = True  # validation and test are different

    def start(self, model: Any, generator: torch.Generator) -> None:
        """Prepare a new model; by default nothing."""

    def match(self, model: Any) -> None:
        """Gives features the model's precision."""
        if self.features is not None:
            self.features = self.features.to(next(model.parameters()).dtype)

    def to(self, device: torch.device) -> None:
        """Moves what models are given, and what they are compared with."""
        for name, value in vars(self).items():
            setattr(self, name, _moved(value, device))

    def batches(self, step: int, process: int, processes: int) -> Sequence[None]:
        return (None,)  # the whole graph

    def score(self, model: Any) -> Score:
        found = self.evaluate(model, "valid")
        best = found[self.headline]
        values = {f"valid_{name}": value for name, value in found.items()}
        return Score((best, found.get("log_likelihood", 0.0)), values, f"validation {best:.3f}")

    def evaluate(self, model: Any, part: str) -> dict[str, float]:
        """Scores on "valid" or "test"."""
        raise NotImplementedError

    def answers(self, model: Any, pairs: Tensor | None = None) -> np.ndarray:
        """What a model says of pairs (P, 2) of nodes, (P,); or of the classes of all nodes, (N, classes)."""
        raise NotImplementedError

    def predictions(self, model: Any, names: Sequence[str], seed: int) -> Table:
        """What a model says of the test part, beside the truth."""
        raise NotImplementedError


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor | Graph):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(_moved(part, device) for part in value)
    if isinstance(value, dict):
        return {name: _moved(part, device) for name, part in value.items()}
    return value


def _by_pairs(names: Sequence[str], pairs: Tensor, columns: list[str], *values: Any) -> Table:
    """A table of pairs of nodes."""
    ends = ([names[i], names[j]] for i, j in pairs.tolist())
    return ["source", "target", *columns], ([*pair, *row] for pair, *row in zip(ends, *values, strict=True))


@dataclass(frozen=True)
class Features:
    """What of a graph training may look at: `degrees` adds one-hot degrees, of training links only."""

    degrees: bool = False

    def features(self, data: GraphData, links: np.ndarray) -> Tensor | None:
        """Node features (N, F) float32, of length 1 in quadratic mean; None if there are none."""
        parts = [] if data.features is None else [normalised_features(data.features)]
        if self.degrees:
            parts.append(degree_features(links, data.num_nodes))
        if not parts:
            return None
        joined = np.concatenate(parts, 1).astype(np.float32)
        return torch.from_numpy(joined / np.sqrt(np.square(joined).sum(1).mean()))


class LinkProblem(Problem):
    """Link prediction: held-out links against pairs that are none; messages pass along training links only."""

    headline, model = "auroc", GraphForLinkPrediction

    def __init__(self, data: GraphData, inputs: Features, seed: int, valid: float = 0.05, test: float = 0.1):
        split = split_links(data, valid, test, seed)
        self.graph = Graph(torch.from_numpy(split.train.T), data.num_nodes, undirected=True)
        self.features = inputs.features(data, split.train)
        self.links = torch.from_numpy(split.train)
        self.known = (self.links @ torch.tensor([data.num_nodes, 1])).sort().values
        self.nodes = data.num_nodes
        self.parts = {
            part: (torch.from_numpy(np.concatenate([links, others])), len(links))
            for part, links, others in (
                ("valid", split.valid, split.valid_negative),
                ("test", split.test, split.test_negative),
            )
        }

    def loss(self, model: GraphForLinkPrediction, batch: None = None) -> Tensor:
        """Cross-entropy of the training links and as many pairs drawn anew from those that are not."""
        i, j = torch.randint(self.nodes, (2, len(self.links)), device=self.links.device)
        key = torch.minimum(i, j) * self.nodes + torch.maximum(i, j)
        place = torch.searchsorted(self.known, key).clamp_max(len(self.known) - 1)
        others = torch.stack([i, j], dim=1)[(self.known[place] != key) & (i != j)]
        pairs = torch.cat([self.links, others])
        labels = torch.zeros(len(pairs), device=pairs.device)
        labels[: len(self.links)] = 1
        return model(self.features, self.graph, pairs, labels).loss

    def evaluate(self, model: GraphForLinkPrediction, part: str) -> dict[str, float]:
        """AUROC and average precision."""
        pairs, count = self.parts[part]
        p = self.answers(model, pairs)
        labels = np.arange(len(pairs)) < count
        found = scores(labels.astype(np.int64), np.stack([1 - p, p], axis=1))
        return {"auroc": found["auroc"], "auprc": found["auprc"]}

    @torch.no_grad()
    def answers(self, model: GraphForLinkPrediction, pairs: Tensor | None = None) -> np.ndarray:
        """Probabilities of links."""
        assert pairs is not None
        embedding = model.encode(self.features, self.graph)
        blocks = [model.score(embedding, block) for block in pairs.split(BLOCK)]
        return torch.cat(blocks).double().sigmoid().cpu().numpy()

    def predictions(self, model: GraphForLinkPrediction, names: Sequence[str], seed: int) -> Table:
        pairs, count = self.parts["test"]
        labels = [int(i < count) for i in range(len(pairs))]
        answers = self.answers(model, pairs)
        return _by_pairs(names, pairs, ["label", "seed", "p(link)"], labels, [seed] * len(pairs), answers)


class NodeProblem(Problem):
    """Node classification; the whole graph is seen, labels of training nodes only."""

    headline, model = "accuracy", GraphForNodeClassification

    def __init__(self, data: GraphData, inputs: Features, seed: int, split: str = "clean"):
        parts = split_nodes(data, split, seed=seed)
        self.leaked = parts.leaked
        self.graph = Graph(torch.from_numpy(data.edges.T), data.num_nodes, undirected=True)
        self.features = inputs.features(data, data.edges)
        self.labels = torch.from_numpy(data.labels)  # type: ignore[arg-type]
        self.parts = {name: torch.from_numpy(nodes) for name, nodes in parts._asdict().items()}

    def loss(self, model: GraphForNodeClassification, batch: None = None) -> Tensor:
        """Cross-entropy of the training nodes."""
        return model(self.features, self.graph, self.labels, self.parts["train"]).loss

    @torch.no_grad()
    def evaluate(self, model: GraphForNodeClassification, part: str) -> dict[str, float]:
        """Accuracy, F1 and (negated, so that more is better) cross-entropy."""
        nodes = self.parts[part]
        logits = model(self.features, self.graph).logits[nodes].double()
        labels = self.labels[nodes]
        found = scores(labels.cpu().numpy(), logits.softmax(1).cpu().numpy())
        entropy = torch.nn.functional.cross_entropy(logits, labels).item()
        return {"accuracy": found["accuracy"], "f1": found["f1"], "log_likelihood": -entropy}

    @torch.no_grad()
    def answers(self, model: GraphForNodeClassification, pairs: Tensor | None = None) -> np.ndarray:
        """Probabilities of the classes of all nodes."""
        return model(self.features, self.graph).logits.double().softmax(1).cpu().numpy()

    def predictions(self, model: GraphForNodeClassification, names: Sequence[str], seed: int) -> Table:
        nodes = self.parts["test"].cpu().numpy()
        p, labels = self.answers(model)[nodes], self.labels.cpu().numpy()[nodes]
        classes = [str(i) for i in range(p.shape[1])]
        shown, truth = [names[int(node)] for node in nodes], [str(label) for label in labels]
        return class_columns(classes), class_rows(shown, truth, model.config.encoder, seed, classes, p)


class DistanceProblem(Problem):
    """Reconstruction: every node's distances to all others; there is nothing to hold out.

    Up to `ALL_PAIRS` nodes every distance is known; in larger graphs, edges and the distances from `LANDMARKS` nodes.
    """

    headline, model, held_out = "map", GraphForReconstruction, False

    def __init__(self, data: GraphData, inputs: Features, seed: int, pairs: int = 8192):
        self.graph = Graph(torch.from_numpy(data.edges.T), data.num_nodes, undirected=True)
        self.features = inputs.features(data, data.edges)
        self.links, self.pairs = torch.from_numpy(data.edges), pairs
        rng = np.random.default_rng(seed)
        small = data.num_nodes <= ALL_PAIRS
        known = np.arange(data.num_nodes) if small else rng.permutation(data.num_nodes)[:LANDMARKS]
        self.sources, self.hops = torch.from_numpy(known), hop_distances(data.edges, data.num_nodes, known)
        if small:
            self.evaluated = self.sources, self.hops
        else:
            chosen = rng.permutation(data.num_nodes)[:EVALUATED]
            self.evaluated = torch.from_numpy(chosen), hop_distances(data.edges, data.num_nodes, chosen)
        self.edges = data.edges
        siblings = (self.hops == 2).nonzero()
        self.near = torch.stack([self.sources[siblings[:, 0]], siblings[:, 1]], dim=1)

    def start(self, model: GraphForReconstruction, generator: torch.Generator) -> None:
        """Points of nodes begin as the graph's breadth-first tree; everything is in float64, for its depth."""
        torch.nn.Module.double(model)
        self.match(model)
        if isinstance(model.encoder.inputs, torch.nn.Module):
            m, width = model.encoder.manifold, model.config.hidden_size
            points, length = tree_layout(m, self.edges, model.config.num_nodes, width, generator)
            next(model.encoder.inputs.parameters()).data.copy_(points)
            model.log_scale.data.fill_(math.log(length))

    def loss(self, model: GraphForReconstruction, batch: None = None) -> Tensor:
        """Distortion of edges, of pairs two edges apart, and of pairs at any distance, a third each."""
        third = self.pairs // 3

        def some(count: int) -> Tensor:
            return torch.randint(count, (third,), device=self.links.device)

        rows, columns = some(len(self.sources)), some(self.hops.shape[1])
        apart = self.hops[rows, columns]
        kept = apart > 0
        far = torch.stack([self.sources[rows], columns], dim=1)[kept]
        groups = [(self.links[some(len(self.links))], 1.0), (far, apart[kept].float())]
        if len(self.near):
            groups.append((self.near[some(len(self.near))], 2.0))
        pairs = torch.cat([group for group, _ in groups])
        targets = torch.cat(
            [torch.as_tensor(hops, device=pairs.device).expand(len(group)) for group, hops in groups]
        )
        return model(self.features, self.graph, pairs, targets).loss

    @torch.no_grad()
    def evaluate(self, model: GraphForReconstruction, part: str) -> dict[str, float]:
        """Mean average precision and average distortion."""
        points = points_of(model.encode(self.features, self.graph))
        sources, hops = self.evaluated

        def rows(nodes: Tensor) -> Tensor:
            return model.encoder.manifold.dist(points[nodes, None], points)

        return reconstruction_scores(rows, hops, sources)

    @torch.no_grad()
    def answers(self, model: GraphForReconstruction, pairs: Tensor | None = None) -> np.ndarray:
        """Distances, in edges."""
        assert pairs is not None
        blocks = [model(self.features, self.graph, block).distances for block in pairs.split(BLOCK)]
        return torch.cat(blocks).cpu().numpy()

    def predictions(self, model: GraphForReconstruction, names: Sequence[str], seed: int) -> Table:
        """Of pairs at random among those whose distance is known."""
        rng, (rows, columns) = np.random.default_rng(seed), self.hops.shape
        drawn = torch.from_numpy(np.unique(rng.integers(rows * columns, size=SHOWN_PAIRS)))
        row, target = (part.to(self.hops.device) for part in (drawn // columns, drawn % columns))
        hops = self.hops[row, target]
        pairs, hops = torch.stack([self.sources[row], target], dim=1)[hops > 0], hops[hops > 0]
        answers = self.answers(model, pairs)
        return _by_pairs(
            names, pairs, ["hops", "seed", "distance"], hops.tolist(), [seed] * len(pairs), answers
        )


def make_problem(task: str, data: GraphData, inputs: Features, seed: int, split: str = "clean") -> Problem:
    """The problem of a task: "lp", "nc" or "md".

    Raises:
        InputError: there is no such task, or the graph has not what it needs.
    """
    if task == "lp":
        return LinkProblem(data, inputs, seed)
    if task == "nc":
        return NodeProblem(data, inputs, seed, split)
    if task == "md":
        return DistanceProblem(data, inputs, seed)
    raise InputError(f"`task` is {task!r}, expected lp (links), nc (classes of nodes) or md (distances)")
