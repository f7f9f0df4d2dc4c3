"""LViT, a vision transformer on the hyperboloid (He et al. 2025, arXiv 2504.08912, section 5)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForImageClassification, PreTrainedModel, initialization
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling, ImageClassifierOutput

from crocuta.manifolds import Lorentz, Remap
from crocuta.models.base import ModelConfig, classification_loss, register
from crocuta.models.vision.processor import register_processor
from crocuta.nn.lorentz.head import LorentzMLR
from crocuta.nn.lorentz.norm import LorentzLayerNorm
from crocuta.nn.lorentz.pointwise import LorentzDropout, LorentzScaledResidual, LorentzSpaceAddition
from crocuta.nn.lorentz.pool import LorentzGlobalPool
from crocuta.nn.lorentz.transformer import LorentzFeedForward, LorentzTransformerBlock
from crocuta.nn.patch import LorentzPatchEmbedding
from crocuta.nn.position import LorentzLearnedPosition
from crocuta.nn.shared import save_curvatures_once

POOLS = ("centroid", "token")
RESIDUALS = ("midpoint", "addition")


class LViTConfig(ModelConfig):
    """Sizes of LViT, named as in transformers' `ViTConfig`; channels and widths count intrinsic dimensions.

    Args:
        head_dim: intrinsic dimensions of a head; by default `hidden_size // num_attention_heads`.
        pool: "centroid" of the patches, or "token": a learned point in front of them, as in ViT.
        dropout: share of attention weights, and of space coordinates of the embedded patches and of each branch's
            result, dropped in training.
        c: curvature, or a list of them, one per layer; points go from one to the next at equal distance from the
            origin. Patches live on the first layer's hyperboloid, the head on the last's.
        per_layer: every layer has a curvature of its own; otherwise all share one.
        learnable: training moves curvatures, within a factor of ten.
        residual: "midpoint" of point and branch, times a learned scale (He et al. 2024, arXiv 2412.14695;
            HyperCore's), or "addition" of space parts (Bdeir et al. 2024, arXiv 2303.15919).
        residual_scale: initial scale of midpoints. A midpoint of far points lies nearer to the origin than they do:
            at small scales a block's branch outweighs all blocks before it.
        position_std: of the initial positions' coordinates; small ones are slow to learn from.
    """

    model_type = "crocuta_lvit"

    image_size: int = 224
    patch_size: int = 16
    num_channels: int = 3
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    head_dim: int | None = None
    intermediate_size: int = 3072
    pool: str = "centroid"
    dropout: float = 0.0
    c: float | list[float] = 1.0
    per_layer: bool = False
    learnable: bool = False
    residual: str = "midpoint"
    residual_scale: float = 27.5
    position_std: float = 1.0
    layer_norm_eps: float = 1e-5

    def __post_init__(self, **kwargs):
        for name, known in (("pool", POOLS), ("residual", RESIDUALS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.image_size % self.patch_size:
            raise ValueError(
                f"image_size must be a multiple of patch_size = {self.patch_size}, got {self.image_size}"
            )
        if isinstance(self.c, list) and len(self.c) != self.num_hidden_layers:
            raise ValueError(
                f"c must be one number or one per layer ({self.num_hidden_layers}), got {len(self.c)}"
            )
        super().__post_init__(**kwargs)

    @property
    def num_patches(self) -> int:
        """Patches of an image."""
        return (self.image_size // self.patch_size) ** 2

    def manifolds(self) -> list[Lorentz]:
        """The hyperboloid of each layer; one object where they share a curvature."""
        if isinstance(self.c, list):
            return [Lorentz(c, self.learnable) for c in self.c]
        if self.per_layer:
            return [Lorentz(self.c, self.learnable) for _ in range(self.num_hidden_layers)]
        return [Lorentz(self.c, self.learnable)] * self.num_hidden_layers


class LViTEmbeddings(nn.Module):
    """Pixels to points, patches to points, a class token if there is one, positions: (B, C, H, W) to (B, L, n + 1)."""

    def __init__(self, config: LViTConfig, manifold: Lorentz):
        super().__init__()
        width = config.hidden_size
        self.manifold, self.image_size = manifold, config.image_size
        self.patches = LorentzPatchEmbedding(manifold, config.num_channels, width, config.patch_size)
        self.token = nn.Parameter(torch.zeros(width)) if config.pool == "token" else None
        length = config.num_patches + (self.token is not None)
        self.position = LorentzLearnedPosition(manifold, length, width, config.position_std)
        self.dropout = LorentzDropout(manifold, config.dropout)

    def forward(self, pixel_values: Tensor) -> Tensor:
        if pixel_values.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(
                f"pixel_values must be {self.image_size} x {self.image_size} pixels, "
                f"got {' x '.join(map(str, pixel_values.shape[-2:]))}: resize them, or set image_size"
            )
        x = self.patches(self.manifold.lift(pixel_values.movedim(1, -1)))
        if self.token is not None:
            x = torch.cat([self.manifold.lift(self.token).expand(len(x), 1, -1), x], dim=1)
        return self.dropout(self.position(x))


class LViTLayer(GradientCheckpointingLayer, LorentzTransformerBlock):
    """Pre-norm block with layer norms and a GELU feed-forward."""

    def __init__(self, config: LViTConfig, manifold: Lorentz):
        midpoint = partial(LorentzScaledResidual, scale=config.residual_scale)
        super().__init__(
            manifold,
            config.hidden_size,
            config.num_attention_heads,
            dropout=config.dropout,
            head_dim=config.head_dim,
            feed_forward=LorentzFeedForward(manifold, config.hidden_size, config.intermediate_size),
            norm=partial(LorentzLayerNorm, eps=config.layer_norm_eps),
            residual=midpoint if config.residual == "midpoint" else LorentzSpaceAddition,
        )


class LViTPreTrainedModel(PreTrainedModel):
    """What LViT's models share: configuration, initialisation, loading."""

    config: LViTConfig
    config_class = LViTConfig
    base_model_prefix = "lvit"
    main_input_name = "pixel_values"
    input_modalities = "image"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules: ClassVar[list[str]] = ["LViTLayer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Layers keep their own initialisation; the class token starts at the origin."""
        if isinstance(module, LorentzLearnedPosition):
            initialization.normal_(module.weight, std=self.config.position_std)
        elif isinstance(module, LViTEmbeddings) and module.token is not None:
            initialization.zeros_(module.token)
        elif hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]


class LViTModel(LViTPreTrainedModel):
    """Images to a point for each patch and a pooled point, on the last layer's hyperboloid.

    >>> config = LViTConfig(
    ...     image_size=8,
    ...     patch_size=4,
    ...     hidden_size=16,
    ...     num_hidden_layers=1,
    ...     num_attention_heads=2,
    ...     intermediate_size=32,
    ... )
    >>> LViTModel(config)(torch.randn(2, 3, 8, 8)).last_hidden_state.shape
    torch.Size([2, 4, 17])
    """

    def __init__(self, config: LViTConfig):
        super().__init__(config)
        homes = config.manifolds()
        distinct = list({id(m): m for m in homes}.values())
        self.manifolds = nn.ModuleList(distinct)
        self.embeddings = LViTEmbeddings(config, homes[0])
        self.layers = nn.ModuleList(LViTLayer(config, m) for m in homes)
        self.maps = nn.ModuleList(
            nn.Identity() if m is after else Remap(m, after) for m, after in pairwise([*homes, homes[-1]])
        )
        self.norm = LorentzLayerNorm(homes[-1], config.hidden_size, eps=config.layer_norm_eps)
        self.pool = LorentzGlobalPool(homes[-1])
        save_curvatures_once(self)
        self.post_init()

    @property
    def manifold(self) -> Lorentz:
        """The hyperboloid of the outputs."""
        return self.norm.manifold

    def get_input_embeddings(self) -> nn.Module:
        """The layer that reads pixels."""
        return self.embeddings.patches

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool | None = None, **kwargs
    ) -> BaseModelOutputWithPooling:
        """Points (B, L, n + 1) and pooled points (B, n + 1) of images (B, C, H, W).

        Raises:
            ValueError: the images are not `image_size` wide and high.
        """
        x = self.embeddings(pixel_values)
        states = [x]
        for layer, onward in zip(self.layers, self.maps, strict=True):
            x = onward(layer(x))
            states.append(x)
        x = self.norm(x)
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return BaseModelOutputWithPooling(
            last_hidden_state=x,
            pooler_output=x[:, 0] if self.config.pool == "token" else self.pool(x),
            hidden_states=tuple(states) if wanted else None,
        )


