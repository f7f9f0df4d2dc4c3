"""HyenaDNA that treats both strands alike: reverse-complement equivariance by parameter sharing.

As in Caduceus-PS (Schiff et al. 2024, arXiv 2403.03234): the channels are two halves, one reads the sequence and one,
with the same weights, its reverse complement. To reverse-complement the input is to reverse the positions and to swap
the halves, in every layer; heads keep that (equivariant) or sum it out (invariant).
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput

from crocuta.data.encoding import VOCABULARY
from crocuta.models.base import register
from crocuta.models.hyena.model import (
    HyenaConfig,
    HyenaForSequenceClassification,
    HyenaModel,
    HyenaWithHead,
)

__all__ = ["RCHyenaConfig", "RCHyenaForMaskedLM", "RCHyenaForSequenceClassification", "RCHyenaModel"]

A, T = VOCABULARY["A"], VOCABULARY["T"]  # A C G T are consecutive: the complement of i is A + T - i


class RCHyenaConfig(HyenaConfig):
    """`HyenaConfig` of one strand; `d_model` counts the channels of one half. Sequences carry no [SEP].

    Looks both ways by default. With `bidirectional=False` each half sees what lies behind it on its strand: the weights
    of a causal HyenaDNA then fit.
    """

    model_type = "hyenadna-rc"
    append_separator: ClassVar[bool] = False

    bidirectional: bool = True

    @property
    def longest_sequence(self) -> int:
        return self.max_seq_len


def complement(ids: Tensor) -> Tensor:
    """Ids with A and T, C and G exchanged; N and special tokens keep their value."""
    return torch.where((ids >= A) & (ids <= T), A + T - ids, ids)


def reverse_complement(ids: Tensor) -> Tensor:
    """The other strand (B, L) in its own direction, padding at the other end."""
    return complement(ids).flip(1)


def strands(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The halves (B, L, d_model) of hidden states (B, L, 2 d_model), each in the direction of its strand."""
    forward, backward = hidden.chunk(2, dim=-1)
    return forward, backward.flip(1)


class RCHyenaModel(HyenaModel):
    """HyenaDNA on both strands: token ids (B, L) to hidden states (B, L, 2 d_model).

    The hidden states of the reverse complement are these with positions reversed and halves swapped.
    """

    config_class = RCHyenaConfig

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        """See `HyenaModel.forward`; hidden states cannot be given in place of ids, whose complement they lack."""
        if input_ids is None:
            raise ValueError("give input_ids: the other strand cannot be read off inputs_embeds")
        mask = None if attention_mask is None else torch.cat([attention_mask, attention_mask.flip(1)])
        both = torch.cat([input_ids, reverse_complement(input_ids)])
        output = super().forward(both, mask, output_hidden_states=output_hidden_states, **kwargs)
        assert output.last_hidden_state is not None
        states = output.hidden_states
        return BaseModelOutput(
            last_hidden_state=side_by_side(output.last_hidden_state),
            hidden_states=None if states is None else tuple(map(side_by_side, states)),
        )


def side_by_side(both: Tensor) -> Tensor:
    """Strands (2 B, L, d_model), each in its direction, to halves (B, L, 2 d_model) position by position."""
    forward, backward = both.chunk(2)
    return torch.cat([forward, backward.flip(1)], dim=-1)


class RCHyenaForMaskedLM(HyenaWithHead):
    """HyenaDNA that fills in masked nucleotides: logits of the other strand are those of this one, complemented."""

    config_class, model_class = RCHyenaConfig, RCHyenaModel

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> MaskedLMOutput:
        """Logits (B, L, padded vocabulary); `labels` (B, L) true ids at masked positions, -100 elsewhere."""
        output = self.hyena(input_ids, attention_mask, **kwargs)
        forward, backward = output.last_hidden_state.chunk(2, dim=-1)
        exchange = complement(torch.arange(self.config.padded_vocab_size, device=forward.device))
        logits = self.lm_head(forward) + self.lm_head(backward)[..., exchange]
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return MaskedLMOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)


class RCHyenaForSequenceClassification(HyenaForSequenceClassification):
    """HyenaDNA that classifies a sequence and its reverse complement alike: the mean of both strands' pooled states."""

    config_class, model_class = RCHyenaConfig, RCHyenaModel

    def pooled(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        forward, backward = strands(hidden)
        return (self.pool(forward, mask) + self.pool(backward, None if mask is None else mask.flip(1))) / 2


register(
    RCHyenaConfig,
    {
        AutoModel: RCHyenaModel,
        AutoModelForMaskedLM: RCHyenaForMaskedLM,
        AutoModelForSequenceClassification: RCHyenaForSequenceClassification,
    },
)
