"""Heads on graph encoders: links, classes of nodes, and distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedModel
from transformers.utils.generic import ModelOutput

from crocuta.manifolds import Euclidean, Lorentz
from crocuta.models.base import register
from crocuta.models.graph.config import GraphConfig
from crocuta.models.graph.encoder import Embedding, GraphEncoder
from crocuta.nn.graph.decoders import (
    CentroidDistanceClassifier,
    DualDecoder,
    FermiDiracDecoder,
    TangentDecoder,
    distortion_loss,
)
from crocuta.nn.lorentz.linear import LorentzCentroidClassifier
from crocuta.nn.shared import save_curvatures_once


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
