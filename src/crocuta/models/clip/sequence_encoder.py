"""DNA of any length to one vector: weighted counts of k-mers and of peptides, and HyenaDNA over a stretch.

Counts see all of a sequence, both strands alike; peptides of all six frames are what distant relatives still share.
How a sequence begins and ends (terminal repeats, poly-A) and how long it is tell whole elements apart.
"""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, initialization
from transformers.modeling_outputs import BaseModelOutputWithPooling

from crocuta.data.encoding import VOCABULARY
from crocuta.data.sequences import Sequences
from crocuta.models.base import ModelConfig, register
from crocuta.models.hyena import HyenaModel
from crocuta.models.hyena.kmer import kmer_tokens
from crocuta.nn.pool import MeanPool

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY*"
_CODE = "KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF"  # codons in the order of ACGT
_STOP = AMINO_ACIDS.index("*")


class SequenceEncoderConfig(ModelConfig):
    """What is counted, and how wide the result is.

    Args:
        components: principal directions of the weighted counts that are kept, those of the sequences given to `fit`.
        kmers: lengths of the k-mers that are counted.
        peptide: length of the peptides that are counted in six frames; 0: none.
        prefixes: lengths of the k-mers that the two strands begin with; they tell whole elements apart by their ends.
        length_bins: half octaves, from 16 nucleotides on, in which the length is told; 0: it is not told.
        hidden_size: width of the result.
        dropout: share of the components, and inside the two layers over them, that is hidden in training.
        hyena: configuration of a `KmerHyena` over the first `max_seq_len` k-mers; None: counts alone.
    """

    model_type = "crocuta_sequence_encoder"

    components: int = 256
    kmers: list[int] | None = None
    peptide: int = 3
    prefixes: list[int] | None = None
    length_bins: int = 0
    hidden_size: int = 128
    dropout: float = 0.3
    hyena: dict | PreTrainedConfig | None = None

    def __post_init__(self, **kwargs):
        self.kmers = [4, 5, 6, 7] if self.kmers is None else self.kmers
        self.prefixes = [] if self.prefixes is None else self.prefixes
        if isinstance(self.hyena, dict):
            self.hyena = AutoConfig.for_model(**self.hyena)
        super().__post_init__(**kwargs)

    @property
    def blocks(self) -> list[int]:
        """Features of each kind."""
        counted = [4**k for k in cast(list, self.kmers)]
        peptides = len(AMINO_ACIDS) ** self.peptide if self.peptide else 0
        prefixes = sum(4**k for k in cast(list, self.prefixes))
        return counted + [size for size in (peptides, prefixes, self.length_bins) if size]


def _words(digits: Tensor, inside: Tensor, length: int, base: int, step: int = 1) -> tuple[Tensor, Tensor]:
    """Numbers in `base` of `length` digits `step` apart, and which hold nothing else: (B, L')."""
    end = digits.shape[1] - step * (length - 1)
    if end < 1:
        return digits[:, :0], inside[:, :0]
    word, whole = torch.zeros_like(digits[:, :end]), torch.ones_like(inside[:, :end])
    for i in range(length):
        word = word * base + digits[:, i * step : i * step + end]
        whole = whole & inside[:, i * step : i * step + end]
    return word, whole


def _count(words: Tensor, whole: Tensor, size: int) -> Tensor:
    counts = torch.zeros(len(words), size, device=words.device)
    return counts.scatter_add_(1, words, whole.to(counts.dtype))


