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
from crocuta.manifolds import Manifold
from crocuta.models.base import ModelConfig
from crocuta.nn.hyena import HyenaFilter
from crocuta.train.recipe import Recipe


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


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict]:
    """`crocuta.optim.parameter_groups`, with Hyena's filter networks (own learning rate) and embeddings undecayed."""

    def inside(kind: type[nn.Module]) -> set[nn.Parameter]:
        return {p for module in model.modules() if isinstance(module, kind) for p in module.parameters()}

    apart = {"filters": inside(HyenaFilter), "embeddings": inside(nn.Embedding)}
    rates = {
        "filters": recipe.filter_learning_rate or recipe.learning_rate,
        "embeddings": recipe.learning_rate,
    }
    groups = optim.parameter_groups(
        model, recipe.learning_rate, recipe.curvature_learning_rate, weight_decay=recipe.weight_decay
    )
    for name, members in apart.items():
        taken = [p for group in groups for p in group["params"] if p in members]
        for group in groups:
            group["params"] = [p for p in group["params"] if p not in members]
        groups.append({"name": name, "params": taken, "lr": rates[name], "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def curvatures(model: nn.Module) -> dict[str, float]:
    """Learnable curvatures by the name of their manifold, `curvature.manifolds.0`, in the order of the model."""
    return {
        f"curvature.{name}": torch.as_tensor(module.c).item()
        for name, module in model.named_modules()
        if isinstance(module, Manifold) and module.learnable
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
            where = first_non_finite(model, self._prepare_inputs(inputs))
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


@torch.no_grad()
def first_non_finite(model: nn.Module, inputs: dict) -> str:
    """Name of the first parameter, or else of the first module in order of execution, that holds NaN or infinity."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"parameter {name}"
    found: list[str] = []

    def watch(name: str):
        def hook(module, args, output):
            values = output if isinstance(output, Tensor) else None
            if values is not None and not torch.isfinite(values).all():
                found.append(name)

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules() if name]
    try:
        model(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    return f"the output of layer {found[0]}" if found else "the gradient"
