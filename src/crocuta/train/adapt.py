"""Ways to adapt a pretrained model to a task: what is trained, and what is saved."""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from crocuta.data.labelled import Labelled, Splits
from crocuta.errors import InputError
from crocuta.models.adapters import (
    LABEL_TOKENS,
    HyenaInContextConfig,
    HyenaInContextForSequenceClassification,
    HyenaLabelPromptConfig,
    HyenaLabelPromptForSequenceClassification,
    HyenaPromptConfig,
    HyenaPromptForSequenceClassification,
    PromptedClassifier,
)
from crocuta.models.hyena import HyenaConfig
from crocuta.nn.hyena import HyenaFilter
from crocuta.train.labels import problem

HEAD = "score"  # every classifier's last layer


@dataclass(frozen=True)
class Adaptation:
    """What of a model is trained. `name` is its word on the command line, `title` stands in reports."""

    name: ClassVar[str]

    @property
    def title(self) -> str:
        raise NotImplementedError

    @property
    def label(self) -> str:
        """Short and different for different settings: `lora-8`."""
        numbers = [str(getattr(self, f.name)) for f in fields(self)[:1]]
        return "-".join([self.name, *numbers])

    def check(self, config: Any, splits: Splits) -> None:
        """Raises InputError where a model of that configuration, or the data, cannot be adapted in this way."""

    def prepare(self, model: PreTrainedModel, splits: Splits, seed: int) -> PreTrainedModel:
        """The model to train, made from a classifier that carries the pretrained weights; raises what `check` does."""
        raise NotImplementedError

    def queries(self, splits: Splits, seed: int) -> Splits:
        """What it is trained on: all of the training set."""
        return splits

    def finish(self, model: PreTrainedModel) -> None:
        """Turns the trained model, in place, into one that loads like any other."""


@dataclass(frozen=True)
class FullFineTuning(Adaptation):
    """Every weight is trained; the original's choice."""

    name = "full"

    @property
    def title(self) -> str:
        return "fine-tuned"

    def prepare(self, model: PreTrainedModel, splits: Splits, seed: int) -> PreTrainedModel:
        return model


FULL = FullFineTuning()


@dataclass(frozen=True)
class LinearProbe(Adaptation):
    """Only a linear head is trained, on the pooled hidden states of the frozen model."""

    name = "probe"

    @property
    def title(self) -> str:
        return "linear probe"

    def prepare(self, model: PreTrainedModel, splits: Splits, seed: int) -> PreTrainedModel:
        for name, child in model.named_children():
            if name != HEAD:
                freeze(child)
        return model


