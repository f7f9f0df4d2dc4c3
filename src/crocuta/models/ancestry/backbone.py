"""What every ancestry model is built on: alleles joined with their positions, and blocks that mix them along a window.

Shapes: B windows, L sites, D width, E channels of evidence.
"""

import math

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, initialization

from crocuta.models.ancestry.config import AncestryConfig
from crocuta.models.hyena.block import HyenaBlock
from crocuta.models.transformer import TransformerBlock
from crocuta.nn.attention import CausalRotaryAttention
from crocuta.nn.genomic_position import (
    CentimorganPosition,
    FactorisedPosition,
    FourierPosition,
    HashedGridPosition,
    LearnedPosition,
    NoPosition,
    PositionEncoding,
    PositionTable,
    RotaryPosition,
    SinusoidalPosition,
    SitePosition,
    TableProjection,
)
from crocuta.nn.hyena.implicit_filter import HyenaFilter, Sine
from crocuta.nn.linear import ResidualLinear


def position_encoding(config: AncestryConfig) -> PositionEncoding:
    """The encoding that a configuration names."""
    width, lengths = config.d_model, config.chromosome_lengths or []
    return {
        "none": lambda: NoPosition(width),
        "sinusoidal": lambda: SinusoidalPosition(width),
        "rotary": lambda: RotaryPosition(width),
        "fourier": lambda: FourierPosition(width, max(lengths)),
        "learned": lambda: LearnedPosition(width, lengths, config.alpha),
        "fpe": lambda: FactorisedPosition(width, lengths, config.alpha, config.position_rank),
        "grid": lambda: HashedGridPosition(width, max(config.position_rank // 2, 1)),
        "centimorgan": lambda: CentimorganPosition(width),
        "site": lambda: SitePosition(width, config.sites, config.position_rank),
    }[config.position]()


def blocks(config: AncestryConfig) -> nn.ModuleList:
    """Hyena blocks or their Transformer twins; causal unless `bidirectional`."""
    if config.backbone == "hyena":
        return nn.ModuleList(HyenaBlock(config.hyena) for _ in range(config.n_layer))
    layers = nn.ModuleList(TransformerBlock(config.transformer) for _ in range(config.n_layer))
    if not config.bidirectional:
        for layer in layers:
            layer.attention = CausalRotaryAttention(config.d_model, config.n_head, config.dropout)  # type: ignore
    return layers


class AlleleTable(nn.Embedding):
    """A vector for every token, drawn from N(0, 1)."""


class AlleleEmbedding(nn.Module):
    """`token + gate(token) * position`: what is known of a place takes the sign of the allele that stands there.

    With the sum over a window this holds the logistic regression of its sites, of the position table's rank.
    """

    def __init__(self, config: AncestryConfig):
        super().__init__()
        self.token = AlleleTable(config.vocab_size, config.d_model)
        self.gate = AlleleTable(config.vocab_size, config.d_model)
        self.position = position_encoding(config)

    def forward(self, input_ids: Tensor, encoded: Tensor) -> Tensor:
        """Embedded tokens (B, L, D) of ids (B, L) and their positions' encodings (B, L, D)."""
        return self.position.join(self.token(input_ids), self.gate(input_ids) * encoded)


class RotatedAlleleEmbedding(AlleleEmbedding):
    """The token turned by its position, which therefore takes no gate."""

    def forward(self, input_ids: Tensor, encoded: Tensor) -> Tensor:
        return self.position.join(self.token(input_ids), encoded)


class AncestryPreTrainedModel(PreTrainedModel):
    """What models of ancestry share: their first weights."""

    config_class = AncestryConfig
    config: AncestryConfig
    base_model_prefix = "ancestry"
    supports_gradient_checkpointing = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, PositionTable):
            initialization.zeros_(module.weight)
            return
        if isinstance(module, nn.Conv1d):
            initialization.kaiming_uniform_(module.weight, a=math.sqrt(5))
            initialization.zeros_(module.bias)  # pyright: ignore[reportArgumentType]
            return
        super()._init_weights(module)
        if isinstance(module, AlleleTable):
            initialization.normal_(module.weight)
        elif isinstance(module, TableProjection):
            initialization.normal_(module.weight, std=module.in_features**-0.5)
        elif isinstance(module, ResidualLinear):
            std = self.config.initializer_range / math.sqrt(2 * self.config.n_layer)
            initialization.normal_(module.weight, std=std)
        elif isinstance(module, HyenaFilter):
            initialization.normal_(module.bias)
        elif isinstance(module, Sine):
            initialization.constant_(module.freq, 10.0)
        elif isinstance(module, SitePosition):
            initialization.constant_(module.key, torch.iinfo(torch.int64).max)  # pyright: ignore

    def get_input_embeddings(self) -> nn.Module:
        return self.base_model.embeddings.token  # pyright: ignore

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replaces the embedding of alleles."""
        self.base_model.embeddings.token = value  # pyright: ignore


class AncestryModel(AncestryPreTrainedModel):
    """AncestryHyena without a head: alleles at positions to hidden states.

    Sites whose allele is missing keep their place and get an output, but tell their neighbours nothing.
    """

    def __init__(self, config: AncestryConfig):
        super().__init__(config)
        kind = RotatedAlleleEmbedding if config.position == "rotary" else AlleleEmbedding
        self.embeddings = kind(config)
        self.evidence = (
            nn.Linear(config.evidence_channels, config.d_model) if config.evidence_channels else None
        )
        self.dropout = nn.Dropout(config.dropout)
        self.layers = blocks(config)
        self.norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.post_init()

    def encode_positions(self, position: Tensor, cm: Tensor | None, chromosome: Tensor | None) -> Tensor:
        """Encodings (B, L, D) of positions; one chromosome and one centimorgan a million bp where none are given."""
        if cm is None:
            cm = position.double() / 1e6
        if chromosome is None:
            chromosome = position.new_zeros(len(position))
        return self.embeddings.position(position, cm, chromosome)

    def known(self, input_ids: Tensor) -> Tensor:
        """Which sites say something, bool (B, L)."""
        return input_ids < self.config.alleles

    def hide(self, input_ids: Tensor, evidence: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """In training, makes `missing_rate` of the alleles missing, drawn anew, and their evidence zero."""
        if not self.training or not self.config.missing_rate:
            return input_ids, evidence
        drawn = torch.rand(input_ids.shape, device=input_ids.device) < self.config.missing_rate
        hidden = torch.where(drawn & self.known(input_ids), self.config.missing_id, input_ids)
        return hidden, None if evidence is None else evidence * ~drawn[..., None]

    def forward(
        self,
        input_ids: Tensor,
        encoded: Tensor,
        evidence: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, L, D) after the final norm.

        Args:
            input_ids: (B, L) tokens of `config.vocabulary`.
            encoded: (B, L, D) from `encode_positions`.
            evidence: (B, L, E) numbers that join the tokens; zero where nothing is known.

        Raises:
            ValueError: more sites than `max_sites`; evidence where none is expected, or the reverse.
        """
        length, limit = input_ids.shape[1], self.config.max_sites
        if length > limit:
            raise ValueError(f"a window of {length:,} sites is longer than max_sites = {limit:,}")
        if (evidence is None) != (self.evidence is None):
            raise ValueError(
                f"evidence of {self.config.evidence_channels} channels is expected, got"
                f" {'none' if evidence is None else tuple(evidence.shape)}"
            )
        known = self.known(input_ids)
        x = self.embeddings(input_ids, encoded)
        if self.evidence is not None and evidence is not None:
            x = x + self.evidence(evidence)
        x = self.dropout(x)
        seen = known | ~known.any(-1, keepdim=True)  # attention to nothing at all would be NaN
        mask = None if bool(seen.all()) else seen.to(x.dtype)
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)
