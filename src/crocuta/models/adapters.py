"""HyenaDNA behind a prompt: soft prompts and in-context learning (Nguyen et al. 2023, arXiv 2306.15794, 4.3).

A prompt stands between a sequence's padding and the sequence, so that a sequence scores the same alone and in any
batch. Shapes: B batch, L length, D width, P length of the prompt, K classes.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from crocuta.data.batch import PADDING, SEPARATOR
from crocuta.data.encoding import VOCABULARY
from crocuta.models.base import SequenceClassifier, classification_loss, register
from crocuta.models.hyena import HyenaConfig, HyenaModel, HyenaPreTrainedModel
from crocuta.nn.pool import POOLS, LastPool

# Tokens that name classes; for two classes, those of the original.
LABEL_TOKENS = ("A", "N", "C", "G", "T", "[RESERVED]", "[UNK]", "[MASK]", "[BOS]", "[CLS]")


class Prompted(NamedTuple):
    """Embedded prompts and sequences (B, P + L, D), which are not padding, and which belong to the sequence."""

    embedded: Tensor
    mask: Tensor
    own: Tensor


def prepend(prompt: Tensor, embedded: Tensor, mask: Tensor | None = None) -> Prompted:
    """Puts a prompt (P, D) before each sequence of a batch (B, L, D), after its padding if that stands left."""
    batch, length, width = embedded.shape
    size = len(prompt)
    mask = torch.ones(batch, length, dtype=torch.long, device=embedded.device) if mask is None else mask
    start = (mask != 0).int().argmax(dim=1, keepdim=True)
    position = torch.arange(size + length, device=embedded.device).expand(batch, -1)
    inside = position - start
    source = torch.where(inside < 0, position + size, torch.where(inside < size, inside, position))
    joined = torch.cat([prompt.to(embedded.dtype).expand(batch, -1, -1), embedded], dim=1)
    ahead = mask.new_ones(batch, size)
    return Prompted(
        joined.gather(1, source[..., None].expand(-1, -1, width)),
        torch.cat([ahead, mask], dim=1).gather(1, source),
        torch.cat([ahead * 0, mask], dim=1).gather(1, source),
    )


class PromptedClassifier(HyenaPreTrainedModel, SequenceClassifier):
    """HyenaDNA that reads a prompt before each sequence; a subclass says which, and how the answer is read."""

    def __init__(self, config: HyenaConfig):
        super().__init__(config)
        self.hyena = HyenaModel(config)

    def prompt_embeddings(self) -> Tensor:
        """The prompt (P, D)."""
        raise NotImplementedError

    def read(self, hidden: Tensor, own: Tensor) -> Tensor:
        """Class logits (B, K) from hidden states (B, P + L, D); `own` marks the sequence's."""
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Class logits (B, K) of token ids (B, L); `labels` as in `HyenaForSequenceClassification`."""
        embedded = self.get_input_embeddings()(input_ids)
        prompted = prepend(self.prompt_embeddings(), embedded, attention_mask)
        output = self.hyena(inputs_embeds=prompted.embedded, attention_mask=prompted.mask)
        logits = self.read(output.last_hidden_state, prompted.own)
        loss = classification_loss(logits, labels, self.config.problem_type)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class LabelReadout(nn.Module):
    """Classes are named by tokens: the language model's logits of those tokens after the last position."""

    def __init__(self, classes: int):
        super().__init__()
        self.tokens = [VOCABULARY[token] for token in LABEL_TOKENS[:classes]]
        self.last = LastPool()

    def forward(self, hidden: Tensor, own: Tensor, embeddings: Tensor) -> Tensor:
        """Logits (B, K) of hidden states (B, L, D); the head is tied to the embeddings (vocabulary, D)."""
        return self.last(hidden, own) @ embeddings[self.tokens].to(hidden.dtype).T


class HyenaPromptConfig(HyenaConfig):
    """HyenaDNA with a soft prompt of `prompt_tokens` embeddings; other keys are `HyenaConfig`'s."""

    model_type = "hyenadna_prompt"
    prompt_tokens: int = 16

    @property
    def longest_sequence(self) -> int:
        return super().longest_sequence - self.prompt_tokens


