"""AncestryHyena: a network over variant sites that predicts SNPs, and the population of windows or of every site."""

from crocuta.models.ancestry.heads import (
    POSITIONS,
    VOCABULARY,
    AncestryConfig,
    AncestryForSiteClassification,
    AncestryForSNPPrediction,
    AncestryForWindowClassification,
    AncestryModel,
    AncestryPreTrainedModel,
    Doubt,
    EvidenceSum,
)

__all__ = [
    "AncestryConfig",
    "AncestryForSNPPrediction",
    "AncestryForSiteClassification",
    "AncestryForWindowClassification",
    "AncestryModel",
    "AncestryPreTrainedModel",
    "Doubt",
    "EvidenceSum",
    "POSITIONS",
    "VOCABULARY",
]
