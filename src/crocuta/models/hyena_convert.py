"""HyenaDNA checkpoints of other origins in crocuta's names."""

import re
from collections.abc import Mapping
from os import PathLike

import torch
from torch import Tensor

from crocuta.errors import InputError

BACKBONE = re.compile(r"^(?:model|hyena|backbone_model)?\.?backbone\.")
RECOMPUTED = re.compile(r"\.(pos_emb\.[zt]|modulation\.deltas|implicit_filter\.(?!1\.)\d+\.freq)$")


def convert(checkpoint: Mapping | str | PathLike) -> dict[str, Tensor]:
    """State dict for `HyenaForCausalLM` from an original or Hugging Face HyenaDNA checkpoint.

    Args:
        checkpoint: a state dict, a Lightning checkpoint (a mapping with `state_dict`), or the path of a `.ckpt`,
            `.pt`, `.bin` or `.safetensors` file. Pickled files are read with `weights_only=True`: whatever they hold
            beside tensors is replaced by inert placeholders, and no code of theirs runs.

    Position features, modulation rates and the repeated names of the shared sine frequency are left out (they are
    recomputed, or stored once); `.layer` infixes of models trained with checkpointing are dropped; a classification
    head of the original decoder becomes `score`.

    Raises:
        InputError: no HyenaDNA backbone among the keys.
    """
    state = checkpoint if isinstance(checkpoint, Mapping) else read_checkpoint(checkpoint)
    state = state.get("state_dict", state)
    converted = {}
    for key, tensor in state.items():
        name = rename(key)
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
    if RECOMPUTED.search(key):
        return None
    if BACKBONE.match(key):
        name = BACKBONE.sub("hyena.backbone.", key)
        return name.replace(".mixer.layer.", ".mixer.").replace(".mlp.layer.", ".mlp.")
    if key.endswith("lm_head.weight"):
        return "lm_head.weight"
    if match := re.search(r"(?:output_transform|^score)\.(weight|bias)$", key):
        return f"score.{match[1]}"
    return None


class Placeholder:
    """Stands for any object of a pickled checkpoint that is not a tensor; keeps nothing and does nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


def read_checkpoint(path: str | PathLike) -> Mapping:
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
