"""A small word tokenizer learned from captions."""

from collections.abc import Iterable

from transformers import PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]")


def word_tokenizer(captions: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token for each word of the captions, lower case, [CLS] in front; words not among them become [UNK].

    A `transformers` tokenizer: `save_pretrained` and `AutoTokenizer.from_pretrained` keep it.

    >>> tokenizer = word_tokenizer(["a photo of the digit three"])
    >>> tokenizer("A photo of nine")["input_ids"]
    [2, 3, 6, 5, 1]
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.train_from_iterator(captions, trainers.WordLevelTrainer(special_tokens=list(SPECIAL)))
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[CLS] $A", special_tokens=[("[CLS]", tokenizer.token_to_id("[CLS]"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]"
    )