class HyenaPromptForSequenceClassification(PromptedClassifier):
    """Soft prompt and linear head; the head pools over the sequence, not over the prompt.

    >>> model = HyenaPromptForSequenceClassification(HyenaPromptConfig(d_model=16, n_layer=1, prompt_tokens=4))
    >>> model(torch.randint(7, 11, (2, 30))).logits.shape
    torch.Size([2, 2])
    """

    config_class = HyenaPromptConfig

    def __init__(self, config: HyenaPromptConfig):
        super().__init__(config)
        self.prompt = nn.Embedding(config.prompt_tokens, config.d_model)
        self.pool = POOLS[config.pool]()
        self.score = nn.Linear(config.d_model, config.num_classes)
        self.post_init()

    def prompt_embeddings(self) -> Tensor:
        return self.prompt.weight

    def read(self, hidden: Tensor, own: Tensor) -> Tensor:
        return self.score(self.pool(hidden, own))


class HyenaLabelPromptConfig(HyenaPromptConfig):
    """A soft prompt and no head; see `HyenaLabelPromptForSequenceClassification`."""

    model_type = "hyenadna_label_prompt"


class HyenaLabelPromptForSequenceClassification(PromptedClassifier):
    """Soft prompt alone, as in the paper: the language model's own head answers with one of `LABEL_TOKENS`."""

    config_class = HyenaLabelPromptConfig

    def __init__(self, config: HyenaLabelPromptConfig):
        super().__init__(config)
        self.prompt = nn.Embedding(config.prompt_tokens, config.d_model)
        self.readout = LabelReadout(config.num_classes)
        self.post_init()

    def prompt_embeddings(self) -> Tensor:
        return self.prompt.weight

    def read(self, hidden: Tensor, own: Tensor) -> Tensor:
        return self.readout(hidden, own, self.get_input_embeddings().weight)


class HyenaInContextConfig(HyenaConfig):
    """HyenaDNA that is shown `shots` examples of each class.

    `pool` examples of each class, of at most `pool_length` nucleotides, are kept with the model: training draws shots
    from them, prediction takes the first ones.
    """

    model_type = "hyenadna_in_context"
    shots: int = 2
    pool_size: int = 2
    pool_length: int = 70

    @property
    def longest_sequence(self) -> int:
        """What is left beside the longest prompt: each shot is a sequence, [SEP], its label's token, [SEP]."""
        return super().longest_sequence - self.shots * self.num_classes * (self.pool_length + 3)


class HyenaInContextForSequenceClassification(PromptedClassifier):
    """Reads labelled examples, then the sequence, and answers with the token of a label.

    In training the examples are drawn anew from the pool for each batch; in evaluation they are always the same.
    """

    config_class = HyenaInContextConfig
    examples: Tensor

    def __init__(self, config: HyenaInContextConfig):
        super().__init__(config)
        shape = (config.num_classes, config.pool_size, config.pool_length)
        self.register_buffer("examples", torch.full(shape, PADDING, dtype=torch.uint8))
        self.readout = LabelReadout(config.num_classes)
        self.post_init()

    def shown(self) -> Tensor:
        """Which examples the prompt shows: (shots x classes, 2) class and row, in the order of the prompt."""
        classes, size, _ = self.examples.shape
        shots = self.config.shots
        draw = torch.randperm if self.training else torch.arange
        rows = torch.stack([draw(size)[:shots] for _ in range(classes)], dim=1).flatten()
        pairs = torch.stack([torch.arange(classes).repeat(shots), rows], dim=1)
        return pairs[draw(len(pairs))]

    def prompt_ids(self) -> Tensor:
        """Token ids (P,) of the examples with their labels."""
        parts = [self.examples.new_empty(0)]
        for label, row in self.shown().tolist():
            nucleotides = self.examples[label, row]
            answer = nucleotides.new_tensor([SEPARATOR, self.readout.tokens[label], SEPARATOR])
            parts += [nucleotides[nucleotides != PADDING], answer]
        return torch.cat(parts).long()

    def prompt_embeddings(self) -> Tensor:
        return self.get_input_embeddings()(self.prompt_ids())

    def read(self, hidden: Tensor, own: Tensor) -> Tensor:
        return self.readout(hidden, own, self.get_input_embeddings().weight)


for config, model in (
    (HyenaPromptConfig, HyenaPromptForSequenceClassification),
    (HyenaLabelPromptConfig, HyenaLabelPromptForSequenceClassification),
    (HyenaInContextConfig, HyenaInContextForSequenceClassification),
):
    register(config, {AutoModelForSequenceClassification: model})
