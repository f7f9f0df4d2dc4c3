"""Trees for `embed_tree.py`: reading them, distances, a construction in hyperbolic space, pictures."""

import functools
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from crocuta.data import phylogeny
from crocuta.manifolds import Lorentz


def read_tree(path: Path | None, collapse: float = 0.0) -> list[tuple[int, int]]:
    """Edges of a Newick or .npz file; by default of a complete ternary tree with 121 nodes."""
    if path is None or path.suffix == ".npz":
        return np.load(path)["edges"].tolist() if path else [((i - 1) // 3, i) for i in range(1, 121)]
    parent = phylogeny.read_tree(path).collapsed(collapse).parent.tolist()
    return [(above, node) for node, above in enumerate(parent)][1:]


def rooted(edges: list[tuple[int, int]], root: int = 0) -> dict[int, int]:
    """Node -> parent, from the root outward; the root is its own parent."""
    near = {node: [] for edge in edges for node in edge}
    for a, b in edges:
        near[a].append(b)
        near[b].append(a)
    parent, queue = {root: root}, [root]
    for node in queue:
        children = [other for other in near[node] if other != parent[node]]
        parent |= dict.fromkeys(children, node)
        queue += children
    return parent


def tree_distances(parent: dict[int, int]) -> Tensor:
    """Number of edges between any two nodes, (n, n)."""
    distance, seen = torch.zeros(len(parent), len(parent), dtype=torch.float64), []
    for node, above in parent.items():
        distance[node, seen] = distance[seen, node] = distance[above, seen] + 1
        seen.append(node)
    return distance


@functools.cache
def spread(count: int, n: int) -> Tensor:
    """`count` unit vectors of n dimensions that have pushed each other apart."""
    x = normalize(
        torch.randn(count, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64), dim=-1
    )
    for step in torch.linspace(0.3, 0, 200):
        apart = x[:, None] - x
        force = (apart / (apart.square().sum(-1, keepdim=True) ** 2 + 1e-9)).sum(1)
        x = normalize(x + step * count ** (-1 / (n - 1)) * normalize(force, dim=-1), dim=-1)
    return x


def sarkar(parent: dict[int, int], n: int, edge: float) -> Tensor:
    """Points on Lorentz(1): a node's neighbours at equal distance, evenly spread around it (Sarkar 2011)."""
    m, origin = Lorentz(), Lorentz().origin(n, dtype=torch.float64)
    x, children = origin.repeat(len(parent), 1), {}
    for node, above in parent.items():
        children.setdefault(above, []).append(node)
    for node, below in children.items():
        below = [child for child in below if child != node]
        u = spread(len(below) + 1, n)
        if node != parent[node]:  # turn the first direction towards the parent
            back = normalize(m.transport(x[node], origin, m.logmap(x[node], x[parent[node]]))[1:], dim=0)
            mirror = normalize(u[0] - back, dim=0)
            u = u - 2 * (u @ mirror)[:, None] * mirror
        here = x[node].expand(len(below), -1)
        x[below] = m.expmap(here, m.transport(origin, here, pad(edge * u[1:], (1, 0))))
    return x


@torch.no_grad()
def draw(m: Lorentz, x: Tensor, parent: dict[int, int], path: Path, rim: float = 5.5) -> None:
    """The tree on the Poincare disk, edges as geodesics, radii scaled so that the outermost is `rim`."""
    import matplotlib.pyplot as plt

    child, above = (torch.tensor(ends) for ends in (list(parent), list(parent.values())))
    steps = torch.linspace(0, 1, 24, dtype=x.dtype)[:, None, None]
    s = m.logmap0(m.expmap(x[above].expand(24, -1, -1), steps * m.logmap(x[above], x[child])))
    r = s.norm(dim=-1, keepdim=True)
    lines = (s / r.clamp_min(1e-9) * torch.tanh(r * rim / r.max() / 2)).transpose(0, 1)
    end = lines[:, -1]
    colour = plt.get_cmap("hsv")((torch.atan2(end[:, 1], end[:, 0]) / (2 * math.pi) % 1).numpy())
    figure, axes = plt.subplots(figsize=(9, 9))
    axes.add_patch(plt.Circle((0, 0), 1, facecolor="#10131a", edgecolor="#9aa4b5", linewidth=1))
    for line, c in zip(lines.numpy(), colour, strict=True):
        axes.plot(*line.T, color=c, linewidth=0.7, alpha=0.9, solid_capstyle="round")
    axes.scatter(*end.numpy().T, c=colour, s=3, linewidths=0)
    axes.set(xlim=(-1.01, 1.01), ylim=(-1.01, 1.01), aspect="equal")
    axes.axis("off")
    figure.savefig(path, dpi=150, bbox_inches="tight", transparent=True)
    plt.close(figure)
