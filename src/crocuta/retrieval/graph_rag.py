"""GraphRAG: answers of a language model that is shown the part of a knowledge graph that a question is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationMixin

from crocuta.retrieval.retriever import Retriever

ADAPTATIONS = ("full", "lora", "frozen")
IGNORED = -100


class GraphRAG(nn.Module):
    """A retriever, a prompt made of what it finds, and any causal language model of `transformers`.

    Args:
        language_model: takes `inputs_embeds`, returns `logits`; has a head for the tokenizer's vocabulary.
        tokenizer: of the language model, with an end-of-sequence token.
        retriever: None: questions stand alone.
        prompt: subgraphs to tokens of the language model's width: `GraphPrompt`, `TextPrompt`, `JointPrompt`.
        adapt: what of the language model is trained: "full", "lora" (by `peft`, on all linear layers), or "frozen".

    Raises:
        ValueError: a retriever without a prompt or the reverse, no end-of-sequence token, another adaptation.
    """

    def __init__(
        self,
        language_model: Any,
        tokenizer: Any,
        retriever: Retriever | None = None,
        prompt: nn.Module | None = None,
        adapt: str = "full",
    ):
        super().__init__()
        if (retriever is None) != (prompt is None):
            raise ValueError("give a retriever and a prompt, or neither (questions alone)")
        if tokenizer.eos_token_id is None:
            raise ValueError("tokenizer has no end-of-sequence token (eos_token), where answers would end")
        self.tokenizer, self.retriever, self.prompt, self.adapt = tokenizer, retriever, prompt, adapt
        self.language_model = adapted(language_model, adapt)

    def forward(self, questions: Sequence[str], answers: Sequence[str]) -> Tensor:
        """Mean cross-entropy of the answers' tokens and the end after them."""
        ends = self._ids(answers, end=True)
        asked = self._asked(questions)
        rows = [torch.cat([row, self._embed(end)]) for row, end in zip(asked, ends, strict=True)]
        labels = [
            torch.cat([end.new_full((len(row),), IGNORED), end]) for row, end in zip(asked, ends, strict=True)
        ]
        width = max(map(len, rows))
        mask = torch.tensor(
            [[1] * len(row) + [0] * (width - len(row)) for row in rows], device=rows[0].device
        )
        logits = self.language_model(
            inputs_embeds=pad_sequence(rows, batch_first=True), attention_mask=mask
        ).logits
        targets = pad_sequence(labels, batch_first=True, padding_value=IGNORED)
        return nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), targets[:, 1:].flatten(), ignore_index=IGNORED
        )

    @torch.no_grad()
    def generate(
        self, questions: str | Sequence[str], max_new_tokens: int = 24, batch_size: int = 64, **options: Any
    ) -> list[str]:
        """An answer to each question, the most probable token at each step; `options` go to the language model's
        `generate` (`do_sample`, `num_beams` ...).

        Questions whose prompts are equally long go together, so that nothing is padded.
        """
        questions = [questions] if isinstance(questions, str) else list(questions)
        was_training = self.training
        self.eval()
        answers = [""] * len(questions)
        for start in range(0, len(questions), 8 * batch_size):
            rows = self._asked(questions[start : start + 8 * batch_size])
            for length in {len(row) for row in rows}:
                same = [i for i, row in enumerate(rows) if len(row) == length]
                for part in (same[i : i + batch_size] for i in range(0, len(same), batch_size)):
                    ids = self._continue(torch.stack([rows[i] for i in part]), max_new_tokens, options)
                    for i, text in zip(part, self._texts(ids), strict=True):
                        answers[start + i] = text
        self.train(was_training)
        return answers

    def _asked(self, questions: Sequence[str]) -> list[Tensor]:
        """Embeddings (T, width) of each question behind its prompt."""
        rows = [self._embed(ids) for ids in self._ids([f"{question}\n" for question in questions])]
        if self.retriever is None or self.prompt is None:
            return rows
        prompts = self.prompt(self.retriever.retrieve(questions))
        return [torch.cat([prompt.to(row.dtype), row]) for prompt, row in zip(prompts, rows, strict=True)]

    def _ids(self, texts: Sequence[str], end: bool = False) -> list[Tensor]:
        rows = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        tail = [self.tokenizer.eos_token_id] if end else []
        return [torch.tensor([*row, *tail], dtype=torch.long, device=self.device) for row in rows]

    def _embed(self, ids: Tensor) -> Tensor:
        return self.language_model.get_input_embeddings()(ids)

    @property
    def device(self) -> torch.device:
        """Of the language model."""
        return next(self.language_model.parameters()).device

    def _continue(self, embedded: Tensor, length: int, options: dict[str, Any]) -> Tensor:
        """Ids (B, up to `length`) that follow the embeddings (B, T, width)."""
        model: Any = self.language_model
        end = self.tokenizer.eos_token_id
        inner = model.get_base_model() if self.adapt == "lora" else model
        if not isinstance(inner, GenerationMixin):
            return greedy(model, embedded, length, end)
        mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device)
        choice = {"do_sample": False, "eos_token_id": end, "pad_token_id": end, **options}
        return model.generate(inputs_embeds=embedded, attention_mask=mask, max_new_tokens=length, **choice)

    def _texts(self, ids: Tensor) -> list[str]:
        end = self.tokenizer.eos_token_id
        rows = [row[: row.index(end)] if end in row else row for row in ids.tolist()]
        return [text.strip() for text in self.tokenizer.batch_decode(rows)]


def greedy(model: Any, embedded: Tensor, length: int, end: int) -> Tensor:
    """The most probable tokens (B, up to `length`) after embeddings (B, T, width), by whole passes, for models that
    transformers' `generate` does not know."""
    found: list[Tensor] = []
    ended = torch.zeros(len(embedded), dtype=torch.bool, device=embedded.device)
    while len(found) < length and not ended.all():
        token = model(inputs_embeds=embedded).logits[:, -1].argmax(-1)
        found.append(token)
        ended |= token == end
        embedded = torch.cat([embedded, model.get_input_embeddings()(token)[:, None]], dim=1)
    return torch.stack(found, dim=1)


def adapted(language_model: Any, how: str) -> Any:
    """The language model with what is to be trained of it set, or inside a LoRA.

    Raises:
        ValueError: there is no such adaptation.
    """
    if how not in ADAPTATIONS:
        raise ValueError(f"adapt must be one of {', '.join(ADAPTATIONS)}, got {how!r}")
    if how == "full":
        return language_model
    language_model.requires_grad_(False)
    if how == "frozen":
        return language_model
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    transposed = any(
        isinstance(module, Conv1D) for module in language_model.modules()
    )  # GPT-2's linear layers
    lora = LoraConfig(
        r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM", fan_in_fan_out=transposed
    )
    return get_peft_model(language_model, lora)
