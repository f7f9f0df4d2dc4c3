"""HyenaDNA: a causal language model of single nucleotides (Nguyen et al. 2023, arXiv 2306.15794)."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    initialization,
)
from transformers.modeling_outputs import (
    BaseModelOutput,
    CausalLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from crocuta.models.base import AdaptableModel, SequenceClassifier, classification_loss, register
from crocuta.models.hyena.block import HyenaBlock, HyenaMLP, operator
from crocuta.models.hyena.chunked import lean_applies, lean_block, next_token_loss
from crocuta.models.hyena.config import RELEASED, HyenaConfig
from crocuta.models.hyena.conversion import adopt_stored, convert
from crocuta.models.hyena.generation import generate
from crocuta.nn.hyena.fused import is_hooked
from crocuta.nn.hyena.implicit_filter import HyenaFilter, Sine
from crocuta.nn.linear import ResidualLinear
from crocuta.nn.pool import POOLS

__all__ = [
    "RELEASED",
    "HyenaBlock",
    "HyenaConfig",
    "HyenaForCausalLM",
    "HyenaForSequenceClassification",
    "HyenaForTokenClassification",
    "HyenaMLP",
    "HyenaModel",
    "HyenaPreTrainedModel",
    "convert",
    "operator",
]


class HyenaEmbeddings(nn.Module):
    def __init__(self, config: HyenaConfig):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.padded_vocab_size, config.d_model)


class HyenaBackbone(nn.Module):
    def __init__(self, config: HyenaConfig):
        super().__init__()
        self.embeddings = HyenaEmbeddings(config)
        self.dropout = nn.Dropout(config.embed_dropout)
        self.layers = nn.ModuleList(HyenaBlock(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)

    def forward(
        self,
        embedded: Tensor,
        mask: Tensor | None,
        every: bool = False,
        overwrite: bool = False,
        positions_to_keep: int = 0,
    ) -> list[Tensor]:
        """The normed output; before it, if `every`, the residual stream before each block.

        `overwrite` says that `embedded` is not needed afterwards; `positions_to_keep` asks for the output's last
        positions only, 0 for all.
        """
        x = self.dropout(embedded).to(torch.promote_types(embedded.dtype, torch.float32))
        overwrite = overwrite or x is not embedded
        stream = []
        for layer in self.layers:
            if every:
                stream.append(x)
            last = positions_to_keep if layer is self.layers[-1] else 0
            if lean_applies(layer, x):
                x = lean_block(layer, x, mask, overwrite=overwrite and not every, last=last)
            else:
                x = layer(x, mask)[:, -last:]
            overwrite = True
        return [*stream, self.ln_f(x.to(self.ln_f.weight.dtype))]


class HyenaPreTrainedModel(AdaptableModel):
    config_class = HyenaConfig
    base_model_prefix = "hyena"
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["HyenaBlock"]
    # Narrower than float32, neighbouring positions would be one (where a checkpoint holds their features).
    _keep_in_fp32_modules_strict: ClassVar[set[str]] = {"pos_emb", "modulation"}
    # What we compute anyway, or one tensor under several names.
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [
        r"pos_emb\.[zt]$",
        r"modulation\.deltas$",
        r"implicit_filter\.(3|5|7|9)\.freq$",
    ]

    @staticmethod
    def _load_pretrained_model(model, state_dict, checkpoint_files, load_config, expected_keys=None):
        """Reads trained position features too, which most checkpoints do not hold."""
        adopt_stored(model, state_dict, checkpoint_files)
        return AdaptableModel._load_pretrained_model(
            model, state_dict, checkpoint_files, load_config, expected_keys
        )

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
        """Replaces the embedding of tokens."""
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
        positions_to_keep: int = 0,
        **kwargs,
    ) -> BaseModelOutput:
        """Hidden states after the final norm.

        Args:
            input_ids: (B, L) token ids; or `inputs_embeds` (B, L, d_model) in their place.
            attention_mask: (B, L), 1 = token. Padding then changes nothing; without it, padding is read as tokens, as
                the original does.
            positions_to_keep: give `last_hidden_state` of the last positions only, for less work; 0 gives all.

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
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        stream = self.backbone(
            embedded,
            attention_mask,
            wanted,
            overwrite=inputs_embeds is None and not is_hooked(self.get_input_embeddings()),
            positions_to_keep=positions_to_keep,
        )
        return BaseModelOutput(last_hidden_state=stream[-1], hidden_states=tuple(stream) if wanted else None)


class HyenaWithHead(HyenaPreTrainedModel):
    """HyenaDNA with a head over the vocabulary, tied to the embeddings."""

    model_class: ClassVar[type[HyenaModel]] = HyenaModel
    _tied_weights_keys: ClassVar[dict[str, str]] = {
        "lm_head.weight": "hyena.backbone.embeddings.word_embeddings.weight"
    }

    def __init__(self, config: HyenaConfig):
        super().__init__(config)
        self.hyena = self.model_class(config)
        self.lm_head = nn.Linear(config.d_model, config.padded_vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.lm_head = value


class HyenaForCausalLM(HyenaWithHead):
    """HyenaDNA with its next-nucleotide head, tied to the embeddings."""

    generate = generate

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int = 0,
        **kwargs,
    ) -> CausalLMOutput:
        """Next-nucleotide logits and their loss.

        Args:
            input_ids: (B, L), as in `HyenaModel`.
            attention_mask: (B, L), as in `HyenaModel`.
            labels: the input ids (shifted here), -100 where not to be learned.
            logits_to_keep: give logits (B, `logits_to_keep`, padded vocabulary) of the last positions only, and the
                loss, still over all positions, without ever holding their logits; 0 gives all.
        """
        if labels is None:
            kwargs["positions_to_keep"] = logits_to_keep
        output = self.hyena(input_ids, attention_mask, **kwargs)
        hidden = output.last_hidden_state
        logits = self.lm_head(hidden[:, -logits_to_keep:])
        loss = None
        if labels is not None and logits_to_keep:
            loss = next_token_loss(self.lm_head, hidden, labels)
        elif labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)


class HyenaForSequenceClassification(HyenaPreTrainedModel, SequenceClassifier):
    """HyenaDNA that classifies whole sequences from pooled hidden states (`config.pool`)."""

    model_class: ClassVar[type[HyenaModel]] = HyenaModel

    def __init__(self, config: HyenaConfig):
        super().__init__(config)
        self.hyena = self.model_class(config)
        self.pool = POOLS[config.pool]()
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.score = nn.Linear(config.d_model, config.num_classes)
        self.post_init()

    def pooled(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """What the head reads (B, d_model)."""
        return self.pool(hidden, mask)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Class logits (B, num_labels); `labels` (B,) class indices, or (B, num_labels) 0/1 if multi-label."""
        output = self.hyena(input_ids, attention_mask, **kwargs)
        logits = self.score(self.dropout(self.pooled(output.last_hidden_state, attention_mask)))
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
