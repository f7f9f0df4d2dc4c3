"""HypLoRA as a tuner of `peft`: low-rank updates of linear layers by way of the hyperboloid.

(Yang et al. 2024, arXiv 2410.04010.) Importing this module makes `peft` know the method: `get_peft_model`,
`PeftModel.from_pretrained`, `modules_to_save`, several adapters and `disable_adapter` work as they do for LoRA, on any
model whose layers are linear. Merging does not exist: the update is not linear in its input.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from peft import PeftConfig, inject_adapter_in_model, mapping
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.linear import LorentzLinear
from crocuta.nn.low_rank import LorentzLowRank, TangentLowRank

FORMS = {"hybrid": TangentLowRank, "full": LorentzLowRank}
HYENA_LAYERS = ["in_proj", "out_proj", "fc1", "fc2"]


class HypLoraType(enum.StrEnum):
    """The method's name among those of `peft.PeftType`, an enumeration that others cannot extend."""

    HYPLORA = "HYPLORA"


@dataclass
class HypLoraConfig(PeftConfig):
    """What HypLoRA adds to a model; the keys that LoRA has too mean what they mean there.

    Args:
        r: rank of each update.
        hyplora_alpha: each update is multiplied by `hyplora_alpha / r`.
        hyplora_dropout: share of an update's inputs that are dropped in training.
        form: "hybrid" (`crocuta.nn.TangentLowRank`) or "full" (`crocuta.nn.LorentzLowRank`).
        c: curvature -c of the hyperboloid of each update.
        learnable_curvature: each update learns its own, starting at c.
        target_modules: layers to update: ends of names, a regular expression, or "all-linear".
        exclude_modules: layers to leave out, likewise.
        modules_to_save: modules that are trained whole and saved with the adapter, such as a new head.
        layers_to_transform, layers_pattern: restrict the targets to some blocks.

    Raises:
        ValueError: no such form, or a number that is not positive.
    """

    r: int = 8
    hyplora_alpha: float = 16.0
    hyplora_dropout: float = 0.0
    form: str = "hybrid"
    c: float = 1.0
    learnable_curvature: bool = False
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None

    def __post_init__(self):
        super().__post_init__()
        self.peft_type = HypLoraType.HYPLORA  # type: ignore[assignment]
        if self.form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}, got {self.form!r}")
        for name in ("r", "hyplora_alpha", "c"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)  # type: ignore[assignment]
        if isinstance(self.exclude_modules, list):
            self.exclude_modules = set(self.exclude_modules)  # type: ignore[assignment]


