"""Two-stage training of ancestry models: predict the next SNP without labels, then tell the populations apart."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from crocuta.errors import InputError
from crocuta.models.ancestry import (
    AncestryConfig,
    AncestryForSNPPrediction,
    AncestryForWindowClassification,
    AncestryPreTrainedModel,
    EvidenceSum,
)
from crocuta.nn.genomic_position import PositionTable
from crocuta.optim import RowAdam
from crocuta.runs.optimisation import learning_rate_factor
from crocuta.train.ancestry_evidence import Reference
from crocuta.train.ancestry_windows import Windows, WindowSource

STAGES = ("pretrain", "classify")
RIDGE = 1e-5  # towards copying alone: training windows may all be told apart, and then nothing else is known


@dataclass(frozen=True)
class AncestryRecipe:
    """AdamW, and Adam by rows for tables of positions; linear warm-up and a cosine to a tenth of the rate.

    Weights of evidence begin where a logistic regression on up to `evidence_windows` windows puts them.
    `window` counts SNPs; a step learns from `tokens_per_step` of them, at least one window. `table_rate` is the
    learning rate of position tables, `evidence_rate` that of the weights of evidence. The weights with the best
    validation loss are kept.
    """

    window: int = 1024
    pretrain_steps: int = 300
    steps: int = 300
    tokens_per_step: int = 1 << 14
    learning_rate: float = 1e-3
    table_rate: float = 1e-2
    evidence_rate: float = 1e-3
    evidence_windows: int = 2048
    weight_decay: float = 0.05
    warm_up: float = 0.05
    clip: float = 1.0
    evaluations: int = 6
    valid_windows: int = 300
    seed: int = 0
    checkpoint_seconds: float = field(default=60.0, metadata={"free": True})

    @property
    def batch(self) -> int:
        """Windows of a step."""
        return max(1, self.tokens_per_step // self.window)


class Labelled(NamedTuple):
    """Windows and, where a model reads it, their evidence (B, L, E)."""

    windows: Windows
    evidence: Tensor | None

    def __len__(self) -> int:
        return len(self.windows)

    def at(self, rows: slice) -> "Labelled":
        return Labelled(self.windows.at(rows), None if self.evidence is None else self.evidence[rows])


class AncestryMoment(NamedTuple):
    """What a watcher hears: mean training loss since the last time, validation loss and score.

    `score` is the perplexity of the next SNP or the accuracy of populations.
    """

    stage: str
    step: int
    steps: int
    loss: float
    valid_loss: float | None = None
    score: float | None = None


class Optimizers:
    """AdamW for what is dense and RowAdam for tables, as one."""

    def __init__(self, model: nn.Module, recipe: AncestryRecipe):
        tables = [m.weight for m in model.modules() if isinstance(m, PositionTable)]
        apart = {id(p) for p in tables}
        dense = [p for p in model.parameters() if id(p) not in apart]
        sums = [p for m in model.modules() if isinstance(m, EvidenceSum) for p in m.parameters()]
        apart |= {id(p) for p in sums}
        matrices = [p for p in dense if p.dim() >= 2 and id(p) not in apart]
        vectors = [p for p in dense if p.dim() < 2 and id(p) not in apart]
        self.dense, self.clip = dense, recipe.clip
        groups = [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
            {"params": sums, "weight_decay": 0.0, "lr": recipe.evidence_rate},
        ]
        groups = [group for group in groups if group["params"]]
        self.members: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=recipe.learning_rate)]
        if tables:
            self.members.append(RowAdam(tables, lr=recipe.table_rate))
        self.peaks = [group["lr"] for group in self.groups()]

    def groups(self) -> list[dict[str, Any]]:
        return [group for member in self.members for group in member.param_groups]

    def step(self, factor: float) -> None:
        """Clips the dense gradients, steps at `factor` times the rates, and clears the gradients."""
        nn.utils.clip_grad_norm_(self.dense, self.clip, error_if_nonfinite=True)
        for group, peak in zip(self.groups(), self.peaks, strict=True):
            group["lr"] = peak * factor
        for member in self.members:
            member.step()
            member.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {str(i): member.state_dict() for i, member in enumerate(self.members)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for i, member in enumerate(self.members):
            member.load_state_dict(state[str(i)])


class Teacher:
    """Draws the windows of a stage and judges a model on windows of other people."""

    def __init__(
        self,
        source: WindowSource,
        train: np.ndarray,
        valid: np.ndarray,
        recipe: AncestryRecipe,
        reference: Reference | None,
    ):
        self.source, self.train, self.recipe, self.reference = source, train, recipe, reference
        generator = np.random.default_rng((recipe.seed, 1))
        windows = source.draw(valid, recipe.valid_windows, recipe.window, generator)
        self.valid = {"pretrain": Labelled(windows, None), "classify": self.label(windows)}

    def label(self, windows: Windows) -> Labelled:
        return Labelled(windows, None if self.reference is None else self.reference.evidence(windows))

    def batch(self, stage: str, step: int) -> Labelled:
        """The windows of a step: the same whenever it is taken."""
        generator = np.random.default_rng((self.recipe.seed, 2 + STAGES.index(stage), step))
        windows = self.source.draw(self.train, self.recipe.batch, self.recipe.window, generator)
        return self.label(windows) if stage == "classify" else Labelled(windows, None)


def loss_of(model: AncestryPreTrainedModel, batch: Labelled) -> Tensor:
    """Mean cross-entropy of the next SNPs or of the populations."""
    windows = batch.windows
    labels = windows.input_ids if isinstance(model, AncestryForSNPPrediction) else windows.label
    return model(**windows.inputs(), evidence=batch.evidence, labels=labels).loss


@torch.no_grad()
def judge(model: AncestryPreTrainedModel, data: Labelled, batch: int = 16) -> tuple[float, float]:
    """Mean cross-entropy, and its perplexity (next SNP) or the accuracy (populations), on given windows."""
    model.eval()
    losses, right = [], 0.0
    for first in range(0, len(data), batch):
        some = data.at(slice(first, first + batch))
        losses.append(loss_of(model, some).item() * len(some))
    mean = sum(losses) / len(data)
    if isinstance(model, AncestryForSNPPrediction):
        return mean, math.exp(mean)
    right = (probabilities(model, data, batch).argmax(1) == data.windows.label).float().mean().item()
    return mean, right


@torch.no_grad()
def probabilities(model: AncestryPreTrainedModel, data: Labelled, batch: int = 16) -> Tensor:
    """Probability of each population for each window, float32 (B, K)."""
    model.eval()
    found = []
    for first in range(0, len(data), batch):
        some = data.at(slice(first, first + batch))
        found.append(model(**some.windows.inputs(), evidence=some.evidence).logits.softmax(-1))
    return torch.cat(found)


Tell = Callable[[AncestryMoment], object]
Best = tuple[float, dict[str, Tensor]]
Save = Callable[[Any, Optimizers, int, Best], None]


def train_stage(
    model: AncestryPreTrainedModel,
    teacher: Teacher,
    stage: str,
    tell: Tell,
    save: Save | None = None,
    start: int = 0,
    state: dict[str, Any] | None = None,
    best: Best | None = None,
) -> float:
    """Trains a model through one stage, and leaves it with the weights of the best validation loss, which it returns.

    `start`, `state` and `best` go on with an interrupted stage: step, optimisers' state, best loss and its weights.

    Raises:
        InputError: the loss or its gradient is not finite.
    """
    recipe = teacher.recipe
    steps = recipe.pretrain_steps if stage == "pretrain" else recipe.steps
    optimizers = Optimizers(model, recipe)
    if state is not None:
        optimizers.load_state_dict(state)
    best = best or (judge(model, teacher.valid[stage])[0], copied(model))
    evaluations = {round(steps * (i + 1) / recipe.evaluations) for i in range(recipe.evaluations)}
    losses: list[float] = []
    for step in range(start, steps):
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        model.train()
        loss = loss_of(model, teacher.batch(stage, step))
        loss.backward()
        try:
            optimizers.step(learning_rate_factor(step, steps, recipe.warm_up))
        except RuntimeError as error:
            raise InputError(
                f"{stage}: the gradient is not finite at step {step + 1:,} (loss {loss.item()});"
                " try a lower --learning-rate"
            ) from error
        losses.append(loss.item())
        valid_loss = score = None
        if step + 1 in evaluations:
            valid_loss, score = judge(model, teacher.valid[stage])
            if valid_loss < best[0]:
                best = valid_loss, copied(model)
        tell(AncestryMoment(stage, step + 1, steps, float(np.mean(losses[-20:])), valid_loss, score))
        if save is not None:
            save(model, optimizers, step + 1, best)
    model.load_state_dict(best[1])
    return best[0]


def fit_evidence(model: AncestryForWindowClassification, teacher: Teacher) -> None:
    """Gives each kind of evidence the weight, the same for all populations, that suits training windows best.

    From there the network has to improve on what the evidence can say by itself. Source: logistic regression on the
    log-likelihoods of c models, `logits_k = sum_c w_c log P_c(window | k) + b_k`, with the head's doubt.
    """
    recipe, direct, doubt = teacher.recipe, model.head.direct, model.head.doubt
    if direct is None or doubt is None or teacher.reference is None:
        return
    count = min(4 * recipe.evidence_windows, max(256, recipe.evidence_windows * 512 // recipe.window))
    generator = np.random.default_rng((recipe.seed, 7))
    windows = teacher.source.draw(teacher.train, count, recipe.window, generator)
    total = model.total(windows.input_ids, teacher.reference.evidence(windows))
    kinds = total.unflatten(1, (-1, direct.out_features))  # (B, c, K)
    scale = float(kinds.std())  # sums grow with the window, and the solver wants numbers about 1
    copying = max(kinds.shape[1] - 1, 1)  # kinds: copying at each rate, then frequencies, which it contains
    first = torch.tensor([scale / copying] * copying + [0.0] * (kinds.shape[1] - copying))
    weight = first.clone().requires_grad_()
    bias = torch.zeros(direct.out_features, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias, doubt.logit], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        logits = doubt((kinds / scale * weight[:, None]).sum(1) + bias)
        loss = nn.functional.cross_entropy(logits, windows.label) + RIDGE * (weight - first).square().sum()
        loss.backward()
        return loss

    solver.step(closure)  # pyright: ignore[reportArgumentType]
    solver.zero_grad()
    with torch.no_grad():
        direct.weight.copy_(torch.kron(weight[None] / scale, torch.eye(direct.out_features)))
        direct.bias.copy_(bias)


def copied(model: nn.Module) -> dict[str, Tensor]:
    """All weights of a model as they stand."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def classifier(
    config: AncestryConfig, pretrained: AncestryForSNPPrediction | None
) -> AncestryForWindowClassification:
    """A classifier of windows, with the pretrained weights of all parts that both models have in one shape."""
    model = AncestryForWindowClassification(config)
    if pretrained is not None:
        ours, theirs = model.ancestry.state_dict(), pretrained.ancestry.state_dict()
        same = {
            name: value for name, value in theirs.items() if ours.get(name, value[:0]).shape == value.shape
        }
        model.ancestry.load_state_dict(same, strict=False)
    return model
