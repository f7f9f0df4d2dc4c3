"""The bridge to `transformers.Trainer`; needs nothing from transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from crocuta.optim.adam import RiemannianAdam
from crocuta.optim.base import RiemannianOptimizer
from crocuta.optim.groups import parameter_groups


def trainer_optimizer(
    optimizer: Callable[..., RiemannianOptimizer] = RiemannianAdam,
    *,
    lr: float = 1e-3,
    curvature_lr: float | None = None,
    weight_decay: float = 0.0,
    **settings: Any,
) -> tuple[Callable, dict[str, Any]]:
    """What `transformers.Trainer` takes as `optimizer_cls_and_kwargs`: a factory and its arguments.

    The trainer calls the factory with the model it is about to train, so points are found wherever that model
    came from (`model_init`, `from_pretrained`, a resumed run). `lr` replaces the training arguments' learning
    rate; the trainer's schedule scales each group's own. `settings` go to the optimiser.
    """

    def build(model: nn.Module, lr: float, curvature_lr: float | None, weight_decay: float, **settings: Any):
        return optimizer(parameter_groups(model, lr, curvature_lr, weight_decay), lr=lr, **settings)

    return lambda: build, {"lr": lr, "curvature_lr": curvature_lr, "weight_decay": weight_decay, **settings}
