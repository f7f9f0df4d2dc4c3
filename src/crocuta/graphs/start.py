"""Where the points of a graph start: its breadth-first tree, laid out in hyperbolic space."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from crocuta.manifolds import Manifold

LONGEST = 2.0  # length of an edge, in units of 1/sqrt(c)
REACH = 30.0  # of the deepest leaf; float64 tells directions apart up to there


def breadth_first(edges: np.ndarray, num_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Parent and depth of each node in a tree grown from about the middle; further components hang on its root."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import breadth_first_order

    graph = csr_matrix(
        (np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(num_nodes, num_nodes)
    )
    graph = graph + graph.T

    def grow(root: int) -> tuple[np.ndarray, np.ndarray]:
        return breadth_first_order(graph, root, directed=False)

    end = grow(int(np.bincount(edges.ravel(), minlength=num_nodes).argmax()))[0][-1]
    order, before = grow(end)  # a longest path, or nearly: its middle is the root
    path = [order[-1]]
    while path[-1] != end:
        path.append(before[path[-1]])
    root = int(path[len(path) // 2])
    parent, depth = np.full(num_nodes, root), np.full(num_nodes, -1)
    for start in (root, *range(num_nodes)):
        if depth[start] >= 0:
            continue
        depth[start] = 0 if start == root else 1
        order, before = grow(start)
        for node in order[1:]:
            parent[node], depth[node] = before[node], depth[before[node]] + 1
    return parent, depth


@torch.no_grad()
def tree_layout(
    manifold: Manifold, edges: np.ndarray, num_nodes: int, dim: int, generator: torch.Generator
) -> tuple[Tensor, float]:
    """Points (N, ambient(dim)) float64, and the length of an edge.

    Children leave their parent at equal length in random directions that do not lead back: in hyperbolic space such
    subtrees stay apart, as in Sarkar's construction (2011), which spreads directions evenly.
    """
    parent, depth = (torch.from_numpy(x) for x in breadth_first(edges, num_nodes))
    c = float(manifold.c)
    length = min(LONGEST, REACH / max(int(depth.max()), 1)) / (c**0.5 if c else 1.0)
    points = manifold.expmap0(torch.zeros(num_nodes, dim, dtype=torch.float64))
    for level in range(1, int(depth.max()) + 1):
        nodes = (depth == level).nonzero().squeeze(1)
        above = parent[nodes]
        direction = F.normalize(
            torch.randn(len(nodes), dim, generator=generator, dtype=torch.float64), dim=-1
        )
        back = F.normalize(manifold.normal_coordinates(points[above], points[parent[above]]), dim=-1)
        along = (direction * back).sum(-1, keepdim=True)
        direction = F.normalize(direction - (along.clamp_min(0) + 0.5) * back, dim=-1)
        points[nodes] = manifold.from_normal_coordinates(
            points[above], direction * (length / manifold.scale0)
        )
    return points, length
