"""Graph encoders by name, with heads for links, classes of nodes, and distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedModel
from transformers.utils.generic import ModelOutput

from crocuta.manifolds import Euclidean, Lorentz, Manifold, Poincare, PseudoHyperboloid
from crocuta.models.base import ModelConfig, register
from crocuta.nn.graph import Graph, as_graph
from crocuta.nn.graph.convolution import GATConv, GCNConv
from crocuta.nn.graph.decoders import (
    CentroidDistanceClassifier,
    DualDecoder,
    FermiDiracDecoder,
    TangentDecoder,
    distortion_loss,
)
from crocuta.nn.graph.lorentz import H2HGCNConv, HyboNetConv, LGCNConv
from crocuta.nn.graph.tangent import GILConv, HGATConv, HGCNConv, HGNNConv, QGCNConv, identity
from crocuta.nn.hyperbolic_embedding import LorentzEmbedding, PoincareEmbedding
from crocuta.nn.lorentz.linear import LorentzCentroidClassifier
from crocuta.nn.shared import save_curvatures_once

ENCODERS = (
    *("gcn", "gat", "hgcn", "hgnn", "hybonet", "lgcn", "hgat", "gil", "h2h-gcn", "q-gcn"),
    "embedding",
)
FLAT = ("gcn", "gat")
ON_THE_HYPERBOLOID = ("hybonet", "lgcn", "h2h-gcn")
NORMALISATIONS = ("row", "symmetric", "none")
SPACES = ("lorentz", "poincare", "euclidean")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu, "elu": F.elu, "selu": torch.selu, "tanh": torch.tanh, "none": identity,
}  # fmt: skip


class GraphConfig(ModelConfig):
    """A graph encoder.

    Args:
        encoder: one of `ENCODERS`; "embedding" has a learned point for each node and passes no messages.
        in_features: of a node; 0: each node has learned inputs of `hidden_size`, and `num_nodes` counts them.
        hidden_size, num_layers: intrinsic dimensions of each layer, and their number.
        space: "lorentz" or "poincare", where the encoder exists on both ("euclidean" for "embedding" alone).
        c: curvature, or a list of them: of the inputs, then of each layer.
        per_layer: every layer has a curvature of its own; otherwise all share one.
        learnable: training moves curvatures, within a factor of ten.
        attention: HGCN and HyboNet weigh neighbours by attention.
        normalisation: of GCN's, HGCN's and HGNN's adjacency: "row" (a mean of neighbours), "symmetric" or "none"; None:
            as each was published. Only a mean gives nodes of few links and of many the same size.
        heads: of GAT, HGAT and GIL; they divide `hidden_size`.
        time_dimensions: of Q-GCN's pseudo-hyperboloid.
    """

    model_type = "crocuta_graph"

    encoder: str = "hybonet"
    in_features: int = 0
    num_nodes: int = 0
    hidden_size: int = 16
    num_layers: int = 2
    space: str = "lorentz"
    c: float | list[float] = 1.0
    per_layer: bool = False
    learnable: bool = False
    activation: str = "relu"
    dropout: float = 0.0
    attention: bool = False
    normalisation: str | None = None
    heads: int = 1
    time_dimensions: int = 2

    def __post_init__(self, **kwargs):
        choices = {
            "encoder": ENCODERS, "space": SPACES, "activation": ACTIVATIONS, "normalisation": (*NORMALISATIONS, None),
        }  # fmt: skip
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(map(str, known))}, got {getattr(self, name)!r}"
                )
        if isinstance(self.c, list) and len(self.c) != self.num_layers + 1:
            raise ValueError(
                f"c must be one number or {self.num_layers + 1} (of the inputs and of {self.num_layers} layers), "
                f"got {len(self.c)}"
            )
        if not self.in_features and not self.num_nodes:
            raise ValueError("in_features or num_nodes must be positive: nodes have features, or are counted")
        super().__post_init__(**kwargs)

    def manifolds(self) -> list[Manifold]:
        """The manifold of the inputs and of each layer's outputs; one object where they share a curvature."""
        count = 1 + self.num_layers
        if self.encoder in FLAT or self.space == "euclidean":
            return [Euclidean()] * count
        kind = Poincare if self.space == "poincare" and self.encoder not in ON_THE_HYPERBOLOID else Lorentz
        curvatures = self.c if isinstance(self.c, list) else [self.c] * count
        if self.encoder == "q-gcn":
            return self._pseudo_hyperboloids(curvatures)
        if self.per_layer or isinstance(self.c, list):
            return [kind(c, self.learnable) for c in curvatures]
        return [kind(curvatures[0], self.learnable)] * count

    def _pseudo_hyperboloids(self, curvatures: Sequence[float]) -> list[Manifold]:
        """Those of inputs and layers differ in dimension, so curvatures are shared only from the first layer on."""
        time = self.time_dimensions
        widths = [self.in_features or self.hidden_size] + [self.hidden_size] * self.num_layers
        found: list[Manifold] = [
            PseudoHyperboloid((time, width - time + 1), c, self.learnable)
            for width, c in zip(widths, curvatures, strict=True)
        ]
        return found if self.per_layer else [found[0]] + [found[1]] * self.num_layers


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


