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

CHANNELS = "ACTGN"  # the original's order of input channels


def one_hot(input_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """Token ids (B, L) to (B, 5, L): A, C, T, G, N; special tokens and padding are all-zero columns."""
    return torch.stack([input_ids == VOCABULARY[symbol] for symbol in CHANNELS], dim=1).to(dtype)


class CNNConfig(ModelConfig):
    """Sizes of the CNN; the defaults are the original's. `max_length` counts nucleotides."""

    model_type = "crocuta_cnn"

    max_length: int = 70
    channels: int = 32
    kernel_size: int = 9
    n_block: int = 3
    hidden_features: int = 528
    dropout: float = 0.0

    @property
    def longest_sequence(self) -> int:
        return self.max_length


class CNNBlock(nn.Sequential):
    """Convolution, batch norm, ReLU, convolution, batch norm: (B, C_in, L) to (B, C_out, L)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(
            nn.Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
            nn.BatchNorm1d(out_channels),
            nn.ReLU(),
            nn.Conv1d(out_channels, out_channels, kernel_size, padding=kernel_size // 2),
            nn.BatchNorm1d(out_channels),
        )


class CNNForSequenceClassification(SequenceClassifier):
    """Three residual convolution blocks, flattened into a two-layer classifier."""

    config_class = CNNConfig
    base_model_prefix = ""

    def __init__(self, config: CNNConfig):
        super().__init__(config)
        widths = [len(CHANNELS)] + [config.channels] * config.n_block
        self.blocks = nn.ModuleList(
            CNNBlock(c_in, c_out, config.kernel_size) for c_in, c_out in pairwise(widths)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(config.channels * config.max_length, config.hidden_features)
        self.score = nn.Linear(config.hidden_features, config.num_classes)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Layers keep torch's own initialisation, as in the original."""
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **kwargs
    ) -> SequenceClassifierOutput:
        """Class logits (B, num_labels) of sequences (B, L <= max_length); shorter ones end in all-zero columns.

        Raises:
            ValueError: L is above `max_length`.
        """
        length, limit = input_ids.shape[1], self.config.max_length
        if length > limit:
            raise ValueError(
                f"input of {length:,} nucleotides is {length - limit:,} longer than max_length = {limit:,}"
            )
        x = F.pad(one_hot(input_ids, self.score.weight.dtype), (0, limit - length))
        mask = None if attention_mask is None else F.pad(attention_mask, (0, limit - length))[:, None]
        for i, block in enumerate(self.blocks):
            x = F.relu(block(x) + x) if i > 0 else F.relu(block(x))
            if mask is not None:
                x = x * mask
        logits = self.score(F.relu(self.hidden(self.dropout(x.flatten(1)))))
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
