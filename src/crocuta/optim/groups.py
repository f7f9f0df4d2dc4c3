"""Which parameters of a model are points, decay, or bend the space they live in."""

from __future__ import annotations

from typing import Any

from torch import nn

from crocuta.manifolds import Manifold

# Scales of these are nearly always 1-d, which alone excludes them from decay; LayerNorm over several axes is
# not.
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


def placement(model: nn.Module) -> dict[nn.Parameter, Manifold]:
    """Which parameters of a model are points, and where: parameter -> manifold.

    Read from the modules' own `on_manifold` declarations, so it holds for a model that was just built,
    copied, compiled, wrapped, or loaded by `from_pretrained`. A declared attribute that is None (no weight;
    flat space) places nothing.

    Raises:
        ValueError: a declaration names something that is no parameter or no manifold, or two modules place
            the same parameter on different manifolds.
    """
    placed: dict[nn.Parameter, Manifold] = {}
    for path, module in model.named_modules():
        for name, manifold_name in getattr(module, "on_manifold", {}).items():
            weight = _declared(path, module, name, nn.Parameter)
            manifold = _declared(path, module, manifold_name, Manifold)
            if weight is None or manifold is None:
                continue
            if placed.setdefault(weight, manifold) is not manifold:
                raise ValueError(
                    f"{path}.{name} is shared, and placed on {placed[weight]} and on {manifold}; "
                    "give its owners the same manifold object"
                )
    return placed


def _declared(path: str, module: nn.Module, name: str, kind: type) -> Any:
    value = getattr(module, name, module)
    if value is not None and not isinstance(value, kind):
        found = "nothing" if value is module else type(value).__name__
        raise ValueError(
            f"on_manifold of {path or 'the model'} ({type(module).__name__}) names {name!r}, which must be a "
            f"{kind.__name__} of that module or None, got {found}"
        )
    return value


def parameter_groups(
    model: nn.Module, lr: float = 1e-3, curvature_lr: float | None = None, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Parameter groups of a model's trainable parameters, for the optimisers of this package.

    In this order, empty ones left out: `points` (one group per manifold, no decay), `decay` (matrices and
    kernels), `no_decay` (norms, biases and whatever else has fewer than two dimensions), `curvature`
    (parameters of `Manifold` modules: no decay, learning rate `curvature_lr`, by default `lr`). Each carries
    its `name`.

    >>> from crocuta.manifolds import Lorentz
    >>> model = nn.Sequential(nn.Linear(3, 2), Lorentz(learnable=True))
    >>> [group["name"] for group in parameter_groups(model, lr=1e-3, curvature_lr=1e-4, weight_decay=0.01)]
    ['decay', 'no_decay', 'curvature']
    """
    placed = placement(model)
    modules = list(model.modules())
    curvature = {p for module in modules if isinstance(module, Manifold) for p in module.parameters()}
    norms = {p for module in modules if isinstance(module, NORMS) for p in module.parameters(recurse=False)}

    points: dict[Manifold, list[nn.Parameter]] = {}
    flat: dict[str, list[nn.Parameter]] = {"decay": [], "no_decay": [], "curvature": []}
    for p in model.parameters():
        if not p.requires_grad:
            continue
        if p in placed:
            points.setdefault(placed[p], []).append(p)
        elif p in curvature:
            flat["curvature"].append(p)
        else:
            flat["no_decay" if p.ndim < 2 or p in norms else "decay"].append(p)

    groups = [
        {"name": "points", "params": params, "manifold": manifold, "lr": lr, "weight_decay": 0.0}
        for manifold, params in points.items()
    ]
    for name, params in flat.items():
        rate = curvature_lr if name == "curvature" and curvature_lr is not None else lr
        decay = weight_decay if name == "decay" else 0.0
        groups.append({"name": name, "params": params, "lr": rate, "weight_decay": decay})
    return [group for group in groups if group["params"]]
