"""Linear baselines as models like any other: k-mer logistic regression, length alone, and the majority.

`crocuta.classification.baselines` fits them with scikit-learn; here they only turn sequences into features and
features into logits, so that they are saved, loaded and evaluated in the same way as a network.
"""

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from crocuta.data.encoding import VOCABULARY
from crocuta.models.base import ModelConfig, SequenceClassifier, classification_loss, register


class KmerConfig(ModelConfig):
    """k-mers of the lengths 1 to `longest_kmer` are counted."""

    model_type = "crocuta_kmer"
    longest_kmer: int = 6

    @property
    def features(self) -> int:
        return sum(4**k for k in range(1, self.longest_kmer + 1))


class LengthConfig(ModelConfig):
    """Lengths fall into `features` bins, whose edges are quantiles of the training set."""

    model_type = "crocuta_length"
    features: int = 32


class MajorityConfig(ModelConfig):
    """The one feature says nothing."""

    model_type = "crocuta_majority"
    features: int = 1


class LinearBaseline(SequenceClassifier):
    """Logistic regression on fixed features of a sequence."""

    base_model_prefix = ""

    def __init__(self, config: KmerConfig | LengthConfig | MajorityConfig):
        super().__init__(config)
        self.score = nn.Linear(config.features, config.num_classes)

    def _init_weights(self, module: nn.Module) -> None:
        """Weights are fitted, not drawn: zeros until then."""
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            nn.init.zeros_(tensor)

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Features (B, n) of token ids (B, L)."""
        raise NotImplementedError

    def adapt(self, lengths: Tensor) -> None:
        """Sets what depends on the training sequences' lengths (n,) before any label is seen."""

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **kwargs
    ) -> SequenceClassifierOutput:
        """Class logits (B, num_labels) of token ids (B, L)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        logits = self.score(self.features(input_ids, mask).to(self.score.weight.dtype))
        return SequenceClassifierOutput(
            loss=classification_loss(logits, labels, self.config.problem_type), logits=logits
        )


class KmerForSequenceClassification(LinearBaseline):
    """Logistic regression on k-mer counts; k-mers with a nucleotide other than ACGT are left out."""

    config_class = KmerConfig

    def __init__(self, config: KmerConfig):
        super().__init__(config)
        self.post_init()

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        counts = count_kmers(input_ids, attention_mask, self.config.longest_kmer)
        return counts.sqrt()


class LengthForSequenceClassification(LinearBaseline):
    """Logistic regression on the length's bin and nothing else: what a model could learn from padding alone."""

    config_class = LengthConfig
    edges: Tensor

    def __init__(self, config: LengthConfig):
        super().__init__(config)
        self.register_buffer("edges", torch.zeros(config.features - 1))
        self.post_init()

    def adapt(self, lengths: Tensor) -> None:
        share = torch.linspace(0, 1, self.config.features + 1)[1:-1]
        self.edges.copy_(torch.quantile(lengths.float(), share))

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        bin_index = torch.bucketize(attention_mask.sum(dim=1).float(), self.edges)
        return nn.functional.one_hot(bin_index, self.config.features)


class MajorityForSequenceClassification(LinearBaseline):
    """The classes' shares of the training set, whatever the sequence: what any model must beat."""

    config_class = MajorityConfig

    def __init__(self, config: MajorityConfig):
        super().__init__(config)
        self.post_init()

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return torch.ones(len(input_ids), self.config.features, device=input_ids.device)


def count_kmers(input_ids: Tensor, attention_mask: Tensor, longest: int) -> Tensor:
    """Counts (B, 4 + 16 + ... + 4^longest) of the k-mers of token ids (B, L) that hold no nucleotide but ACGT."""
    digit = input_ids - VOCABULARY["A"]
    valid = (digit >= 0) & (digit < 4) & (attention_mask != 0)
    blocks, code, whole = [], torch.zeros_like(digit), torch.ones_like(valid)
    for k in range(1, min(longest, input_ids.shape[1]) + 1):
        end = input_ids.shape[1] - k + 1
        code = code[:, :end] * 4 + digit[:, k - 1 :].clamp(0, 3)
        whole = whole[:, :end] & valid[:, k - 1 :]
        counts = torch.zeros(len(input_ids), 4**k, device=input_ids.device)
        blocks.append(counts.scatter_add_(1, code, whole.to(counts.dtype)))
    counts = torch.cat(blocks, dim=1)
    features = sum(4**k for k in range(1, longest + 1))
    return nn.functional.pad(counts, (0, features - counts.shape[1]))


register(KmerConfig, {AutoModelForSequenceClassification: KmerForSequenceClassification})
register(LengthConfig, {AutoModelForSequenceClassification: LengthForSequenceClassification})
register(MajorityConfig, {AutoModelForSequenceClassification: MajorityForSequenceClassification})
