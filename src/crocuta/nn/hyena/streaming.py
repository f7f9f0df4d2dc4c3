"""Hyena operators fed one token at a time, exactly, at a cost that grows as the squared logarithm of what came before.

The prompt's part in every later output comes from one FFT (FutureFill, Agarwal et al. 2024, arXiv 2410.03766); what is
generated enters by relaxed convolution (van der Hoeven 2002; Flash Inference, arXiv 2410.12982): after `n` blocks, with
`u` the largest power of two that divides `n`, one FFT carries the last `u` blocks into the `u` blocks to come.

Shapes: S slots (one for each long convolution of a model), B batch, D width, P prompt length, R = BLOCK.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from crocuta.nn.hyena.channelwise import LongFilter, channel_chunks
from crocuta.nn.hyena.operator import HyenaOperator, fft_size

BLOCK = 32  # tokens whose mutual parts are added directly: below this an FFT costs more
ELEMENTS_PER_CHUNK = 1 << 21  # bounds the memory of one transform


class OnlineConvolution:
    """Causal convolutions that take one value at a time: `y[t] = sum_{j <= t} k[j] x[t - j] + skip x[t]`.

    First `prime` each slot with the prompt; then, for each token, `step` every slot in turn and `advance` once: there
    the work of all slots is done together. `capacity` values can follow the prompt. Computes in at least float32.
    """

    def __init__(
        self, slots: int, batch: int, width: int, capacity: int, dtype: torch.dtype, device: torch.device
    ):
        blocks = max(1, -(-capacity // BLOCK))
        self.capacity, self.blocks_done, self.row = blocks * BLOCK, 0, 0
        empty = {"dtype": torch.promote_types(dtype, torch.float32), "device": device}
        self.kernel = torch.zeros(slots, width, self.capacity, **empty)
        self.spectra: dict[int, Tensor] = {}
        self.history = torch.zeros(slots, batch, width, self.capacity, **empty)
        self.pending = torch.zeros(slots, batch, width, self.capacity, **empty)
        self.first_tap = torch.zeros(slots, width, **empty)
        self.taps = torch.zeros(BLOCK, slots, 1, width, **empty)
        self.inputs = torch.zeros(BLOCK, slots, batch, width, **empty)
        self.due = torch.zeros(BLOCK, slots, batch, width, **empty)
        self.rows = [
            (self.inputs[row].unbind(), self.due[row].unbind(), self.due[row + 1 :], self.inputs[row])
            for row in range(BLOCK)
        ]
        self.taps_ahead = [self.taps[1 : BLOCK - row] for row in range(BLOCK)]
        self.first_taps = self.first_tap.unbind()

    def prime(self, slot: int, x: Tensor, k: Tensor, skip: Tensor) -> Tensor:
        """Outputs (B, D, P) over the prompt x (B, D, P), whose part in what follows is kept.

        Args:
            slot: which convolution.
            x: its inputs so far.
            k: (D, at least P + the values to come) filter.
            skip: (D,) weight of the value itself.
        """
        prompt = x.shape[-1]
        x, k, skip = (tensor.to(self.kernel.dtype) for tensor in (x, k, skip))
        self._keep(slot, k, skip)
        total = min(k.shape[-1], prompt + self.capacity)
        n = fft_size(prompt + total - 1)
        y = torch.empty_like(x)
        step = max(1, ELEMENTS_PER_CHUNK // (n * x.shape[0]))
        for channels in (slice(start, start + step) for start in range(0, x.shape[1], step)):
            spectrum = torch.fft.rfft(x[:, channels], n=n) * torch.fft.rfft(k[channels, :total], n=n)
            full = torch.fft.irfft(spectrum, n=n)
            y[:, channels] = full[..., :prompt]
            self.pending[slot, :, channels, : total - prompt] = full[..., prompt:total]
        self.due[:, slot] = self.pending[slot, ..., :BLOCK].permute(2, 0, 1)
        return y.addcmul_(x, skip[:, None])

    def prime_lean(
        self, slot: int, x: Tensor, filter: LongFilter, following: int, k: Tensor, skip: Tensor
    ) -> None:
        """`prime` for long prompts, in little more memory than x (B, D, P), which the outputs replace.

        `filter` is causal and made for P + `following` values; of k, the first `following` taps are enough.
        """
        prompt = x.shape[-1]
        self._keep(slot, k.to(self.kernel.dtype), skip.to(self.kernel.dtype))
        with torch.autocast(x.device.type, enabled=False):
            for part in channel_chunks(x):
                pieces = (piece[part] for piece in filter.pieces)
                whole = filter.apply(F.pad(x[:, part], (0, following)), *pieces, overwrite=True)
                x[:, part] = whole[..., :prompt]
                self.pending[slot, :, part, :following] = whole[..., prompt:]
        self.due[:, slot] = self.pending[slot, ..., :BLOCK].permute(2, 0, 1)

    def _keep(self, slot: int, k: Tensor, skip: Tensor) -> None:
        """Takes the taps that values to come will need."""
        taps = min(k.shape[-1], self.capacity)
        self.kernel[slot, :, :taps] = k[:, :taps]
        self.first_tap[slot] = self.kernel[slot, :, 0] + skip
        self.taps[:, slot, 0] = self.kernel[slot, :, :BLOCK].T

    def step(self, slot: int, x: Tensor) -> Tensor:
        """The output (B, D) that belongs to the next value x (B, D) of a slot."""
        inputs, due, _, _ = self.rows[self.row]
        inputs[slot].copy_(x)
        return torch.addcmul(due[slot], inputs[slot], self.first_taps[slot])

    def advance(self) -> None:
        """Ends a token: its part in the rest of the block is added, and a full block is carried into later ones."""
        _, _, rest, values = self.rows[self.row]
        self.row += 1
        if self.row < BLOCK:
            rest.addcmul_(values, self.taps_ahead[self.row - 1])
        else:
            self._close_block()

    def _close_block(self) -> None:
        start = self.blocks_done * BLOCK
        self.blocks_done, self.row = self.blocks_done + 1, 0
        end = start + BLOCK
        if end == self.capacity:
            return
        self.history[..., start:end] = self.inputs.permute(1, 2, 3, 0)
        self._carry(end, BLOCK * (self.blocks_done & -self.blocks_done))
        self.due.copy_(self.pending[..., end : end + BLOCK].permute(3, 0, 1, 2))

    def _carry(self, end: int, size: int) -> None:
        """Adds the part of the last `size` values in the `size` outputs that follow, by FFTs of twice the size.

        Of that circular convolution only the second half is read, which wrapping around does not touch.
        """
        reach = min(size, self.capacity - end)
        spectra = self._spectra(size)
        values = self.history[..., end - size : end]
        target = self.pending[..., end : end + reach]
        step = max(1, ELEMENTS_PER_CHUNK // (2 * size * values.shape[1]))
        for slot in range(values.shape[0]):
            for channels in (slice(start, start + step) for start in range(0, values.shape[2], step)):
                spectrum = torch.fft.rfft(values[slot, :, channels], n=2 * size)
                spectrum *= spectra[slot, channels]
                parts = torch.fft.irfft(spectrum, n=2 * size)
                target[slot, :, channels] += parts[..., size : size + reach]

    def _spectra(self, size: int) -> Tensor:
        """Spectra (S, D, size + 1) of the first 2 `size` taps, kept where they will be used again."""
        if size not in self.spectra:
            spectra = torch.fft.rfft(self.kernel[..., : 2 * size], n=2 * size)
            if 3 * size > self.capacity:
                return spectra
            self.spectra[size] = spectra
        return self.spectra[size]


class StreamingOperator:
    """A causal `HyenaOperator` of any order, fed token by token through the slots of an `OnlineConvolution`.

    Its slots are `first_slot` ... `first_slot + order - 2`. Gives what the operator gives without mask and dropout.

    Raises:
        ValueError: the operator sees ahead.
    """

    def __init__(self, operator: HyenaOperator, convolution: OnlineConvolution, first_slot: int):
        if type(operator) is not HyenaOperator:
            raise ValueError(f"only causal Hyena operators can generate, got {type(operator).__name__}")
        self.operator, self.convolution = operator, convolution
        self.slots = range(first_slot, first_slot + operator.order - 1)
        weight = operator.short_filter.weight
        self.short_taps = weight[:, 0].T.flip(0)[:, None].contiguous()  # (K, 1, C), lag 0 first
        self.short_due = weight.new_empty(0)
        self.reach = len(self.short_taps) - 1

    def prime(self, x: Tensor, length: int) -> Tensor:
        """Outputs (B, P, D) over the prompt x (B, P, D), of a sequence that may grow to `length`."""
        u = self.operator.in_proj(x).transpose(1, 2).contiguous()
        self._keep_tail(u)
        *gates, v = self.operator.short_filter(u).split(self.operator.width, dim=1)
        k, skip = self.operator.filters(length)
        for i, (slot, gate) in enumerate(zip(self.slots, reversed(gates[1:]), strict=True)):
            v = self.convolution.prime(slot, v * gate, k[i, 0], skip[i, 0]).to(x.dtype)
        return self.operator.out_proj((v * gates[0]).transpose(1, 2))

    def begin_lean(self, x: Tensor) -> None:
        """Takes what the short filter needs of the last `reach` values of a prompt, x (B, at least `reach`, D)."""
        self._keep_tail(self.operator.in_proj(x).transpose(1, 2))

    def prime_lean(self, index: int, filter: LongFilter, v: Tensor, following: int) -> None:
        """Long convolution `index` over a prompt (B, D, P), in place: what `prime` does with all of them."""
        k = self.operator.arranged(self.operator.filter_fn.by_channel(following))[index, 0]
        skip = self.operator.arranged(self.operator.filter_fn.bias)[index, 0]
        self.convolution.prime_lean(self.slots[index], v, filter, following, k, skip)

    def _keep_tail(self, u: Tensor) -> None:
        """Starts `short_due` (K, B, C): bias and past's part in the short convolution's next K outputs."""
        kernel = len(self.short_taps)
        tail = F.pad(u, (kernel - 1, 0))[..., u.shape[-1] :]
        bias = self.operator.short_filter.bias
        assert bias is not None
        due = bias.expand(kernel, u.shape[0], -1).clone()
        for ahead in range(kernel):
            for lag in range(ahead + 1, kernel):
                due[ahead] += self.short_taps[lag] * tail[..., kernel - 1 + ahead - lag]
        self.short_due = due

    def step(self, x: Tensor) -> Tensor:
        """The output (B, D) that belongs to the next token x (B, D)."""
        u = self.operator.in_proj(x)
        due = torch.addcmul(self.short_due, self.short_taps, u)
        self.short_due[:-1] = due[1:]
        *gates, v = due[0].split(self.operator.width, dim=-1)
        for slot, gate in zip(self.slots, reversed(gates[1:]), strict=True):
            v = self.convolution.step(slot, v * gate).to(x.dtype)
        return self.operator.out_proj(v * gates[0])
