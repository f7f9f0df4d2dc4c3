"""The laws, for everything that `crocuta.nn` exports: a new export needs a row here."""

from __future__ import annotations

import doctest
import importlib
from functools import cache

import pytest
import torch
from torch import nn as torch_nn

from crocuta import nn
from crocuta.manifolds import Euclidean, Lorentz, Poincare, PseudoHyperboloid
from crocuta.nn.graph import Graph
from crocuta.testing import assert_layer

IDS = torch.tensor([[1, 0, 3], [2, 2, 1]])
GRAPH = Graph(torch.tensor([[0, 1, 2, 3, 0, 1], [1, 2, 3, 0, 2, 4]]), 6, undirected=True)
SEQUENCE, IMAGE = {"lead": (2, 6)}, {"lead": (2, 4, 4)}


class Holder(torch_nn.Module):
    """A manifold for functions to use."""

    def __init__(self, manifold):
        super().__init__()
        self.manifold = manifold


def in_pairs(layer, x):
    return layer(x, x.flip(0))


def loss(layer, x):
    return layer(x, x.flip(0)).reshape(1)


def looked_up(layer, x):
    """Rows of a table, joined with the points that the laws vary."""
    return nn.TangentResidual(layer.manifold_out)(layer(IDS), x)


def halves(holder, x):
    return torch.cat(nn.split(holder.manifold, x, 2), dim=0)


def updating(layer):
    """Low-rank maps start at 0."""
    torch.nn.init.normal_(layer.up)
    return layer


def head(layer):
    torch.nn.init.normal_(layer.offset)
    return layer


def point_rows(m, ball, options):
    """Linear layers, heads, pointwise layers: name -> the layer, and what `assert_layer` has to know."""
    pseudo = PseudoHyperboloid((2, 3), **options)
    pairs = {"in_features": 4, "call": in_pairs}
    losses = {"manifold_in": m, "manifold_out": None, "in_features": 4, "lead": (4,), "call": loss}
    other = Lorentz(0.7, options["learnable"])
    return {
        "LorentzLinear": (nn.LorentzLinear(m, 8, 5), {}),
        "LorentzLinear, no bias": (nn.LorentzLinear(m, 8, 5, bias=False), {}),
        "LorentzLinear, other curvature": (nn.LorentzLinear(m, 8, 5, manifold_out=other), {}),
        "LorentzBoostLinear": (nn.LorentzBoostLinear(m, 8, 5), {}),
        "LorentzBoostLinear, no bias": (nn.LorentzBoostLinear(m, 8, 5, bias=False), {}),
        "TangentLinear": (nn.TangentLinear(m, 8, 5), {}),
        "TangentLinear, no bias": (nn.TangentLinear(m, 8, 5, bias=False), {}),
        "TangentLinear, ball": (nn.TangentLinear(ball, 8, 5), {}),
        "LorentzLowRank": (updating(nn.LorentzLowRank(m, 8, 5, 3)), {}),
        "TangentLowRank": (updating(nn.TangentLowRank(m, 8, 5, 3)), {}),
        "PoincareLinear": (nn.PoincareLinear(ball, 5, 4), {}),
        "PoincareLinear, no bias": (nn.PoincareLinear(ball, 5, 4, bias=False), {}),
        "PseudoHyperboloidLinear": (
            nn.PseudoHyperboloidLinear(pseudo, PseudoHyperboloid((3, 2), **options)),
            {},
        ),
        "LorentzCentroidClassifier": (nn.LorentzCentroidClassifier(m, 8, 5), {}),
        "LorentzCentroidClassifier, no bias": (nn.LorentzCentroidClassifier(m, 8, 5, bias=False), {}),
        "LorentzMLR": (head(nn.LorentzMLR(m, 8, 3)), {}),
        "PoincareMLR": (head(nn.PoincareMLR(ball, 8, 3)), {}),
        "LorentzFeedForward": (nn.LorentzFeedForward(m, 6, 10), {}),
        "LorentzSwiGLU": (nn.LorentzSwiGLU(m, 6), {}),
        "LorentzActivation": (nn.LorentzActivation(m, torch.tanh), {"in_features": 5}),
        "TangentActivation": (nn.TangentActivation(m, torch.tanh), {"in_features": 5}),
        "TangentActivation, other": (nn.TangentActivation(m, torch.tanh, ball), {"in_features": 5}),
        "LorentzDropout": (nn.LorentzDropout(m, 0.2), {"in_features": 5}),
        "LorentzFlatten": (nn.LorentzFlatten(m), {"in_features": 5}),
        "concatenate": (
            Holder(m),
            {"in_features": 3, "call": lambda holder, x: nn.concatenate(holder.manifold, [x, x.flip(0)])},
        ),
        "split": (Holder(m), {"in_features": 4, "call": halves}),
        "LorentzResidual": (nn.LorentzResidual(m, 0.8), pairs),
        "LorentzResidual, fixed": (nn.LorentzResidual(m, 0.8, False), pairs),
        "LorentzScaledResidual": (nn.LorentzScaledResidual(m, 0.8, True, 1.3), pairs),
        "LorentzScaledResidual, fixed": (nn.LorentzScaledResidual(m, 0.8, False, 1.3, False), pairs),
        "LorentzSpaceAddition": (nn.LorentzSpaceAddition(m), pairs),
        "TangentResidual": (nn.TangentResidual(m), pairs),
        "PoincareResidual": (nn.PoincareResidual(ball), pairs),
        "Rescale": (nn.Rescale(m, other), {"in_features": 5}),
        "Remap": (nn.Remap(m, Poincare(0.7)), {"in_features": 5}),
        "EntailmentConeLoss": (nn.EntailmentConeLoss(m), losses),
        "HyperbolicContrastiveLoss": (nn.HyperbolicContrastiveLoss(m), losses),
        "CosineContrastiveLoss": (nn.CosineContrastiveLoss(), losses | {"manifold_in": Euclidean()}),
    }


