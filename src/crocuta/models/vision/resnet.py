"""Residual networks of images on the hyperboloid (Bdeir et al. 2024, arXiv 2303.15919, section 4.4)."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForImageClassification, PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutputWithPoolingAndNoAttention,
    ImageClassifierOutputWithNoAttention,
)

from crocuta.manifolds import Lorentz
from crocuta.models.base import ModelConfig, classification_loss, register
from crocuta.models.vision.processor import register_processor
from crocuta.nn.lorentz.head import LorentzMLR
from crocuta.nn.lorentz.pool import LorentzAvgPool2d, LorentzGlobalPool
from crocuta.nn.lorentz.resnet import LorentzBasicBlock, LorentzBottleneckBlock, LorentzInputBlock
from crocuta.nn.shared import save_curvatures_once

BLOCKS = {"basic": LorentzBasicBlock, "bottleneck": LorentzBottleneckBlock}
DEPTHS = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


class LorentzResNetConfig(ModelConfig):
    """Sizes of a Lorentz ResNet; channels count intrinsic dimensions. By default ResNet-18 for small images.

    Args:
        block: "basic" (two convolutions) or "bottleneck" (three, the last to four times the channels).
        depths, channels: blocks of each stage, and channels inside them; each stage but the first halves the image.
        stem_kernel, stem_stride: of the convolution that reads the pixels; 3 and 1 suit images of up to 64 pixels,
            7 and 2, with `stem_pool`, larger ones.
        stem_pool: halve the image once more after the stem, by centroids of 2 x 2 pixels.
        c: curvature, that of the whole network.
        learnable: training moves it, within a factor of ten.
    """

    model_type = "crocuta_lorentz_resnet"

    num_channels: int = 3
    block: str = "basic"
    depths: list[int] = field(default_factory=lambda: [2, 2, 2, 2])
    channels: list[int] = field(default_factory=lambda: [64, 128, 256, 512])
    stem_kernel: int = 3
    stem_stride: int = 1
    stem_pool: bool = False
    c: float = 1.0
    learnable: bool = False

    def __post_init__(self, **kwargs):
        if self.block not in BLOCKS:
            raise ValueError(f"block must be one of {', '.join(BLOCKS)}, got {self.block!r}")
        if len(self.depths) != len(self.channels) or not self.depths:
            raise ValueError(
                f"depths and channels must have one number for each stage, got {self.depths} and {self.channels}"
            )
        super().__post_init__(**kwargs)

    @classmethod
    def of_depth(cls, layers: int, **options: Any) -> LorentzResNetConfig:
        """ResNet-18, 34, 50, 101 or 152.

        Raises:
            ValueError: another number of layers.

        >>> LorentzResNetConfig.of_depth(50, num_labels=100).depths
        [3, 4, 6, 3]
        """
        if layers not in DEPTHS:
            raise ValueError(f"layers must be one of {', '.join(map(str, DEPTHS))}, got {layers}")
        block, depths = DEPTHS[layers]
        return cls(block=block, depths=list(depths), **options)


class LorentzResNetPreTrainedModel(PreTrainedModel):
    """What Lorentz ResNets share: configuration, initialisation, loading."""

    config: LorentzResNetConfig
    config_class = LorentzResNetConfig
    base_model_prefix = "resnet"
    main_input_name = "pixel_values"
    input_modalities = "image"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Layers keep their own initialisation."""
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]


class LorentzResNetModel(LorentzResNetPreTrainedModel):
    """Images to an image of points and their centroid.

    >>> model = LorentzResNetModel(LorentzResNetConfig(depths=[1, 1], channels=[4, 8]))
    >>> model(torch.randn(2, 3, 8, 8)).last_hidden_state.shape
    torch.Size([2, 4, 4, 9])
    """

    def __init__(self, config: LorentzResNetConfig):
        super().__init__(config)
        self.manifold = m = Lorentz(config.c, config.learnable)
        width = config.channels[0]
        self.stem = LorentzInputBlock(m, config.num_channels, width, config.stem_kernel, config.stem_stride)
        self.stem_pool = LorentzAvgPool2d(m, 2) if config.stem_pool else nn.Identity()
        block, stages = BLOCKS[config.block], []
        for i, (depth, channels) in enumerate(zip(config.depths, config.channels, strict=True)):
            stage = []
            for j in range(depth):
                stage.append(block(m, width, channels, stride=2 if i > 0 and j == 0 else 1))
                width = stage[-1].out_channels
            stages.append(nn.Sequential(*stage))
        self.stages = nn.ModuleList(stages)
        self.out_features = width
        self.pool = LorentzGlobalPool(m)
        save_curvatures_once(self)
        self.post_init()

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool | None = None, **kwargs
    ) -> BaseModelOutputWithPoolingAndNoAttention:
        """Points (B, H', W', n + 1), their centroid (B, n + 1), and each stage's points, of images (B, C, H, W).

        Raises:
            ValueError: the images have another number of channels.
        """
        if pixel_values.shape[1] != self.config.num_channels:
            raise ValueError(
                f"pixel_values must have {self.config.num_channels} channels, got {pixel_values.shape[1]}"
            )
        x = self.stem_pool(self.stem(self.manifold.lift(pixel_values.movedim(1, -1))))
        states = [x]
        for stage in self.stages:
            x = stage(x)
            states.append(x)
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=x,
            pooler_output=self.pool(x),
            hidden_states=tuple(states) if wanted else None,
        )


class LorentzResNetForImageClassification(LorentzResNetPreTrainedModel):
    """A Lorentz ResNet with a signed distance of the centroid to one hyperplane per class.

    >>> config = LorentzResNetConfig(depths=[1, 1], channels=[4, 8], num_labels=5)
    >>> LorentzResNetForImageClassification(config)(torch.randn(2, 3, 8, 8)).logits.shape
    torch.Size([2, 5])
    """

    def __init__(self, config: LorentzResNetConfig):
        super().__init__(config)
        self.resnet = LorentzResNetModel(config)
        self.classifier = LorentzMLR(self.resnet.manifold, self.resnet.out_features, config.num_classes)
        save_curvatures_once(self)
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> ImageClassifierOutputWithNoAttention:
        """Class logits (B, num_labels) of images (B, C, H, W)."""
        outputs = self.resnet(pixel_values, output_hidden_states=output_hidden_states)
        logits = self.classifier(outputs.pooler_output)
        return ImageClassifierOutputWithNoAttention(
            loss=classification_loss(logits, labels, self.config.problem_type),
            logits=logits,
            hidden_states=outputs.hidden_states,
        )


register(
    LorentzResNetConfig,
    {AutoModel: LorentzResNetModel, AutoModelForImageClassification: LorentzResNetForImageClassification},
)
register_processor(LorentzResNetConfig)
