"""HyenaDNA: causal, classifying sequences and tokens; released weights by `convert`."""

from crocuta.models.hyena.model import (
    RELEASED,
    HyenaBlock,
    HyenaConfig,
    HyenaForCausalLM,
    HyenaForSequenceClassification,
    HyenaForTokenClassification,
    HyenaMLP,
    HyenaModel,
    HyenaPreTrainedModel,
    convert,
    operator,
)

__all__ = [
    "HyenaBlock",
    "HyenaConfig",
    "HyenaForCausalLM",
    "HyenaForSequenceClassification",
    "HyenaForTokenClassification",
    "HyenaMLP",
    "HyenaModel",
    "HyenaPreTrainedModel",
    "RELEASED",
    "convert",
    "operator",
]