def grid_rows(m, ball):
    """Layers of sequences and images of points: convolutions, norms, pooling, blocks."""
    return {
        "LorentzConv1d": (nn.LorentzConv1d(m, 4, 5, 3, padding=1), SEQUENCE),
        "LorentzConv1d, groups": (
            nn.LorentzConv1d(m, 4, 6, 3, groups=2, dilation=2, bias=False),
            SEQUENCE,
        ),
        "LorentzConv1d, strided points": (nn.LorentzConv1d(m, 4, 5, 1, stride=2), SEQUENCE),
        "LorentzConv2d": (nn.LorentzConv2d(m, 4, 5, 3, stride=2, padding=1), IMAGE),
        "LorentzConv2d, strided points": (nn.LorentzConv2d(m, 4, 6, 1, stride=2, padding=1, groups=2), IMAGE),
        "LorentzConvTranspose1d": (nn.LorentzConvTranspose1d(m, 4, 5, 3, stride=2, bias=False), SEQUENCE),
        "LorentzConvTranspose2d": (nn.LorentzConvTranspose2d(m, 4, 5, 2, 2, output_padding=1), IMAGE),
        "PoincareConv1d": (nn.PoincareConv1d(ball, 3, 4, 3, padding=1), SEQUENCE),
        "PoincareConv1d, no bias": (nn.PoincareConv1d(ball, 3, 4, 3, bias=False), SEQUENCE),
        "PoincareConv1d, strided points": (nn.PoincareConv1d(ball, 3, 4, 1, stride=2), SEQUENCE),
        "PoincareConv2d": (nn.PoincareConv2d(ball, 3, 4, 2, dilation=2), IMAGE),
        "PoincareConv2d, strided points": (nn.PoincareConv2d(ball, 3, 4, 1, stride=2, padding=1), IMAGE),
        "LorentzPatchEmbedding": (nn.LorentzPatchEmbedding(m, 3, 5, 2), IMAGE),
        "LorentzBatchNorm1d": (nn.LorentzBatchNorm1d(m, 5), {"lead": (3, 4)}),
        "LorentzBatchNorm2d": (nn.LorentzBatchNorm2d(m, 5), {"lead": (2, 3, 3)}),
        "PoincareBatchNorm1d": (nn.PoincareBatchNorm1d(ball, 4), {"lead": (3, 4)}),
        "PoincareBatchNorm2d": (nn.PoincareBatchNorm2d(ball, 4), {"lead": (2, 2, 3)}),
        "LorentzLayerNorm": (nn.LorentzLayerNorm(m, 5), {}),
        "LorentzLayerNorm, no bias": (nn.LorentzLayerNorm(m, 5, bias=False), {}),
        "LorentzRMSNorm": (nn.LorentzRMSNorm(m, 5), {}),
        "LorentzNormalize": (nn.LorentzNormalize(m), {"in_features": 5}),
        "LorentzGlobalPool": (nn.LorentzGlobalPool(m), {"in_features": 4}),
        "LorentzAvgPool1d": (nn.LorentzAvgPool1d(m, 3, 2, 1), {"in_features": 4, **SEQUENCE}),
        "LorentzAvgPool2d": (nn.LorentzAvgPool2d(m, (2, 3), 1), {"in_features": 4, **IMAGE}),
        "LorentzInputBlock": (nn.LorentzInputBlock(m, 3, 4), IMAGE),
        "LorentzInputBlock, strided points": (nn.LorentzInputBlock(m, 3, 4, 1, 2), IMAGE),
        "LorentzBasicBlock, strided": (nn.LorentzBasicBlock(m, 4, 5, stride=2), IMAGE),
        "LorentzBasicBlock": (nn.LorentzBasicBlock(m, 4, 4), IMAGE),
        "LorentzBottleneckBlock": (nn.LorentzBottleneckBlock(m, 4, 2, stride=2), IMAGE),
    }


