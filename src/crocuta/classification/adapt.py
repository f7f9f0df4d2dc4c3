"""Ways to adapt a pretrained model to a task, by name: what is trained, and what is saved."""

from dataclasses import fields
from typing import Any

from crocuta.classification._adapt_prompts import InContext, LabelPrompt, SoftPrompt
from crocuta.classification._adapt_weights import (
    FULL,
    Adaptation,
    FullFineTuning,
    HypLora,
    HypLoraFull,
    LinearProbe,
    Lora,
    trained_parameters,
)
from crocuta.errors import InputError

__all__ = [
    "ADAPTATIONS",
    "FULL",
    "Adaptation",
    "FullFineTuning",
    "HypLora",
    "HypLoraFull",
    "InContext",
    "LabelPrompt",
    "LinearProbe",
    "Lora",
    "SoftPrompt",
    "parse_adaptation",
    "trained_parameters",
]

ADAPTATIONS: dict[str, type[Adaptation]] = {
    kind.name: kind
    for kind in (FullFineTuning, LinearProbe, Lora, HypLora, HypLoraFull, SoftPrompt, LabelPrompt, InContext)
}


def parse_adaptation(text: str) -> Adaptation:
    """An adaptation from its name, with its first number after a colon; `+conv` sets `Lora.conv`.

    >>> parse_adaptation("lora:4")
    Lora(rank=4, alpha=None, targets=None, conv=False)
    >>> parse_adaptation("hyplora:3+conv").title
    'HypLoRA, rank 3, convolutions and norms'
    """
    setting, plus, extra = text.partition("+")
    name, colon, number = setting.partition(":")
    kind = ADAPTATIONS.get(name)
    if kind is None:
        raise InputError(f"`adapt` {text}: expected {', '.join(ADAPTATIONS)}")
    options: dict[str, Any] = {}
    if plus:
        if extra != "conv" or not issubclass(kind, Lora):
            raise InputError(f"`adapt` {text}: only +conv can follow, after lora, hyplora or hyplora-full")
        options["conv"] = True
    if colon:
        if not fields(kind):
            raise InputError(f"`adapt` {text}: {name} takes no number")
        least = 0 if kind is InContext else 1
        if not number.isdecimal() or int(number) < least:
            raise InputError(f"`adapt` {text}: expected a whole number from {least}, such as {name}:8")
        options[fields(kind)[0].name] = int(number)
    return kind(**options)
