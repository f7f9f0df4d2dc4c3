"""HGE's hyperbolic convolutional networks, HCNN-S and HCNN-M (Khan et al. 2025, arXiv 2507.21648)."""

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from crocuta.manifolds import Lorentz, Remap
from crocuta.manifolds.base import LOG_RANGE
from crocuta.models.base import ModelConfig, SequenceClassifier, classification_loss, register
from crocuta.models.cnn import CHANNELS, one_hot
from crocuta.nn.lorentz.conv import LorentzConv1d
from crocuta.nn.lorentz.head import LorentzMLR
from crocuta.nn.lorentz.linear import LorentzLinear
from crocuta.nn.lorentz.norm import LorentzBatchNorm1d
from crocuta.nn.lorentz.pointwise import LorentzDropout, LorentzFlatten
from crocuta.nn.lorentz.pool import LorentzGlobalPool
from crocuta.nn.pool import MaxPool
from crocuta.nn.rectify import rectify
from crocuta.nn.shared import save_curvatures_once

CURVATURES = ("single", "multiple")
LIFTS = ("time", "exponential")


class HCNNConfig(ModelConfig):
    """Sizes of the hyperbolic CNN; the original's, but for the pooling. Channels and features are intrinsic.

    Args:
        curvatures: "single": one for the whole network (HCNN-S); "multiple": each block and the head have their own,
            and points are mapped between them by logarithm and exponential at the origin (HCNN-M).
        c: initial curvature(s).
        learnable: whether training moves the curvatures; they stay within a factor of ten of `c`.
        lift: how one-hot columns become points: "time" takes them for space parts (the original's code),
            "exponential" for tangent vectors at the origin (its paper).
        pool: "centroid", or "max" (largest space coordinates), reads sequences of any length; None flattens
            `max_length` positions, as the original does.
    """

    model_type = "crocuta_hcnn"

    max_length: int = 70
    curvatures: str = "single"
    c: float = 1.0
    learnable: bool = True
    lift: str = "time"
    pool: str | None = "centroid"
    channels: int = 31
    kernel_size: int = 9
    n_block: int = 3
    hidden_features: int = 527
    dropout: float = 0.0

    def __post_init__(self, **kwargs):
        for name, known in (("curvatures", CURVATURES), ("lift", LIFTS), ("pool", (None, *POOLS))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        super().__post_init__(**kwargs)

    @property
    def longest_sequence(self) -> int | None:
        return self.max_length if self.pool is None else None


class LorentzFlattenPositions(LorentzFlatten):
    """Every position, masked ones at the origin."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x)


class LorentzMaxPool(nn.Module):
    """The point of the largest space coordinates, (B, L, n + 1) to (B, n + 1)."""

    def __init__(self, manifold: Lorentz):
        super().__init__()
        self.manifold, self.pool = manifold, MaxPool()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.manifold.lift(self.pool(x[..., 1:], mask))


POOLS = {"centroid": LorentzGlobalPool, "max": LorentzMaxPool}


class HCNNBlock(nn.Module):
    """Convolution, batch norm, ReLU, convolution, batch norm of points: (B, L, C_in + 1) to (B, L, C_out + 1)."""

    def __init__(self, manifold: Lorentz, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__()
        padding = kernel_size // 2
        self.manifold = manifold
        self.conv1 = LorentzConv1d(manifold, in_channels, out_channels, kernel_size, padding=padding)
        self.norm1 = LorentzBatchNorm1d(manifold, out_channels)
        self.conv2 = LorentzConv1d(manifold, out_channels, out_channels, kernel_size, padding=padding)
        self.norm2 = LorentzBatchNorm1d(manifold, out_channels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = rectify(self.manifold, self.norm1(self.conv1(x), mask), mask=mask)
        return self.norm2(self.conv2(x), mask)


class HCNNForSequenceClassification(SequenceClassifier):
    """Residual convolution blocks on the hyperboloid, then pooled into a two-layer hyperbolic classifier.

    With `pool=None` and c = 1 it computes what the original does; at other curvatures it flattens right where the
    original does not.

    >>> model = HCNNForSequenceClassification(HCNNConfig(max_length=70, num_labels=2))
    >>> model(torch.randint(7, 11, (4, 70))).logits.shape
    torch.Size([4, 2])
    """

    config_class = HCNNConfig
    base_model_prefix = ""

    def __init__(self, config: HCNNConfig):
        super().__init__(config)
        spaces = 1 if config.curvatures == "single" else config.n_block + 1
        self.manifolds = nn.ModuleList(Lorentz(config.c, config.learnable) for _ in range(spaces))
        *homes, last = [self.manifolds[min(i, spaces - 1)] for i in range(config.n_block + 1)]
        widths = pairwise([len(CHANNELS)] + [config.channels] * config.n_block)
        self.blocks = nn.ModuleList(
            HCNNBlock(m, *width, config.kernel_size)  # type: ignore[arg-type]
            for m, width in zip(homes, widths, strict=True)
        )
        self.maps = nn.ModuleList(
            nn.Identity() if m is after else Remap(m, after)  # type: ignore[arg-type]
            for m, after in pairwise([*homes, last])
        )
        self.pool = LorentzFlattenPositions(last) if config.pool is None else POOLS[config.pool](last)  # type: ignore[arg-type]
        self.dropout = LorentzDropout(last, config.dropout)  # type: ignore[arg-type]
        pooled = config.channels * (config.max_length if config.pool is None else 1)
        self.hidden = LorentzLinear(last, pooled, config.hidden_features)  # type: ignore[arg-type]
        self.score = LorentzMLR(last, config.hidden_features, config.num_classes)  # type: ignore[arg-type]
        save_curvatures_once(self)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Layers keep their own initialisation."""
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **kwargs
    ) -> SequenceClassifierOutput:
        """Class logits (B, num_labels) of token ids (B, L).

        Raises:
            ValueError: L is above `max_length`, where the model flattens.
        """
        length, limit = input_ids.shape[1], self.config.longest_sequence
        if limit is not None and length > limit:
            raise ValueError(
                f"input of {length:,} nucleotides is {length - limit:,} longer than max_length = {limit:,}"
            )
        s, mask = one_hot(input_ids, self.score.weight.dtype).transpose(1, 2), attention_mask
        if limit is not None:  # the original convolves over the zeros that follow a short sequence
            s = F.pad(s, (0, 0, 0, limit - length))
            mask = None if mask is None else F.pad(mask, (0, limit - length))
        first: Lorentz = self.manifolds[0]  # type: ignore[assignment]
        x = first.expmap0(s) if self.config.lift == "exponential" else first.lift(s)
        for i, (block, onward) in enumerate(zip(self.blocks, self.maps, strict=True)):
            x = onward(rectify(block.manifold, block(x, mask), x if i > 0 else None, mask))  # type: ignore[arg-type]
        last: Lorentz = self.manifolds[-1]  # type: ignore[assignment]
        hidden = self.hidden(self.dropout(self.pool(x, mask)))
        logits = self.score(rectify(last, hidden))
        return SequenceClassifierOutput(
            loss=classification_loss(logits, labels, self.config.problem_type), logits=logits
        )


