"""Configuration of AncestryHyena: what its tokens are, how positions enter, and which blocks mix them."""

from typing import Any, ClassVar

from crocuta.models.base import ModelConfig
from crocuta.models.hyena.config import HyenaConfig
from crocuta.models.transformer import TransformerConfig

# Tokens of each view of a person's alleles, in the order of their ids; the first ids are the store's own codes.
VOCABULARY: dict[str, tuple[str, ...]] = {
    "haplotype": ("0", "1", "MISS", "PAD", "MASK"),
    "genotype": ("0", "1", "2", "MISS", "PAD", "MASK"),
    "carried": ("A", "C", "G", "T", "N", "PAD", "MASK"),
}
UNKNOWN = ("MISS", "N", "PAD", "MASK")  # tokens that say nothing of an allele
POSITIONS = (
    "none",
    "sinusoidal",
    "rotary",
    "fourier",
    "learned",
    "fpe",
    "grid",
    "centimorgan",
    "site",
)


class AncestryConfig(ModelConfig):
    """Sizes and options of AncestryHyena and of its Transformer twin (`backbone`).

    `view` fixes the vocabulary (`VOCABULARY`); `position` is one of `POSITIONS`, with `alpha` bp to a bin, tables of
    rank `position_rank`, and for "site" `sites` rows. `chromosomes` and `chromosome_lengths` (bp) name what the
    position's `chromosome` index counts. `evidence_channels` real numbers a site may join the tokens; `head` is
    "linear" or "lorentz". While training, `missing_rate` of the alleles are hidden at random. `panel` is the digest of
    the site table that the model was trained on. Populations are the labels (`id2label`).
    """

    model_type = "crocuta_ancestry"

    view: str = "haplotype"
    d_model: int = 64
    n_layer: int = 2
    d_inner: int | None = None
    max_sites: int = 4096
    backbone: str = "hyena"
    bidirectional: bool = True
    n_head: int = 4
    filter_order: int = 32
    emb_dim: int = 9
    dropout: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.05

    position: str = "fpe"
    alpha: int = 100
    position_rank: int = 16
    sites: int = 1
    chromosomes: list[str] | None = None
    chromosome_lengths: list[int] | None = None

    evidence_channels: int = 0
    head: str = "linear"
    missing_rate: float = 0.02
    panel: str = ""

    attribute_map: ClassVar[dict[str, str]] = {"hidden_size": "d_model", "num_hidden_layers": "n_layer"}

    def __post_init__(self, **kwargs):
        for name, value, known in (
            ("view", self.view, tuple(VOCABULARY)),
            ("position", self.position, POSITIONS),
            ("backbone", self.backbone, ("hyena", "transformer")),
            ("head", self.head, ("linear", "lorentz")),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if not 0 <= self.missing_rate < 1:
            raise ValueError(f"missing_rate must be in [0, 1), got {self.missing_rate}")
        self.d_inner = 4 * self.d_model if self.d_inner is None else self.d_inner
        self.chromosomes = ["1"] if self.chromosomes is None else self.chromosomes
        if self.chromosome_lengths is None:
            self.chromosome_lengths = [250_000_000] * len(self.chromosomes)
        super().__post_init__(**kwargs)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return VOCABULARY[self.view]

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    @property
    def alleles(self) -> int:
        """Number of tokens that say something: they come first."""
        return len(set(self.vocabulary) - set(UNKNOWN))

    @property
    def missing_id(self) -> int:
        """The token of a site whose allele is not known."""
        return self.alleles

    def pretraining(self) -> "AncestryConfig":
        """The same model as it is pretrained: causal, from alleles and positions alone."""
        return AncestryConfig.from_dict(self.to_dict() | {"bidirectional": False, "evidence_channels": 0})

    @property
    def pad_id(self) -> int:
        return self.vocabulary.index("PAD")

    @property
    def hyena(self) -> HyenaConfig:
        """The blocks of the Hyena backbone."""
        return HyenaConfig(**self._sizes(), max_seq_len=self.max_sites, filter_order=self.filter_order,
                           emb_dim=self.emb_dim, bidirectional=self.bidirectional)  # fmt: skip

    @property
    def transformer(self) -> TransformerConfig:
        """The blocks of the Transformer twin."""
        return TransformerConfig(**self._sizes(), n_head=self.n_head, dropout=self.dropout)

    def _sizes(self) -> dict[str, Any]:
        return {"d_model": self.d_model, "n_layer": self.n_layer, "d_inner": self.d_inner}
