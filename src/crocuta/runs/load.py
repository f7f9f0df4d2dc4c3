"""Models ready to use: of a run, of a folder, or released ones by name."""

from os import PathLike
from pathlib import Path
from typing import Any

from crocuta.errors import InputError
from crocuta.models.ensemble import Ensemble
from crocuta.models.hyena import RELEASED, HyenaForCausalLM
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.saved import SavedRun


class RunFolder(SavedRun):
    """Opens a finished run of `crocuta train`, or what `crocuta evaluate` made of one.

    Raises:
        InputError: `path` is no such folder, its training has not ended, or its files are damaged.
    """

    def __init__(self, path: str | PathLike):
        super().__init__(path, "train", "evaluate")

    def ensemble(self, model: str | None = None, seed: int | None = None, device: str = AUTO) -> Ensemble:
        """All seeds of one model (default: the run's first), or one of them, as one predictor."""
        name = model or self.config["models"][0]
        pattern = "seed-*" if seed is None else f"seed-{seed}"
        folders = sorted(path.parent for path in (self.path / "models" / name).glob(f"{pattern}/config.json"))
        if not folders:
            raise InputError(f"{self.path}: no model {name!r}; it holds {', '.join(self.config['models'])}")
        return Ensemble.load(folders, self.config["both_strands"], choose_device(device))


def load(name: str | PathLike) -> Any:
    """A model ready to use.

    Args:
        name: a run folder (gives the `Ensemble` of its first model's seeds), a folder of one saved model, or a
            released HyenaDNA by name, such as "hyenadna-small-32k" (fetched from the model hub once, then cached).

    Raises:
        InputError: nothing of that name can be had.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    path = Path(name)
    if (path / "metrics.json").exists() or (path / "models").is_dir():
        return RunFolder(path).ensemble()
    if path.is_dir():
        config = AutoConfig.from_pretrained(path)
        generative = any("CausalLM" in architecture for architecture in config.architectures or ())
        auto = HyenaForCausalLM if generative else AutoModelForSequenceClassification
        return auto.from_pretrained(path).eval()
    return released(_size(name))


def weights_of(name: str | PathLike) -> list[Path]:
    """What decides a model that `load` takes, for digests: its folder, of a run the models, or files in the cache.

    Raises:
        InputError: nothing of that name can be had.
    """
    from huggingface_hub import try_to_load_from_cache

    path = Path(name)
    if path.is_dir():
        return [path / "models" if (path / "models").is_dir() else path]
    size = _size(name)
    if not isinstance(try_to_load_from_cache(_hub(size), "config.json"), str):
        released(size)  # which puts it there
    config = Path(str(try_to_load_from_cache(_hub(size), "config.json")))
    return [config, *sorted(config.parent.glob("*.safetensors"))]


def is_released(name: str | PathLike) -> bool:
    """Whether released weights go by this name, such as "hyenadna-small-32k"."""
    return str(name) == "hyenadna-tiny" or str(name).removeprefix("hyenadna-") in RELEASED


def released_folder(name: str | PathLike) -> Path:
    """Where the released weights of a name lie, fetched from the model hub once.

    Raises:
        InputError: they cannot be had.
    """
    return weights_of(name)[0].parent


def _size(name: str | PathLike) -> str:
    size = {"hyenadna-tiny": "tiny-1k"}.get(str(name), str(name).removeprefix("hyenadna-"))
    if not is_released(name):
        known = ", ".join(f"hyenadna-{size}" for size in RELEASED)
        raise InputError(f"{name}: neither a folder nor a released model ({known})")
    return size


def _hub(size: str) -> str:
    family, length, *width = size.split("-")
    return "LongSafari/" + "-".join(["hyenadna", family, length, "seqlen", *width, "hf"])


def released(size: str) -> HyenaForCausalLM:
    """A released HyenaDNA with its weights, from the local cache or the model hub."""
    hub = _hub(size)
    try:
        return HyenaForCausalLM.from_pretrained(hub).eval()
    except OSError as error:
        raise InputError(
            f"hyenadna-{size}: cannot reach {hub} on the model hub, and it is not cached;"
            f" download it elsewhere and give its folder, or train from new weights (new:hyenadna-{size})"
        ) from error
