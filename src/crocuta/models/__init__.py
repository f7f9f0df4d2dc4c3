"""Genome models as transformers `PreTrainedModel`s; importing this package makes the Auto classes know them."""

from crocuta.data import tokenizer as tokenizer
from crocuta.models import baselines, cnn, hcnn, hyena, lorentz_language, transformer
from crocuta.models.clip import lclip as lclip
from crocuta.models.hyena import reverse_complement as reverse_complement

__all__ = ["baselines", "cnn", "hcnn", "hyena", "lorentz_language", "transformer"]
