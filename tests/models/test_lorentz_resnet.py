"""Lorentz ResNets: sizes, geometry, learning, saving and loading."""

import math

import pytest
import torch
from torch import nn

from crocuta import optim
from crocuta.nn import LorentzConv2d


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoModel, AutoModelForImageClassification, LorentzResNetConfig
    global LorentzResNetForImageClassification
    from transformers import AutoModel, AutoModelForImageClassification

    from crocuta.models.vision.resnet import LorentzResNetConfig, LorentzResNetForImageClassification


def small(**options):
    torch.manual_seed(0)
    sizes = {"depths": [1, 2], "channels": [4, 6], "num_labels": 3, "num_channels": 1}
    return LorentzResNetForImageClassification(LorentzResNetConfig(**sizes | options))


def images(batch=4, **options):
    return torch.randn(batch, 1, 8, 8, generator=torch.Generator().manual_seed(1), **options)


@pytest.mark.parametrize("layers", [18, 34, 50, 101, 152])
def test_layers_are_as_many_as_the_name_says(layers):
    """Convolutions on the way through, the head included, shortcuts not."""
    config = LorentzResNetConfig.of_depth(layers, channels=[2, 2, 2, 2])
    model = LorentzResNetForImageClassification(config)
    convolutions = [
        name
        for name, module in model.named_modules()
        if isinstance(module, LorentzConv2d) and "shortcut" not in name
    ]
    assert len(convolutions) + 1 == layers


@pytest.mark.parametrize("c", [0.1, 1.0, 2.7])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_outputs_are_points(block, c):
    model = small(c=c, block=block, stem_pool=True).double().resnet
    outputs = model(images(dtype=torch.float64), output_hidden_states=True)
    width = 6 if block == "basic" else 24
    assert outputs.last_hidden_state.shape == (4, 2, 2, width + 1)
    assert outputs.pooler_output.shape == (4, width + 1)
    for x in (*outputs.hidden_states, outputs.pooler_output):
        assert model.manifold.violation(x).max() < 1e-12


def test_gradient_of_the_curvature_is_a_finite_difference():
    model, labels = small(learnable=True).double().eval(), torch.tensor([0, 2, 1, 0])
    pixels, manifold = images(dtype=torch.float64), model.resnet.manifold
    model(pixels, labels=labels).loss.backward()
    losses = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            manifold.log_c.add_(step)
            losses.append(model(pixels, labels=labels).loss.item())
            manifold.log_c.sub_(step)
    assert manifold.log_c.grad.item() == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5)


def test_a_small_network_learns():
    model = small(learnable=True).train()
    optimizer = torch.optim.AdamW(optim.parameter_groups(model, 1e-2, curvature_lr=1e-3, weight_decay=0.05))
    pixels = images(32)
    labels = (pixels[:, 0, :4].mean((1, 2)) > pixels[:, 0, 4:].mean((1, 2))).long()
    for _ in range(30):
        optimizer.zero_grad()
        loss = model(pixels, labels=labels).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3


@pytest.mark.parametrize("learnable", [False, True])
def test_round_trip_through_auto_models(tmp_path, learnable):
    model = small(learnable=learnable, block="bottleneck").train()
    model(images())  # moves the running statistics
    model.eval()
    if learnable:
        nn.init.constant_(model.resnet.manifold.log_c, math.log(0.9))
    names = [name for name in model.state_dict() if name.endswith("log_c")]
    assert names == ["resnet.manifold.log_c"] * learnable
    model.save_pretrained(tmp_path / "classifier")
    again = AutoModelForImageClassification.from_pretrained(tmp_path / "classifier").eval()
    assert torch.equal(again(images()).logits, model(images()).logits)
    again.load_state_dict(model.state_dict())
    model.resnet.save_pretrained(tmp_path / "backbone")
    backbone = AutoModel.from_pretrained(tmp_path / "backbone").eval()
    assert torch.equal(backbone(images()).pooler_output, model.resnet(images()).pooler_output)


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="must have 1 channels, got 3"):
        small()(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="block must be one of"):
        LorentzResNetConfig(block="wide")
    with pytest.raises(ValueError, match="one number for each stage"):
        LorentzResNetConfig(depths=[1, 2], channels=[4])
    with pytest.raises(ValueError, match="layers must be one of 18, 34, 50, 101, 152, got 20"):
        LorentzResNetConfig.of_depth(20)
    with pytest.raises(ValueError, match="did you mean 'channels'"):
        LorentzResNetConfig(chanels=[4])
