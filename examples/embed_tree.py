"""Embed a tree in hyperbolic and in Euclidean space, and compare what is left of it.

    python examples/embed_tree.py                                              # a synthetic tree, seconds
    python examples/embed_tree.py tree.nwk --collapse 10 --picture disk.png    # your phylogeny, minutes
    python examples/embed_tree.py edges.npz --json results.json                # array `edges`, shape (m, 2)

Distances D in the tree count edges; branches shorter than `--collapse` are contracted. Reported: distortion, the
mean of |d / (s D) - 1| with one scale s, and mAP, how near the top of a node's nearest points its neighbours in
the tree come (1: perfect). Loss, batches and steps are the same for all spaces; each has the start and the
learning rate that suit it: Sarkar's construction in hyperbolic space, classical scaling in Euclidean space.
Float64 tells directions apart up to radius 36, and edges much shorter than 1 bend paths into circles: a tree
about 30 edges deep fits, and a deeper one wants `--collapse`.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from crocuta.manifolds import Euclidean, Lorentz, Poincare, lorentz_to_poincare
from crocuta.optim import RiemannianAdam, parameter_groups
from trees import draw, read_tree, rooted, sarkar, tree_distances

SPACES = {"Lorentz": Lorentz, "Poincare": Poincare, "Euclidean": Euclidean}
LR = {"Lorentz": 0.02, "Poincare": 0.02, "Euclidean": 0.5}


class TreeEmbedding(nn.Module):
    """A point for each node; `forward` gives distances in units of edges."""

    on_manifold = {"points": "manifold"}  # noqa: RUF012

    def __init__(self, space: str, n: int, parent: dict[int, int], D: Tensor, radius: float):
        super().__init__()
        self.manifold = SPACES[space]()
        if space == "Euclidean":
            centred = D.square() - D.square().mean(0)
            value, vector = torch.lobpcg((centred.mean(1, keepdim=True) - centred) / 2, k=n)
            points, scale = vector * value.clamp_min(0).sqrt(), 1.0
        else:
            scale = min(
                6.0, radius / D[next(iter(parent))].max().item()
            )  # an edge of 6 loses 2% already in 2-D
            points = sarkar(parent, n, scale)
            points = lorentz_to_poincare(points) if space == "Poincare" else points
        self.points = nn.Parameter(points)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale), dtype=points.dtype))

    def forward(self, i: Tensor, j: Tensor) -> Tensor:
        return self.manifold.dist(self.points[i], self.points[j]) / self.log_scale.exp()


def fit(model: TreeEmbedding, D: Tensor, lr: float, steps: int, batch: int = 8192) -> None:
    """Minimise the squared relative error over pairs, half of them drawn from near ones (D <= 2)."""
    groups = parameter_groups(model, lr=lr)
    groups[-1]["lr"] = 0.005  # the scale
    optimizer = RiemannianAdam(groups, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [g["lr"] for g in groups], steps, pct_start=0.1)
    near = ((D > 0) & (D <= 2)).nonzero()
    for _ in range(steps):
        far = torch.randint(len(D), (batch // 2, 2))
        pairs = torch.cat([far[far[:, 0] != far[:, 1]], near[torch.randint(len(near), (batch // 2,))]])
        i, j = pairs.unbind(1)
        optimizer.zero_grad()
        (model(i, j) / D[i, j] - 1).square().mean().backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def score(model: TreeEmbedding, D: Tensor) -> dict[str, float]:
    """Average distortion and mean average precision, from all pairs."""
    nodes, precision = torch.arange(len(D)), []
    d = torch.stack([model(i, nodes) for i in nodes])
    for row, truth in zip(d.fill_diagonal_(math.inf), D, strict=True):
        rank = (row <= row[truth == 1, None]).sum(1).sort().values
        precision.append((torch.arange(1, len(rank) + 1) / rank).mean())
    ratio = d[D > 0] / D[D > 0]
    distortion = (ratio / ratio.median() - 1).abs().mean()
    return {"distortion": round(distortion.item(), 4), "mAP": round(torch.stack(precision).mean().item(), 4)}


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", nargs="?", type=Path, help="Newick, or .npz with `edges`; default: synthetic")
    parser.add_argument("--collapse", type=float, default=0.0, help="contract branches shorter than this")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[2, 5, 10])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--radius", type=float, default=34.0, help="of the hyperbolic start")
    parser.add_argument("--picture", type=Path, help="PNG of Lorentz in 2 dimensions")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    edges = read_tree(options.tree, options.collapse)
    centre = tree_distances(rooted(edges)).amax(1).argmin().item()
    parent = rooted(edges, centre)
    D = tree_distances(parent)
    results = {"nodes": len(D), "diameter": int(D.max()), "steps": options.steps}
    for n in options.dimensions:
        for space in SPACES:
            start = time.process_time()
            model = TreeEmbedding(space, n, parent, D, options.radius)
            fit(model, D, LR[space], options.steps)
            results[f"{space} {n}"] = score(model, D) | {"cpu_seconds": round(time.process_time() - start, 1)}
            print(
                f"{space:10}{n:4}", *(f"{k} {v:8.4f}" for k, v in results[f"{space} {n}"].items()), flush=True
            )
            if options.picture and space == "Lorentz" and n == 2:
                draw(model.manifold, model.points, parent, options.picture)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return results


if __name__ == "__main__":
    main()
