"""Convolutional networks on one-hot DNA: the Euclidean twin of HGE's hyperbolic CNNs (arXiv 2507.21648)."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from crocuta.data.encoding import VOCABULARY
from crocuta.models.base import ModelConfig, SequenceClassifier, classification_loss, register
from crocuta.nn.pool import POOLS

CHANNELS = "ACTGN"  # the original's order of input channels


def one_hot(input_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """Token ids (B, L) to (B, 5, L): A, C, T, G, N; special tokens and padding are all-zero columns."""
    return torch.stack([input_ids == VOCABULARY[symbol] for symbol in CHANNELS], dim=1).to(dtype)


class CNNConfig(ModelConfig):
    """Sizes of the CNN; the defaults are the original's. `max_length` counts nucleotides.

    `pool` (see `crocuta.nn.pool`) takes the place of the flattening, which knows each position by heart: the model
    then reads sequences of any length, and finds a motif wherever it stands.
    """

    model_type = "crocuta_cnn"

    max_length: int = 70
    channels: int = 32
    kernel_size: int = 9
    n_block: int = 3
    hidden_features: int = 528
    dropout: float = 0.0
    pool: str | None = None

    def __post_init__(self, **kwargs):
        if self.pool is not None and self.pool not in POOLS:
            raise ValueError(f"pool must be None or one of {', '.join(POOLS)}, got {self.pool!r}")
        super().__post_init__(**kwargs)

    @property
    def longest_sequence(self) -> int | None:
        return self.max_length if self.pool is None else None


class CNNBlock(nn.Sequential):
    """Convolution, batch norm, ReLU, convolution, batch norm: (B, C_in, L) to (B, C_out, L).

    A mask (B, 1, L), 1 = token, is applied before the second convolution too: padding then tells nothing.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(
            nn.Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
            nn.BatchNorm1d(out_channels),
            nn.ReLU(),
            nn.Conv1d(out_channels, out_channels, kernel_size, padding=kernel_size // 2),
            nn.BatchNorm1d(out_channels),
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        convolution, norm, activation, *rest = self
        x = activation(norm(convolution(x)))
        x = x if mask is None else x * mask
        for layer in rest:
            x = layer(x)
        return x


class Flatten(nn.Module):
    """(B, L, C) to (B, C x L), channel by channel as in the original."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x.transpose(1, 2).flatten(1)


class CNNForSequenceClassification(SequenceClassifier):
    """Three residual convolution blocks, then flattened or pooled into a two-layer classifier."""

    config_class = CNNConfig
    base_model_prefix = ""

    def __init__(self, config: CNNConfig):
        super().__init__(config)
        widths = [len(CHANNELS)] + [config.channels] * config.n_block
        self.blocks = nn.ModuleList(
            CNNBlock(c_in, c_out, config.kernel_size) for c_in, c_out in pairwise(widths)
        )
        self.pool = Flatten() if config.pool is None else POOLS[config.pool]()
        self.dropout = nn.Dropout(config.dropout)
        pooled = config.channels * (config.max_length if config.pool is None else 1)
        self.hidden = nn.Linear(pooled, config.hidden_features)
        self.score = nn.Linear(config.hidden_features, config.num_classes)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Layers keep torch's own initialisation, as in the original."""
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
        x = one_hot(input_ids, self.score.weight.dtype)
        if limit is not None:  # the original convolves over the zeros that follow a short sequence
            x = F.pad(x, (0, limit - length))
        mask = None if attention_mask is None else F.pad(attention_mask, (0, x.shape[-1] - length))[:, None]
        for i, block in enumerate(self.blocks):
            y = block(x, mask)
            x = F.relu(y + x) if i > 0 else F.relu(y)
            x = x if mask is None else x * mask
        pooled = self.pool(x.transpose(1, 2), None if mask is None else mask[:, 0])
        logits = self.score(F.relu(self.hidden(self.dropout(pooled))))
        return SequenceClassifierOutput(
            loss=classification_loss(logits, labels, self.config.problem_type), logits=logits
        )


def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict for `CNNForSequenceClassification` from the original's names."""
    renamed = {"conv_layers.": "blocks.", "fc_layer.": "hidden.", "mlr.": "score."}
    converted = {}
    for key, tensor in state_dict.items():
        for theirs, ours in renamed.items():
            key = ours + key.removeprefix(theirs) if key.startswith(theirs) else key
        converted[key] = tensor
    return converted


register(CNNConfig, {AutoModelForSequenceClassification: CNNForSequenceClassification})
