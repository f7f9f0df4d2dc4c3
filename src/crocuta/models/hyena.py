"""HyenaDNA: a causal language model of single nucleotides (Nguyen et al. 2023, arXiv 2306.15794)."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
    initialization,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    CausalLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from crocuta.models.base import ModelConfig, SequenceClassifier, classification_loss, register
from crocuta.models.hyena_convert import convert
from crocuta.models.hyena_generate import generate
from crocuta.nn.hyena import (
    BidirectionalHyenaOperator,
    DelayedHyenaOperator,
    HyenaFilter,
    HyenaOperator,
    Sine,
)
from crocuta.nn.linear import ResidualLinear
from crocuta.nn.pool import POOLS

__all__ = [
    "HyenaConfig",
    "HyenaForCausalLM",
    "HyenaForSequenceClassification",
    "HyenaForTokenClassification",
    "HyenaModel",
    "convert",
]


class HyenaConfig(ModelConfig):
    """Sizes and options of HyenaDNA; keys as in the Hugging Face port, with the addition of the second group.

    `max_seq_len` counts tokens: nucleotides and special tokens. `modulation_shift` is 0.05 in the port and the
    standalone code, 0.0 in the original training code: a checkpoint's origin decides. `delayed` reproduces the
    original's broken bidirectional convolution; `order_last` its filter layout for `hyena_order` above 2
    (False: the standalone code's).
    """

    model_type = "hyenadna"
    padding_side: ClassVar[str] = "left"
    append_separator: ClassVar[bool] = True
    retired_keys: ClassVar[frozenset[str]] = frozenset({"checkpoint_mixer", "checkpoint_mlp"})

    vocab_size: int = 12
    d_model: int = 128
    n_layer: int = 2
    d_inner: int | None = None
    max_seq_len: int = 1026
    pad_vocab_size_multiple: int = 8
    emb_dim: int = 5
    filter_order: int = 64
    hyena_order: int = 2
    short_filter_order: int = 3
    num_inner_mlps: int = 2
    activation_freq: float | int = 10
    train_freq: bool = True
    use_bias: bool = True
    embed_dropout: float = 0.1
    hyena_dropout: float = 0.0
    hyena_filter_dropout: float = 0.0
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 4

    modulate: bool = True
    modulation_shift: float = 0.05
    normalized: bool = False
    bidirectional: bool = False
    delayed: bool = False
    order_last: bool = True
    pool: str = "mean"
    classifier_dropout: float = 0.0

    attribute_map: ClassVar[dict[str, str]] = {"hidden_size": "d_model", "num_hidden_layers": "n_layer"}

    def __post_init__(self, **kwargs):
        if self.d_inner is None:
            self.d_inner = 4 * self.d_model
        if self.emb_dim < 3 or self.emb_dim % 2 == 0:
            raise ValueError(f"emb_dim must be odd and at least 3 (time, cosines, sines), got {self.emb_dim}")
        if self.hyena_order < 2:
            raise ValueError(f"hyena_order must be at least 2, got {self.hyena_order}")
        if self.pool not in POOLS:
            raise ValueError(f"pool must be one of {', '.join(POOLS)}, got {self.pool!r}")
        super().__post_init__(**kwargs)

    @property
    def padded_vocab_size(self) -> int:
        return math.ceil(self.vocab_size / self.pad_vocab_size_multiple) * self.pad_vocab_size_multiple

    @property
    def longest_sequence(self) -> int:
        return self.max_seq_len - 1


# The seven released models; one token more than the length for [SEP], one for [CLS].
RELEASED: dict[str, dict[str, Any]] = {
    "tiny-1k": {"d_model": 128, "n_layer": 2, "max_seq_len": 1_024 + 2},
    "tiny-1k-d256": {"d_model": 256, "n_layer": 2, "max_seq_len": 1_024 + 2},
    "tiny-16k-d128": {"d_model": 128, "n_layer": 2, "max_seq_len": 16_384 + 2},
    "small-32k": {"d_model": 256, "n_layer": 4, "max_seq_len": 32_768 + 2},
    "medium-160k": {"d_model": 256, "n_layer": 8, "max_seq_len": 160_000 + 2},
    "medium-450k": {"d_model": 256, "n_layer": 8, "max_seq_len": 450_000 + 2},
    "large-1m": {"d_model": 256, "n_layer": 8, "max_seq_len": 1_000_000 + 2},
}


def operator(config: HyenaConfig) -> HyenaOperator:
    kinds = {(False, False): HyenaOperator, (True, False): BidirectionalHyenaOperator}
    return kinds.get((config.bidirectional, config.delayed), DelayedHyenaOperator)(
        config.d_model,
        {
            "features": config.emb_dim,
            "width": config.filter_order,
            "inner_layers": config.num_inner_mlps,
            "frequency": config.activation_freq,
            "learn_frequency": config.train_freq,
            "modulate": config.modulate,
            "modulation_shift": config.modulation_shift,
            "normalized": config.normalized,
        },
        config.max_seq_len,
        order=config.hyena_order,
        short_filter_order=config.short_filter_order,
        bias=config.use_bias,
        dropout=config.hyena_dropout,
        order_last=config.order_last,
    )


class HyenaEmbeddings(nn.Module):
    def __init__(self, config: HyenaConfig):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.padded_vocab_size, config.d_model)


class HyenaMLP(nn.Module):
    def __init__(self, config: HyenaConfig):
        super().__init__()
        inner = config.d_inner or 4 * config.d_model
        self.fc1 = nn.Linear(config.d_model, inner)
        self.fc2 = ResidualLinear(inner, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class HyenaBlock(GradientCheckpointingLayer):
    """Pre-norm block; the residual stream stays in at least float32."""

    def __init__(self, config: HyenaConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mixer = operator(config)
        self.norm2 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mlp = HyenaMLP(config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        dtype = self.norm1.weight.dtype
        x = x + self.mixer(self.norm1(x.to(dtype)), mask)
        return x + self.mlp(self.norm2(x.to(dtype)))


class HyenaBackbone(nn.Module):
    def __init__(self, config: HyenaConfig):
        super().__init__()
        self.embeddings = HyenaEmbeddings(config)
        self.dropout = nn.Dropout(config.embed_dropout)
        self.layers = nn.ModuleList(HyenaBlock(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)

    def forward(self, embedded: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Residual stream before each block, then the normed output."""
        stream = [self.dropout(embedded).to(torch.promote_types(embedded.dtype, torch.float32))]
        for layer in self.layers:
            stream.append(layer(stream[-1], mask))
        stream[-1] = self.ln_f(stream[-1].to(self.ln_f.weight.dtype))
        return stream


class HyenaPreTrainedModel(PreTrainedModel):
    config_class = HyenaConfig
    base_model_prefix = "hyena"
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["HyenaBlock"]
    # Recomputed from the configuration, or one tensor under several names.
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [
        r"pos_emb\.[zt]$",
        r"modulation\.deltas$",
        r"implicit_filter\.(3|5|7|9)\.freq$",
    ]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv1d):  # short filters keep torch's default, as in the original
            initialization.kaiming_uniform_(module.weight, a=math.sqrt(5))
            bound = 1 / math.sqrt(module.weight[0].numel())
            initialization.uniform_(module.bias, -bound, bound)  # pyright: ignore[reportArgumentType]
            return
        super()._init_weights(module)
        if isinstance(module, ResidualLinear):
            std = self.config.initializer_range / math.sqrt(2 * self.config.n_layer)
            initialization.normal_(module.weight, std=std)
        elif isinstance(module, HyenaFilter):
            initialization.normal_(module.bias)
        elif isinstance(module, Sine):
            initialization.constant_(module.freq, float(self.config.activation_freq))

    def embeddings(self) -> "HyenaEmbeddings":
        return self.base_model.backbone.embeddings  # pyright: ignore[reportAttributeAccessIssue, reportReturnType]

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings().word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings().word_embeddings = value  # pyright: ignore[reportAttributeAccessIssue]


