"""A language model whose states are points of the hyperboloid: masked, causal and classifying Lorentz transformers.

Blocks of Chen et al. 2022 (arXiv 2105.14686), see `LorentzTransformerBlock`, whose residuals add space parts; logits
are distances to hyperplanes. Shapes: B batch, L length, n = `d_model` intrinsic dimensions.
"""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    Cache,
    DynamicCache,
    GenerationMixin,
    PreTrainedModel,
    initialization,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    CausalLMOutputWithPast,
    MaskedLMOutput,
    SequenceClassifierOutput,
)

from crocuta.manifolds import Lorentz
from crocuta.models.base import ModelConfig, SequenceClassifier, classification_loss, register
from crocuta.nn.lorentz.head import LorentzMLR
from crocuta.nn.lorentz.norm import LorentzRMSNorm
from crocuta.nn.lorentz.pointwise import LorentzDropout, LorentzSpaceAddition
from crocuta.nn.lorentz.pool import LorentzGlobalPool
from crocuta.nn.lorentz.transformer import LorentzSwiGLU, LorentzTransformerBlock
from crocuta.nn.position import Rotary
from crocuta.nn.shared import save_curvatures_once


class LorentzTransformerConfig(ModelConfig):
    """Sizes of the transformer. Rotary positions set no limit to the length.

    Args:
        d_model: intrinsic dimensions of a state; a point has one coordinate more.
        d_inner: intrinsic dimensions inside the gated feed-forward; by default about 8/3 of `d_model`.
        causal: whether a token sees those before it alone; the causal and the masked model set it.
        c: initial curvature, one for the whole model.
        learnable: whether training moves it; it stays within a factor of ten of `c`.
    """

    model_type = "crocuta_lorentz_transformer"

    vocab_size: int = 12
    d_model: int = 128
    n_layer: int = 2
    n_head: int = 4
    d_inner: int | None = None
    dropout: float = 0.0
    causal: bool = False
    c: float = 1.0
    learnable: bool = True
    rotary_base: float = 10_000.0
    initializer_range: float = 0.02
    pad_token_id: int | None = 4

    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
    }

    def __post_init__(self, **kwargs):
        if self.d_model % self.n_head:
            raise ValueError(f"d_model must be a multiple of n_head = {self.n_head}, got {self.d_model}")
        super().__post_init__(**kwargs)


@dataclass
class LayerCache:
    """One layer's keys and values in a `transformers` cache, as the attention takes them."""

    cache: Cache
    layer: int

    @property
    def length(self) -> int:
        return self.cache.get_seq_length(self.layer)

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        return self.cache.update(key, value, self.layer)


class LorentzLanguageBlock(GradientCheckpointingLayer, LorentzTransformerBlock):
    """`LorentzTransformerBlock` that takes part in gradient checkpointing."""


