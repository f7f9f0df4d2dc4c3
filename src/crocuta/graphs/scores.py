"""How well distances of an embedding agree with those of its graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

BLOCK = 64  # sources at a time
CELLS = 1 << 19  # distances at a time


def hop_distances(edges: np.ndarray, num_nodes: int, sources: np.ndarray | None = None) -> Tensor:
    """Numbers of edges between `sources` (default all nodes) and all nodes, (sources, N) int16; -1 if unreachable."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import dijkstra

    chosen = np.arange(num_nodes) if sources is None else sources
    weights = np.ones(len(edges), np.int8)
    graph = csr_matrix((weights, (edges[:, 0], edges[:, 1])), shape=(num_nodes, num_nodes))
    found = torch.empty(len(chosen), num_nodes, dtype=torch.int16)
    for start in range(0, len(chosen), BLOCK):
        rows = chosen[start : start + BLOCK]
        hops = dijkstra(graph, directed=False, indices=rows, unweighted=True)
        found[start : start + BLOCK] = torch.from_numpy(
            np.where(np.isfinite(hops), hops, -1).astype(np.int16)
        )
    return found


@torch.no_grad()
def reconstruction_scores(
    rows: Callable[[Tensor], Tensor], hops: Tensor, sources: Tensor
) -> dict[str, float]:
    """`map` and `distortion` of distances, over the given sources and all nodes that they reach.

    `map`: for node a with neighbours b, the mean over b of the share of neighbours among the points at least as near
    to a as b (Gu et al. 2019, section 2); 1 where every neighbour is nearer than every other node. `distortion`: mean
    of `|d / (s D) - 1|`, s the median of d / D.

    Args:
        rows: gives distances (m, N) of nodes (m,) to all.
        hops: true distances (sources, N), -1 where there is no path.
        sources: nodes (sources,).
    """
    precision: list[Tensor] = []
    ratios: list[Tensor] = []
    block = max(1, CELLS // hops.shape[1])
    for start in range(0, len(sources), block):
        nodes, truth = sources[start : start + block], hops[start : start + block].float()
        distance = rows(nodes).float()
        ratios.append((distance / truth)[truth > 0])
        distance[torch.arange(len(nodes), device=nodes.device), nodes] = torch.inf
        order = distance.argsort(1)
        hit = (truth == 1).gather(1, order)
        found = hit.cumsum(1) / torch.arange(1, hit.shape[1] + 1, device=hit.device)
        degree = hit.sum(1)
        each = (found * hit).sum(1) / degree.clamp_min(1)
        precision.append(each[degree > 0])
    ratio = torch.cat(ratios)
    middle = ratio.median()
    return {
        "map": torch.cat(precision).mean().item(),
        "distortion": (ratio / middle - 1).abs().mean().item(),
    }
