"""The block of HyenaDNA: Hyena operator and MLP, each after a norm and beside a residual."""

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from crocuta.models.hyena.config import HyenaConfig
from crocuta.nn.hyena import BidirectionalHyenaOperator, DelayedHyenaOperator, HyenaOperator
from crocuta.nn.linear import ResidualLinear


def operator(config: HyenaConfig) -> HyenaOperator:
    kinds = {(False, False): HyenaOperator, (True, False): BidirectionalHyenaOperator}
    return kinds.get((config.bidirectional, config.delayed), DelayedHyenaOperator)(
        config.d_model,
        {
            "features": config.emb_dim,
            "width": config.filter_order,
            "inner_layers": config.num_inner_mlps,
            "frequency": config.activation_freq,
            "learn_frequency": config.train_freq,
            "modulate": config.modulate,
            "modulation_shift": config.modulation_shift,
            "normalized": config.normalized,
        },
        config.max_seq_len,
        order=config.hyena_order,
        short_filter_order=config.short_filter_order,
        bias=config.use_bias,
        dropout=config.hyena_dropout,
        order_last=config.order_last,
    )


class HyenaMLP(nn.Module):
    def __init__(self, config: HyenaConfig):
        super().__init__()
        inner = config.d_inner or 4 * config.d_model
        self.fc1 = nn.Linear(config.d_model, inner)
        self.fc2 = ResidualLinear(inner, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class HyenaBlock(GradientCheckpointingLayer):
    """Pre-norm block; the residual stream stays in at least float32."""

    def __init__(self, config: HyenaConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mixer = operator(config)
        self.norm2 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mlp = HyenaMLP(config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        dtype = self.norm1.weight.dtype
        x = x + self.mixer(self.norm1(x.to(dtype)), mask)
        return x + self.mlp(self.norm2(x.to(dtype)))
