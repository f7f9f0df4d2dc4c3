"""L-CLIP: images or sequences, and words about them, as points of one hyperboloid.

(Desai et al. 2023, MERU, arXiv 2304.09172; HyperCore's L-CLIP, arXiv 2504.08912.) Each encoder's pooled output is
projected, scaled by a learned number and lifted by the exponential map at the origin; partners are drawn together by
distance, and each text's cone should hold what it describes. Shapes: B rows, n = `projection_dim`.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, initialization
from transformers.modeling_outputs import ModelOutput

from crocuta.manifolds import Euclidean, Lorentz, Manifold
from crocuta.models.base import ModelConfig, register
from crocuta.nn.hyperbolic_loss import (
    ContrastiveLoss,
    CosineContrastiveLoss,
    EntailmentConeLoss,
    HyperbolicContrastiveLoss,
)
from crocuta.nn.lorentz.pool import LorentzGlobalPool
from crocuta.nn.pool import MeanPool
from crocuta.nn.shared import save_curvatures_once


class LClipConfig(ModelConfig):
    """Two encoders and the space that they meet in.

    Args:
        content_config: of the image or sequence encoder; any model that `AutoModel` knows.
        text_config: of the text encoder.
        projection_dim: intrinsic dimensions of the space.
        c: initial curvature; learned within a factor of ten (MERU: 1, between 0.1 and 10).
        learnable: whether it is learned.
        temperature: initial; learned, at least 0.01.
        entailment_weight: of the entailment loss beside the contrastive one.
        minimum_radius: of the entailment cones, see `Lorentz.half_aperture`.
    """

    model_type = "crocuta_lclip"

    content_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    projection_dim: int = 64
    c: float = 1.0
    learnable: bool = True
    temperature: float = 0.07
    entailment_weight: float = 0.2
    minimum_radius: float = 0.1

    def __post_init__(self, **kwargs):
        for name in ("content_config", "text_config"):
            given = getattr(self, name)
            if isinstance(given, dict):
                setattr(self, name, AutoConfig.for_model(**given))
        super().__post_init__(**kwargs)


class ClipConfig(LClipConfig):
    """CLIP, the flat twin (Radford et al. 2021, arXiv 2103.00020): cosines, and neither curvature nor cones."""

    model_type = "crocuta_flat_clip"


@dataclass
class LClipOutput(ModelOutput):
    """Loss (with its two parts) and points (B, n + 1) of both sides."""

    loss: Tensor | None = None
    contrastive_loss: Tensor | None = None
    entailment_loss: Tensor | None = None
    content: Tensor | None = None
    text: Tensor | None = None


class Retrieved(NamedTuple):
    """For each query the nearest items, best first: indices and similarities, both (queries, k)."""

    indices: Tensor
    similarities: Tensor


class Projection(nn.Module):
    """An encoder's output to points: pooled, normed, mapped to n dimensions, times a learned scale, `expmap0`.

    Outputs that are points are pooled by their centroid and enter as tangents at the origin. The encoder's width is its
    `out_features`, or its configuration's `hidden_size`.
    """

    def __init__(self, manifold: Manifold, encoder: nn.Module, features: int):
        super().__init__()
        home = getattr(encoder, "manifold", None)
        self.manifold, self.home = manifold, home if isinstance(home, Lorentz) else None
        self.pool = MeanPool() if self.home is None else LorentzGlobalPool(self.home)
        width: Any = getattr(encoder, "out_features", None) or getattr(encoder.config, "hidden_size", None)
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, features, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(-0.5 * math.log(features)))  # MERU, sec. 3.1

    def forward(self, output: Any, mask: Tensor | None) -> Tensor:
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            pooled = self.pool(output.last_hidden_state, mask)
        if self.home is not None:
            pooled = self.home.logmap0(pooled)
        # MERU holds the scale at 1 or less; normed features land at about radius 1 at first
        return self.manifold.expmap0(self.linear(self.norm(pooled)) * self.log_scale.clamp(max=0.0).exp())


class LClipModel(PreTrainedModel):
    """A dual encoder whose two sides meet on one hyperboloid.

    >>> from crocuta.models.lorentz_language import LorentzTransformerConfig
    >>> tower = LorentzTransformerConfig(d_model=16, n_layer=1)
    >>> model = LClipModel(LClipConfig(content_config=tower, text_config=tower, projection_dim=8))
    >>> nucleotides, words = torch.randint(7, 11, (3, 30)), torch.randint(0, 12, (3, 5))
    >>> model(input_ids=nucleotides, text_ids=words).loss.shape
    torch.Size([])
    """

    config_class = LClipConfig
    base_model_prefix = ""
    supports_gradient_checkpointing = True
    manifold: Manifold

    def __init__(self, config: LClipConfig):
        super().__init__(config)
        self.manifold = self._space(config)
        self.content_encoder = AutoModel.from_config(config.content_config)
        self.text_encoder = AutoModel.from_config(config.text_config)
        self.content_projection = Projection(self.manifold, self.content_encoder, config.projection_dim)
        self.text_projection = Projection(self.manifold, self.text_encoder, config.projection_dim)
        self.contrast, self.entailment = self._losses(config)
        save_curvatures_once(self)
        self.post_init()

    def _space(self, config: LClipConfig) -> Manifold:
        return Lorentz(config.c, config.learnable)

    def _losses(self, config: LClipConfig) -> tuple[ContrastiveLoss, EntailmentConeLoss | None]:
        return (
            HyperbolicContrastiveLoss(self.manifold, config.temperature),
            EntailmentConeLoss(self.manifold, config.minimum_radius),  # pyright: ignore[reportArgumentType]
        )

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """The encoders drew theirs; the projections keep lengths."""
        if isinstance(module, Projection):
            initialization.normal_(module.linear.weight, std=module.linear.in_features**-0.5)

    def encode_content(self, mask: Tensor | None = None, **inputs: Any) -> Tensor:
        """Points (B, n + 1) of what the content encoder reads; `mask` (B, L) for its pooling."""
        return self.content_projection(self.content_encoder(**inputs), mask)

    def encode_image(self, pixel_values: Tensor) -> Tensor:
        """Points (B, n + 1) of images (B, C, H, W)."""
        return self.encode_content(pixel_values=pixel_values)

    def encode_sequence(self, input_ids: Tensor, attention_mask: Tensor | None = None, **inputs) -> Tensor:
        """Points (B, n + 1) of token ids (B, L); mask 1 = token."""
        return self.encode_content(
            attention_mask, input_ids=input_ids, attention_mask=attention_mask, **inputs
        )

    def encode_text(self, text_ids: Tensor, text_mask: Tensor | None = None) -> Tensor:
        """Points (B, n + 1) of word ids (B, L); mask 1 = word."""
        output = self.text_encoder(input_ids=text_ids, attention_mask=text_mask)
        return self.text_projection(output, text_mask)

    def forward(
        self,
        text_ids: Tensor,
        text_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        group: Tensor | None = None,
        **inputs: Any,
    ) -> LClipOutput:
        """Losses of a batch whose rows are pairs of a text and an image or a sequence.

        Args:
            text_ids, text_mask: words (B, L), 1 = word.
            pixel_values: images (B, C, H, W); or
            input_ids, attention_mask: token ids of sequences (B, L), 1 = token.
            group: (B,) integers, equal where rows have the same caption: they are then partners of each other.

        Raises:
            ValueError: both or none of `pixel_values` and `input_ids`.
        """
        if (pixel_values is None) == (input_ids is None):
            raise ValueError("give either pixel_values or input_ids")
        if pixel_values is not None:
            content = self.encode_image(pixel_values)
        else:
            content = self.encode_sequence(input_ids, attention_mask, **inputs)  # pyright: ignore[reportArgumentType]
        text = self.encode_text(text_ids, text_mask)
        contrastive = self.contrast(content, text, group)
        entailment = contrastive.new_zeros(()) if self.entailment is None else self.entailment(text, content)
        loss = contrastive + self.config.entailment_weight * entailment
        return LClipOutput(loss, contrastive, entailment, content, text)  # pyright: ignore[reportArgumentType]

    def similarity(self, x: Tensor, y: Tensor) -> Tensor:
        """`-d(x_i, y_j) / temperature` of points (`cos / temperature` in the flat twin), (rows of x, rows of y)."""
        return self.contrast.logits(x, y)

    def classify(self, content: Tensor, prompts: Tensor) -> Tensor:
        """Zero-shot probabilities (B, classes) from points of content and prompts (classes, prompts each, n + 1).

        A class is the centroid of its prompts' points.
        """
        return self.similarity(content, self.manifold.centroid(prompts)).softmax(-1)

    def retrieve(
        self, queries: Tensor, items: Tensor, k: int = 10, rivals: Tensor | None = None
    ) -> Retrieved:
        """The k items nearest to each query; all are points.

        With `rivals` (m, n + 1), what else could be asked for, an item near to many of them counts less: similarities
        are then log-odds of a query against the rivals, given the item (Bogolin et al. 2022, arXiv 2112.12777, eq. 3).
        """
        found = self.similarity(queries, items)
        if rivals is not None:
            found = found - self.similarity(rivals, items).logsumexp(0)
        found = found.topk(min(k, len(items)), dim=1)
        return Retrieved(found.indices, found.values)


class ClipModel(LClipModel):
    """CLIP: `LClipModel` in flat space, by cosines."""

    config_class = ClipConfig

    def _space(self, config: LClipConfig) -> Manifold:
        return Euclidean()

    def _losses(self, config: LClipConfig) -> tuple[ContrastiveLoss, None]:
        return CosineContrastiveLoss(config.temperature), None


register(LClipConfig, {AutoModel: LClipModel})
register(ClipConfig, {AutoModel: ClipModel})
