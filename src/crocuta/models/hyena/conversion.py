"""HyenaDNA checkpoints of other origins in crocuta's names."""

import re
from collections.abc import Mapping, Sequence
from os import PathLike

import torch
from torch import Tensor, nn

from crocuta.errors import InputError
from crocuta.nn.hyena.implicit_filter import HyenaFilter, follows_formula

BACKBONE = re.compile(r"^(?:model|hyena|backbone_model)?\.?backbone\.")
REPEATED = re.compile(r"\.implicit_filter\.(?!1\.)\d+\.freq$")
STORED = re.compile(r"(backbone\..*\.filter_fn)\.(pos_emb\.[zt]|modulation\.deltas)$")


def convert(checkpoint: Mapping | str | PathLike) -> dict[str, Tensor]:
    """State dict for `HyenaForCausalLM` from an original or Hugging Face HyenaDNA checkpoint.

    Args:
        checkpoint: a state dict, a Lightning checkpoint (a mapping with `state_dict`), or the path of a `.ckpt`,
            `.pt`, `.bin` or `.safetensors` file. Pickled files are read with `weights_only=True`: whatever they hold
            beside tensors is replaced by inert placeholders, and no code of theirs runs.

    The repeated names of the shared sine frequency are left out, and so are position features and modulation rates
    where they are what we compute anyway; trained ones are kept. `.layer` infixes of models trained with checkpointing
    are dropped; a classification head of the original decoder becomes `score`.

    Raises:
        InputError: no HyenaDNA backbone among the keys.
    """
    state = checkpoint if isinstance(checkpoint, Mapping) else read_lightning(checkpoint)
    state = state.get("state_dict", state)
    converted = {}
    for key, tensor in state.items():
        name = rename(key)
        stored = STORED.search(key)
        if stored is not None and follows_formula(stored[2], tensor):
            continue
        if name is not None and isinstance(tensor, Tensor):
            converted[name] = tensor
    if not any(key.startswith("hyena.backbone.") for key in converted):
        shown = ", ".join(list(state)[:3]) or "none"
        raise InputError(
            f"not a HyenaDNA checkpoint: no key of a backbone among {len(state)} keys (first: {shown})"
        )
    return converted


def rename(key: str) -> str | None:
    """Our name of an original key; None where nothing of it is kept."""
    if REPEATED.search(key):
        return None
    if BACKBONE.match(key):
        name = BACKBONE.sub("hyena.backbone.", key)
        return name.replace(".mixer.layer.", ".mixer.").replace(".mlp.layer.", ".mlp.")
    if key.endswith("lm_head.weight"):
        return "lm_head.weight"
    if match := re.search(r"(?:output_transform|^score)\.(weight|bias)$", key):
        return f"score.{match[1]}"
    return None


def adopt_stored(model: nn.Module, state: Mapping[str, Tensor] | None, files: Sequence[str] | None) -> None:
    """Make room in a model's filters for the position features and rates of a checkpoint that differ from the formula.

    The checkpoint is a state dict or the names of its files; of safetensors only what is asked for is read.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for source in (state,) if state is not None else files or ():
        for key, tensor in stored_tensors(source).items():
            match = STORED.search(key)
            assert match is not None
            found.setdefault(match[1], {})[match[2]] = tensor
    for name, module in model.named_modules():
        if isinstance(module, HyenaFilter) and (held := found.get(name[name.find("backbone.") :])):
            module.adopt(held)


def stored_tensors(source: Mapping[str, Tensor] | str) -> dict[str, Tensor]:
    """Position features and modulation rates of a state dict or a file, by their keys there."""
    if isinstance(source, str) and source.endswith(".safetensors"):
        from safetensors import safe_open

        with safe_open(source, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys() if STORED.search(key)}  # noqa: SIM118
    state = source if isinstance(source, Mapping) else read_lightning(source)
    return {key: tensor for key, tensor in state.items() if STORED.search(key)}


class Placeholder:
    """Stands for any object of a pickled checkpoint that is not a tensor; keeps nothing and does nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


def read_lightning(path: str | PathLike) -> Mapping:
    """Tensors of a safetensors or pickled file, without running code from it."""
    name = str(path)
    try:
        if name.endswith(".safetensors"):
            from safetensors.torch import load_file

            return load_file(name)
        strangers = torch.serialization.get_unsafe_globals_in_checkpoint(name)
        with torch.serialization.safe_globals([(Placeholder, stranger) for stranger in strangers]):
            return torch.load(name, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except Exception as error:  # torch and safetensors raise many kinds for a broken file
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{name}: not a readable checkpoint ({reason}); expected .safetensors or .ckpt"
        ) from error
