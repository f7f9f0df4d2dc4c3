"""transformers' Trainer with crocuta's parameter groups, batches and loud failures."""
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false
# (transformers declares unions wider than what it returns)

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Trainer

from crocuta import optim
from crocuta.data.batch import pad_batch
from crocuta.data.encoding import reverse_complement
from crocuta.data.labelled import Labelled
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.models.base import ModelConfig
from crocuta.runs.checkpoint import join_state, save_tensors, split_state
from crocuta.runs.optimisation import curvatures, first_non_finite, parameter_groups
from crocuta.runs.recipe import Recipe
from crocuta.runs.saved import read_json


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
    """Trainer of a classification model; stops at the first loss that is not finite, and writes no pickle."""

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
                " try a lower `learning_rate`, or check the data"
            )
        return loss

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        """Training losses are joined by the curvatures of the moment."""
        super().log(logs | curvatures(self.model) if "loss" in logs else logs, *args, **kwargs)

    def last_checkpoint(self) -> str:
        from transformers.trainer_utils import get_last_checkpoint

        return get_last_checkpoint(self.args.output_dir) or "none yet"

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Without `training_args.bin`, which is a pickle."""
        self.model.save_pretrained(output_dir or self.args.output_dir, state_dict=state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        tensors, rest = split_state([self.optimizer])
        save_tensors(Path(output_dir, "optimizer.safetensors"), tensors)
        state = {"optimizer": rest, "scheduler": self.lr_scheduler.state_dict()}  # pyright: ignore[reportAttributeAccessIssue]
        write_json(Path(output_dir, "optimizer.json"), state)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        state = read_json(Path(checkpoint, "optimizer.json"))
        join_state([self.optimizer], load_file(Path(checkpoint, "optimizer.safetensors")), state["optimizer"])
        self.lr_scheduler.load_state_dict(state["scheduler"])  # pyright: ignore[reportAttributeAccessIssue]
        for group, rate in zip(self.optimizer.param_groups, state["scheduler"]["_last_lr"], strict=True):
            group["lr"] = rate  # the scheduler sets it after a step, and the next step comes before that

    def _save_rng_state(self, output_dir: str) -> None:
        name, keys, *rest = np.random.get_state()  # noqa: NPY002 (the global state, whoever uses it)
        state = {"python": random.getstate(), "numpy": [name, np.asarray(keys).tolist(), *rest]}
        write_json(Path(output_dir, "random.json"), state)
        tensors = {"cpu": torch.get_rng_state()}
        if self.args.device.type == "cuda":
            tensors["cuda"] = torch.cuda.get_rng_state(self.args.device)
        save_tensors(Path(output_dir, "random.safetensors"), tensors)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        state = read_json(Path(checkpoint, "random.json"))
        version, numbers, gauss = state["python"]
        random.setstate((version, tuple(numbers), gauss))
        np.random.set_state(tuple(state["numpy"]))  # noqa: NPY002
        tensors = load_file(Path(checkpoint, "random.safetensors"))
        torch.set_rng_state(tensors["cpu"])
        if "cuda" in tensors and self.args.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["cuda"], self.args.device)