class HypLoraLayer(nn.Module, BaseTunerLayer):
    """A linear layer and its updates: `base_layer(x) + alpha / r map(x)` for each active adapter."""

    adapter_layer_names = ("hyplora_map",)
    other_param_names = ("hyplora_dropout", "scaling")

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: HypLoraConfig):
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = sizes(self.get_base_layer())
        self.hyplora_map, self.hyplora_dropout = nn.ModuleDict(), nn.ModuleDict()
        self.scaling: dict[str, float] = {}
        self.merged_adapters: list[str] = []
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: HypLoraConfig) -> None:
        """Add an adapter, or draw it anew."""
        manifold = Lorentz(config.c, config.learnable_curvature)
        self.hyplora_map[adapter_name] = FORMS[config.form](
            manifold, self.in_features, self.out_features, config.r
        )
        self.hyplora_dropout[adapter_name] = nn.Dropout(config.hyplora_dropout)
        self.scaling[adapter_name] = config.hyplora_alpha / config.r
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Whatever `base_layer` maps to whatever it gives."""
        result = self.base_layer(x, *args, **kwargs)
        active = [name for name in self.active_adapters if name in self.hyplora_map]
        if self.disable_adapters or not active:
            return result
        return self.add(result, sum(self.update(x, name) for name in active))  # type: ignore[arg-type]

    def update(self, x: Tensor, adapter_name: str) -> Tensor:
        """What one adapter adds."""
        low_rank = self.hyplora_map[adapter_name]
        x = self._cast_input_dtype(self.hyplora_dropout[adapter_name](x), low_rank.down.dtype)  # type: ignore[arg-type]
        return self.scaling[adapter_name] * low_rank(x)

    def add(self, result: Tensor, update: Tensor) -> Tensor:
        """The sum, in the dtype of the base layer's result."""
        return result + update.to(result.dtype)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Raises ValueError: no weight equals the update."""
        raise ValueError(NOT_LINEAR)

    def unmerge(self) -> None:
        """Nothing is ever merged."""


class HypLoraLorentzLayer(HypLoraLayer):
    """The same for `LorentzLinear`: space parts in, the sum of space parts lifted again."""

    def update(self, x: Tensor, adapter_name: str) -> Tensor:
        return super().update(x[..., 1:], adapter_name)

    def add(self, result: Tensor, update: Tensor) -> Tensor:
        return self.get_base_layer().manifold_out.lift(result[..., 1:] + update)  # type: ignore[union-attr, operator]


NOT_LINEAR = (
    "HypLoRA cannot be merged: its update is not linear in its input, so no weight equals it. Keep the adapter next to"
    " the model (save_pretrained saves it, PeftModel.from_pretrained loads it), take it off with unload(), or train"
    " peft's LoRA, which merges"
)


def sizes(layer: nn.Module) -> tuple[int, int]:
    """Sizes of a linear layer's vectors, those of LorentzLinear without time.

    Raises:
        ValueError: it is none that HypLoRA updates.
    """
    if isinstance(layer, Conv1D):
        features = layer.weight.shape
        return int(features[0]), int(features[1])
    if isinstance(layer, (nn.Linear, LorentzLinear)):
        return layer.in_features, layer.out_features
    raise ValueError(
        f"HypLoRA updates nn.Linear, transformers' Conv1D and crocuta.nn.LorentzLinear, not {type(layer).__name__};"
        " name other layers in target_modules"
    )


class HypLoraModel(BaseTuner):
    """Puts HypLoRA's layers into a model; made by `peft.get_peft_model(model, HypLoraConfig(...))`.

    >>> from peft import get_peft_model
    >>> model = nn.Sequential(nn.Linear(8, 4))
    >>> get_peft_model(model, HypLoraConfig(r=2, target_modules=["0"]))(torch.ones(1, 8)).shape
    torch.Size([1, 4])
    """

    prefix = "hyplora_"
    tuner_layer_cls = HypLoraLayer
    target_module_mapping = {  # noqa: RUF012 (peft's attribute)
        **TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING,
        "hyenadna": HYENA_LAYERS,
    }

    def _create_and_replace(
        self,
        peft_config: HypLoraConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, HypLoraLayer):
            target.update_layer(adapter_name, peft_config)
            return
        kind = HypLoraLorentzLayer if isinstance(target, LorentzLinear) else HypLoraLayer
        layer = kind(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        """The key in a file; peft's own rule looks one module deep, and a learned curvature lies two deep."""
        layer, found, rest = key.rpartition(f".hyplora_map.{adapter_name}.")
        if not found:
            return super()._remove_adapter_name_from_key(key, adapter_name)
        return f"{layer}.hyplora_map.{rest}"

    def _check_merge_allowed(self) -> None:
        raise ValueError(NOT_LINEAR)


def register_method() -> None:
    """What `peft.utils.register_peft_method` does for the names in `peft.PeftType`."""
    name: Any = HypLoraType.HYPLORA
    mapping.PEFT_TYPE_TO_PREFIX_MAPPING[name] = HypLoraModel.prefix
    mapping.PEFT_TYPE_TO_CONFIG_MAPPING[name] = HypLoraConfig
    mapping.PEFT_TYPE_TO_TUNER_MAPPING[name] = HypLoraModel


def build_in(model: Any, options: dict[str, Any]) -> None:
    """Makes HypLoRA part of a HyenaDNA or of any sequence classifier of crocuta: saved with it, loaded with it.

    `options` are arguments of `HypLoraConfig`; they stand in the model's configuration, as `hyplora`. Every weight
    keeps its `requires_grad`.
    """
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    inject_adapter_in_model(HypLoraConfig(**options), model)
    model.requires_grad_(True)
    for parameter in frozen:
        parameter.requires_grad_(False)
    del model.peft_config
    model.config.hyplora = options


def is_built_in(model: nn.Module) -> bool:
    """Whether a model has HypLoRA's layers already."""
    return any(isinstance(module, HypLoraLayer) for module in model.modules())


register_method()