@dataclass
class GraphOutput(ModelOutput):
    """`logits` of classes (N, num_classes) or links (P,), or `distances` (P,); `points` (N, ambient) of the nodes."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    distances: Tensor | None = None
    points: Tensor | None = None


class GraphModel(PreTrainedModel):
    """What the models share: the encoder, and `forward` on features with an edge index or on one data object."""

    config_class = GraphConfig
    config: GraphConfig
    base_model_prefix = ""

    def __init__(self, config: GraphConfig):
        super().__init__(config)
        self.encoder = GraphEncoder(config)

    def _init_weights(self, module: nn.Module) -> None:
        """Layers keep their own initialisation."""

    def _ready(self) -> None:
        save_curvatures_once(self)
        self.post_init()

    def encode(self, x: Any, edge_index: Any = None) -> Embedding:
        """`encode(features, edge_index)`, or `encode(data)` with `data.x` and `data.edge_index`."""
        if edge_index is None and not isinstance(x, Tensor) and x is not None:
            return self.encoder(getattr(x, "x", None), x)
        return self.encoder(x, edge_index)

    def curvatures(self) -> list[float]:
        """Of the inputs and of each layer."""
        shown = [self.encoder.manifold_in] + [
            getattr(layer, "manifold_out", None) or Euclidean() for layer in self.encoder.layers
        ]
        return [float(m.c.detach()) if isinstance(m.c, Tensor) else m.c for m in shown]


def points_of(embedding: Embedding) -> Tensor:
    """The points of an embedding, without GIL's vectors."""
    return embedding[0] if isinstance(embedding, tuple) else embedding


class GraphForNodeClassification(GraphModel):
    """Class logits of nodes. Decoders: HyboNet's distances to class points, H2H-GCN's to centroids, GIL's dual, and
    a linear map of `log0` elsewhere.

    >>> model = GraphForNodeClassification(GraphConfig(in_features=4, num_labels=3))
    >>> model(torch.randn(3, 4), torch.tensor([[0, 1], [1, 2]])).logits.shape
    torch.Size([3, 3])
    """

    def __init__(self, config: GraphConfig):
        super().__init__(config)
        m, n, classes = self.encoder.manifold, config.hidden_size, config.num_classes
        self.decoder: nn.Module
        match config.encoder:
            case "hybonet":
                self.decoder = LorentzCentroidClassifier(m, n, classes)  # type: ignore[arg-type]
            case "h2h-gcn":
                self.decoder = CentroidDistanceClassifier(m, n, classes)
            case "gil":
                self.decoder = DualDecoder(m, n, classes)  # type: ignore[arg-type]
            case _:
                self.decoder = TangentDecoder(m, n, classes)
        self._ready()

    def forward(
        self, x: Any = None, edge_index: Any = None, labels: Tensor | None = None, mask: Tensor | None = None
    ) -> GraphOutput:
        """Logits of all nodes; the loss counts nodes whose label is not -100, of those that `mask` selects."""
        embedding = self.encode(x, edge_index)
        logits = self.decoder(*embedding) if isinstance(embedding, tuple) else self.decoder(embedding)
        loss = None
        if labels is not None:
            chosen = slice(None) if mask is None else mask
            loss = F.cross_entropy(logits[chosen], labels[chosen])
        return GraphOutput(loss=loss, logits=logits, points=points_of(embedding))


