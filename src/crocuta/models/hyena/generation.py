"""Generation with HyenaDNA, token by token: exact, at a cost that hardly grows with what has been generated."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from crocuta.data.encoding import VOCABULARY, encode
from crocuta.models.hyena.chunked import Stages, autocast_of, lean_applies
from crocuta.nn.hyena.streaming import BLOCK, OnlineConvolution, StreamingOperator

TOKENS_PER_CHUNK = 4096  # of the prompt, in MLPs: bounds their memory
Prompt = str | Sequence[str] | np.ndarray | Tensor


class HyenaStream:
    """A `HyenaForCausalLM` that has read a prompt and reads on token by token; dropout is off.

    `logits` (B, vocabulary) are those of the next token, equal to what the model gives for the whole sequence.

    Args:
        model: a causal HyenaDNA with its head.
        prompt: (B, P) token ids, P at least 1.
        length: how many tokens may follow.

    Raises:
        ValueError: the model looks ahead, the prompt is empty, or prompt and `length` exceed `max_seq_len`.
    """

    @torch.inference_mode()
    def __init__(self, model: PreTrainedModel, prompt: Tensor, length: int):
        batch, read = prompt.shape
        check_room(model, read, length)
        self.embed: Any = model.get_input_embeddings()
        self.head: Any = model.get_output_embeddings()
        backbone: Any = model.base_model.backbone
        self.blocks, self.last_norm = list(backbone.layers), backbone.ln_f
        self.left, self.total = length, read + length
        first = self.blocks[0].mixer
        per_layer = first.order - 1
        weight = first.out_proj.weight
        self.convolution = OnlineConvolution(
            len(self.blocks) * per_layer, batch, first.width, length, weight.dtype, weight.device
        )
        self.operators = [
            StreamingOperator(block.mixer, self.convolution, layer * per_layer)
            for layer, block in enumerate(self.blocks)
        ]
        self.logits = self._read(prompt.to(weight.device, torch.long))

    def _read(self, prompt: Tensor) -> Tensor:
        x = self.embed(prompt)
        dtype = x.dtype
        x = x.to(torch.promote_types(dtype, torch.float32))
        for block, operator in zip(self.blocks, self.operators, strict=True):
            if lean_applies(block, x):
                x = self._read_lean(block, operator, x)
                continue
            x = x + operator.prime(block.norm1(x.to(dtype)), self.total)
            for part in x.split(TOKENS_PER_CHUNK, dim=1):
                part += block.mlp(block.norm2(part.to(dtype)))
        return self.head(self.last_norm(x[:, -1].to(dtype)))

    def _read_lean(self, block: Any, operator: StreamingOperator, x: Tensor) -> Tensor:
        """A block over a long prompt x (B, P, D), in chunks, over x."""
        operator.begin_lean(block.norm1(x[:, -operator.reach :].to(block.norm1.weight.dtype)))
        stages = Stages(block, block.mixer.long_filters(self.total), autocast_of(x.device.type))
        return stages.run(
            x, None, True, lambda index, filter, v: operator.prime_lean(index, filter, v, self.left)
        )

    @torch.inference_mode()
    def step(self, ids: Tensor) -> Tensor:
        """Reads the next token of each sequence, ids (B,), and returns the logits after it.

        Raises:
            ValueError: all `length` tokens have been read.
        """
        if not self.left:
            raise ValueError(f"the stream was opened for {self.total:,} tokens and has read them all")
        self.left -= 1
        x = self.embed(ids)
        dtype = x.dtype
        x = x.to(torch.promote_types(dtype, torch.float32))
        for block, operator in zip(self.blocks, self.operators, strict=True):
            x = x + operator.step(block.norm1(x.to(dtype)))
            x = x + block.mlp(block.norm2(x.to(dtype))[:, None])[:, 0]
        self.convolution.advance()
        self.logits = self.head(self.last_norm(x.to(dtype)))
        return self.logits


class TokenSampler:
    """Draws tokens from logits; temperature 0 takes the most probable.

    Noise is drawn for `BLOCK` tokens at once: with standard Gumbel noise g, argmax(logits / T + g) is a draw from
    softmax(logits / T) (Maddison et al. 2014).
    """

    def __init__(
        self,
        allowed: Sequence[int] | None,
        temperature: float,
        top_k: int | None,
        generator: torch.Generator | None,
    ):
        if temperature < 0:
            raise ValueError(f"temperature must be 0 (the most probable token) or more, got {temperature}")
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        self.ids = None if allowed is None else torch.tensor(allowed)
        self.temperature, self.top_k, self.generator = temperature, top_k, generator
        self.noise: list[Tensor] = []

    def __call__(self, logits: Tensor) -> Tensor:
        """Token ids (B,) for logits (B, vocabulary)."""
        if self.ids is not None:
            self.ids = self.ids.to(logits.device)
            logits = logits.index_select(-1, self.ids)
        if self.temperature:
            logits = logits.float() / self.temperature
            if self.top_k is not None and self.top_k < logits.shape[-1]:
                least = logits.topk(self.top_k).values[..., -1:]
                logits = logits.masked_fill(logits < least, -torch.inf)
            logits = logits + self._gumbel(logits)
        choice = logits.argmax(-1)
        return choice if self.ids is None else self.ids[choice]

    def _gumbel(self, logits: Tensor) -> Tensor:
        if not self.noise:
            noise = logits.new_empty(BLOCK, *logits.shape).exponential_(generator=self.generator)
            self.noise = list(noise.log_().neg_().unbind())
        return self.noise.pop()


def check_room(model: PreTrainedModel, prompt: int, length: int) -> None:
    """Raises ValueError if the model cannot generate `length` tokens after `prompt` of them."""
    limit = model.config.max_seq_len
    if model.config.bidirectional:
        raise ValueError("a bidirectional model cannot generate: train a causal one (bidirectional=False)")
    if prompt < 1 or length < 1:
        raise ValueError(f"prompt and length must be at least 1 token, got {prompt} and {length}")
    if prompt + length > limit:
        raise ValueError(
            f"a prompt of {prompt:,} and {length:,} new tokens are {prompt + length - limit:,} more than"
            f" max_seq_len = {limit:,}"
        )


def prompt_ids(prompt: Prompt) -> Tensor:
    """Ids (B, P) of a DNA string, of several equally long ones, or of ids (P,) or (B, P)."""
    if isinstance(prompt, str):
        prompt = encode(prompt)
    elif not isinstance(prompt, np.ndarray | Tensor):
        lengths = {len(one) for one in prompt}
        if len(lengths) != 1:
            raise ValueError(f"prompts of one batch must be equally long, got lengths {sorted(lengths)}")
        prompt = np.stack([encode(one) for one in prompt])
    return torch.atleast_2d(torch.as_tensor(prompt)).long()


def stream_tokens(
    model: PreTrainedModel,
    prompt: Prompt,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    nucleotides: str | None = "ACGT",
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Token ids (B,) one after the other; arguments as in `generate`."""
    allowed = None if nucleotides is None else [VOCABULARY[nucleotide] for nucleotide in nucleotides]
    if seed is not None:
        generator = torch.Generator(model.device).manual_seed(seed)
    sample = TokenSampler(allowed, temperature, top_k, generator)
    stream = HyenaStream(model, prompt_ids(prompt), length)
    for remaining in range(length, 0, -1):
        ids = sample(stream.logits)
        yield ids
        if remaining > 1:
            stream.step(ids)


def generate(
    model: PreTrainedModel,
    prompt: Prompt,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    nucleotides: str | None = "ACGT",
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ids (B, `length`) of tokens that the model draws after a prompt; `crocuta.data.encoding.decode` spells them.

    Args:
        model: a causal `HyenaForCausalLM`.
        prompt: DNA string or several equally long ones, or ids (P,) or (B, P).
        length: tokens to draw.
        temperature: divides the logits; 0 takes the most probable token.
        top_k: draw only among the N most probable tokens.
        nucleotides: tokens to draw from; None: the whole vocabulary.
        seed: makes the draw repeatable; or give a `generator` on the model's device.

    Raises:
        ValueError: prompt and `length` exceed `max_seq_len`, the model looks ahead, or an option is out of range.
    """
    tokens = stream_tokens(
        model, prompt, length, temperature=temperature, top_k=top_k, nucleotides=nucleotides, seed=seed,
        generator=generator,
    )  # fmt: skip
    return torch.stack(list(tokens), dim=1)
