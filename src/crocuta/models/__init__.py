"""Genome models as transformers `PreTrainedModel`s; importing this package makes the Auto classes know them."""

from crocuta.data import tokenizer as tokenizer
from crocuta.models import baselines, cnn, hcnn, hyena, hyena_rc, lclip, lorentz_language, transformer

__all__ = ["baselines", "cnn", "hcnn", "hyena", "hyena_rc", "lclip", "lorentz_language", "transformer"]
