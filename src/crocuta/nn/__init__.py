"""Layers: those of hyperbolic space by name, e.g. `crocuta.nn.LorentzLinear`; the rest in their modules.

A Lorentz layer takes its manifold first and counts intrinsic dimensions: `LorentzLinear(manifold, 64, 32)` maps
points `(..., 65)` to points `(..., 33)`.
"""

from crocuta.manifolds import Remap, Rescale
from crocuta.nn.graph.convolution import GATConv, GCNConv
from crocuta.nn.graph.decoders import (
    CentroidDistance,
    CentroidDistanceClassifier,
    DualDecoder,
    FermiDiracDecoder,
    TangentDecoder,
)
from crocuta.nn.graph.lorentz import H2HGCNConv, HyboNetConv, LGCNConv, LorentzAggregation
from crocuta.nn.graph.tangent import GILConv, HGATConv, HGCNConv, HGNNConv, QGCNConv
from crocuta.nn.hyperbolic_embedding import LorentzEmbedding, LorentzPositionalEmbedding, PoincareEmbedding
from crocuta.nn.hyperbolic_loss import (
    CosineContrastiveLoss,
    EntailmentConeLoss,
    HyperbolicContrastiveLoss,
)
from crocuta.nn.lorentz.attention import (
    LorentzCentroidMultiheadAttention,
    LorentzFocusedAttention,
    LorentzMultiheadAttention,
)
from crocuta.nn.lorentz.conv import (
    LorentzConv1d,
    LorentzConv2d,
    LorentzConvTranspose1d,
    LorentzConvTranspose2d,
)
from crocuta.nn.lorentz.head import LorentzMLR
from crocuta.nn.lorentz.linear import (
    LorentzBoostLinear,
    LorentzCentroidClassifier,
    LorentzLinear,
)
from crocuta.nn.lorentz.norm import (
    LorentzBatchNorm1d,
    LorentzBatchNorm2d,
    LorentzLayerNorm,
    LorentzNormalize,
    LorentzRMSNorm,
)
from crocuta.nn.lorentz.pointwise import (
    LorentzActivation,
    LorentzDropout,
    LorentzFlatten,
    LorentzResidual,
    LorentzScaledResidual,
    LorentzSpaceAddition,
    concatenate,
    split,
)
from crocuta.nn.lorentz.pool import LorentzAvgPool1d, LorentzAvgPool2d, LorentzGlobalPool
from crocuta.nn.lorentz.resnet import LorentzBasicBlock, LorentzBottleneckBlock, LorentzInputBlock
from crocuta.nn.lorentz.transformer import LorentzFeedForward, LorentzSwiGLU, LorentzTransformerBlock
from crocuta.nn.low_rank import LorentzLowRank, TangentLowRank
from crocuta.nn.patch import LorentzPatchEmbedding
from crocuta.nn.poincare.attention import PoincareMultiheadAttention
from crocuta.nn.poincare.conv import PoincareConv1d, PoincareConv2d
from crocuta.nn.poincare.head import PoincareMLR
from crocuta.nn.poincare.linear import PoincareLinear
from crocuta.nn.poincare.norm import PoincareBatchNorm1d, PoincareBatchNorm2d, PoincareResidual
from crocuta.nn.position import (
    LorentzLearnedPosition,
    LorentzRelativePosition,
    LorentzSinusoidalPosition,
    Rotary,
)
from crocuta.nn.tangent import PseudoHyperboloidLinear, TangentActivation, TangentLinear, TangentResidual

__all__ = [
    "CosineContrastiveLoss",
    "EntailmentConeLoss",
    "HyperbolicContrastiveLoss",
    "LorentzActivation",
    "LorentzAvgPool1d",
    "LorentzAvgPool2d",
    "LorentzBasicBlock",
    "LorentzBatchNorm1d",
    "LorentzBatchNorm2d",
    "LorentzBoostLinear",
    "LorentzBottleneckBlock",
    "LorentzCentroidClassifier",
    "LorentzCentroidMultiheadAttention",
    "LorentzConv1d",
    "LorentzConv2d",
    "LorentzConvTranspose1d",
    "LorentzConvTranspose2d",
    "LorentzDropout",
    "LorentzEmbedding",
    "LorentzFeedForward",
    "LorentzFlatten",
    "LorentzFocusedAttention",
    "LorentzGlobalPool",
    "LorentzInputBlock",
    "LorentzLayerNorm",
    "LorentzLearnedPosition",
    "LorentzLinear",
    "LorentzLowRank",
    "LorentzMLR",
    "LorentzMultiheadAttention",
    "LorentzNormalize",
    "LorentzPatchEmbedding",
    "LorentzPositionalEmbedding",
    "LorentzRMSNorm",
    "LorentzRelativePosition",
    "LorentzResidual",
    "LorentzScaledResidual",
    "LorentzSinusoidalPosition",
    "LorentzSpaceAddition",
    "LorentzSwiGLU",
    "LorentzTransformerBlock",
    "PoincareBatchNorm1d",
    "PoincareBatchNorm2d",
    "PoincareConv1d",
    "PoincareConv2d",
    "PoincareEmbedding",
    "PoincareLinear",
    "PoincareMLR",
    "PoincareMultiheadAttention",
    "PoincareResidual",
    "PseudoHyperboloidLinear",
    "Remap",
    "Rescale",
    "Rotary",
    "TangentActivation",
    "TangentLinear",
    "TangentLowRank",
    "TangentResidual",
    "concatenate",
    "split",
    "GATConv",
    "GCNConv",
    "CentroidDistance",
    "CentroidDistanceClassifier",
    "DualDecoder",
    "FermiDiracDecoder",
    "TangentDecoder",
    "H2HGCNConv",
    "HyboNetConv",
    "LGCNConv",
    "LorentzAggregation",
    "GILConv",
    "HGATConv",
    "HGCNConv",
    "HGNNConv",
    "QGCNConv",
]
