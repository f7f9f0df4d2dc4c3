"""transformers' Trainer with crocuta's parameter groups, batches and loud failures."""
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false
# (transformers declares unions wider than what it returns)

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Trainer

from crocuta import optim
from crocuta.data.batch import pad_batch
from crocuta.data.encoding import reverse_complement
from crocuta.data.labelled import Labelled
from crocuta.errors import InputError
from crocuta.models.base import ModelConfig
from crocuta.runs.optimisation import curvatures, first_non_finite, parameter_groups
from crocuta.runs.recipe import Recipe


class EncodedDataset(torch.utils.data.Dataset):
    """Encoded sequences with their labels, one pair an item."""

    def __init__(self, data: Labelled):
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.data.sequences[index], self.data.labels[index]


class Collator:
    """Pads a batch as the model's configuration asks; `turn` reverse-complements each sequence at even odds."""

    def __init__(self, config: ModelConfig, turn: bool = False):
        self.config, self.turn = config, turn

    def __call__(self, batch: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, Tensor]:
        ids = [row for row, _ in batch]
        if self.turn:
            turned = torch.rand(len(ids)).tolist()
            ids = [reverse_complement(row) if p < 0.5 else row for row, p in zip(ids, turned, strict=True)]
        input_ids, mask = pad_batch(ids, self.config.padding_side, self.config.append_separator)
        return {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(np.stack([label for _, label in batch])),
        }


class ClassifierTrainer(Trainer):
    """Trainer of a classification model; stops at the first loss that is not finite."""

    def __init__(self, *args, recipe: Recipe, both_strands: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        self.recipe, self.both_strands = recipe, both_strands

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            model = self.model if model is None else model
            groups = parameter_groups(model, self.recipe)
            points = bool(optim.placement(model))
            self.optimizer = optim.RiemannianAdam(groups) if points else torch.optim.AdamW(groups, fused=True)
        return self.optimizer

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        evaluation_collator = self.data_collator
        self.data_collator = Collator(self.model.config, self.both_strands)
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = evaluation_collator

    def training_step(
        self, model: nn.Module, inputs: dict, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            where = first_non_finite(model, lambda: model(**self._prepare_inputs(inputs)))
            raise InputError(
                f"training stopped at step {self.state.global_step + 1}: the loss is {loss.item()}, and the first"
                f" non-finite values are in {where}; last good checkpoint: {self.last_checkpoint()};"
                " try a lower --learning-rate"
            )
        return loss

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        """Training losses are joined by the curvatures of the moment."""
        super().log(logs | curvatures(self.model) if "loss" in logs else logs, *args, **kwargs)

    def last_checkpoint(self) -> str:
        from transformers.trainer_utils import get_last_checkpoint

        return get_last_checkpoint(self.args.output_dir) or "none yet"