@dataclass(frozen=True)
class Lora(Adaptation):
    """Low-rank updates of the linear layers (Hu et al. 2021, arXiv 2106.09685) by `peft`, and a new head.

    The update of a weight is `alpha / rank` times a product of two thin matrices. They are merged into the weights
    when training ends, so that the saved model is an ordinary one.

    Args:
        rank: of each update.
        alpha: default twice the rank.
        targets: ends of names of the linear layers; default all but the head and Hyena's filter networks.
    """

    name = "lora"
    rank: int = 8
    alpha: float | None = None
    targets: tuple[str, ...] | None = None

    @property
    def title(self) -> str:
        return f"LoRA, rank {self.rank}"

    def prepare(self, model: PreTrainedModel, splits: Splits, seed: int) -> PreTrainedModel:
        from peft import LoraConfig, inject_adapter_in_model

        alpha = 2 * self.rank if self.alpha is None else self.alpha
        config = LoraConfig(r=self.rank, lora_alpha=alpha, target_modules=self.layers(model))  # pyright: ignore[reportArgumentType]
        inject_adapter_in_model(config, model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("lora_" in name or name.startswith(f"{HEAD}."))
        return model

    def layers(self, model: nn.Module) -> list[str]:
        """Names of the layers to update.

        Raises:
            InputError: no linear layer has such a name, or the model has none.
        """
        inside = {m for f in model.modules() if isinstance(f, HyenaFilter) for m in f.modules()}
        linear = [
            name
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and module not in inside and not name.startswith(HEAD)
        ]
        if not linear:
            raise InputError(
                f"{type(model).__name__} has no linear layers for LoRA; use --adapt full or probe"
            )
        chosen = [name for name in linear if self.targets is None or name.endswith(self.targets)]
        if not chosen:
            ends = sorted({name.rsplit(".", 1)[-1] for name in linear})
            raise InputError(f"no linear layer is called {self.targets}; expected some of {', '.join(ends)}")
        return chosen

    def finish(self, model: PreTrainedModel) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer

        for name, module in list(model.named_modules()):
            if isinstance(module, BaseTunerLayer):
                module.merge()
                parent, _, child = name.rpartition(".")
                setattr(model.get_submodule(parent), child, module.get_base_layer())
        del model.peft_config


@dataclass(frozen=True)
class SoftPrompt(Adaptation):
    """Learnable embeddings before the sequence, and a linear head; the model is frozen.

    The prompt starts as the embeddings of random nucleotides.
    """

    name = "prompt"
    tokens: int = 16
    config: ClassVar[type[HyenaPromptConfig]] = HyenaPromptConfig
    model: ClassVar[type[PromptedClassifier]] = HyenaPromptForSequenceClassification

    @property
    def title(self) -> str:
        return f"soft prompt, {self.tokens} tokens"

    def check(self, config: Any, splits: Splits) -> None:
        require_hyena(config, self.name)

    def prepare(self, model: PreTrainedModel, splits: Splits, seed: int) -> PreTrainedModel:
        self.check(model.config, splits)
        prompted = transplant(model, self.config, self.model, prompt_tokens=self.tokens)
        freeze(prompted.hyena)
        with torch.no_grad():
            words = prompted.get_input_embeddings().weight
            nucleotides = torch.randint(7, 11, (self.tokens,))
            prompted.prompt.weight.copy_(words[nucleotides])
        return prompted


@dataclass(frozen=True)
class LabelPrompt(SoftPrompt):
    """A soft prompt and nothing else, as in the paper: the frozen model answers with a token for each class."""

    name = "label-prompt"
    config = HyenaLabelPromptConfig
    model = HyenaLabelPromptForSequenceClassification

    @property
    def title(self) -> str:
        return f"soft prompt, {self.tokens} tokens, no head"

    def check(self, config: Any, splits: Splits) -> None:
        require_hyena(config, self.name)
        require_label_tokens(config, splits.train, self.name)


@dataclass(frozen=True)
class InContext(Adaptation):
    """Brief tuning of the whole model to answer from labelled examples in its input, `shots` of each class.

    A quarter of the training sequences of each class, `pool` at most, is set aside to draw examples from; the rest
    are what it is asked about.
    """

    name = "in-context"
    shots: int = 2
    pool: int = 32

    @property
    def title(self) -> str:
        return f"in context, {self.shots} shots"

    def check(self, config: Any, splits: Splits) -> None:
        require_hyena(config, self.name)
        require_label_tokens(config, splits.train, self.name)
        self.examples(splits.train, seed=0)

    def prepare(self, model: PreTrainedModel, splits: Splits, seed: int) -> PreTrainedModel:
        self.check(model.config, splits)
        rows = self.examples(splits.train, seed)
        length = int(splits.train.sequences.lengths[rows.ravel()].max(initial=1))
        prompted = transplant(
            model,
            HyenaInContextConfig,
            HyenaInContextForSequenceClassification,
            shots=self.shots,
            pool_size=rows.shape[1],
            pool_length=length,
        )
        for label, row in np.ndindex(*rows.shape):
            letters = torch.from_numpy(splits.train.sequences[int(rows[label, row])].copy())
            prompted.examples[label, row, : len(letters)] = letters
        return prompted

    def queries(self, splits: Splits, seed: int) -> Splits:
        asked = np.ones(len(splits.train), bool)
        asked[self.examples(splits.train, seed).ravel()] = False
        return replace(splits, train=splits.train.select(asked))

    def examples(self, train: Labelled, seed: int) -> np.ndarray:
        """Rows of the training set that serve as examples, (classes, n)."""
        draw = np.random.default_rng(seed)
        rows = [draw.permutation(np.flatnonzero(train.labels == k)) for k in range(len(train.classes))]
        fewest = min(range(len(rows)), key=lambda k: len(rows[k]))
        if len(rows[fewest]) <= self.shots:
            raise InputError(
                f"class {train.classes[fewest]!r} has {len(rows[fewest])} training sequences, too few for"
                f" {self.shots} shots; ask for fewer"
            )
        size = max(self.shots, min(self.pool, len(rows[fewest]) // 4), 1)
        return np.stack([found[:size] for found in rows])


ADAPTATIONS: dict[str, type[Adaptation]] = {
    kind.name: kind for kind in (FullFineTuning, LinearProbe, Lora, SoftPrompt, LabelPrompt, InContext)
}


def parse_adaptation(text: str) -> Adaptation:
    """An adaptation from its name, with its first number after a colon.

    >>> parse_adaptation("lora:4")
    Lora(rank=4, alpha=None, targets=None)
    """
    name, colon, number = text.partition(":")
    kind = ADAPTATIONS.get(name)
    if kind is None:
        raise InputError(f"--adapt {text}: expected {', '.join(ADAPTATIONS)}")
    if not colon:
        return kind()
    if not fields(kind):
        raise InputError(f"--adapt {text}: {name} takes no number")
    least = 0 if kind is InContext else 1
    if not number.isdecimal() or int(number) < least:
        raise InputError(f"--adapt {text}: expected a whole number from {least}, such as {name}:8")
    return kind(**{fields(kind)[0].name: int(number)})


def freeze(module: nn.Module) -> None:
    """Weights stay as they are, and so do running statistics: `train()` no longer reaches the module."""
    module.requires_grad_(False).eval()
    module.train = lambda mode=True: module


def transplant(model: Any, config: type[HyenaConfig], kind: type[PromptedClassifier], **options: Any) -> Any:
    """A prompted model with the weights of a HyenaDNA classifier."""
    keys = {key: value for key, value in model.config.to_dict().items() if key != "model_type"}
    prompted: Any = kind(config.from_dict({**keys, **options}))
    prompted.hyena.load_state_dict(model.hyena.state_dict())
    if hasattr(prompted, HEAD):
        prompted.score.load_state_dict(model.score.state_dict())
    return prompted


def require_hyena(config: Any, name: str) -> None:
    """Raises InputError unless a model reads embeddings as HyenaDNA does."""
    if type(config) is not HyenaConfig:
        raise InputError(
            f"--adapt {name} puts tokens before a HyenaDNA's input, a model of type {config.model_type!r} takes none;"
            " use --adapt full, probe or lora"
        )


def require_label_tokens(config: Any, train: Labelled, name: str) -> None:
    """Raises InputError unless each class can be named by one token, with a head tied to the embeddings."""
    if problem(train) == "multi_label" or len(train.classes) > len(LABEL_TOKENS):
        raise InputError(
            f"--adapt {name} names each sequence's one class by a token, {len(LABEL_TOKENS)} classes at most,"
            f" this data has {len(train.classes)} ({problem(train)}); use --adapt prompt or probe"
        )
    if not getattr(config, "tie_word_embeddings", True):
        raise InputError(
            f"--adapt {name} answers through the embeddings, and this model's head is not tied to them;"
            " use --adapt prompt or probe"
        )


def trained_parameters(model: nn.Module) -> int:
    """Number of parameters that training moves."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
