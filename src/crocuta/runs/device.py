"""Where a command computes: chosen once, by `--device`, in every command that computes."""

import os

import psutil
import torch

from crocuta.errors import InputError

AUTO = "auto"


def choose_device(name: str = AUTO) -> torch.device:
    """The device of that name; "auto": the accelerator where there is one, else the processor.

    Raises:
        InputError: there is no such device here.
    """
    if name == AUTO:
        if torch.cuda.is_available():  # of several, each process takes its own
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"`device` {name}: cannot be used here ({str(error).splitlines()[0]}); expected auto, cpu, cuda, ..."
        ) from None
    return device


def has_fast_bfloat16(device: torch.device | None = None) -> bool:
    """Whether a device (default: the automatic one) multiplies matrices in bfloat16 natively."""
    device = device or choose_device()
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def memory_mb(device: torch.device | None = None) -> float:
    """Memory of this process; on an accelerator, the most that it held there."""
    device = device or choose_device()
    used = (
        torch.cuda.max_memory_allocated(device)
        if device.type == "cuda"
        else psutil.Process().memory_info().rss
    )
    return used / 2**20


def used_mb(device: torch.device) -> float:
    """Memory that this process holds now, on an accelerator or else in all."""
    used = (
        torch.cuda.memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss
    )
    return used / 2**20


def available_mb(device: torch.device) -> float:
    """Megabytes that this process may hold in all."""
    if device.type == "cuda":
        return used_mb(device) + torch.cuda.mem_get_info(device)[0] / 2**20
    return used_mb(device) + psutil.virtual_memory().available / 2**20
