"""What a model makes of a sequence inside: hidden states of one layer, pooled into one vector or point."""

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crocuta.data.batch import pad_batch
from crocuta.data.encoding import VOCABULARY
from crocuta.errors import InputError
from crocuta.manifolds import Euclidean, Lorentz, Manifold
from crocuta.models.base import ModelConfig
from crocuta.nn.pool import POOLS

HEAD = "head"
NONE = "none"
POOLINGS = ("mean", "max", "last", NONE)


class Embedder:
    """Maps encoded sequences to vectors, or to points where the model is hyperbolic.

    Args:
        model: a model of crocuta.
        layer: which hidden states: 0 = the token embeddings, n = after the last of n blocks and its norm; negative
            numbers count from the end. `"head"`: what the classifier's last layer reads, pooled by the model itself.
            Models that do not show their layers (CNN, HCNN, Transformer) have -1, what they pool, and `"head"`.
        pool: "mean" (of points: the centroid), "max" (of points: of the space coordinates), "last", or "none":
            one row for each nucleotide. Mean, max and last take in the [SEP] that HyenaDNA reads after the nucleotides.

    `dimension` is the number of coordinates; `manifold` is Euclidean or Lorentz (time coordinate first).

    Raises:
        InputError: not a model of crocuta, or it has no such layer.
    """

    def __init__(self, model: Any, layer: int | str = -1, pool: str = "mean"):
        if not isinstance(model.config, ModelConfig):
            raise InputError(f"{type(model).__name__} is not a model of crocuta: its tokens are not known")
        if pool not in POOLINGS:
            raise InputError(f"pool {pool!r}, expected {', '.join(POOLINGS)}")
        self.model, self.layer, self.pool = model.eval(), layer, pool
        place = getattr(model, "score" if layer == HEAD else "pool", None)
        self.manifold = manifold_of(place)
        nucleotides = np.array([VOCABULARY[nucleotide] for nucleotide in "ACGT"], np.uint8)
        self.dimension = self([nucleotides])[0].shape[-1]

    @torch.inference_mode()
    def __call__(self, ids: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Embeddings, float32, of encoded sequences as one batch: (1, dimension) each; (length, dimension) unpooled."""
        config = self.model.config
        padded, mask = pad_batch(ids, config.padding_side, config.append_separator)
        tokens, mask = (torch.from_numpy(array).to(self.model.device) for array in (padded, mask))
        x, mask = self.states(tokens, mask)
        if self.layer == HEAD:
            return list(x.float()[:, None].cpu().numpy())
        if self.pool == NONE:
            rows = zip(x, mask, ids, strict=True)
            return [states[real != 0][: len(row)].float().cpu().numpy() for states, real, row in rows]
        return list(self.pooled(x, mask).float()[:, None].cpu().numpy())

    def states(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states (B, L, dimension) with their mask; (B, dimension) at the head."""
        if self.layer == HEAD:
            return self._read_by("score", tokens, mask)[0], mask
        last = self.layer == -1
        base = self.model.base_model
        if base is self.model:
            if not last or not hasattr(self.model, "pool"):
                raise InputError(
                    f"layer {self.layer}: {type(self.model).__name__} shows {HEAD!r}, what its classifier reads,"
                    " and where it pools a sequence -1, what it pools"
                )
            x, inner = self._read_by("pool", tokens, mask)
            return x, mask if inner is None else inner
        output = base(tokens, attention_mask=mask, output_hidden_states=not last)
        if last:
            return output.last_hidden_state, mask
        layers = output.hidden_states
        if not isinstance(self.layer, int) or not -len(layers) <= self.layer < len(layers):
            raise InputError(
                f"layer {self.layer}: the model has layers 0 (token embeddings) to {len(layers) - 1} (the last),"
                f" or -1 to {-len(layers)} from the end"
            )
        return layers[self.layer], mask

    def _read_by(self, name: str, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the model's submodule `name` is given: hidden states, and the mask where it takes one."""
        submodule = getattr(self.model, name, None)
        if not isinstance(submodule, nn.Module):
            raise InputError(
                f"layer {self.layer}: {type(self.model).__name__} has no hidden states to embed by"
            )
        with listening(submodule) as heard:
            self.model(input_ids=tokens, attention_mask=mask)
        x, *rest = heard[0]
        return x, rest[0] if rest else None

    def pooled(self, x: Tensor, mask: Tensor) -> Tensor:
        """One vector or point for each row (B, dimension)."""
        if isinstance(self.manifold, Lorentz):
            if self.pool == "mean":
                return self.manifold.centroid(x, (mask != 0).to(x.dtype))
            return self.manifold.lift(POOLS[self.pool]()(x[..., 1:], mask))
        return POOLS[self.pool]()(x, mask)


@contextmanager
def listening(module: nn.Module):
    """A list that takes in the positional arguments of each call of a module."""
    heard: list[tuple] = []
    hook = module.register_forward_pre_hook(lambda _, arguments: heard.append(arguments))
    try:
        yield heard
    finally:
        hook.remove()


def manifold_of(module: Any) -> Manifold:
    """The manifold that a layer's input lies on, as the layer declares it; Euclidean where it declares none."""
    found = getattr(module, "manifold_in", None) or getattr(module, "manifold", None)
    return found if isinstance(found, Manifold) else Euclidean()
