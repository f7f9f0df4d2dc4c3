"""How a causal model is pretrained, and what is heard of it: typed records."""

from dataclasses import dataclass, field
from typing import NamedTuple

from crocuta.train.warmup import Plan, make_plan

PRECISIONS = {"float32": "no", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Pretraining:
    """AdamW, linear warm-up and a cosine to a tenth of the learning rate; lengths as `crocuta.train.warmup` says.

    `tokens_per_step` letters are learnt from together, by all processes, in portions of up to `tokens_at_once` (at
    least one window) that set the memory. `learning_rate_warm_up` is a share of the steps; `valid_letters` bounds the
    letters looked at in each of `evaluations` validations while training, which together look at
    no more letters than are learnt from; the last looks at all.
    """

    length: int = 1024
    warm_up: tuple[int, ...] = ()
    warm_up_share: float = 0.3
    keep: str = "tokens"
    steps: int = 10_000
    tokens_per_step: int = 1 << 18
    tokens_at_once: int = 1 << 15
    learning_rate: float = 6e-4
    filter_learning_rate: float | None = None
    weight_decay: float = 0.1
    learning_rate_warm_up: float = 0.01
    clip: float = 1.0
    both_strands: bool = True
    evaluations: int = 20
    valid_letters: int = 1 << 18
    checkpoint_seconds: float = field(default=300.0, metadata={"free": True})
    log_every: int = field(default=10, metadata={"free": True})
    precision: str = "float32"
    seed: int = 0

    @property
    def plan(self) -> Plan:
        return make_plan(
            self.length, self.steps, self.tokens_per_step, self.warm_up, self.warm_up_share, self.keep
        )

    @property
    def letters_per_validation(self) -> int:
        return min(self.valid_letters, max(self.plan.tokens // self.evaluations, self.length))

    def judged_letters(self, valid: int, test: int) -> int:
        """Letters that the validations look at and, at the end, the judgement of all that is held out."""
        return (self.evaluations - 1) * min(self.letters_per_validation, valid) + valid + test


class Moment(NamedTuple):
    """What a watcher hears after some steps: means since the last time; perplexity where the model was validated."""

    step: int
    length: int
    loss: float
    learning_rate: float
    tokens: int
    seconds: float
    tokens_per_second: float
    valid_perplexity: float | None = None


class Watcher:
    """Hears of a training; does nothing."""

    def moment(self, moment: Moment) -> None: ...


class Score(NamedTuple):
    """Perplexity: exp of the mean negative log likelihood of `letters` letters in nats."""

    perplexity: float
    loss: float
    letters: int
