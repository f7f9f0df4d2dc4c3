"""The fused ReLU of points against the layers it stands for."""

import pytest
import torch

from crocuta.manifolds import Lorentz
from crocuta.nn import LorentzActivation, LorentzSpaceAddition
from crocuta.nn.rectify import rectify


@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("with_residual", [False, True])
def test_equals_addition_and_activation(with_residual, learnable):
    torch.manual_seed(0)
    m = Lorentz(0.7, learnable).double()
    x, r = (m.random((3, 4, 5), dtype=torch.float64).detach().requires_grad_() for _ in range(2))
    weight = torch.randn(3, 4, 6, dtype=torch.float64)
    leaves = (x, *((r,) if with_residual else ()), *m.parameters())
    apart = LorentzActivation(m)(LorentzSpaceAddition(m)(x, r) if with_residual else x)
    fused = rectify(m, x, r if with_residual else None)
    torch.testing.assert_close(fused, apart, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad((y * weight).sum(), leaves) for y in (fused, apart)]
    for actual, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


def test_masked_positions_go_to_the_origin_and_get_no_gradient():
    m = Lorentz(0.7)
    x = m.random((2, 4, 5)).requires_grad_()
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    y = rectify(m, x, mask=mask)
    torch.testing.assert_close(y[0, 2:], m.origin(5).expand(2, 6))
    torch.testing.assert_close(y[1], rectify(m, x)[1])
    y.sum().backward()
    assert not x.grad[0, 2:].any()
    assert x.grad[0, :2].any()


@pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning"
)  # torch's tracer does so
def test_compiles_whole():
    m = Lorentz(0.7)
    x = m.random((2, 4, 5))
    compiled = torch.compile(lambda x: rectify(m, x, x), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), rectify(m, x, x))
