"""What trainings share of optimisation: groups of parameters, the course of the learning rate, the first bad layer."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from crocuta import optim
from crocuta.manifolds import Manifold
from crocuta.nn.hyena import HyenaFilter
from crocuta.runs.recipe import Recipe


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


def learning_rate_factor(step: int, steps: int, warm_up: float, floor: float = 0.1) -> float:
    """Linear from 0 over the share `warm_up` of the steps, then a cosine from 1 to `floor`."""
    begin = max(1, round(steps * warm_up)) if warm_up else 0
    if step < begin:
        return (step + 1) / begin
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step - begin) / max(1, steps - begin)))


def curvatures(model: nn.Module) -> dict[str, float]:
    """Learnable curvatures by the name of their manifold, `curvature.manifolds.0`, in the order of the model."""
    return {
        f"curvature.{name}": torch.as_tensor(module.c).item()
        for name, module in model.named_modules()
        if isinstance(module, Manifold) and module.learnable
    }


@torch.no_grad()
def first_non_finite(model: nn.Module, forward: Callable[[], object]) -> str:
    """Name of the first parameter, or else of the first module in order of execution, that holds NaN or infinity.

    Args:
        model: whose layers are watched.
        forward: runs the model on the batch in question.
    """
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"parameter {name}"
    found: list[str] = []

    def watch(name: str):
        def hook(module, args, output):
            if isinstance(output, Tensor) and not torch.isfinite(output).all():
                found.append(name)

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules() if name]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    return f"the output of layer {found[0]}" if found else "the gradient"
