"""Layers: those of hyperbolic space by name, e.g. `crocuta.nn.LorentzLinear`; the rest in their modules.

A Lorentz layer takes its manifold first and counts intrinsic dimensions: `LorentzLinear(manifold, 64, 32)` maps
points `(..., 65)` to points `(..., 33)`.
"""

from crocuta.manifolds import Remap, Rescale
from crocuta.nn.graph_convolution import GATConv, GCNConv
from crocuta.nn.graph_decoders import (
    CentroidDistance,
    CentroidDistanceClassifier,
    DualDecoder,
    FermiDiracDecoder,
    TangentDecoder,
)
from crocuta.nn.graph_lorentz import H2HGCNConv, HyboNetConv, LGCNConv, LorentzAggregation
from crocuta.nn.graph_tangent import GILConv, HGATConv, HGCNConv, HGNNConv, QGCNConv
from crocuta.nn.hyperbolic_embedding import LorentzEmbedding, LorentzPositionalEmbedding, PoincareEmbedding
from crocuta.nn.hyperbolic_loss import (
    CosineContrastiveLoss,
    EntailmentConeLoss,
    HyperbolicContrastiveLoss,
)
from crocuta.nn.lorentz_attention import (
    LorentzCentroidMultiheadAttention,
    LorentzFocusedAttention,
    LorentzMultiheadAttention,
)
from crocuta.nn.lorentz_conv import (
    LorentzConv1d,
    LorentzConv2d,
    LorentzConvTranspose1d,
    LorentzConvTranspose2d,
)
from crocuta.nn.lorentz_head import LorentzMLR
from crocuta.nn.lorentz_linear import (
    LorentzBoostLinear,
    LorentzCentroidClassifier,
    LorentzLinear,
)
from crocuta.nn.lorentz_norm import (
    LorentzBatchNorm1d,
    LorentzBatchNorm2d,
    LorentzLayerNorm,
    LorentzNormalize,
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
from crocuta.nn.lorentz_pool import LorentzAvgPool1d, LorentzAvgPool2d, LorentzGlobalPool
from crocuta.nn.lorentz_resnet import LorentzBasicBlock, LorentzBottleneckBlock, LorentzInputBlock
from crocuta.nn.lorentz_transformer import LorentzFeedForward, LorentzSwiGLU, LorentzTransformerBlock
from crocuta.nn.low_rank import LorentzLowRank, TangentLowRank
from crocuta.nn.patch import LorentzPatchEmbedding
from crocuta.nn.poincare_attention import PoincareMultiheadAttention
from crocuta.nn.poincare_conv import PoincareConv1d, PoincareConv2d
from crocuta.nn.poincare_head import PoincareMLR
from crocuta.nn.poincare_linear import PoincareLinear
from crocuta.nn.poincare_norm import PoincareBatchNorm1d, PoincareBatchNorm2d, PoincareResidual
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
