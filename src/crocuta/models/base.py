"""What every model of crocuta shares: a typed configuration, the classification loss, and `predict` on strings."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from crocuta.data.batch import pad_batch
from crocuta.models.ensemble import Encoded, Ensemble, Predictions

# Keys that folders saved by transformers carry beside a model's own.
BOOKKEEPING = {
    *GenerationConfig().to_dict(),
    *("model_type", "auto_map", "torch_dtype", "name_or_path", "_name_or_path", "_commit_hash", "num_labels"),
    *("output_attentions", "attn_implementation", "_attn_implementation_autoset", "tokenizer_class"),
    *("experts_implementation", "per_layer_config", "use_cache", "pad_token_id", "tie_word_embeddings"),
}


class ModelConfig(PreTrainedConfig):
    """A typed configuration: unknown keys are errors, and inputs are described once for training and prediction."""

    padding_side: ClassVar[str] = "right"
    append_separator: ClassVar[bool] = False
    retired_keys: ClassVar[frozenset[str]] = frozenset()
    hyplora: dict[str, Any] | None = None  # arguments of `HypLoraConfig`, where that is part of the model

    def __post_init__(self, **kwargs):
        known = {field.name for field in fields(self)} | BOOKKEEPING
        for key in kwargs.keys() - known - self.retired_keys:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{type(self).__name__} has no key {key!r}{hint}")
        super().__post_init__(**{key: value for key, value in kwargs.items() if key not in self.retired_keys})

    @property
    def num_classes(self) -> int:
        """Number of classes; transformers' `num_labels`, which may be None there."""
        return len(self.id2label or ())

    @property
    def longest_sequence(self) -> int | None:
        """Nucleotides of the longest sequence that the model reads, None where there is no limit."""
        return None


def classification_loss(logits: Tensor, labels: Tensor | None, problem_type: str | None) -> Tensor | None:
    """Cross-entropy of class indices (B,), or binary cross-entropy of 0/1 labels (B, classes) if multi-label."""
    if labels is None:
        return None
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    return F.cross_entropy(logits, labels)


def chunks(items: Iterable, size: int) -> Iterator[list]:
    """Consecutive lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


class AdaptableModel(PreTrainedModel):
    """A model that HypLoRA may be part of, if its configuration says so."""

    def post_init(self) -> None:
        super().post_init()
        if self.config.hyplora is not None:
            from crocuta.models.hyplora import build_in, is_built_in

            if not is_built_in(self):  # a backbone, built first, has it already
                build_in(self, self.config.hyplora)


class SequenceClassifier(AdaptableModel):
    """`predict` for models that map `input_ids` and `attention_mask` to class logits."""

    config: ModelConfig

    @torch.inference_mode()
    def probabilities(self, ids: Encoded, batch_size: int = 128) -> np.ndarray:
        """Class probabilities (n, classes) of encoded sequences; batches hold sequences of like length."""
        was_training = self.training
        self.eval()
        order = np.argsort([len(row) for row in ids], kind="stable")
        result = np.empty((len(ids), self.config.num_classes), np.float32)
        for rows in chunks(order, batch_size):
            result[rows] = self._batch_probabilities([ids[row] for row in rows])
        self.train(was_training)
        return result

    def _batch_probabilities(self, ids: list[np.ndarray]) -> np.ndarray:
        input_ids, mask = pad_batch(ids, self.config.padding_side, self.config.append_separator)
        device = self.device
        inputs = torch.from_numpy(input_ids).to(device), torch.from_numpy(mask).to(device)
        logits = self(input_ids=inputs[0], attention_mask=inputs[1]).logits.float()
        if self.config.problem_type == "multi_label_classification":
            return logits.sigmoid().cpu().numpy()
        return logits.softmax(-1).cpu().numpy()

    def predict(
        self, sequences: Sequence[str], batch_size: int = 128, both_strands: bool = False
    ) -> Predictions:
        """Classes of DNA strings; see `Ensemble.predict`."""
        return Ensemble([self], both_strands).predict(sequences, batch_size)


def register(config: type[PreTrainedConfig], models: dict[type, type[PreTrainedModel]]) -> None:
    """Makes transformers' Auto classes (keys of `models`) know the classes of a configuration."""
    AutoConfig.register(config.model_type, config)
    for auto, model in models.items():
        auto.register(config, model)
