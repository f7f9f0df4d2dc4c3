"""AncestryHyena: alleles at genomic positions, read by Hyena blocks or their Transformer twins, with three heads.

The next SNP (to pretrain), the ancestry of a window, the ancestry at every site. The recipe is that of G. Cameto's
thesis (Universidad de la Republica, 2025); the allele gate and the evidence channels are ours.

Shapes: B windows, L sites, D width, E channels of evidence, K populations.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, initialization
from transformers.modeling_outputs import (
    CausalLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from crocuta.manifolds import Lorentz
from crocuta.models.ancestry.backbone import AncestryModel, AncestryPreTrainedModel
from crocuta.models.ancestry.config import POSITIONS, VOCABULARY, AncestryConfig
from crocuta.models.base import register
from crocuta.nn.lorentz.head import LorentzMLR
from crocuta.nn.pool import MeanPool

__all__ = [
    "POSITIONS",
    "VOCABULARY",
    "AncestryConfig",
    "AncestryForSNPPrediction",
    "AncestryForSiteClassification",
    "AncestryForWindowClassification",
    "AncestryModel",
    "AncestryPreTrainedModel",
    "Doubt",
    "EvidenceSum",
]


FIRST_DOUBT = -4.0  # log odds


class LorentzHead(nn.Module):
    """Features (..., D), over sqrt(D), lifted to the hyperboloid by the exponential map; logits as `LorentzMLR`'s."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.manifold = Lorentz()
        self.score = LorentzMLR(self.manifold, features, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.manifold.expmap0(x * x.shape[-1] ** -0.5))


class SilentLinear(nn.Linear):
    """A linear layer that begins at zero."""


class EvidenceSum(nn.Linear):
    """Weights (K, c K) for c log-likelihoods of every population, which at first take the first of them as it is."""


class Doubt(nn.Module):
    """With a learned probability the logits tell nothing: `log((1 - e) softmax(logits) + e / K)`.

    Log-likelihoods of linked sites err seldom but badly (a haplotype whose nearest relative lives elsewhere); without
    doubt a fit to those few would take the confidence from all others.
    """

    def __init__(self):
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(FIRST_DOUBT))

    def forward(self, logits: Tensor) -> Tensor:
        certain = logits.log_softmax(-1) + F.logsigmoid(-self.logit)
        return torch.logaddexp(certain, F.logsigmoid(self.logit) - math.log(logits.shape[-1]))


class PopulationHead(nn.Module):
    """Logits (..., K) of features (..., D) and of evidence (..., E): the head's plus a linear map of it, with doubt.

    Evidence in E = c K channels is c log-likelihoods of every population. Before any training a model with the linear
    head decides by the first of them alone: by allele frequencies it is naive Bayes.
    """

    def __init__(self, config: AncestryConfig):
        super().__init__()
        channels, classes = config.evidence_channels, config.num_classes
        self.dropout = nn.Dropout(config.dropout)
        kinds = {"linear": SilentLinear, "lorentz": LorentzHead}
        self.score = kinds[config.head](config.d_model, classes)
        self.direct = EvidenceSum(channels, classes) if channels else None
        self.doubt = Doubt() if channels else None

    def forward(self, features: Tensor, evidence: Tensor | None) -> Tensor:
        logits = self.score(self.dropout(features))
        if self.direct is None or self.doubt is None or evidence is None:
            return logits
        return self.doubt(logits + self.direct(evidence))


