"""Adaptations that put tokens before the input of a HyenaDNA: soft prompts, and examples in context."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import PreTrainedModel

from crocuta.classification._adapt_weights import HEAD, Adaptation, freeze
from crocuta.classification._labels import problem
from crocuta.data.labelled import Labelled, Splits
from crocuta.errors import InputError
from crocuta.models.adapters import (
    LABEL_TOKENS,
    HyenaInContextConfig,
    HyenaInContextForSequenceClassification,
    HyenaLabelPromptConfig,
    HyenaLabelPromptForSequenceClassification,
    HyenaPromptConfig,
    HyenaPromptForSequenceClassification,
    PromptedClassifier,
)
from crocuta.models.hyena import HyenaConfig


@dataclass(frozen=True)
class SoftPrompt(Adaptation):
    """Learnable embeddings before the sequence, and a linear head; the model is frozen.

    The prompt starts as the embeddings of random nucleotides.
    """

    name = "prompt"
    tokens: int = 16
    config: ClassVar[type[HyenaPromptConfig]] = HyenaPromptConfig
    model: ClassVar[type[PromptedClassifier]] = HyenaPromptForSequenceClassification

    @property
    def title(self) -> str:
        return f"soft prompt, {self.tokens} tokens"

    def check(self, config: Any, splits: Splits) -> None:
        require_hyena(config, self.name)

    def prepare(self, model: PreTrainedModel, splits: Splits, seed: int) -> PreTrainedModel:
        self.check(model.config, splits)
        prompted = transplant(model, self.config, self.model, prompt_tokens=self.tokens)
        freeze(prompted.hyena)
        with torch.no_grad():
            words = prompted.get_input_embeddings().weight
            nucleotides = torch.randint(7, 11, (self.tokens,))
            prompted.prompt.weight.copy_(words[nucleotides])
        return prompted


@dataclass(frozen=True)
class LabelPrompt(SoftPrompt):
    """A soft prompt and nothing else, as in the paper: the frozen model answers with a token for each class."""

    name = "label-prompt"
    config = HyenaLabelPromptConfig
    model = HyenaLabelPromptForSequenceClassification

    @property
    def title(self) -> str:
        return f"soft prompt, {self.tokens} tokens, no head"

    def check(self, config: Any, splits: Splits) -> None:
        require_hyena(config, self.name)
        require_label_tokens(config, splits.train, self.name)


@dataclass(frozen=True)
class InContext(Adaptation):
    """Brief tuning of the whole model to answer from labelled examples in its input, `shots` of each class.

    A quarter of the training sequences of each class, `pool` at most, is set aside to draw examples from; the rest
    are what it is asked about.
    """

    name = "in-context"
    shots: int = 2
    pool: int = 32

    @property
    def title(self) -> str:
        return f"in context, {self.shots} shots"

    def check(self, config: Any, splits: Splits) -> None:
        require_hyena(config, self.name)
        require_label_tokens(config, splits.train, self.name)
        self.examples(splits.train, seed=0)

    def prepare(self, model: PreTrainedModel, splits: Splits, seed: int) -> PreTrainedModel:
        self.check(model.config, splits)
        rows = self.examples(splits.train, seed)
        length = int(splits.train.sequences.lengths[rows.ravel()].max(initial=1))
        prompted = transplant(
            model,
            HyenaInContextConfig,
            HyenaInContextForSequenceClassification,
            shots=self.shots,
            pool_size=rows.shape[1],
            pool_length=length,
        )
        for label, row in np.ndindex(*rows.shape):
            nucleotides = torch.from_numpy(splits.train.sequences[int(rows[label, row])].copy())
            prompted.examples[label, row, : len(nucleotides)] = nucleotides
        return prompted

    def queries(self, splits: Splits, seed: int) -> Splits:
        asked = np.ones(len(splits.train), bool)
        asked[self.examples(splits.train, seed).ravel()] = False
        return replace(splits, train=splits.train.select(asked))

    def examples(self, train: Labelled, seed: int) -> np.ndarray:
        """Rows of the training set that serve as examples, (classes, n)."""
        draw = np.random.default_rng(seed)
        rows = [draw.permutation(np.flatnonzero(train.labels == k)) for k in range(len(train.classes))]
        fewest = min(range(len(rows)), key=lambda k: len(rows[k]))
        if len(rows[fewest]) <= self.shots:
            raise InputError(
                f"class {train.classes[fewest]!r} has {len(rows[fewest])} training sequences, too few for"
                f" {self.shots} shots; ask for fewer"
            )
        size = max(self.shots, min(self.pool, len(rows[fewest]) // 4), 1)
        return np.stack([found[:size] for found in rows])


def transplant(model: Any, config: type[HyenaConfig], kind: type[PromptedClassifier], **options: Any) -> Any:
    """A prompted model with the weights of a HyenaDNA classifier."""
    keys = {key: value for key, value in model.config.to_dict().items() if key != "model_type"}
    prompted: Any = kind(config.from_dict({**keys, **options}))
    prompted.hyena.load_state_dict(model.hyena.state_dict())
    if hasattr(prompted, HEAD):
        prompted.score.load_state_dict(model.score.state_dict())
    return prompted


def require_hyena(config: Any, name: str) -> None:
    """Raises InputError unless a model reads embeddings as HyenaDNA does."""
    if type(config) is not HyenaConfig:
        raise InputError(
            f"`adapt` {name} puts tokens before a HyenaDNA's input, a model of type {config.model_type!r} takes none;"
            " use `adapt` full, probe or lora"
        )


def require_label_tokens(config: Any, train: Labelled, name: str) -> None:
    """Raises InputError unless each class can be named by one token, with a head tied to the embeddings."""
    if problem(train) == "multi_label" or len(train.classes) > len(LABEL_TOKENS):
        raise InputError(
            f"`adapt` {name} names each sequence's one class by a token, {len(LABEL_TOKENS)} classes at most,"
            f" this data has {len(train.classes)} ({problem(train)}); use `adapt` prompt or probe"
        )
    if not getattr(config, "tie_word_embeddings", True):
        raise InputError(
            f"`adapt` {name} answers through the embeddings, and this model's head is not tied to them;"
            " use `adapt` prompt or probe"
        )
