"""From a question to the part of a knowledge graph that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from crocuta.data.knowledge import KnowledgeGraph
from crocuta.errors import InputError
from crocuta.manifolds import Lorentz
from crocuta.retrieval.index import HyperbolicIndex
from crocuta.retrieval.subgraph import Subgraph, k_hop, prize_collecting
from crocuta.retrieval.text import TextEncoder, fit_text_encoder, rarities
from crocuta.runs.device import AUTO
from crocuta.runs.progress import Stage

METHODS = ("k-hop", "prizes")


@dataclass(frozen=True)
class Retrieval:
    """How a question's subgraph is found.

    Args:
        method: "k-hop" (everything near the seeds) or "prizes" (a prize-collecting tree).
        seeds: entities nearest to the question, at most.
        margin: further seeds may be so much farther than the nearest, as a share of its distance.
        hops: steps from the seeds.
        most: entities of a subgraph.
        direction: of k-hop: "out" from head to tail, or "both".
        cost: of an edge of the tree, where the nearest seed's prize is 1.
    """

    method: str = "k-hop"
    seeds: int = 2
    margin: float = 0.15
    hops: int = 2
    most: int = 16
    direction: str = "out"
    cost: float = 0.1

    def __post_init__(self):
        if self.method not in METHODS:
            raise InputError(f"method is {self.method!r}, expected {' or '.join(METHODS)}")


class Seeds(NamedTuple):
    """Entities nearest to a question, with their distances."""

    entities: tuple[int, ...]
    distances: tuple[float, ...]


class Retriever:
    """Seeds by a hyperbolic index over the points of entity texts, and the subgraph around them.

    `encoder` is by default a new one for the graph; give it `rarities(graph, questions)` of the training questions
    where there are any.

    >>> graph = KnowledgeGraph.of([("AluY", "is a", "SINE"), ("L1PA2", "is a", "LINE")])
    >>> found = Retriever(graph).retrieve(["What is AluY?"])[0]
    >>> [graph.entities[i] for i in found.entities]
    ['AluY', 'SINE']
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        encoder: TextEncoder | None = None,
        settings: Retrieval | None = None,
        backend: str = "auto",
    ):
        self.graph, self.settings, self.backend = graph, settings or Retrieval(), backend
        self.encoder = encoder or TextEncoder(Lorentz(), rarities(graph))
        self.refresh()

    def fit(
        self, steps: int = 200, seed: int = 0, device: str = AUTO, stage: Stage | None = None
    ) -> list[float]:
        """Trains the text encoder on the graph's own texts; returns its losses."""
        losses = fit_text_encoder(
            self.encoder, self.graph.texts, steps, seed=seed, device=device, stage=stage
        )
        self.refresh()
        return losses

    @torch.no_grad()
    def refresh(self) -> None:
        """Builds the index anew from the encoder's weights."""
        self.index = HyperbolicIndex(self.encoder.manifold, self.encoder.features, self.backend)
        self.index.add(self.encoder(self.graph.texts))
        self._found: dict[str, Subgraph] = {}

    @torch.no_grad()
    def seeds(self, questions: Sequence[str]) -> list[Seeds]:
        """The entities nearest to each question."""
        found = self.index.search(self.encoder(questions), min(self.settings.seeds, len(self.index)))
        kept = []
        for distances, entities in zip(found.distances.tolist(), found.indices.tolist(), strict=True):
            limit = distances[0] * (1 + self.settings.margin)
            count = sum(distance <= limit for distance in distances)
            kept.append(Seeds(tuple(entities[:count]), tuple(distances[:count])))
        return kept

    def retrieve(self, questions: Sequence[str]) -> list[Subgraph]:
        """The subgraph of each question; those of questions asked before are remembered."""
        new = [question for question in dict.fromkeys(questions) if question not in self._found]
        if new:
            for question, seeds in zip(new, self.seeds(new), strict=True):
                self._found[question] = self._around(seeds)
        return [self._found[question] for question in questions]

    def _around(self, seeds: Seeds) -> Subgraph:
        s = self.settings
        if s.method == "k-hop":
            return k_hop(self.graph, seeds.entities, s.hops, s.most, s.direction)
        prizes = {entity: 1 / (1 + rank) for rank, entity in enumerate(seeds.entities)}
        return prize_collecting(self.graph, prizes, s.cost, s.hops, s.most)
