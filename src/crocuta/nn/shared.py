"""Curvatures that several layers share, saved once."""

from __future__ import annotations

from torch import Tensor, nn

from crocuta.manifolds import Manifold


def save_curvatures_once(model: nn.Module) -> None:
    """Keep a learnable curvature that several layers share under its first name alone in the model's state dict.

    torch repeats a shared parameter under every name, which safetensors refuses. Loading fills the other names in.
    """
    model.register_state_dict_post_hook(_drop_repeated)
    model.register_load_state_dict_pre_hook(_restore_repeated)


def _repeated(model: nn.Module) -> dict[str, str]:
    """Later names of each shared curvature, with its first name."""
    first: dict[Manifold, str] = {}
    repeated = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, Manifold) and module.learnable:
            name = f"{path}.log_c"
            if first.setdefault(module, name) != name:
                repeated[name] = first[module]
    return repeated


def _drop_repeated(
    model: nn.Module, state_dict: dict[str, Tensor], prefix: str, local_metadata: dict
) -> None:
    for name in _repeated(model):
        state_dict.pop(prefix + name, None)  # a model inside this one may have dropped it


def _restore_repeated(model: nn.Module, state_dict: dict[str, Tensor], prefix: str, *unused) -> None:
    for name, first in _repeated(model).items():
        if prefix + first in state_dict:
            state_dict.setdefault(prefix + name, state_dict[prefix + first])
