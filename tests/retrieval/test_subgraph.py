"""Neighbourhoods and prize-collecting trees, held to brute force."""

import itertools

import numpy as np
import pytest

from crocuta.data.knowledge import KnowledgeGraph


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global k_hop, prize_collecting, prize_collecting_tree, spread_prizes
    from crocuta.retrieval import k_hop, prize_collecting, prize_collecting_tree
    from crocuta.retrieval.subgraph import spread_prizes


TREE = KnowledgeGraph.of(
    [("a1", "in", "A"), ("a2", "in", "A"), ("b1", "in", "B"), ("A", "in", "root"), ("B", "in", "root")]
)


def names(graph, subgraph):
    return [graph.entities[i] for i in subgraph.entities]


def worth(nodes, prizes, edges, costs):
    """Prizes less the cheapest edges that join the nodes; minus infinity where none do."""
    group = {node: node for node in nodes}

    def top(node):
        while group[node] != node:
            node = group[node]
        return node

    total, joined = sum(prizes[node] for node in nodes), 0
    for cost, (u, v) in sorted(zip(costs, edges, strict=True)):
        if u in group and v in group and top(u) != top(v):
            group[top(u)] = top(v)
            total, joined = total - cost, joined + 1
    return total if joined == len(nodes) - 1 else -np.inf


@pytest.mark.parametrize("seed", range(24))
def test_prize_collecting_tree_against_brute_force(seed):
    """Trees (even seeds) are exact by construction; general graphs of nine nodes came out exact as well."""
    rng, n = np.random.default_rng(seed), 9
    edges = {(int(rng.integers(i)), i) for i in range(1, n)}
    if seed % 2:
        edges |= {tuple(sorted(map(int, rng.choice(n, 2, replace=False)))) for _ in range(6)}
    edges = sorted(edges)
    costs, prizes = rng.uniform(0.2, 1.5, len(edges)), rng.uniform(0.1, 1.5, n) * (rng.random(n) < 0.6)
    best = max(
        worth(set(nodes), prizes, edges, costs)
        for size in range(1, n + 1)
        for nodes in itertools.combinations(range(n), size)
    )
    found = worth(set(prize_collecting_tree(prizes, edges, costs)), prizes, edges, costs)
    assert found == pytest.approx(best)


def test_a_shared_costly_edge_pays_for_two_leaves_but_not_for_one():
    edges = [(0, 1), (1, 2), (1, 3)]
    assert prize_collecting_tree(np.array([2.0, 0, 0.8, 0.8]), edges, [1.0, 0.1, 0.1]) == [0, 1, 2, 3]
    assert prize_collecting_tree(np.array([2.0, 0, 0.8, 0.0]), edges, [1.0, 0.1, 0.1]) == [0]


def test_parts_that_are_not_joined_stay_apart():
    assert prize_collecting_tree(np.array([1.0, 1.0, 1.5]), [(0, 1)], 0.3) == [0, 1]
    assert prize_collecting_tree(np.array([1.0, 1.0, 1.9]), [(0, 1)], 0.3) == [2]


def test_k_hop_goes_by_distance_and_direction():
    seed = [TREE.place["a1"]]
    out = k_hop(TREE, seed, hops=2, direction="out")
    assert names(TREE, out) == ["a1", "A", "root"]
    assert out.hops == (0, 1, 2)
    assert [TREE.sentence(i) for i in out.triples] == ["a1 in A", "A in root"]
    assert set(names(TREE, k_hop(TREE, seed, hops=2))) == {"a1", "A", "root", "a2"}
    assert names(TREE, k_hop(TREE, seed, hops=3, most=3)) == ["a1", "A", "root"]
    assert names(TREE, k_hop(TREE, seed, hops=0)) == ["a1"]
    with pytest.raises(ValueError, match="direction must be one of out, both"):
        k_hop(TREE, seed, direction="in")


def test_prizes_reach_ancestors_and_leave_siblings():
    prizes = spread_prizes(TREE, {TREE.place["a1"]: 1.0}, hops=2)
    assert {TREE.entities[i]: prize for i, prize in prizes.items()} == {"a1": 1.0, "A": 0.5, "root": 0.25}
    pair = {TREE.place["a1"]: 1.0, TREE.place["b1"]: 0.5}
    found = prize_collecting(TREE, pair, cost=0.1)
    assert set(names(TREE, found)) == {"a1", "b1", "A", "B", "root"}
    assert len(found.triples) == 4
    assert names(TREE, prize_collecting(TREE, pair, cost=0.6)) == ["a1"]
    assert len(prize_collecting(TREE, pair, cost=0.1, most=2).entities) == 2
