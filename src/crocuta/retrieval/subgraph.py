"""What part of a knowledge graph a question is about: neighbourhoods, and prize-collecting trees."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from crocuta.data.knowledge import KnowledgeGraph

DIRECTIONS = ("out", "both")


class Subgraph(NamedTuple):
    """Entities in the order of retrieval with their distance from the nearest seed in steps, and the triples kept."""

    entities: tuple[int, ...]
    hops: tuple[int, ...]
    triples: tuple[int, ...]


def k_hop(
    graph: KnowledgeGraph, seeds: Sequence[int], hops: int = 2, most: int = 32, direction: str = "both"
) -> Subgraph:
    """Entities up to `hops` steps from the seeds, at most `most`: nearer ones first, and what an entity points at
    before what points at it; with all triples between them.

    Args:
        direction: "out" follows triples from head to tail, "both" also back.

    Raises:
        ValueError: the direction is another.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}, got {direction!r}")
    depth = dict.fromkeys(list(dict.fromkeys(seeds))[:most], 0)
    border = list(depth)
    for hop in range(1, hops + 1):
        border = [
            entity for entity in _beside(graph, border, direction) if depth.setdefault(entity, hop) == hop
        ]
        border = list(dict.fromkeys(border))
    return _joined(graph, list(depth.items())[:most])


def _beside(graph: KnowledgeGraph, entities: Sequence[int], direction: str) -> list[int]:
    leaving, arriving = graph.incident
    found = [int(graph.triples[i, 2]) for entity in entities for i in leaving[entity]]
    if direction == "both":
        found += [int(graph.triples[i, 0]) for entity in entities for i in arriving[entity]]
    return found


def _joined(graph: KnowledgeGraph, depth: Sequence[tuple[int, int]]) -> Subgraph:
    """The entities with all triples between them, in the order of their later entity."""
    order = {entity: i for i, (entity, _) in enumerate(depth)}
    leaving, _ = graph.incident
    triples = [i for entity in order for i in leaving[entity] if int(graph.triples[i, 2]) in order]
    triples.sort(key=lambda i: max(order[int(graph.triples[i, 0])], order[int(graph.triples[i, 2])]))
    return Subgraph(tuple(order), tuple(hop for _, hop in depth), tuple(triples))


def spread_prizes(
    graph: KnowledgeGraph, seeds: Mapping[int, float], hops: int = 2, decay: float = 0.5
) -> dict[int, float]:
    """Prizes of seeds, and of what they point at in up to `hops` steps, `decay` times less with each step.

    (In He et al. 2024 relations that resemble the question have prizes too; here what a seed points at has, so that
    one seed is enough to reach its ancestors.)
    """
    leaving, _ = graph.incident
    prizes: dict[int, float] = {}
    for seed, prize in seeds.items():
        border, seen = [seed], {seed}
        for hop in range(hops + 1):
            for entity in border:
                prizes[entity] = prizes.get(entity, 0.0) + prize * decay**hop
            onward = [int(graph.triples[i, 2]) for entity in border for i in leaving[entity]]
            border = [entity for entity in dict.fromkeys(onward) if entity not in seen]
            seen.update(border)
    return prizes


def prize_collecting(
    graph: KnowledgeGraph, seeds: Mapping[int, float], cost: float = 0.5, hops: int = 2, most: int = 32
) -> Subgraph:
    """The tree that joins the entities around the seeds whose prizes are worth their edges, with the triples between
    its entities; where it is larger than `most`, those nearest the seeds.

    (G-Retriever, He et al. 2024, arXiv 2402.07630, section 5.3; prizes by `spread_prizes`.)
    """
    near = k_hop(graph, list(seeds), hops + 1, most=len(graph.entities), direction="both")
    place = {entity: i for i, entity in enumerate(near.entities)}
    ends = [(place[int(graph.triples[i, 0])], place[int(graph.triples[i, 2])]) for i in near.triples]
    edges = sorted({(min(u, v), max(u, v)) for u, v in ends if u != v})
    prizes = np.zeros(len(place))
    for entity, prize in spread_prizes(graph, seeds, hops).items():
        prizes[place[entity]] = prize
    chosen = prize_collecting_tree(prizes, edges, cost)
    return _joined(graph, [(near.entities[i], near.hops[i]) for i in chosen][:most])


def prize_collecting_tree(
    prizes: np.ndarray, edges: Sequence[tuple[int, int]], cost: float | Sequence[float], roots: int = 8
) -> list[int]:
    """Nodes of a connected subgraph with the largest sum of prizes less the costs of the edges that join them.

    Exact on trees and forests (strong pruning, Johnson, Minkoff & Phillips 2000, on the tree itself). Elsewhere the
    best of pruned shortest-path trees from the `roots` largest prizes, grown again on what each keeps.

    Args:
        prizes: (N,), none negative.
        edges: pairs of nodes.
        cost: of each edge, or of all.

    Returns:
        The nodes, in ascending order; of one prize at least, unless all are 0.
    """
    costs = [cost] * len(edges) if isinstance(cost, int | float) else list(cost)
    neighbours: list[list[tuple[int, float]]] = [[] for _ in prizes]
    for (u, v), price in zip(edges, costs, strict=True):
        neighbours[u].append((v, price))
        neighbours[v].append((u, price))
    best, best_value = [], -1.0
    for root in np.argsort(-prizes, kind="stable")[:roots].tolist():
        nodes: set[int] = set()
        value = -1.0
        weights = np.zeros(len(prizes))
        while True:
            found, worth = _pruned(prizes, _shortest_paths(neighbours, root, weights))
            if worth <= value:
                break
            nodes, value = found, worth
            # the next tree runs through what this one keeps, and through other prizes, more cheaply
            weights = prizes * 0.5
            weights[list(nodes)] = prizes[list(nodes)] + max(costs, default=0.0)
        if value > best_value:
            best, best_value = sorted(nodes), value
    return best


def _shortest_paths(
    neighbours: Sequence[Sequence[tuple[int, float]]], root: int, discount: np.ndarray
) -> list[tuple[int, int, float]]:
    """Nodes in the order of their distance from the root, with parent (-1: none) and the cost of the edge to it;
    an edge into a node is shorter by that node's discount. Nodes out of reach follow as roots of their own."""
    found: list[tuple[int, int, float]] = []
    done: set[int] = set()
    for start in [root, *range(len(neighbours))]:
        heap = [(0.0, start, -1, 0.0)] if start not in done else []
        while heap:
            far, node, parent, price = heapq.heappop(heap)
            if node in done:
                continue
            done.add(node)
            found.append((node, parent, price))
            for other, edge in neighbours[node]:
                if other not in done:
                    heapq.heappush(heap, (far + max(0.0, edge - discount[other]), other, node, edge))
    return found


def _pruned(prizes: np.ndarray, tree: Sequence[tuple[int, int, float]]) -> tuple[set[int], float]:
    """The most valuable connected part of a rooted forest, exactly: a child stays where it is worth its edge."""
    worth = {node: float(prizes[node]) for node, _, _ in tree}
    kept: dict[int, list[int]] = {node: [] for node, _, _ in tree}
    for node, parent, price in reversed(tree):
        if parent >= 0 and worth[node] > price:
            worth[parent] += worth[node] - price
            kept[parent].append(node)
    top = max(worth, key=lambda node: worth[node])
    nodes, open_nodes = set(), [top]
    while open_nodes:
        node = open_nodes.pop()
        nodes.add(node)
        open_nodes += kept[node]
    return nodes, worth[top]
