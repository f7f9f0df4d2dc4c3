"""Named models, and the recipe that suits each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from crocuta.models.base import ModelConfig
from crocuta.models.baselines import KmerConfig, LengthConfig, MajorityConfig
from crocuta.models.boosted import BoostedConfig
from crocuta.models.cnn import CNNConfig
from crocuta.models.hcnn import HCNNConfig
from crocuta.models.hyena import RELEASED, HyenaConfig
from crocuta.models.hyena.kmer import KmerHyenaConfig
from crocuta.models.hyena.reverse_complement import RCHyenaConfig
from crocuta.models.transformer import TransformerConfig
from crocuta.runs.recipe import Recipe

# Chosen on the validation sets of GUE prom_core_tata and mouse/0. The original's initial weights of 0.02, meant for
# long pretraining, start a product of three gates near zero: 0.08 reaches the same loss in half the epochs.
SCRATCH_INITIALIZER = 0.08
HYENA_RECIPE = Recipe(learning_rate=1e-3, batch_size=32, epochs=20)
CNN_RECIPE = Recipe(learning_rate=1e-3, batch_size=32, epochs=20)
HCNN_RECIPE = Recipe(learning_rate=1e-3, curvature_learning_rate=1e-2, batch_size=32, epochs=20)
TRANSFORMER_RECIPE = Recipe(learning_rate=5e-4, batch_size=32, epochs=20)
FINETUNE_RECIPE = Recipe(learning_rate=6e-4, batch_size=32, epochs=20)
# Few parameters bear, and need, larger steps (chosen on the validation set of GUE prom_core_tata, 2,000 training
# sequences). In-context tuning is brief by definition.
ADAPTATION_RECIPES = {
    "full": FINETUNE_RECIPE,
    "probe": replace(FINETUNE_RECIPE, learning_rate=2e-2),
    "lora": replace(FINETUNE_RECIPE, learning_rate=4e-3),
    "hyplora": replace(FINETUNE_RECIPE, learning_rate=4e-3),
    "hyplora-full": replace(FINETUNE_RECIPE, learning_rate=4e-3),
    "prompt": replace(FINETUNE_RECIPE, learning_rate=2e-2),
    "label-prompt": replace(FINETUNE_RECIPE, learning_rate=3e-2),
    "in-context": replace(FINETUNE_RECIPE, epochs=4),
}


@dataclass(frozen=True)
class Preset:
    """A model by name: `build(longest)` gives its configuration for sequences of up to `longest` nucleotides."""

    name: str
    title: str
    build: Callable[[int], ModelConfig]
    recipe: Recipe | None = None


def hyenadna(size: str, **options: Any) -> Preset:
    """A HyenaDNA of a released size, new weights; its filters span the longest sequence of the data."""

    def build(longest: int) -> HyenaConfig:
        own = {"max_seq_len": longest + 2, "initializer_range": SCRATCH_INITIALIZER}
        return HyenaConfig(**RELEASED[size] | own | options)

    return Preset(f"hyenadna-{size}", f"HyenaDNA-{size}", build, HYENA_RECIPE)


def kmer_hyenadna(longest: int, k: int = 6) -> KmerHyenaConfig:
    """HyenaDNA-tiny over k-mers side by side: the tokenizer ablation."""
    kmers = -(-longest // k)
    return KmerHyenaConfig(
        **RELEASED["tiny-1k"] | {"max_seq_len": kmers + 2, "initializer_range": SCRATCH_INITIALIZER, "k": k}
    )


def hcnn(kind: str, title: str) -> Preset:
    """The original's HCNN-S or HCNN-M (with the CNN's dropout), or X: pooled by maximum, any length."""
    options: dict[str, Any] = {
        "s": {"curvatures": "single", "pool": None, "dropout": 0.5},
        "m": {"curvatures": "multiple", "pool": None, "dropout": 0.5},
        "x": {"curvatures": "multiple", "pool": "max", "dropout": 0.2},
    }[kind]
    return Preset(
        f"hcnn-{kind}", title, lambda longest: HCNNConfig(max_length=longest, **options), HCNN_RECIPE
    )


KMER = Preset("kmer-lr", "k-mer logistic regression", lambda longest: KmerConfig())
LENGTH = Preset("length", "length only", lambda longest: LengthConfig())
BOOSTED = Preset("kmer-trees", "k-mer boosted trees", lambda longest: BoostedConfig())
MAJORITY = Preset("majority", "majority class", lambda longest: MajorityConfig())
BASELINES = (KMER, LENGTH)
PRESETS = {
    preset.name: preset
    for preset in (
        replace(hyenadna("tiny-1k"), name="hyenadna-tiny", title="HyenaDNA-tiny"),
        *(hyenadna(size) for size in RELEASED),
        Preset(
            "hyenadna-rc",
            "HyenaDNA, both strands",
            lambda longest: RCHyenaConfig(max_seq_len=longest, initializer_range=SCRATCH_INITIALIZER),
            HYENA_RECIPE,
        ),
        replace(
            hyenadna("tiny-1k", bidirectional=True),
            name="hyenadna-tiny-bidirectional",
            title="HyenaDNA-tiny, bidirectional",
        ),
        Preset("hyenadna-tiny-kmer", "HyenaDNA-tiny, 6-mers", kmer_hyenadna, HYENA_RECIPE),
        Preset("cnn", "CNN", lambda longest: CNNConfig(max_length=longest, dropout=0.5), CNN_RECIPE),
        Preset(
            "cnn-max",
            "CNN, max-pooled",
            lambda longest: CNNConfig(max_length=longest, dropout=0.2, pool="max"),
            CNN_RECIPE,
        ),
        *(hcnn(kind, title) for kind, title in (("s", "HCNN-S"), ("m", "HCNN-M"), ("x", "HCNN-X"))),
        Preset("transformer", "Transformer", lambda longest: TransformerConfig(), TRANSFORMER_RECIPE),
        *BASELINES,
        BOOSTED,
        MAJORITY,
    )
}