def convert(state_dict: Mapping[str, Tensor], config: HCNNConfig) -> dict[str, Tensor]:
    """State dict for `HCNNForSequenceClassification` from the original's names and layout.

    Theirs carries time in every axis of channels, its row of the results unused; `k` is our 1/c; a convolution's
    columns are the joint time, then the window channel by channel.
    """
    layers = {"0": "conv1", "1": "norm1", "3": "conv2", "4": "norm2"}
    converted: dict[str, Tensor] = {}
    for key, tensor in state_dict.items():
        part, *path = key.split(".")
        if part == "conv_layers":
            block, layer, *_, leaf = path
            converted |= _convert_layer(f"blocks.{block}.{layers[layer]}.", leaf, tensor, config)
        elif part == "fc_layer":
            converted[f"hidden.{path[-1]}"] = tensor[1:]
        elif part == "mlr":
            converted[{"a": "score.offset", "z": "score.weight"}[path[0]]] = tensor
        elif part == "manifolds" and config.learnable and (config.curvatures == "multiple" or path[0] == "0"):
            offset = torch.atanh(-torch.log(config.c * tensor) / LOG_RANGE) * LOG_RANGE
            converted[f"manifolds.{path[0]}.log_c"] = math.log(config.c) + offset
    return converted


def _convert_layer(prefix: str, leaf: str, tensor: Tensor, config: HCNNConfig) -> dict[str, Tensor]:
    if leaf == "weight":
        taps = tensor[1:, 1:].unflatten(1, (-1, config.kernel_size))
        return {f"{prefix}weight_time": tensor[1:, 0], f"{prefix}weight": taps}
    if leaf == "running_var":
        return {f"{prefix}running_dispersion": tensor.squeeze()}
    return {f"{prefix}{leaf}": tensor.squeeze() if leaf == "gamma" else tensor[1:]}


register(HCNNConfig, {AutoModelForSequenceClassification: HCNNForSequenceClassification})
