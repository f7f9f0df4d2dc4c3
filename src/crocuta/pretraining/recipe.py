"""How a causal model is pretrained, and how good it is: typed records."""

from dataclasses import dataclass, field
from typing import NamedTuple

from crocuta.pretraining.lengths import LengthPlan, make_plan
from crocuta.runs.device import AUTO
from crocuta.runs.loop import Course


@dataclass(frozen=True)
class Pretraining:
    """AdamW, linear warm-up and a cosine to a tenth of the learning rate; lengths: `crocuta.pretraining.lengths`.

    `tokens_per_step` nucleotides are learned from together, by all processes, in portions of up to `tokens_at_once` (at
    least one window) that set the memory. `learning_rate_warm_up` is a share of the steps. There are `evaluations`
    evaluations: each while training reads at most `valid_letters` nucleotides, together no more than are learned from;
    the last reads all.
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
    device: str = field(default=AUTO, metadata={"free": True})

    @property
    def plan(self) -> LengthPlan:
        return make_plan(
            self.length, self.steps, self.tokens_per_step, self.warm_up, self.warm_up_share, self.keep
        )

    @property
    def course(self) -> Course:
        """Of `crocuta.runs.loop`; the last evaluation, of all that is held out, is not among its own."""
        steps = self.steps
        return Course(
            steps=steps,
            warm_up=self.learning_rate_warm_up,
            clip=self.clip,
            evaluate={round(steps * (i + 1) / self.evaluations) for i in range(self.evaluations)}
            - {0, steps},
            keep_best=False,
            log_every=self.log_every,
            checkpoint_seconds=self.checkpoint_seconds,
            precision=self.precision,
            device=self.device,
            seed=self.seed,
        )

    @property
    def letters_per_validation(self) -> int:
        return min(self.valid_letters, max(self.plan.tokens // self.evaluations, self.length))

    def evaluated_letters(self, valid: int, test: int) -> int:
        """Nucleotides that all evaluations read together, where that many are held out."""
        return (self.evaluations - 1) * min(self.letters_per_validation, valid) + valid + test


class Perplexity(NamedTuple):
    """`perplexity` is exp of `loss`, the mean negative log-likelihood (nats) of `letters` nucleotides."""

    perplexity: float
    loss: float
    letters: int