class HyenaModel(HyenaPreTrainedModel):
    """HyenaDNA without a head: token ids (B, L) to hidden states (B, L, d_model)."""

    def __init__(self, config: HyenaConfig):
        super().__init__(config)
        self.backbone = HyenaBackbone(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        """Hidden states after the final norm.

        Args:
            input_ids: (B, L) token ids; or `inputs_embeds` (B, L, d_model) in their place.
            attention_mask: (B, L), 1 = token. Padding then changes nothing; without it, padding is read as tokens, as
                the original does.

        Raises:
            ValueError: L is above `max_seq_len`.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        embedded = inputs_embeds if inputs_embeds is not None else self.get_input_embeddings()(input_ids)
        length, limit = embedded.shape[1], self.config.max_seq_len
        if length > limit:
            raise ValueError(
                f"input of {length:,} tokens is {length - limit:,} longer than max_seq_len = {limit:,}"
            )
        stream = self.backbone(embedded, attention_mask)
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return BaseModelOutput(last_hidden_state=stream[-1], hidden_states=tuple(stream) if wanted else None)


class HyenaForCausalLM(HyenaPreTrainedModel):
    """HyenaDNA with its next-nucleotide head, tied to the embeddings."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {
        "lm_head.weight": "hyena.backbone.embeddings.word_embeddings.weight"
    }

    def __init__(self, config: HyenaConfig):
        super().__init__(config)
        self.hyena = HyenaModel(config)
        self.lm_head = nn.Linear(config.d_model, config.padded_vocab_size, bias=False)
        self.post_init()

    generate = generate

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.lm_head = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> CausalLMOutput:
        """Logits (B, L, padded vocabulary); `labels` are the input ids (shifted here), -100 where not to be learned."""
        output = self.hyena(input_ids, attention_mask, **kwargs)
        logits = self.lm_head(output.last_hidden_state)
        loss = (
            None if labels is None else F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        )
        return CausalLMOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)


