"""Adaptations that train the weights that a model has, all or some: fine-tuning, probes, LoRA."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from torch import nn
from transformers import PreTrainedModel

from crocuta.data.labelled import Splits
from crocuta.errors import InputError
from crocuta.nn.hyena import HyenaFilter
from crocuta.optim.groups import NORMS

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
        conv: train depthwise convolutions and norms as well, whole: few weights, and all that Hyena's short filters,
            which see motifs, have.
    """

    name = "lora"
    method: ClassVar[str] = "LoRA"
    rank: int = 8
    alpha: float | None = None
    targets: tuple[str, ...] | None = None
    conv: bool = False

    @property
    def title(self) -> str:
        return f"{self.method}, rank {self.rank}" + (", convolutions and norms" if self.conv else "")

    @property
    def label(self) -> str:
        return super().label + ("-conv" if self.conv else "")

    def prepare(self, model: PreTrainedModel, splits: Splits, seed: int) -> PreTrainedModel:
        from peft import LoraConfig, inject_adapter_in_model

        alpha = 2 * self.rank if self.alpha is None else self.alpha
        config = LoraConfig(r=self.rank, lora_alpha=alpha, target_modules=self.layers(model))  # pyright: ignore[reportArgumentType]
        inject_adapter_in_model(config, model)
        self.choose(model, "lora_")
        return model

    def choose(self, model: PreTrainedModel, update: str) -> None:
        """Trains the updates, known by a part of their names, the head, and what `conv` adds."""
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(update in name or name.startswith(f"{HEAD}."))
        if self.conv:
            for module in model.modules():
                if isinstance(module, NORMS) or is_depthwise(module):
                    module.requires_grad_(True)

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
                f"{type(model).__name__} has no linear layers for LoRA; use `adapt` full or probe"
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
class HypLora(Lora):
    """HypLoRA, hybrid: low-rank updates by way of the hyperboloid (`crocuta.nn.TangentLowRank`), and a new head.

    No weight equals such an update, so it is saved as a part of the model; its configuration tells of it.

    Args:
        rank: of each update.
        alpha: default twice the rank.
        targets: as in `Lora`.
        c: the hyperboloid's sectional curvature is -c.
    """

    name = "hyplora"
    method = "HypLoRA"
    form: ClassVar[str] = "hybrid"
    c: float = 1.0

    def check(self, config: Any, splits: Splits) -> None:
        if getattr(config, "hyplora", None) is not None:
            raise InputError(
                f"`adapt` {self.name}: the model has HypLoRA's updates already; adapt the one that it was made from,"
                " or use `adapt` full to train its weights further"
            )

    def prepare(self, model: PreTrainedModel, splits: Splits, seed: int) -> PreTrainedModel:
        from crocuta.models.hyplora import build_in

        self.check(model.config, splits)
        prefix = f"{model.base_model_prefix}."  # the backbone alone knows its layers by the rest
        options = {
            "r": self.rank,
            "hyplora_alpha": 2 * self.rank if self.alpha is None else self.alpha,
            "form": self.form,
            "c": self.c,
            "target_modules": [name.removeprefix(prefix) for name in self.layers(model)],
        }
        build_in(model, options)
        self.choose(model, "hyplora_map")
        return model

    def finish(self, model: PreTrainedModel) -> None:
        """The updates stay: the model's configuration names them."""


@dataclass(frozen=True)
class HypLoraFull(HypLora):
    """HypLoRA, fully hyperbolic (`crocuta.nn.LorentzLowRank`): no exponential map, no logarithm."""

    name = "hyplora-full"
    method = "HypLoRA, fully hyperbolic"
    form = "full"


def is_depthwise(module: nn.Module) -> bool:
    """Whether it is a convolution of each channel by itself."""
    return isinstance(module, nn.Conv1d) and module.groups == module.in_channels > 1


def freeze(module: nn.Module) -> None:
    """Weights stay as they are, and so do running statistics: `train()` no longer reaches the module."""
    module.requires_grad_(False).eval()
    module.train = lambda mode=True: module


def trained_parameters(model: nn.Module) -> int:
    """Number of parameters that training moves."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
