"""The convolution of vectors under those of points: torch's, but for windows of one position with a stride."""

import ast
from pathlib import Path

import pytest
import torch
from torch import nn as torch_nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import crocuta
from crocuta import nn
from crocuta.manifolds import Lorentz, Poincare
from crocuta.nn.convolution import convolve_windows
from crocuta.nn.hyena.short_convolution import ShortConvolution


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global CNNConfig, CNNForSequenceClassification, HCNNConfig, HCNNForSequenceClassification
    global LorentzResNetConfig, LorentzResNetModel
    from crocuta.models.cnn import CNNConfig, CNNForSequenceClassification
    from crocuta.models.hcnn import HCNNConfig, HCNNForSequenceClassification
    from crocuta.models.vision.resnet import LorentzResNetConfig, LorentzResNetModel


WINDOWS = {
    "1d": ((2, 4, 9), (6, 4, 1), {"stride": 2}),
    "1d, one axis as a tuple": ((2, 4, 9), (6, 4, 1), {"stride": (3,), "padding": (2,)}),
    "1d, groups": ((2, 4, 9), (6, 2, 1), {"stride": 2, "groups": 2}),
    "1d, depthwise": ((2, 4, 9), (4, 1, 1), {"stride": 2, "groups": 4, "dilation": 3}),
    "2d": ((2, 4, 6, 7), (6, 4, 1, 1), {"stride": 2}),
    "2d, axes apart": ((2, 4, 6, 7), (6, 4, 1, 1), {"stride": (1, 3), "padding": (2, 1)}),
    "2d, groups": ((2, 4, 6, 7), (6, 2, 1, 1), {"stride": (2, 1), "padding": 1, "groups": 2}),
    "2d, stride beyond the image": ((2, 4, 2, 2), (6, 4, 1, 1), {"stride": 5}),
    "1d, wide": ((2, 4, 9), (6, 4, 3), {"stride": 2, "padding": 1, "dilation": 2}),
    "2d, wide": ((2, 4, 6, 7), (6, 2, 1, 3), {"stride": 2, "groups": 2}),
    "2d, no stride": ((2, 4, 6, 7), (6, 4, 1, 1), {"padding": 1}),
}


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("last", [True, False], ids=["channels last", "channels first"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_it_is_torch_s_convolution(window, last, biased):
    """Values, first and second derivatives, float64, against torch with channels first, where its kernels are sound."""
    shape, weights, options = window
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(weights, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(weights[0], dtype=torch.float64, requires_grad=True) if biased else None
    inputs = [x, weight, bias] if biased else [x, weight]
    theirs = (F.conv1d if len(shape) == 3 else F.conv2d)(x, weight, bias, **options)
    given = x.movedim(1, -1).contiguous().movedim(-1, 1) if last else x
    ours = convolve_windows(given, weight, bias, **options)
    close = {"rtol": 1e-13, "atol": 1e-13}
    torch.testing.assert_close(ours, theirs, **close)
    slopes = [torch.autograd.grad(y.sin().sum(), inputs, create_graph=True) for y in (ours, theirs)]
    torch.testing.assert_close(*slopes, **close)
    bends = [torch.autograd.grad(sum(s.sin().sum() for s in slope), inputs) for slope in slopes]
    torch.testing.assert_close(*bends, **close)


@pytest.mark.parametrize("bias", [torch.zeros(6), None])
def test_autocast_gives_the_dtype_of_torch_s_convolution(bias):
    x, weight = torch.randn(2, 4, 5, 5), torch.randn(6, 4, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert convolve_windows(x, weight, bias, stride=2).dtype == F.conv2d(x, weight, bias).dtype


class Watch(TorchDispatchMode):
    """Counts convolutions, and fails where torch's kernel is given a strided one whose window is one position."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if "convolution" in function.overloadpacket.__name__:
            named = dict(zip((a.name for a in function._schema.arguments), args, strict=False))
            self.seen += 1
            assert max(named["weight"].shape[2:]) > 1 or max(named["stride"]) == 1 or named["transposed"]
        return function(*args, **(kwargs or {}))


def test_the_watch_sees_convolutions_and_their_gradients():
    x, weight = torch.randn(1, 8, 5, 5), torch.randn(8, 8, 1, 1, requires_grad=True)
    y = F.conv2d(x, weight, stride=2)
    with Watch(), pytest.raises(AssertionError):
        F.conv2d(x, weight, stride=(1, 2))
    with Watch(), pytest.raises(AssertionError):
        y.sum().backward()


M, BALL = Lorentz(0.5, learnable=True), Poincare(0.5, learnable=True)
POINTS = {
    "LorentzConv1d": (nn.LorentzConv1d(M, 4, 5, 1, stride=2), (2, 6)),
    "LorentzConv1d, groups": (nn.LorentzConv1d(M, 4, 6, 1, stride=2, padding=1, groups=2), (2, 6)),
    "LorentzConv1d, dilation": (nn.LorentzConv1d(M, 4, 6, 1, stride=2, dilation=2, bias=False), (2, 6)),
    "LorentzConv2d": (nn.LorentzConv2d(M, 4, 5, 1, stride=2), (2, 6, 6)),
    "LorentzConv2d, one axis": (nn.LorentzConv2d(M, 4, 5, 1, stride=(1, 2), padding=1), (2, 6, 6)),
    "LorentzConv2d, groups": (nn.LorentzConv2d(M, 4, 6, 1, stride=2, groups=2), (2, 6, 6)),
    "LorentzConvTranspose2d": (nn.LorentzConvTranspose2d(M, 4, 6, 1, stride=2), (2, 6, 6)),
    "PoincareConv1d": (nn.PoincareConv1d(BALL, 4, 5, 1, stride=2), (2, 6)),
    "PoincareConv2d": (nn.PoincareConv2d(BALL, 4, 5, 1, stride=2, padding=1), (2, 6, 6)),
    "LorentzPatchEmbedding": (nn.LorentzPatchEmbedding(M, 4, 5, 1), (2, 6, 6)),
    "LorentzInputBlock": (nn.LorentzInputBlock(M, 4, 5, 1, stride=2), (2, 6, 6)),
    "LorentzBasicBlock": (nn.LorentzBasicBlock(M, 4, 5, stride=2), (2, 6, 6)),
    "LorentzBottleneckBlock": (nn.LorentzBottleneckBlock(M, 4, 5, stride=2), (2, 6, 6)),
}


@pytest.mark.parametrize("name", POINTS)
def test_no_layer_gives_torch_a_strided_window_of_one_position(name):
    layer, lead = POINTS[name]
    x = layer.manifold.random((*lead, 4)).detach().requires_grad_()
    with Watch():
        y = layer(x)
        y.square().sum().backward()
    assert layer.manifold.violation(y).max() < 1e-4
    assert torch.isfinite(x.grad).all()


IDS = torch.randint(7, 11, (2, 20))
MODELS = {
    "cnn": lambda: (
        CNNForSequenceClassification(CNNConfig(max_length=20, channels=4, kernel_size=1))(IDS).logits
    ),
    "hcnn": lambda: HCNNForSequenceClassification(HCNNConfig(max_length=20, kernel_size=1))(IDS).logits,
    "lorentz-resnet": lambda: (
        LorentzResNetModel(LorentzResNetConfig(depths=[1, 1], channels=[4, 6], stem_kernel=1, stem_stride=2))(
            torch.randn(2, 3, 8, 8)
        ).last_hidden_state
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_no_model_gives_torch_a_strided_window_of_one_position(name):
    with Watch() as watch:
        MODELS[name]().square().sum().backward()
    assert watch.seen > 0


CONVOLUTIONS = {f"{letter}onv{axes}d" for letter in "cC" for axes in (1, 2, 3)}


def convolves(tree: ast.AST) -> bool:
    """Whether a piece of code names one of torch's convolutions, other than to ask what something is."""
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "isinstance":
        return False
    if isinstance(tree, ast.Attribute) and tree.attr in CONVOLUTIONS:
        return True
    return any(convolves(child) for child in ast.iter_child_nodes(tree))


def test_torch_s_convolutions_are_called_in_one_place():
    """But for models whose convolutions have no stride. Elsewhere a strided window of one position could slip in."""
    source = Path(crocuta.__file__).parent
    callers = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if convolves(ast.parse(path.read_text()))
    }
    assert callers == {"nn/convolution.py", "nn/hyena/short_convolution.py", "models/cnn.py"}
    for layer in (*CNNForSequenceClassification(CNNConfig(max_length=20)).modules(), ShortConvolution(4, 3)):
        assert not isinstance(layer, torch_nn.Conv1d) or layer.stride == (1,)