class HyenaForSequenceClassification(HyenaPreTrainedModel, SequenceClassifier):
    """HyenaDNA that classifies whole sequences from pooled hidden states (`config.pool`)."""

    def __init__(self, config: HyenaConfig):
        super().__init__(config)
        self.hyena = HyenaModel(config)
        self.pool = POOLS[config.pool]()
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.score = nn.Linear(config.d_model, config.num_classes)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Class logits (B, num_labels); `labels` (B,) class indices, or (B, num_labels) 0/1 if multi-label."""
        output = self.hyena(input_ids, attention_mask, **kwargs)
        logits = self.score(self.dropout(self.pool(output.last_hidden_state, attention_mask)))
        loss = classification_loss(logits, labels, self.config.problem_type)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)


class HyenaForTokenClassification(HyenaPreTrainedModel):
    """HyenaDNA that classifies each nucleotide."""

    def __init__(self, config: HyenaConfig):
        super().__init__(config)
        self.hyena = HyenaModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.score = nn.Linear(config.d_model, config.num_classes)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> TokenClassifierOutput:
        """Class logits (B, L, num_labels); `labels` (B, L) class indices, -100 where unlabelled."""
        output = self.hyena(input_ids, attention_mask, **kwargs)
        logits = self.score(self.dropout(output.last_hidden_state))
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return TokenClassifierOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)


register(
    HyenaConfig,
    {
        AutoModel: HyenaModel,
        AutoModelForCausalLM: HyenaForCausalLM,
        AutoModelForSequenceClassification: HyenaForSequenceClassification,
        AutoModelForTokenClassification: HyenaForTokenClassification,
    },
)