class LViTForImageClassification(LViTPreTrainedModel):
    """LViT with a signed distance of the pooled point to one hyperplane per class.

    >>> config = LViTConfig(
    ...     image_size=8,
    ...     patch_size=4,
    ...     hidden_size=16,
    ...     num_hidden_layers=1,
    ...     num_attention_heads=2,
    ...     intermediate_size=32,
    ...     num_labels=3,
    ... )
    >>> LViTForImageClassification(config)(torch.randn(2, 3, 8, 8)).logits.shape
    torch.Size([2, 3])
    """

    def __init__(self, config: LViTConfig):
        super().__init__(config)
        self.lvit = LViTModel(config)
        self.classifier = LorentzMLR(self.lvit.manifold, config.hidden_size, config.num_classes)
        save_curvatures_once(self)
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> ImageClassifierOutput:
        """Class logits (B, num_labels) of images (B, C, H, W)."""
        outputs = self.lvit(pixel_values, output_hidden_states=output_hidden_states)
        logits = self.classifier(outputs.pooler_output)
        return ImageClassifierOutput(
            loss=classification_loss(logits, labels, self.config.problem_type),
            logits=logits,
            hidden_states=outputs.hidden_states,
        )


register(LViTConfig, {AutoModel: LViTModel, AutoModelForImageClassification: LViTForImageClassification})
register_processor(LViTConfig)
