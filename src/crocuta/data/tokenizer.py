"""The character tokenizer of HyenaDNA, as a `transformers` tokenizer."""

from collections.abc import Iterable
from typing import Any

from transformers import PreTrainedTokenizer
from transformers.models.auto.tokenization_auto import REGISTERED_TOKENIZER_CLASSES

from crocuta.data.encoding import VOCABULARY, count_other_nucleotides, decode, encode

SPECIAL_ROLES = {
    "bos_token": "[BOS]",
    "eos_token": "[SEP]",
    "sep_token": "[SEP]",
    "cls_token": "[CLS]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
    "unk_token": "[UNK]",
}
_TOKENS = list(VOCABULARY)


class DNATokenizer(PreTrainedTokenizer):
    """One token for each nucleotide, then [SEP]; ids as `crocuta.data.encoding.encode`, padding on the left.

    Lower case is read as upper case, nucleotides other than ACGT become N; `count_other_nucleotides` tells how many.
    Loads the folders of HyenaDNA's Hugging Face port, whose tokenizer made [UNK] of lower case.

    >>> DNATokenizer()(["ACgt", "R"], padding=True)["input_ids"]
    [[7, 8, 9, 10, 1], [4, 4, 4, 11, 1]]
    """

    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012
    padding_side = "left"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"special_tokens_pattern": "eos", **SPECIAL_ROLES, **kwargs})

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(VOCABULARY)

    def get_vocab(self) -> dict[str, int]:
        """Token to id, tokens that a user added included."""
        return VOCABULARY | self._added_tokens_encoder

    @staticmethod
    def count_other_nucleotides(sequences: str | Iterable[str]) -> int:
        """Number of nucleotides that become N without being N, in one sequence or several."""
        several = [sequences] if isinstance(sequences, str) else sequences
        return sum(map(count_other_nucleotides, several))

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes nothing: the vocabulary is fixed."""
        return ()

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins nucleotides without blanks."""
        return "".join(tokens)

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return list(decode(encode(text)))

    def _convert_token_to_id(self, token: str) -> int:
        return VOCABULARY.get(token, VOCABULARY["[UNK]"])

    def _convert_id_to_token(self, index: int) -> str:
        return _TOKENS[index] if 0 <= index < len(_TOKENS) else "[UNK]"

    def _encode_plus(self, text: Any, text_pair: Any = None, **kwargs: Any) -> Any:
        if not kwargs.get("is_split_into_words"):
            text, text_pair = self._to_ids(text), self._to_ids(text_pair)
        return super()._encode_plus(text, text_pair, **kwargs)

    def _to_ids(self, text: Any) -> Any:
        """Encodes plain sequences at once; what may hold special tokens is left to the base class."""
        if isinstance(text, list | tuple) and not (text and isinstance(text[0], int)):
            return type(text)(map(self._to_ids, text))
        if isinstance(text, str) and text and "[" not in text and len(self) == len(VOCABULARY):
            return encode(text).tolist()
        return text


# `AutoTokenizer` finds our class by these names, the second in folders of the port: no remote code.
REGISTERED_TOKENIZER_CLASSES.update(DNATokenizer=DNATokenizer, HyenaDNATokenizer=DNATokenizer)