def _nucleotides(input_ids: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    digits = input_ids.long() - VOCABULARY["A"]
    inside = (digits >= 0) & (digits < 4)
    return digits.clamp(0, 3), inside if mask is None else inside & (mask != 0)


def kmer_counts(input_ids: Tensor, mask: Tensor | None, k: int) -> Tensor:
    """Counts (B, 4^k) of k-mers on both strands; k-mers with a nucleotide other than ACGT are left out."""
    counts = _count(*_words(*_nucleotides(input_ids, mask), k, 4), 4**k)
    axes = counts.unflatten(1, (4,) * k)
    return counts + axes.flip(list(range(1, k + 1))).permute(0, *range(k, 0, -1)).flatten(1)


def peptide_counts(input_ids: Tensor, mask: Tensor | None, length: int) -> Tensor:
    """Counts (B, 21^length) of peptides in the six frames; those with a stop or an unknown amino acid are left out."""
    digits, inside = _nucleotides(input_ids, mask)
    code = torch.tensor([AMINO_ACIDS.index(amino_acid) for amino_acid in _CODE], device=digits.device)
    size = len(AMINO_ACIDS) ** length
    total = torch.zeros(len(digits), size, device=digits.device)
    for strand, known in ((digits, inside), (3 - digits.flip(1), inside.flip(1))):
        codons, whole = _words(strand, known, 3, 4)
        residues = code[codons]
        peptides, whole = _words(residues, whole & (residues != _STOP), length, len(AMINO_ACIDS), step=3)
        total += _count(peptides, whole, size)
    return total


def prefix_counts(input_ids: Tensor, mask: Tensor | None, lengths: list[int]) -> Tensor:
    """Counts (B, sum of 4^k) of the k-mers that both strands begin with; those with an N are left out."""
    digits, inside = _nucleotides(input_ids, mask)
    place = torch.arange(max(lengths), device=digits.device)
    end = (
        torch.full_like(digits[:, :1], digits.shape[1]) if mask is None else mask.sum(1, keepdim=True).long()
    )
    found = []
    for strand, index in ((digits, place.expand(len(digits), -1)), (3 - digits, end - 1 - place)):
        known = (index >= 0) & (index < end)
        index = index.clamp(0, digits.shape[1] - 1)
        found.append((strand.gather(1, index), inside.gather(1, index) & known))
    count = lambda k, s, known: _count(*_words(s[:, :k], known[:, :k], k, 4), 4**k)  # noqa: E731
    return torch.cat([count(k, *found[0]) + count(k, *found[1]) for k in lengths], 1)


def length_counts(input_ids: Tensor, mask: Tensor | None, bins: int) -> Tensor:
    """2 at the half octave of the length, counted from 16 nucleotides, and 1 at both its neighbours: (B, bins)."""
    inside = _nucleotides(input_ids, mask)[1]
    octave = (2 * inside.sum(1).clamp_min(1).log2() - 8).round().clamp(0, bins - 1)
    return (2 - (torch.arange(bins, device=octave.device) - octave[:, None]).abs()).clamp_min(0)


class SequenceEncoder(PreTrainedModel):
    """Token ids (B, L) to vectors (B, hidden_size) in `pooler_output`; padding changes nothing.

    Counts enter as `log(1 + n)` times the logarithm of how rare a k-mer is, each kind scaled to length 1, and are
    turned into their principal components, which `fit` learns from sequences without labels: a few thousand sequences
    cannot teach tens of thousands of weights, and the components are what sequences have in common. A linear map and a
    small network of two layers read them.

    >>> from crocuta.data.sequences import Sequences
    >>> encoder = SequenceEncoder(SequenceEncoderConfig(kmers=[3], peptide=0, components=2, hidden_size=8))
    >>> encoder.fit(Sequences.from_strings(["ACGTTGCATG", "ACGGGTTTAC", "TTAACCGGAT"]))
    >>> encoder(torch.randint(7, 11, (2, 30))).pooler_output.shape
    torch.Size([2, 8])
    """

    config_class = SequenceEncoderConfig
    base_model_prefix = ""
    rarity: Tensor
    centre: Tensor
    basis: Tensor

    def __init__(self, config: SequenceEncoderConfig):
        super().__init__(config)
        features, width = sum(config.blocks), config.hidden_size
        self.register_buffer("rarity", torch.ones(features))
        self.register_buffer("centre", torch.zeros(config.components))
        self.register_buffer("basis", torch.randn(features, config.components) / features**0.5)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(config.components, width)
        self.network = nn.Sequential(
            nn.Linear(config.components, 2 * width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * width, width),
        )
        self.hyena = None if config.hyena is None else HyenaModel(cast(Any, config.hyena))
        self.pool, self.join = MeanPool(), None
        if self.hyena is not None:
            self.join = nn.Linear(self.hyena.config.d_model, width, bias=False)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            initialization.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                initialization.zeros_(module.bias)

    def counts(self, input_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """What is counted (B, features), kind after kind."""
        found = [kmer_counts(input_ids, mask, k) for k in cast(list, self.config.kmers)]
        if self.config.peptide:
            found.append(peptide_counts(input_ids, mask, self.config.peptide))
        if self.config.prefixes:
            found.append(prefix_counts(input_ids, mask, self.config.prefixes))
        if self.config.length_bins:
            found.append(length_counts(input_ids, mask, self.config.length_bins))
        return torch.cat(found, 1)

    def fit(self, sequences: Sequences) -> None:
        """Learns from sequences, without labels, how rare each k-mer and peptide is, and the components."""
        self.fit_counts(torch.cat([self.counts(as_row(ids)) for ids in sequences]))

    @torch.no_grad()
    def fit_counts(self, counts: Tensor) -> None:
        """`fit`, from counts (n, features) as `counts` gives them."""
        self.rarity.copy_(torch.log((1 + len(counts)) / (1 + (counts > 0).sum(0))) + 1)
        weighted = self.weighted(counts)
        values, vectors = torch.linalg.eigh((weighted @ weighted.T).double())
        order = values.argsort(descending=True)[: self.config.components]
        size = values[order].clamp_min(1e-9).sqrt()
        basis = weighted.T @ (vectors[:, order] / size).to(weighted.dtype)
        self.basis.zero_()[:, : len(order)] = basis * self.config.components**0.5
        self.centre.copy_((weighted @ self.basis).mean(0))

    def weighted(self, counts: Tensor) -> Tensor:
        """Counts to features: logarithms times rarity, each kind of length 1."""
        parts = (counts.log1p() * self.rarity).split(self.config.blocks, 1)
        return torch.cat([F.normalize(part, dim=1) for part in parts], 1)

    def components(self, counts: Tensor) -> Tensor:
        """Counts (B, features) to principal components (B, components)."""
        return self.weighted(counts) @ self.basis - self.centre

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        components: Tensor | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        """Vectors of token ids padded on the right; `components` (B, components) where they are known already."""
        if components is None:
            components = self.components(self.counts(input_ids, attention_mask))
        components = self.dropout(components)
        pooled = self.linear(components) + self.network(components)
        if self.hyena is not None and self.join is not None:
            k, most = self.hyena.config.k, self.hyena.config.max_seq_len - 1
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            tokens, mask = kmer_tokens(input_ids[:, : k * most], mask[:, : k * most], k)
            pooled = pooled + self.join(self.pool(self.hyena(tokens, mask).last_hidden_state, mask))
        return BaseModelOutputWithPooling(pooler_output=pooled)  # pyright: ignore[reportArgumentType]


def as_row(ids: np.ndarray) -> Tensor:
    """Encoded nucleotides as a batch of one, (1, length)."""
    return torch.from_numpy(ids.astype(np.int64))[None]


register(SequenceEncoderConfig, {AutoModel: SequenceEncoder})
