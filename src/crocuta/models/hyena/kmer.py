"""HyenaDNA over k-mers instead of nucleotides: the tokenizer ablation of the paper (arXiv 2306.15794, A.2)."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from crocuta.data.batch import PADDING, SEPARATOR
from crocuta.data.encoding import SPECIAL_TOKENS, VOCABULARY
from crocuta.models.base import register
from crocuta.models.hyena.model import HyenaConfig, HyenaForSequenceClassification

UNKNOWN = VOCABULARY["[UNK]"]


class KmerHyenaConfig(HyenaConfig):
    """HyenaDNA whose tokens are the `k`-mers of a sequence, side by side; `max_seq_len` counts k-mers.

    The vocabulary is HyenaDNA's special tokens and the 4^k k-mers.
    """

    model_type = "hyenadna_kmer"
    padding_side: ClassVar[str] = "right"
    append_separator: ClassVar[bool] = False

    k: int = 6

    def __post_init__(self, **kwargs):
        if not 1 <= self.k <= 8:
            raise ValueError(f"k must be from 1 to 8, got {self.k}")
        self.vocab_size = len(SPECIAL_TOKENS) + 4**self.k
        super().__post_init__(**kwargs)

    @property
    def longest_sequence(self) -> int:
        return super().longest_sequence * self.k


def kmer_tokens(input_ids: Tensor, mask: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """k-mer ids and mask (B, ceil(L / k) + 1) of nucleotide ids (B, L) padded on the right; [SEP] ends each sequence.

    k-mers do not overlap. One that holds an N, or is cut short by the end, is [UNK].

    >>> kmer_tokens(torch.tensor([[7, 8, 9, 10, 7]]), torch.ones(1, 5), 2)[0].tolist()
    [[8, 18, 6, 1]]
    """
    short = -input_ids.shape[1] % k
    ids, inside = F.pad(input_ids, (0, short)), F.pad(mask != 0, (0, short))
    digits = (ids - VOCABULARY["A"]).unflatten(1, (-1, k))
    inside = inside.unflatten(1, (-1, k))
    whole = (inside & (digits >= 0) & (digits < 4)).all(-1)
    place = 4 ** torch.arange(k - 1, -1, -1, device=ids.device)
    tokens = torch.where(whole, (digits * place).sum(-1) + len(SPECIAL_TOKENS), UNKNOWN)
    count = inside.any(-1).sum(1, keepdim=True)
    position = torch.arange(tokens.shape[1] + 1, device=ids.device)
    tokens = F.pad(tokens, (0, 1)).where(position < count, PADDING)
    return tokens.where(position != count, SEPARATOR), (position <= count).long()


class KmerHyenaForSequenceClassification(HyenaForSequenceClassification):
    """Takes nucleotides, as every model does, and reads them k at a time.

    >>> model = KmerHyenaForSequenceClassification(KmerHyenaConfig(d_model=16, n_layer=1, k=3))
    >>> model(torch.randint(7, 11, (2, 30))).logits.shape
    torch.Size([2, 2])
    """

    config_class = KmerHyenaConfig

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Class logits (B, num_labels) of nucleotide ids (B, L), padded on the right."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        tokens, mask = kmer_tokens(input_ids, mask, self.config.k)
        return super().forward(tokens, mask, labels, **kwargs)


register(KmerHyenaConfig, {AutoModelForSequenceClassification: KmerHyenaForSequenceClassification})
