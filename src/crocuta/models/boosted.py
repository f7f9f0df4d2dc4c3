"""Gradient-boosted trees on k-mer counts, as tensors: saved, loaded and evaluated in the same way as a network.

`crocuta.classification.boosted` grows them with scikit-learn; here they only answer.
"""

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from crocuta.models.base import ModelConfig, SequenceClassifier, classification_loss, register
from crocuta.models.baselines import count_kmers


class BoostedConfig(ModelConfig):
    """Trees (`trees` of at most `leaves` leaves each, over all classes) on counts of k-mers up to `longest_kmer`."""

    model_type = "crocuta_boosted"
    longest_kmer: int = 4
    leaves: int = 31
    trees: int = 0

    @property
    def features(self) -> int:
        return sum(4**k for k in range(1, self.longest_kmer + 1))

    @property
    def nodes(self) -> int:
        return 2 * self.leaves - 1


class BoostedForSequenceClassification(SequenceClassifier):
    """Sums the leaves that a sequence falls into, over the trees of each class.

    Node i of tree t asks whether feature `feature[t, i]` is at most `threshold[t, i]`, and goes on to
    `branches[t, i, 0]` if so, else to `branches[t, i, 1]`; a leaf is its own child, so `depth` steps end in one.
    """

    config_class = BoostedConfig
    base_model_prefix = ""
    feature: Tensor
    threshold: Tensor
    branches: Tensor
    value: Tensor
    target: Tensor
    depth: Tensor

    def __init__(self, config: BoostedConfig):
        super().__init__(config)
        shape = (config.trees, config.nodes)
        self.register_buffer("feature", torch.zeros(shape, dtype=torch.long))
        self.register_buffer("threshold", torch.zeros(shape))
        self.register_buffer("branches", torch.zeros((*shape, 2), dtype=torch.long))
        self.register_buffer("value", torch.zeros(shape))
        self.register_buffer("target", torch.zeros(config.trees, dtype=torch.long))
        self.bias = nn.Parameter(torch.zeros(config.num_classes))
        self.register_buffer("depth", torch.zeros((), dtype=torch.long))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Trees are grown, not drawn: zeros until then."""
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            nn.init.zeros_(tensor)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Thresholds and leaves: two numbers for each node that is not padding, near enough."""
        return 2 * int((self.branches != 0).any(-1).sum())

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **kwargs
    ) -> SequenceClassifierOutput:
        """Class logits (B, num_labels) of token ids (B, L)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        counts = count_kmers(input_ids, mask, self.config.longest_kmer)
        logits = self.bias.expand(len(counts), -1).index_add(1, self.target, self.fall(counts))
        return SequenceClassifierOutput(
            loss=classification_loss(logits, labels, self.config.problem_type), logits=logits
        )

    def fall(self, counts: Tensor) -> Tensor:
        """The value of each tree (B, trees) at the leaf that the counts (B, features) fall into."""
        tree = torch.arange(self.config.trees, device=counts.device)
        node = counts.new_zeros((len(counts), self.config.trees), dtype=torch.long)
        for _ in range(int(self.depth)):
            right = counts.gather(1, self.feature[tree, node]) > self.threshold[tree, node]
            node = self.branches[tree, node, right.long()]
        return self.value[tree, node]


register(BoostedConfig, {AutoModelForSequenceClassification: BoostedForSequenceClassification})