class AncestryWithHead(AncestryPreTrainedModel):
    """An ancestry model and what its head adds."""

    def __init__(self, config: AncestryConfig):
        super().__init__(config)
        self.ancestry = AncestryModel(config)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SilentLinear):
            initialization.zeros_(module.weight)
        elif isinstance(module, EvidenceSum):
            initialization.copy_(module.weight, torch.eye(module.out_features, module.in_features))
            initialization.zeros_(module.bias)
        elif isinstance(module, Doubt):
            initialization.constant_(module.logit, FIRST_DOUBT)

    def read(
        self,
        input_ids: Tensor,
        position: Tensor,
        cm: Tensor | None,
        chromosome: Tensor | None,
        evidence: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Hidden states (B, L, D), and the tokens and evidence that they were read from."""
        encoded = self.ancestry.encode_positions(position, cm, chromosome)
        input_ids, evidence = self.ancestry.hide(input_ids, evidence)
        return self.ancestry(input_ids, encoded, evidence), input_ids, evidence


class AncestryForSNPPrediction(AncestryWithHead):
    """The allele of the next site, from all sites before it and from the next site's position."""

    def __init__(self, config: AncestryConfig):
        super().__init__(config)
        if config.bidirectional:
            raise ValueError(
                "prediction of the next SNP needs bidirectional=False: the model would see what it predicts"
            )
        self.mix = nn.Linear(2 * config.d_model, 2 * config.d_model)
        self.score = nn.Linear(2 * config.d_model, config.alleles)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        position: Tensor,
        cm: Tensor | None = None,
        chromosome: Tensor | None = None,
        evidence: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> CausalLMOutput:
        """Logits (B, L - 1, alleles) of the sites from the second on, and their mean cross-entropy.

        Args:
            input_ids: (B, L) tokens.
            position, cm, chromosome: (B, L) bp, (B, L) centimorgans, (B,) index; see `crocuta.nn.genomic_position`.
            evidence: (B, L, E).
            labels: (B, L), the tokens themselves (shifted here); what is no allele is not learned.
        """
        encoded = self.ancestry.encode_positions(position, cm, chromosome)
        hidden_ids, evidence = self.ancestry.hide(input_ids, evidence)
        hidden = self.ancestry(hidden_ids, encoded, evidence)
        mixed = F.gelu(self.mix(torch.cat([hidden[:, :-1], encoded[:, 1:].to(hidden.dtype)], dim=-1)))
        logits = self.score(mixed)
        loss = None
        if labels is not None:
            wanted = labels[:, 1:]
            wanted = torch.where((wanted >= 0) & (wanted < self.config.alleles), wanted, -100)
            loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        return CausalLMOutput(loss=loss, logits=logits)  # pyright: ignore[reportArgumentType]


class AncestryForWindowClassification(AncestryWithHead):
    """The population of a whole window, from the mean of its hidden states and the sum of its evidence."""

    def __init__(self, config: AncestryConfig):
        super().__init__(config)
        self.pool = MeanPool()
        self.head = PopulationHead(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        position: Tensor,
        cm: Tensor | None = None,
        chromosome: Tensor | None = None,
        evidence: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Population logits (B, K); `labels` (B,) population indices. Others as `AncestryForSNPPrediction`."""
        hidden, input_ids, evidence = self.read(input_ids, position, cm, chromosome, evidence)
        total = None if evidence is None else self.total(input_ids, evidence)
        logits = self.head(self.pool(hidden, self.ancestry.known(input_ids)), total)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)  # pyright: ignore[reportArgumentType]

    def total(self, input_ids: Tensor, evidence: Tensor) -> Tensor:
        """Evidence (B, E) of all known sites together: their sum."""
        return (evidence * self.ancestry.known(input_ids)[..., None]).sum(1)


class AncestryForSiteClassification(AncestryWithHead):
    """The population at every site: local ancestry, from both sides if `bidirectional`."""

    def __init__(self, config: AncestryConfig):
        super().__init__(config)
        self.head = PopulationHead(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        position: Tensor,
        cm: Tensor | None = None,
        chromosome: Tensor | None = None,
        evidence: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> TokenClassifierOutput:
        """Population logits (B, L, K); `labels` (B, L), -100 where not known. Others as `AncestryForSNPPrediction`."""
        hidden, input_ids, evidence = self.read(input_ids, position, cm, chromosome, evidence)
        logits = self.head(hidden, evidence)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return TokenClassifierOutput(loss=loss, logits=logits)  # pyright: ignore[reportArgumentType]


register(AncestryConfig, {AutoModel: AncestryModel})
