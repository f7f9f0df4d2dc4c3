"""How a model is trained: one typed record."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """AdamW with linear warm-up and a cosine that ends at a tenth of the learning rate; early stopping on validation.

    `filter_learning_rate` is that of Hyena's filter networks, `curvature_learning_rate` that of learnable curvatures
    (None: the same). `patience` counts epochs without a better validation score.
    """

    learning_rate: float = 1e-3
    filter_learning_rate: float | None = None
    curvature_learning_rate: float | None = None
    weight_decay: float = 0.1
    batch_size: int = 32
    epochs: int = 20
    warmup: float = 0.05
    patience: int = 8
    clip: float = 1.0
