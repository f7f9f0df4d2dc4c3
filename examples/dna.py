"""For `lorentz_transformer_dna.py`: sequences as tensors, the Euclidean twin, and a regression on counted k-mers."""

from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn
from transformers.utils.logging import disable_progress_bar

from crocuta.classification import fit_baseline
from crocuta.data.batch import pad_batch
from crocuta.data.labelled import Labelled, Splits
from crocuta.models.baselines import KmerConfig
from crocuta.models.ensemble import Ensemble


def tensors(part: Labelled) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids and mask (n, longest), labels (n,)."""
    ids, mask = pad_batch(part.sequences)  # type: ignore[arg-type]
    return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(part.labels)


class EuclideanTransformer(nn.Module):
    """Learned positions, two pre-norm blocks, mean over tokens, a linear classifier."""

    def __init__(self, length: int, classes: int):
        super().__init__()
        self.embedding, self.position = nn.Embedding(12, 32), nn.Parameter(0.1 * torch.randn(length, 32))
        block = nn.TransformerEncoderLayer(32, 4, 128, 0.1, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, classes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.embedding(ids) + self.position[: ids.shape[1]]
        x = self.blocks(x, src_key_padding_mask=mask == 0) * mask[..., None]
        return self.head(x.sum(1) / mask.sum(1, keepdim=True))


def kmer_probabilities(splits: Splits) -> np.ndarray:
    """Of the test set, by logistic regression on k-mer counts; its regularisation is chosen on validation."""
    disable_progress_bar()
    with TemporaryDirectory() as folder:
        fit_baseline(KmerConfig(), splits, folder)
        return Ensemble.load([folder]).probabilities(splits.test.sequences)
