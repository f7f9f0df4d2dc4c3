"""Residual blocks: shapes, laws, and what they are made of."""

import pytest
import torch
from torch import nn

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.pointwise import LorentzResidual
from crocuta.nn.lorentz.pool import LorentzGlobalPool
from crocuta.nn.lorentz.resnet import LorentzBasicBlock, LorentzBottleneckBlock

CURVATURES = (0.1, 1.0, 2.7)


def test_shapes_follow_the_stride_and_the_expansion():
    m = Lorentz(0.5)
    x = m.random((2, 7, 8, 4))
    assert LorentzBasicBlock(m, 4, 6, stride=2)(x).shape == (2, 4, 4, 7)
    assert LorentzBottleneckBlock(m, 4, 3, stride=2)(x).shape == (2, 4, 4, 13)
    assert isinstance(LorentzBasicBlock(m, 4, 4).shortcut, nn.Identity)
    assert isinstance(LorentzBottleneckBlock(m, 12, 3).shortcut, nn.Identity)


def test_block_is_its_parts():
    torch.manual_seed(0)
    m = Lorentz(2.0)
    x = m.random((2, 5, 5, 4))
    block = LorentzBasicBlock(m, 4, 4, residual=LorentzResidual).eval()
    first, _, second = block.branch
    branch = second(m.lift(torch.relu(first(x)[..., 1:])))
    joined = block.residual(x, branch)
    torch.testing.assert_close(block(x), m.lift(torch.relu(joined[..., 1:])))


def test_a_stack_learns():
    torch.manual_seed(0)
    m = Lorentz(learnable=True)
    net = nn.Sequential(LorentzBasicBlock(m, 2, 4), LorentzBottleneckBlock(m, 4, 2, 2), LorentzGlobalPool(m))
    s, target = torch.randn(16, 4, 4, 2), torch.randint(2, (16,))
    parameters = dict.fromkeys(net.parameters())
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(m.logmap0(net(m.expmap0(s)))[:, :2], target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="stride"):
        LorentzBasicBlock(Lorentz(), 4, 4, stride=0)
