"""Message passing and graph convolutions, flat and hyperbolic."""

from crocuta.nn.graph.messages import (
    NORMALISATIONS,
    Graph,
    as_graph,
    at_source,
    at_target,
    propagate,
    segment_softmax,
    segment_sum,
)

__all__ = [
    "Graph",
    "NORMALISATIONS",
    "as_graph",
    "at_source",
    "at_target",
    "propagate",
    "segment_softmax",
    "segment_sum",
]
