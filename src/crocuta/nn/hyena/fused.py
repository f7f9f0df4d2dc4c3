"""Linear layers and GELU as oneDNN runs them where it can: half the time of the library's default on some CPUs.

All of it computes what `nn.Linear` and `F.gelu(approximate="tanh")` compute; on accelerators, in 64 or 16 bits
and under autocast these are called themselves.
"""

import math

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from crocuta.nn.linear import ResidualLinear

GELU_SLOPE, GELU_CUBE = 2 * math.sqrt(2 / math.pi), 0.044715  # gelu(x) = x sigmoid(slope (x + cube x^3))


def is_plain(module: nn.Module) -> bool:
    """Whether a module is a linear layer as it was built: no adapter around it, no hooks, no parametrization."""
    return type(module) in (nn.Linear, ResidualLinear) and not is_hooked(module)


def is_hooked(module: nn.Module) -> bool:
    """Whether calling the module does other than its class's `forward`: hooks, or a `forward` of its own."""
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
    return bool(hooks) or "forward" in vars(module)


def has_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, attribute: str = "none") -> Tensor:
    """`x @ weight.T + bias` by oneDNN, with an activation; records no gradient."""
    return torch.ops.mkldnn._linear_pointwise(
        x, weight, bias, attribute, [], "tanh" if attribute == "gelu" else ""
    )


def linear(module: nn.Module, x: Tensor) -> Tensor:
    """`module(x)` for x (..., in_features)."""
    if not (is_plain(module) and has_onednn(x, module.weight)):  # type: ignore[arg-type]
        return module(x)
    return _Linear.apply(x, module.weight, module.bias)


def linear_gelu(module: nn.Module, x: Tensor) -> Tensor:
    """`gelu(module(x))`, tanh form."""
    if not (is_plain(module) and has_onednn(x, module.weight)):  # type: ignore[arg-type]
        return F.gelu(module(x), approximate="tanh")
    if torch.is_grad_enabled():
        return _TanhGelu.apply(_Linear.apply(x, module.weight, module.bias))
    return product(x, module.weight, module.bias, "gelu")  # type: ignore[arg-type]


def linear_channels_first(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`(x @ weight.T + bias)` transposed: x (B, L, in) to (B, out, L) without a copy."""
    if not has_onednn(x, weight):
        return F.linear(x, weight, bias).transpose(1, 2).contiguous()
    return _ChannelsFirst.apply(x, weight, bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        x, weight = ctx.saved_tensors
        rows, columns = gradient.flatten(0, -2), x.flatten(0, -2)
        into_weight = product(rows.T, columns.T) if ctx.needs_input_grad[1] else None
        into_bias = rows.sum(0) if ctx.needs_input_grad[2] else None
        return product(gradient, weight.T), into_weight, into_bias


class _ChannelsFirst(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        rows = [product(weight, row) for row in x]
        y = torch.stack(rows) if len(rows) > 1 else rows[0][None]
        return y if bias is None else y.add_(bias[:, None])

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        x, weight = ctx.saved_tensors
        into_x = torch.stack([product(rows.T, weight.T) for rows in gradient])
        into_weight = None
        if ctx.needs_input_grad[1]:
            into_weight = product(gradient[0], x[0].T)
            for rows, row in zip(gradient[1:], x[1:], strict=True):
                into_weight += product(rows, row.T)
        return into_x, into_weight, gradient.sum((0, 2)) if ctx.needs_input_grad[2] else None


class _TanhGelu(torch.autograd.Function):
    """`x sigmoid(s)`, s = slope (x + cube x^3): the tanh form with an exponential that is vectorised."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        gate = (x * x).mul_(GELU_SLOPE * GELU_CUBE).add_(GELU_SLOPE).mul_(x).sigmoid_()
        ctx.save_for_backward(x, gate)
        return gate * x

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        x, gate = ctx.saved_tensors
        slope = (x * x).mul_(3 * GELU_SLOPE * GELU_CUBE).add_(GELU_SLOPE).mul_(x)  # x ds/dx
        slope.mul_(1 - gate).add_(1).mul_(gate)
        return slope.mul_(gradient)
