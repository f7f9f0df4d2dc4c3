"""Layers: those of hyperbolic space by name, e.g. `crocuta.nn.LorentzLinear`; the rest in their modules.

A Lorentz layer takes its manifold first and counts intrinsic dimensions: `LorentzLinear(manifold, 64, 32)` maps
points `(..., 65)` to points `(..., 33)`.
"""

from crocuta.nn.hyperbolic_embedding import LorentzEmbedding, LorentzPositionalEmbedding, PoincareEmbedding
from crocuta.nn.lorentz_conv import (
    LorentzConv1d,
    LorentzConv2d,
    LorentzConvTranspose1d,
    LorentzConvTranspose2d,
)
from crocuta.nn.lorentz_linear import (
    LorentzBoostLinear,
    LorentzCentroidClassifier,
    LorentzLinear,
    TangentLinear,
)
from crocuta.nn.lorentz_norm import (
    LorentzBatchNorm1d,
    LorentzBatchNorm2d,
    LorentzLayerNorm,
    LorentzRMSNorm,
)
from crocuta.nn.lorentz_pointwise import (
    LorentzActivation,
    LorentzDropout,
    LorentzFlatten,
    LorentzResidual,
    LorentzScaledResidual,
    LorentzSpaceAddition,
    concatenate,
    split,
)
from crocuta.nn.patch import LorentzPatchEmbedding
from crocuta.nn.poincare_conv import PoincareConv1d, PoincareConv2d
from crocuta.nn.poincare_linear import PoincareLinear
from crocuta.nn.poincare_norm import PoincareBatchNorm1d, PoincareBatchNorm2d, PoincareResidual

__all__ = [
    "LorentzActivation",
    "LorentzBatchNorm1d",
    "LorentzBatchNorm2d",
    "LorentzBoostLinear",
    "LorentzCentroidClassifier",
    "LorentzConv1d",
    "LorentzConv2d",
    "LorentzConvTranspose1d",
    "LorentzConvTranspose2d",
    "LorentzDropout",
    "LorentzEmbedding",
    "LorentzFlatten",
    "LorentzLayerNorm",
    "LorentzLinear",
    "LorentzPatchEmbedding",
    "LorentzPositionalEmbedding",
    "LorentzRMSNorm",
    "LorentzResidual",
    "LorentzScaledResidual",
    "LorentzSpaceAddition",
    "PoincareBatchNorm1d",
    "PoincareBatchNorm2d",
    "PoincareConv1d",
    "PoincareConv2d",
    "PoincareEmbedding",
    "PoincareLinear",
    "PoincareResidual",
    "TangentLinear",
    "concatenate",
    "split",
]
