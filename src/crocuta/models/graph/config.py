"""What a graph encoder is made of, and the manifolds of its layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from crocuta.manifolds import Euclidean, Lorentz, Manifold, Poincare, PseudoHyperboloid
from crocuta.models.base import ModelConfig
from crocuta.nn.graph.tangent import identity

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
