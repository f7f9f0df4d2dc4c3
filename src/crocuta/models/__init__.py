"""Genome models, as transformers `PreTrainedModel`s; importing this package teaches them to transformers' Auto classes."""

from crocuta.models import baselines, cnn, hyena, transformer

__all__ = ["baselines", "cnn", "hyena", "transformer"]
