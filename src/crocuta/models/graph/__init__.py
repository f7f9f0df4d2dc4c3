"""Graph encoders by name, with heads for links, classes of nodes, and distances."""

from crocuta.models.graph.config import ACTIVATIONS, ENCODERS, NORMALISATIONS, SPACES, GraphConfig
from crocuta.models.graph.encoder import Embedding, GraphEncoder
from crocuta.models.graph.heads import (
    GraphForLinkPrediction,
    GraphForNodeClassification,
    GraphForReconstruction,
    GraphModel,
    GraphOutput,
    points_of,
)

__all__ = [
    "ENCODERS",
    "NORMALISATIONS",
    "SPACES",
    "GraphConfig",
    "ACTIVATIONS",
    "Embedding",
    "GraphEncoder",
    "GraphForLinkPrediction",
    "GraphForNodeClassification",
    "GraphForReconstruction",
    "GraphModel",
    "GraphOutput",
    "points_of",
]
