"""Predict the missing links of a tree-like network, in hyperbolic and in flat space.

    python examples/graph.py                    # a synthetic tree with a few short cuts
    python examples/graph.py airport.npz        # edges, features (as `crocuta lab graph train` reads them)

Three seeds of each encoder; a tenth of the links is held out. The same from the command line:
crocuta lab graph train edges.tsv --problem lp --encoder hybonet --seeds 3 -o run/
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from crocuta.data.graphs import GraphData, read_graph
from crocuta.graphs.training import GraphRecipe, GraphRun, seeds_summary, train_seed
from crocuta.models.graph import GraphForLinkPrediction
from crocuta.quiet import prepare

ENCODERS = {
    "gcn": {},
    "gat": {"heads": 4},
    "hgcn": {"learnable": True},
    "hybonet": {"learnable": True, "per_layer": True, "activation": "none"},
}


def synthetic(nodes: int = 500, branches: int = 3, short_cuts: int = 20, seed: int = 0) -> GraphData:
    """A tree whose nodes inherit their parent's features with a little change, and some links across it."""
    rng = np.random.default_rng(seed)
    features = np.zeros((nodes, 8), np.float32)
    for node in range(1, nodes):
        features[node] = 0.95 * features[(node - 1) // branches] + rng.normal(size=8)
    children = np.arange(1, nodes)
    edges = np.stack([(children - 1) // branches, children], axis=1)
    across = np.sort(rng.integers(nodes, size=(short_cuts, 2)), axis=1)
    return GraphData(
        "tree",
        np.unique(np.concatenate([edges, across[across[:, 0] != across[:, 1]]]), axis=0),
        nodes,
        features,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("graph", nargs="?", type=Path, help="edge list or .npz")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("graph-model"))
    arguments = parser.parse_args()
    prepare()

    data = read_graph(arguments.graph) if arguments.graph else synthetic()
    print(f"{data.name}: {data.num_nodes:,} nodes, {len(data.edges):,} links")
    recipe = GraphRecipe(epochs=arguments.epochs, patience=100, learning_rate=0.02)
    models = {}
    for encoder, options in ENCODERS.items():
        run = GraphRun("lp", {"encoder": encoder, **options}, recipe, degrees=True)
        results = [train_seed(run, data, seed) for seed in range(arguments.seeds)]
        models[encoder], fits = results[0][0], [found for _, found in results]
        auroc = seeds_summary(fits)["test"]["auroc"]
        spread = f" ± {auroc['sd']:.3f}" if auroc["sd"] is not None else ""
        curvatures = ", ".join(f"{c:.2f}" for c in fits[0]["curvatures"])
        print(f"{encoder:8} AUROC {auroc['mean']:.3f}{spread}, curvatures {curvatures}")

    # A saved model loads like any other; it asks for features, an edge index, and pairs of nodes.
    models["hybonet"].save_pretrained(arguments.output)
    model = GraphForLinkPrediction.from_pretrained(arguments.output).eval()
    features = torch.zeros(data.num_nodes, model.config.in_features)
    pairs = torch.tensor([[0, 1], [0, data.num_nodes - 1]])
    edge_index = torch.from_numpy(data.edges.T).contiguous()
    with torch.inference_mode():
        print(model(features, edge_index, pairs).logits.sigmoid())


if __name__ == "__main__":
    main()
