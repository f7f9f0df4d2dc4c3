"""Graph encoders by name: features and edges to a point for each node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from crocuta.manifolds import Lorentz, Manifold, Poincare
from crocuta.models.graph.config import ACTIVATIONS, GraphConfig
from crocuta.nn.graph import Graph, as_graph
from crocuta.nn.graph.convolution import GATConv, GCNConv
from crocuta.nn.graph.lorentz import H2HGCNConv, HyboNetConv, LGCNConv
from crocuta.nn.graph.tangent import GILConv, HGATConv, HGCNConv, HGNNConv, QGCNConv, identity
from crocuta.nn.hyperbolic_embedding import LorentzEmbedding, PoincareEmbedding

Embedding = Tensor | tuple[Tensor, Tensor]


class GraphEncoder(nn.Module):
    """Features and a graph to a point for each node, on `manifold`; GIL gives points and vectors.

    >>> encoder = GraphEncoder(GraphConfig(encoder="hgcn", in_features=4, hidden_size=3))
    >>> encoder(torch.randn(3, 4), torch.tensor([[0, 1], [1, 2]])).shape
    torch.Size([3, 4])
    """

    def __init__(self, config: GraphConfig):
        super().__init__()
        self.config = config
        manifolds = config.manifolds()
        self.manifold_in, self.manifold = manifolds[0], manifolds[-1]
        width = config.hidden_size
        self.project = None
        if config.encoder == "embedding":
            self.inputs, self.layers = _table(self.manifold, config.num_nodes, width), nn.ModuleList()
            return
        self.inputs = (
            None if config.in_features else nn.Parameter(torch.randn(config.num_nodes, width) / width**0.5)
        )
        start = config.in_features or width
        if config.encoder == "h2h-gcn":
            self.project, start = nn.Linear(start, width), width
        self.layers = nn.ModuleList(
            _layer(config, i, start if i == 0 else width, manifolds[i], manifolds[i + 1])
            for i in range(config.num_layers)
        )
        self._last: tuple[Any, int, Graph] | None = None
        self._points: tuple[Tensor, int, Tensor] | None = None

    def graph(self, data: Any, num_nodes: int | None = None) -> Graph:
        """`data` as an undirected graph with loops; sorted once for an edge index that comes again and again."""
        if isinstance(data, Graph):
            return data
        key = data if isinstance(data, Tensor) else data.edge_index
        if self._last is None or self._last[0] is not key or self._last[1] != key._version:
            self._last = (key, key._version, as_graph(data, num_nodes, undirected=True))
        return self._last[2]

    def forward(self, x: Tensor | None, graph: Any) -> Embedding:
        """Node features (N, in_features), None where they are learned, to points (N, ambient(hidden_size))."""
        if isinstance(self.inputs, nn.Module):
            device = next(self.inputs.parameters()).device
            return self.inputs(torch.arange(self.config.num_nodes, device=device))
        vectors = x if self.inputs is None else self.inputs
        if vectors is None:
            raise ValueError(f"x must be features (N, {self.config.in_features}) of nodes, got None")
        edges = self.graph(graph, len(vectors))
        if self.project is not None:
            vectors = ACTIVATIONS[self.config.activation](self.project(vectors))
        points = self._lifted(vectors)
        if self.config.encoder != "gil":
            for layer in self.layers:
                points = layer(points, edges)
            return points
        for layer in self.layers:
            points, vectors = layer(points, vectors, edges)
        return points, vectors

    def _lifted(self, vectors: Tensor) -> Tensor:
        """Inputs as points; those of the same features on a fixed curvature are made once."""
        if vectors.requires_grad or self.manifold_in.learnable:
            return self.manifold_in.expmap0(vectors)
        if self._points is None or self._points[0] is not vectors or self._points[1] != vectors._version:
            self._points = vectors, vectors._version, self.manifold_in.expmap0(vectors)
        return self._points[2]

    def __getstate__(self):
        return {**super().__getstate__(), "_last": None, "_points": None}


def _table(manifold: Manifold, nodes: int, width: int) -> nn.Module:
    if isinstance(manifold, Lorentz):
        return LorentzEmbedding(manifold, nodes, width)
    if isinstance(manifold, Poincare):
        return PoincareEmbedding(manifold, nodes, width)
    return nn.Embedding(nodes, width)


def _layer(config: GraphConfig, i: int, n: int, m_in: Any, m_out: Any) -> nn.Module:
    """Layer i of the encoder; the last has no activation, so that points may lie anywhere."""
    width, dropout = config.hidden_size, config.dropout
    activation = ACTIVATIONS[config.activation] if i < config.num_layers - 1 else identity
    common = {"manifold_out": m_out, "activation": activation, "dropout": dropout}
    adjacency: dict[str, Any] = (
        {} if config.normalisation is None else {"normalisation": config.normalisation}
    )
    match config.encoder:
        case "gcn":
            return _Activated(GCNConv(n, width, dropout=dropout, **adjacency), activation)
        case "gat":
            return _Activated(GATConv(n, width, heads=config.heads, dropout=dropout), activation)
        case "hgcn":
            return HGCNConv(m_in, n, width, attention=config.attention, **common, **adjacency)
        case "hgnn":
            return HGNNConv(m_in, n, width, rectify=activation is not identity, **common, **adjacency)
        case "hybonet":  # activates its inputs: those of the first layer are the features
            first = None if i == 0 or config.activation == "none" else ACTIVATIONS[config.activation]
            common["activation"] = first
            return HyboNetConv(m_in, n, width, attention=config.attention, **common)
        case "lgcn":
            return LGCNConv(m_in, n, width, **common)
        case "hgat":
            return HGATConv(m_in, n, width, heads=config.heads, **common)
        case "gil":
            return GILConv(m_in, n, width, heads=config.heads, **common)
        case "h2h-gcn":
            return H2HGCNConv(m_in, width, **common)
        case _:
            return QGCNConv(m_in, m_out, activation=activation, dropout=dropout)


class _Activated(nn.Module):
    def __init__(self, conv: nn.Module, activation: Callable[[Tensor], Tensor]):
        super().__init__()
        self.conv, self.activation = conv, activation

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        return self.activation(self.conv(x, graph))
