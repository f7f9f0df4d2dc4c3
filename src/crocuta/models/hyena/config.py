"""Configuration of HyenaDNA and the sizes that were released."""

import math
from typing import Any, ClassVar

from crocuta.models.base import ModelConfig
from crocuta.nn.pool import POOLS


class HyenaConfig(ModelConfig):
    """Sizes and options of HyenaDNA; keys as in the Hugging Face port, with the addition of the second group.

    `max_seq_len` counts tokens: nucleotides and special tokens. `modulation_shift` is 0.05 in the port and the
    standalone code, 0.0 in the original training code: a checkpoint's origin decides. `delayed` reproduces the
    original's broken bidirectional convolution; `order_last` its filter layout for `hyena_order` above 2
    (False: the standalone code's).
    """

    model_type = "hyenadna"
    padding_side: ClassVar[str] = "left"
    append_separator: ClassVar[bool] = True
    retired_keys: ClassVar[frozenset[str]] = frozenset({"checkpoint_mixer", "checkpoint_mlp"})

    vocab_size: int = 12
    d_model: int = 128
    n_layer: int = 2
    d_inner: int | None = None
    max_seq_len: int = 1026
    pad_vocab_size_multiple: int = 8
    emb_dim: int = 5
    filter_order: int = 64
    hyena_order: int = 2
    short_filter_order: int = 3
    num_inner_mlps: int = 2
    activation_freq: float | int = 10
    train_freq: bool = True
    use_bias: bool = True
    embed_dropout: float = 0.1
    hyena_dropout: float = 0.0
    hyena_filter_dropout: float = 0.0
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 4

    modulate: bool = True
    modulation_shift: float = 0.05
    normalized: bool = False
    bidirectional: bool = False
    delayed: bool = False
    order_last: bool = True
    pool: str = "mean"
    classifier_dropout: float = 0.0

    attribute_map: ClassVar[dict[str, str]] = {"hidden_size": "d_model", "num_hidden_layers": "n_layer"}

    def __post_init__(self, **kwargs):
        if self.d_inner is None:
            self.d_inner = 4 * self.d_model
        if self.emb_dim < 3 or self.emb_dim % 2 == 0:
            raise ValueError(f"emb_dim must be odd and at least 3 (time, cosines, sines), got {self.emb_dim}")
        if self.hyena_order < 2:
            raise ValueError(f"hyena_order must be at least 2, got {self.hyena_order}")
        if self.pool not in POOLS:
            raise ValueError(f"pool must be one of {', '.join(POOLS)}, got {self.pool!r}")
        super().__post_init__(**kwargs)

    @property
    def padded_vocab_size(self) -> int:
        return math.ceil(self.vocab_size / self.pad_vocab_size_multiple) * self.pad_vocab_size_multiple

    @property
    def longest_sequence(self) -> int:
        return self.max_seq_len - 1


# The seven released models; one token more than the length for [SEP], one for [CLS].
RELEASED: dict[str, dict[str, Any]] = {
    "tiny-1k": {"d_model": 128, "n_layer": 2, "max_seq_len": 1_024 + 2},
    "tiny-1k-d256": {"d_model": 256, "n_layer": 2, "max_seq_len": 1_024 + 2},
    "tiny-16k-d128": {"d_model": 128, "n_layer": 2, "max_seq_len": 16_384 + 2},
    "small-32k": {"d_model": 256, "n_layer": 4, "max_seq_len": 32_768 + 2},
    "medium-160k": {"d_model": 256, "n_layer": 8, "max_seq_len": 160_000 + 2},
    "medium-450k": {"d_model": 256, "n_layer": 8, "max_seq_len": 450_000 + 2},
    "large-1m": {"d_model": 256, "n_layer": 8, "max_seq_len": 1_000_000 + 2},
}
