"""A small pre-norm Transformer encoder of nucleotides: the attention baseline."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, initialization
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import SequenceClassifierOutput

from crocuta.models.base import ModelConfig, SequenceClassifier, classification_loss, register
from crocuta.nn.attention import RotaryAttention
from crocuta.nn.linear import ResidualLinear
from crocuta.nn.pool import MeanPool


class TransformerConfig(ModelConfig):
    """Sizes of the encoder. Rotary positions set no limit to the length."""

    model_type = "crocuta_transformer"

    vocab_size: int = 12
    d_model: int = 128
    n_layer: int = 2
    n_head: int = 4
    d_inner: int = 512
    dropout: float = 0.1
    initializer_range: float = 0.02

    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
    }


class TransformerBlock(GradientCheckpointingLayer):
    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.d_model)
        self.attention = RotaryAttention(config.d_model, config.n_head, config.dropout)
        self.norm2 = nn.LayerNorm(config.d_model)
        self.fc1 = nn.Linear(config.d_model, config.d_inner)
        self.fc2 = ResidualLinear(config.d_inner, config.d_model)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x), mask))
        return x + self.dropout(self.fc2(F.gelu(self.fc1(self.norm2(x)))))


class TransformerForSequenceClassification(SequenceClassifier):
    """Encoder, mean over tokens, linear classifier."""

    config_class = TransformerConfig
    base_model_prefix = ""
    supports_gradient_checkpointing = True

    def __init__(self, config: TransformerConfig):
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.d_model)
        self.pool = MeanPool()
        self.score = nn.Linear(config.d_model, config.num_classes)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ResidualLinear):
            std = self.config.initializer_range / math.sqrt(2 * self.config.n_layer)
            initialization.normal_(module.weight, std=std)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **kwargs
    ) -> SequenceClassifierOutput:
        """Class logits (B, num_labels) of token ids (B, L)."""
        x = self.embeddings(input_ids)
        for layer in self.layers:
            x = layer(x, attention_mask)
        logits = self.score(self.pool(self.norm(x), attention_mask))
        return SequenceClassifierOutput(
            loss=classification_loss(logits, labels, self.config.problem_type), logits=logits
        )


register(TransformerConfig, {AutoModelForSequenceClassification: TransformerForSequenceClassification})
