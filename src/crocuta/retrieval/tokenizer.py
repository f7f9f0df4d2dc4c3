"""A tokenizer and a small language model made from the texts at hand, where no pretrained one is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

END = "<end>"


def train_tokenizer(texts: Iterable[str], vocabulary: int = 1000) -> Any:
    """A byte-level BPE tokenizer of `transformers`, trained on texts; it spells any text, `<end>` ends one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def small_language_model(tokenizer: Any, width: int = 128, layers: int = 2, heads: int = 4) -> Any:
    """A GPT-2 of new weights for a tokenizer's vocabulary."""
    from transformers import GPT2Config, GPT2LMHeadModel

    end = tokenizer.eos_token_id
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer), n_embd=width, n_layer=layers, n_head=heads, n_positions=512,
            bos_token_id=end, eos_token_id=end, pad_token_id=end,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        )
    )  # fmt: skip