class LorentzTransformerPreTrainedModel(PreTrainedModel):
    """What the models with and without a head share."""

    config_class = LorentzTransformerConfig
    base_model_prefix = "transformer"
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["LorentzLanguageBlock"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Layers of points draw their own; embeddings are near the origin, linear maps small."""
        std = self.config.initializer_range
        if isinstance(module, nn.Embedding | nn.Linear):
            initialization.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                initialization.zeros_(module.bias)
        elif isinstance(module, LorentzMLR):
            initialization.normal_(module.weight, std=std)
            initialization.zeros_(module.offset)
        if isinstance(module, LorentzTransformerBlock):
            attention, feed_forward = cast(Any, module.attention), cast(Any, module.feed_forward)
            shrink = (2 * self.config.n_layer) ** -0.5  # as GPT-2 does where a residual branch ends
            for last in (attention.out_proj, feed_forward.down_proj):
                initialization.normal_(last.weight, std=std * shrink)

    def get_input_embeddings(self) -> nn.Module:
        """The table of points of tokens."""
        return self.base_model.embedding  # pyright: ignore[reportReturnType]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Puts another table in place."""
        self.base_model.embedding = value  # pyright: ignore[reportAttributeAccessIssue]


class LorentzTransformerModel(LorentzTransformerPreTrainedModel):
    """Token ids (B, L) to points (B, L, n + 1) of `manifold`.

    Embeddings are space vectors, lifted; the last norm puts every point at one distance from the origin, times
    learned scales.

    >>> model = LorentzTransformerModel(LorentzTransformerConfig(d_model=16, n_layer=1))
    >>> model(torch.randint(7, 11, (2, 30))).last_hidden_state.shape
    torch.Size([2, 30, 17])
    """

    def __init__(self, config: LorentzTransformerConfig):
        super().__init__(config)
        self.manifold = Lorentz(config.c, config.learnable)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.dropout = LorentzDropout(self.manifold, config.dropout)
        self.layers = nn.ModuleList(self._block(config) for _ in range(config.n_layer))
        self.norm = LorentzRMSNorm(self.manifold, config.d_model)
        save_curvatures_once(self)
        self.post_init()

    def _block(self, config: LorentzTransformerConfig) -> LorentzLanguageBlock:
        return LorentzLanguageBlock(
            self.manifold,
            config.d_model,
            config.n_head,
            dropout=config.dropout,
            rotary=Rotary(config.d_model // config.n_head, config.rotary_base),
            feed_forward=LorentzSwiGLU(self.manifold, config.d_model, config.d_inner),
            residual=LorentzSpaceAddition,  # midpoints of far points lie near the origin, and drown what came before
        )

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPast:
        """Points after the final norm.

        Args:
            input_ids: (B, L) token ids; or `inputs_embeds` (B, L, n), space parts, in their place.
            attention_mask: (B, S), 1 = token, over what `past_key_values` holds and the input; padding may stand on
                either side and changes nothing.
            past_key_values: lifted keys and values of the tokens before (causal models).

        Raises:
            ValueError: both or none of `input_ids` and `inputs_embeds`; a cache for a model that is not causal.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if use_cache and past_key_values is None and self.config.causal:
            past_key_values = DynamicCache(config=self.config)
        if past_key_values is not None and not self.config.causal:
            raise ValueError("past_key_values go with a causal model: this one has causal=False")
        x = self.dropout(
            self.manifold.lift(self.embedding(input_ids) if inputs_embeds is None else inputs_embeds)
        )
        states = [x]
        for i, layer in enumerate(self.layers):
            past = None if past_key_values is None else LayerCache(past_key_values, i)
            x = layer(x, mask=attention_mask, is_causal=self.config.causal, past=past)
            states.append(x)
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return BaseModelOutputWithPast(
            last_hidden_state=self.norm(x),
            past_key_values=past_key_values,
            hidden_states=tuple(states) if wanted else None,  # pyright: ignore[reportArgumentType]
        )


class LorentzTransformerWithHead(LorentzTransformerPreTrainedModel):
    """A Lorentz transformer and a hyperplane for each token of the vocabulary."""

    causal: ClassVar[bool]

    def __init__(self, config: LorentzTransformerConfig):
        config = copy.deepcopy(config)
        config.causal = self.causal
        super().__init__(config)
        self.transformer = LorentzTransformerModel(config)
        self.lm_head = LorentzMLR(self.transformer.manifold, config.d_model, config.vocab_size)
        save_curvatures_once(self)
        self.post_init()


class LorentzTransformerForMaskedLM(LorentzTransformerWithHead):
    """Predicts tokens that are hidden from what stands on both sides.

    >>> model = LorentzTransformerForMaskedLM(LorentzTransformerConfig(d_model=16, n_layer=1))
    >>> model(torch.randint(7, 11, (2, 30))).logits.shape
    torch.Size([2, 30, 12])
    """

    causal = False

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> MaskedLMOutput:
        """Logits (B, L, vocabulary); `labels` (B, L) the hidden tokens' ids, -100 where not to be learned."""
        output = self.transformer(input_ids, attention_mask, **kwargs)
        logits = self.lm_head(output.last_hidden_state)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return MaskedLMOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)


class LorentzTransformerForCausalLM(LorentzTransformerWithHead, GenerationMixin):
    """Predicts the next token; `generate` is transformers', with a cache of lifted keys and values.

    >>> model = LorentzTransformerForCausalLM(LorentzTransformerConfig(d_model=16, n_layer=1))
    >>> model.generate(torch.tensor([[7, 8, 9, 10]]), max_new_tokens=6, do_sample=True).shape
    torch.Size([1, 10])
    """

    causal = True

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int = 0,
        **kwargs,
    ) -> CausalLMOutputWithPast:
        """Next-token logits, of the last `logits_to_keep` positions (0: all), and their loss over all positions.

        Args:
            labels: the input ids (shifted here), -100 where not to be learned.
        """
        output = self.transformer(input_ids, attention_mask, **kwargs)
        kept = 0 if labels is not None else logits_to_keep
        logits = self.lm_head(output.last_hidden_state[:, -kept:])
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits[:, -logits_to_keep:],
            past_key_values=output.past_key_values,
            hidden_states=output.hidden_states,
        )


class LorentzTransformerForSequenceClassification(LorentzTransformerPreTrainedModel, SequenceClassifier):
    """Classifies by the centroid of the tokens' points and a hyperplane for each class.

    >>> model = LorentzTransformerForSequenceClassification(LorentzTransformerConfig(d_model=16, n_layer=1))
    >>> model(torch.randint(7, 11, (2, 30))).logits.shape
    torch.Size([2, 2])
    """

    def __init__(self, config: LorentzTransformerConfig):
        super().__init__(config)
        self.transformer = LorentzTransformerModel(config)
        self.pool = LorentzGlobalPool(self.transformer.manifold)
        self.score = LorentzMLR(self.transformer.manifold, config.d_model, config.num_classes)
        save_curvatures_once(self)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Class logits (B, num_labels); `labels` (B,) class indices, or (B, num_labels) 0/1 if multi-label."""
        output = self.transformer(input_ids, attention_mask, **kwargs)
        logits = self.score(self.pool(output.last_hidden_state, attention_mask))
        loss = classification_loss(logits, labels, self.config.problem_type)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)


register(
    LorentzTransformerConfig,
    {
        AutoModel: LorentzTransformerModel,
        AutoModelForCausalLM: LorentzTransformerForCausalLM,
        AutoModelForMaskedLM: LorentzTransformerForMaskedLM,
        AutoModelForSequenceClassification: LorentzTransformerForSequenceClassification,
    },
)