def sequence_rows(m, ball):
    """Attention, positions, embeddings, the transformer block."""
    return {
        "LorentzMultiheadAttention": (nn.LorentzMultiheadAttention(m, 8, 2, rotary=nn.Rotary(4)), {}),
        "LorentzCentroidMultiheadAttention": (nn.LorentzCentroidMultiheadAttention(m, 8, 2), {}),
        "LorentzFocusedAttention": (nn.LorentzFocusedAttention(m, 8, 2, rotary=nn.Rotary(4)), {}),
        "PoincareMultiheadAttention": (nn.PoincareMultiheadAttention(ball, 8, 2), {}),
        "LorentzTransformerBlock": (nn.LorentzTransformerBlock(m, 8, 2, rotary=nn.Rotary(4)), {}),
        "LorentzTransformerBlock, other parts": (
            nn.LorentzTransformerBlock(
                m, 8, 2, num_kv_heads=1, residual=nn.LorentzResidual, norm=nn.LorentzLayerNorm
            ),
            {},
        ),
        "Rotary": (nn.Rotary(4), {"manifold_in": None, "in_features": 4, "lead": (2, 3, 2)}),
        "LorentzLearnedPosition": (nn.LorentzLearnedPosition(m, 5, 6, std=1.0), {}),
        "LorentzSinusoidalPosition": (nn.LorentzSinusoidalPosition(m, 7), {}),
        "LorentzRelativePosition": (nn.LorentzRelativePosition(m, 6, 0.5), {}),
        "LorentzEmbedding": (nn.LorentzEmbedding(m, 4, 5), table(m)),
        "PoincareEmbedding": (nn.PoincareEmbedding(ball, 4, 5), table(ball)),
        "LorentzPositionalEmbedding": (nn.LorentzPositionalEmbedding(m, 4, 5, 6), table(m)),
    }


