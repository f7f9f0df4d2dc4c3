"""HyenaDNA written in the obvious way: what crocuta's time and memory are measured against.

Real FFTs of twice the length, all channels at once, autograd, position features kept as buffers, logits of every
position; operation by operation as the original training code and its standalone file have it. Parameters carry the
names of `crocuta.models.hyena.HyenaForCausalLM`, so that one state dict fits both. Causal models of order 2 only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.models.hyena import HyenaConfig


class Sine(nn.Module):
    def __init__(self, width: int, frequency: float):
        super().__init__()
        self.freq = nn.Parameter(torch.full((1, width), float(frequency)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.freq * x)


class Filter(nn.Module):
    def __init__(self, config: HyenaConfig):
        super().__init__()
        width, length, bands = config.filter_order, config.max_seq_len, (config.emb_dim - 1) // 2
        self.bias = nn.Parameter(torch.randn(config.d_model))
        layers = {"0": nn.Linear(config.emb_dim, width), "1": Sine(width, config.activation_freq)}
        inner = range(1, config.num_inner_mlps + 1)
        layers |= {str(2 * i): nn.Linear(width, width) for i in inner}
        layers |= {str(2 * len(inner) + 2): nn.Linear(width, config.d_model, bias=False)}
        self.implicit_filter = nn.ModuleDict(layers)
        t = torch.linspace(0, 1, length)[None, :, None]
        angle = 2 * math.pi * torch.linspace(0, length - 1, length)[None, :, None] / length
        wave = torch.exp(-1j * torch.linspace(1e-4, bands - 1, bands)[None, None] * angle)
        deltas = torch.linspace(math.log(1e-2) / 1.5, math.log(1e-2) / 0.3, config.d_model)[None, None]
        self.register_buffer("t", t, persistent=False)
        self.register_buffer("z", torch.cat([t, wave.real, wave.imag], dim=-1), persistent=False)
        self.register_buffer("deltas", deltas, persistent=False)
        self.shift = config.modulation_shift

    def forward(self, length: int) -> Tensor:
        sine, h = self.implicit_filter["1"], self.z[:, :length]
        *linears, last = (layer for layer in self.implicit_filter.values() if layer is not sine)
        for linear in linears:
            h = sine(linear(h))
        h = last(h)
        return h * (torch.exp(-self.t[:, :length] * self.deltas.abs()) + self.shift)


def fftconv(u: Tensor, k: Tensor, bias: Tensor) -> Tensor:
    length = u.shape[-1]
    size = 2 * length
    k_f = torch.fft.rfft(k, n=size) / size
    u_f = torch.fft.rfft(u, n=size)
    y = torch.fft.irfft(u_f * k_f, n=size, norm="forward")[..., :length]
    return y + u * bias[:, None]


class Operator(nn.Module):
    def __init__(self, config: HyenaConfig):
        super().__init__()
        width, kernel = config.d_model, config.short_filter_order
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.short_filter = nn.Conv1d(3 * width, 3 * width, kernel, groups=3 * width, padding=kernel - 1)
        self.filter_fn = Filter(config)

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        u = self.short_filter(self.in_proj(x).transpose(1, 2))[..., :length]
        x0, x1, v = u.chunk(3, dim=1)
        k = self.filter_fn(length)[0].T
        v = fftconv(v * x1, k, self.filter_fn.bias)
        return self.out_proj((v * x0).transpose(1, 2))


class MLP(nn.Module):
    def __init__(self, config: HyenaConfig):
        super().__init__()
        inner = config.d_inner or 4 * config.d_model
        self.fc1, self.fc2 = nn.Linear(config.d_model, inner), nn.Linear(inner, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config: HyenaConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mixer = Operator(config)
        self.norm2 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Backbone(nn.Module):
    def __init__(self, config: HyenaConfig):
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {"word_embeddings": nn.Embedding(config.padded_vocab_size, config.d_model)}
        )
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embeddings["word_embeddings"](ids)
        for layer in self.layers:
            x = layer(x)
        return self.ln_f(x)


class ReferenceHyena(nn.Module):
    """Token ids (B, L) to logits (B, L, padded vocabulary)."""

    def __init__(self, config: HyenaConfig):
        super().__init__()
        self.hyena = nn.ModuleDict({"backbone": Backbone(config)})
        self.lm_head = nn.Linear(config.d_model, config.padded_vocab_size, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.lm_head(self.hyena["backbone"](ids))

    def loss(self, ids: Tensor) -> Tensor:
        """Mean cross-entropy of each next token."""
        return F.cross_entropy(self(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