class GraphForLinkPrediction(GraphModel):
    """Logits of links between pairs of nodes, by a Fermi-Dirac decoder whose radius and temperature are learned.

    >>> model = GraphForLinkPrediction(GraphConfig(in_features=4))
    >>> model(torch.randn(3, 4), torch.tensor([[0, 1], [1, 2]]), pairs=torch.tensor([[0, 2]])).logits.shape
    torch.Size([1])
    """

    def __init__(self, config: GraphConfig):
        super().__init__(config)
        m = self.encoder.manifold
        self.decoder = FermiDiracDecoder(m, chordal=isinstance(m, Lorentz), learnable=True)
        if config.encoder == "gil":
            self.euclidean_decoder = FermiDiracDecoder(Euclidean(), learnable=True)
        self._ready()

    def score(self, embedding: Embedding, pairs: Tensor) -> Tensor:
        """Logits (P,) of pairs (P, 2)."""
        i, j = pairs.T.contiguous()
        if not isinstance(embedding, tuple):
            return self._between(self.decoder, embedding, i, j)
        x, z = embedding
        return (self._between(self.decoder, x, i, j) + self._between(self.euclidean_decoder, z, i, j)) / 2

    def _between(self, decoder: nn.Module, x: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return decoder(x.index_select(0, i), x.index_select(0, j))

    def forward(
        self, x: Any = None, edge_index: Any = None, pairs: Tensor | None = None, labels: Tensor | None = None
    ) -> GraphOutput:
        """Logits of `pairs` (P, 2); the loss is the cross-entropy with 0/1 `labels` (P,)."""
        embedding = self.encode(x, edge_index)
        logits = None if pairs is None else self.score(embedding, pairs)
        loss = None
        if logits is not None and labels is not None:
            loss = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        return GraphOutput(loss=loss, logits=logits, points=points_of(embedding))


class GraphForReconstruction(GraphModel):
    """Distances between nodes, in units of edges: geodesic distances divided by one learned scale.

    >>> config = GraphConfig(encoder="embedding", num_nodes=3)
    >>> model = GraphForReconstruction(config)
    >>> model(edge_index=torch.tensor([[0, 1], [1, 2]]), pairs=torch.tensor([[0, 2]])).distances.shape
    torch.Size([1])
    """

    def __init__(self, config: GraphConfig):
        super().__init__(config)
        self.log_scale = nn.Parameter(torch.tensor(0.0))
        self._ready()

    def forward(
        self, x: Any = None, edge_index: Any = None, pairs: Tensor | None = None, labels: Tensor | None = None
    ) -> GraphOutput:
        """Distances of `pairs` (P, 2); the loss is their distortion of the graph's distances, `labels` (P,)."""
        points, distances, loss = points_of(self.encode(x, edge_index)), None, None
        if pairs is not None:
            i, j = pairs.unbind(-1)
            distances = self.encoder.manifold.dist(points[i], points[j]) / self.log_scale.exp()
        if distances is not None and labels is not None:
            loss = distortion_loss(distances, labels.to(distances.dtype))
        return GraphOutput(loss=loss, distances=distances, points=points)


register(GraphConfig, {AutoModel: GraphForLinkPrediction})