def graph_rows(m, ball, options):
    """Graph layers on a graph of six nodes, and what decodes them."""
    pseudo, other = PseudoHyperboloid((2, 3), **options), Lorentz(0.7, options["learnable"])
    on_graph = {"lead": (6,), "call": lambda layer, x: layer(x, GRAPH)}
    pairs = {"in_features": 4, "call": in_pairs}
    gil = nn.GILConv(m, 4, 6, heads=2)
    return {
        "GCNConv": (nn.GCNConv(4, 5), on_graph),
        "GATConv": (nn.GATConv(4, 6, heads=2), on_graph),
        "HGCNConv": (nn.HGCNConv(m, 4, 5), on_graph),
        "HGCNConv, ball": (nn.HGCNConv(ball, 4, 5, manifold_out=m, dropout=0.2), on_graph),
        "HGCNConv, attention": (nn.HGCNConv(m, 4, 5, manifold_out=other, attention=True), on_graph),
        "HGNNConv": (nn.HGNNConv(m, 4, 5), on_graph),
        "HGNNConv, ball": (nn.HGNNConv(ball, 4, 5), on_graph),
        "HGATConv": (nn.HGATConv(m, 4, 6, heads=2), on_graph),
        "HGATConv, ball": (nn.HGATConv(ball, 4, 5, heads=2, concatenate=False, distance=True), on_graph),
        "GILConv": (gil, {"lead": (6,), "call": lambda g, x: g(x, g.manifold_in.logmap0(x), GRAPH)[0]}),
        "GILConv, vectors": (
            gil,
            {"lead": (6,), "manifold_out": None}
            | {"call": lambda g, x: g(x, g.manifold_in.logmap0(x), GRAPH)[1]},
        ),
        "QGCNConv": (nn.QGCNConv(pseudo, PseudoHyperboloid((3, 2), **options)), on_graph),
        "LorentzAggregation": (nn.LorentzAggregation(m), {"in_features": 4, **on_graph}),
        "HyboNetConv": (nn.HyboNetConv(m, 4, 5, activation=torch.relu, dropout=0.2), on_graph),
        "HyboNetConv, attention": (nn.HyboNetConv(m, 4, 5, manifold_out=other, attention=True), on_graph),
        "LGCNConv": (nn.LGCNConv(m, 4, 5), on_graph),
        "H2HGCNConv": (nn.H2HGCNConv(m, 4, manifold_out=other, dropout=0.2), on_graph),
        "TangentDecoder": (nn.TangentDecoder(ball, 4, 3), {}),
        "CentroidDistance": (nn.CentroidDistance(m, 4, 3), {}),
        "CentroidDistanceClassifier": (nn.CentroidDistanceClassifier(ball, 4, 3, 5), {}),
        "DualDecoder": (nn.DualDecoder(m, 4, 3), {"call": lambda d, x: d(x, d.manifold_in.logmap0(x))}),
        "FermiDiracDecoder": (nn.FermiDiracDecoder(m, learnable=True), pairs),
        "FermiDiracDecoder, chordal": (nn.FermiDiracDecoder(m, chordal=True), pairs),
    }


def table(manifold):
    return {"manifold_in": manifold, "in_features": 5, "call": looked_up}


@cache
def rows(c, learnable):
    """All rows at one curvature, built once: the laws work on copies."""
    torch.manual_seed(0)
    options = {"c": c, "learnable": learnable}
    m, ball = Lorentz(**options), Poincare(**options)
    return {
        **point_rows(m, ball, options),
        **grid_rows(m, ball),
        **sequence_rows(m, ball),
        **graph_rows(m, ball, options),
    }


NAMES = tuple(rows(1.0, False))
COMPILED = (
    *("LorentzMLR", "LorentzConv1d", "LorentzRMSNorm", "LorentzFlatten", "LorentzGlobalPool"),
    *(
        "LorentzScaledResidual",
        "LorentzFocusedAttention",
        "PoincareMultiheadAttention",
        "LorentzLearnedPosition",
    ),
    *("LorentzTransformerBlock", "LorentzBasicBlock", "LorentzLowRank", "TangentLowRank"),
    *("PoincareLinear", "PoincareMLR", "Remap"),
)
COMPILED_IN_BLOCKS = (
    *("LorentzLinear", "LorentzConv2d", "LorentzBatchNorm1d", "LorentzBatchNorm2d", "LorentzLayerNorm"),
    *("LorentzActivation", "LorentzResidual", "LorentzSpaceAddition", "LorentzMultiheadAttention"),
)


def test_every_export_has_a_row():
    assert {name.split(",")[0] for name in NAMES} == set(nn.__all__)


@pytest.mark.parametrize(
    ("c", "learnable"),
    [
        *[(0.1, True), (1.0, False), (2.7, True)],
        *[pytest.param(*case, marks=pytest.mark.slow) for case in ((0.1, False), (1.0, True), (2.7, False))],
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_laws(name, c, learnable):
    layer, options = rows(c, learnable)[name]
    torch.manual_seed(0)
    assert_layer(layer, **options)


@pytest.mark.parametrize(
    "name", [*COMPILED, *(pytest.param(name, marks=pytest.mark.slow) for name in COMPILED_IN_BLOCKS)]
)
def test_compiles_in_one_graph(name):
    layer, options = rows(1.0, True)[name]
    torch.manual_seed(0)
    assert_layer(layer, **options, compile=True)


@pytest.mark.parametrize("name", sorted({nn.__dict__[name].__module__ for name in nn.__all__}))
def test_examples_run(name):
    module = importlib.import_module(name)
    names = {"torch": torch, **vars(module)}
    assert doctest.testmod(module, extraglobs=names).failed == 0
