"""Length warm-up: training that begins with short windows (Nguyen et al. 2023, section 3.2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from crocuta.errors import InputError


@dataclass(frozen=True)
class LengthStage:
    """`steps` steps on `windows` windows of one length each; `first` is the number of its first step."""

    length: int
    windows: int
    first: int
    steps: int

    @property
    def tokens(self) -> int:
        """Nucleotides of a step."""
        return self.length * self.windows


class Place(NamedTuple):
    """A step of a plan: its stage and its number in the stage."""

    stage: LengthStage
    step: int


@dataclass(frozen=True)
class LengthPlan:
    """The stages of a training, one after the other."""

    stages: tuple[LengthStage, ...]

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    @property
    def tokens(self) -> int:
        return self.tokens_of(self.steps)

    def tokens_of(self, steps: int) -> int:
        """Nucleotides that the first `steps` steps learn from."""
        return sum(min(max(steps - s.first, 0), s.steps) * s.tokens for s in self.stages)

    def at(self, step: int) -> Place:
        """Where a step, counted from 0, lies."""
        stage = next(stage for stage in reversed(self.stages) if stage.first <= step)
        return Place(stage, step - stage.first)


def make_plan(
    length: int,
    steps: int,
    tokens_per_step: int,
    warm_up: Sequence[int] = (),
    warm_up_share: float = 0.3,
    keep: str = "tokens",
) -> LengthPlan:
    """Stages of the lengths `warm_up` and then `length`.

    Args:
        length: nucleotides of a window at the end.
        steps: of all stages together.
        tokens_per_step: nucleotides of a step of the last stage.
        warm_up: shorter lengths, growing.
        warm_up_share: share of the steps that the stages of `warm_up` take together, in equal parts.
        keep: "tokens": shorter windows come in larger batches, a step always has the same number of nucleotides;
            "batch": a step always has the same number of windows.

    Raises:
        InputError: lengths that do not grow, or too few steps for the stages.
    """
    lengths = [*warm_up, length]
    if lengths != sorted(set(lengths)) or lengths[0] < 2:
        raise InputError(
            f"`warm_up`: lengths must grow up to {length:,}, found {', '.join(map(str, lengths))}"
        )
    if keep not in ("tokens", "batch"):
        raise InputError(f"`keep` must be tokens or batch, got {keep!r}")
    each = math.floor(steps * warm_up_share / len(warm_up)) if warm_up else 0
    if steps < 1 or (warm_up and each < 1) or steps - each * len(warm_up) < 1:
        raise InputError(
            f"{steps:,} steps are too few for {len(lengths)} lengths; give more `steps`, or fewer lengths in `warm_up`"
        )
    batch = max(1, tokens_per_step // length)
    stages = []
    for i, nucleotides in enumerate(lengths):
        last = i == len(warm_up)
        windows = max(1, tokens_per_step // nucleotides) if keep == "tokens" else batch
        stages.append(LengthStage(nucleotides, windows, i * each, steps - i * each if last else each))
    return LengthPlan(tuple(stages))
