"""Two-stage training of ancestry models: predict the next SNP without labels, then distinguish the populations."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from crocuta.ancestry.evidence import EvidenceReference
from crocuta.ancestry.windows import WindowBatch, WindowSource
from crocuta.models.ancestry import (
    AncestryConfig,
    AncestryForSNPPrediction,
    AncestryForWindowClassification,
    AncestryPreTrainedModel,
    EvidenceSum,
)
from crocuta.nn.genomic_position import PositionTable
from crocuta.optim import RowAdam
from crocuta.runs.device import AUTO
from crocuta.runs.loop import Course, Fitted, Learner, Moment, Score, fit
from crocuta.runs.progress import SILENT, Progress

STAGES = ("pretrain", "classify")
SCORES = {"pretrain": "perplexity", "classify": "accuracy"}
RIDGE = 1e-5  # towards copying alone: training windows may all be classified right, and then nothing else is known


@dataclass(frozen=True)
class AncestryRecipe:
    """AdamW, and Adam by rows for tables of positions; linear warm-up and a cosine to a tenth of the rate.

    Weights of evidence begin where a logistic regression on up to `evidence_windows` windows puts them.
    `window` counts SNPs; a step learns from `tokens_per_step` of them, at least one window. `table_rate` is the
    learning rate of position tables, `evidence_rate` that of the weights of evidence. The weights with the best
    validation loss are kept; at first these are the untrained ones.
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

    @property
    def batch(self) -> int:
        """Windows of a step."""
        return max(1, self.tokens_per_step // self.window)


class LabelledWindows(NamedTuple):
    """Windows and, where a model reads it, their evidence (B, L, E)."""

    windows: WindowBatch
    evidence: Tensor | None

    def __len__(self) -> int:
        return len(self.windows)

    def at(self, rows: slice) -> "LabelledWindows":
        return LabelledWindows(self.windows.at(rows), None if self.evidence is None else self.evidence[rows])

    def to(self, device: torch.device) -> "LabelledWindows":
        return LabelledWindows(
            self.windows.to(device), None if self.evidence is None else self.evidence.to(device)
        )


@dataclass(frozen=True)
class Optimizers:
    """AdamW for what is dense, and RowAdam for tables of positions, if there are any."""

    members: list[torch.optim.Optimizer]
    dense: list[nn.Parameter]

    @classmethod
    def of(cls, model: nn.Module, recipe: AncestryRecipe) -> "Optimizers":
        tables = [m.weight for m in model.modules() if isinstance(m, PositionTable)]
        sums = [p for m in model.modules() if isinstance(m, EvidenceSum) for p in m.parameters()]
        dense = [p for p in model.parameters() if all(p is not table for table in tables)]
        others = [p for p in dense if all(p is not weight for weight in sums)]
        groups = [
            {"params": [p for p in others if p.dim() >= 2], "weight_decay": recipe.weight_decay},
            {"params": [p for p in others if p.dim() < 2], "weight_decay": 0.0},
            {"params": sums, "weight_decay": 0.0, "lr": recipe.evidence_rate},
        ]
        groups = [group for group in groups if group["params"]]
        members: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=recipe.learning_rate)]
        if tables:
            members.append(RowAdam(tables, lr=recipe.table_rate))
        return cls(members, dense)


class Teacher:
    """Draws the windows of a stage, and holds those of other individuals on which a model is evaluated."""

    def __init__(
        self,
        source: WindowSource,
        train: np.ndarray,
        valid: np.ndarray,
        recipe: AncestryRecipe,
        reference: EvidenceReference | None,
    ):
        self.source, self.train, self.recipe, self.reference = source, train, recipe, reference
        generator = np.random.default_rng((recipe.seed, 1))
        windows = source.draw(valid, recipe.valid_windows, recipe.window, generator)
        self.valid = {"pretrain": LabelledWindows(windows, None), "classify": self.label(windows)}

    def label(self, windows: WindowBatch) -> LabelledWindows:
        return LabelledWindows(windows, None if self.reference is None else self.reference.evidence(windows))

    def batch(self, stage: str, step: int) -> LabelledWindows:
        """The windows of a step: the same whenever it is taken."""
        generator = np.random.default_rng((self.recipe.seed, 2 + STAGES.index(stage), step))
        windows = self.source.draw(self.train, self.recipe.batch, self.recipe.window, generator)
        return self.label(windows) if stage == "classify" else LabelledWindows(windows, None)


def loss_of(model: AncestryPreTrainedModel, batch: LabelledWindows) -> Tensor:
    """Mean cross-entropy of the next SNPs or of the populations."""
    windows, evidence = batch.to(model.device)
    labels = windows.input_ids if isinstance(model, AncestryForSNPPrediction) else windows.label
    return model(**windows.inputs(), evidence=evidence, labels=labels).loss


@torch.no_grad()
def evaluate(model: AncestryPreTrainedModel, data: LabelledWindows, batch: int = 16) -> tuple[float, float]:
    """Mean cross-entropy, and its perplexity (next SNP) or the accuracy (populations), on given windows."""
    model.eval()
    losses = []
    for first in range(0, len(data), batch):
        some = data.at(slice(first, first + batch))
        losses.append(loss_of(model, some).item() * len(some))
    mean = sum(losses) / len(data)
    if isinstance(model, AncestryForSNPPrediction):
        return mean, math.exp(mean)
    right = (window_probabilities(model, data, batch).argmax(1) == data.windows.label).float().mean().item()
    return mean, right


@torch.no_grad()
def window_probabilities(model: AncestryPreTrainedModel, data: LabelledWindows, batch: int = 16) -> Tensor:
    """Probability of each population for each window, float32 (B, K), on the processor."""
    model.eval()
    found = []
    for first in range(0, len(data), batch):
        some = data.at(slice(first, first + batch)).to(model.device)
        found.append(model(**some.windows.inputs(), evidence=some.evidence).logits.softmax(-1).cpu())
    return torch.cat(found)


class Lesson(Learner):
    """One stage of the training, as the loop takes it."""

    def __init__(self, teacher: Teacher, stage: str):
        self.teacher, self.stage = teacher, stage

    def batches(self, step: int, process: int, processes: int) -> list[LabelledWindows]:
        return [self.teacher.batch(self.stage, step)]

    def loss(self, model: AncestryPreTrainedModel, batch: LabelledWindows) -> Tensor:
        return loss_of(model, batch)

    def score(self, model: AncestryPreTrainedModel) -> Score:
        loss, value = evaluate(model, self.teacher.valid[self.stage])
        what = SCORES[self.stage]
        return Score((-loss,), {"valid_loss": loss, what: value}, f"validation {what} {value:.3f}")


def course(
    recipe: AncestryRecipe, stage: str, device: str = AUTO, checkpoint_seconds: float = 60.0
) -> Course:
    """The steps of a stage, and when its model is evaluated: before the first, and then at even distances."""
    steps = recipe.pretrain_steps if stage == "pretrain" else recipe.steps
    evaluate = {round(steps * i / recipe.evaluations) for i in range(recipe.evaluations + 1)}
    return Course(
        steps, recipe.warm_up, clip=recipe.clip, evaluate=evaluate, checkpoint_seconds=checkpoint_seconds,
        device=device, seed=recipe.seed,
    )  # fmt: skip


def train_stage(
    model: AncestryPreTrainedModel,
    teacher: Teacher,
    stage: str,
    folder: Path | None = None,
    *,
    progress: Progress = SILENT,
    keep: Callable[[], object] = lambda: None,
    device: str = AUTO,
    checkpoint_seconds: float = 60.0,
) -> Fitted:
    """Trains a model through one stage, and leaves it with the weights of the best validation loss.

    Checkpoints lie in `folder`; one that is there is gone on from.

    Raises:
        InputError: the loss or its gradient is not finite.
    """
    optimizers, plan = (
        Optimizers.of(model, teacher.recipe),
        course(teacher.recipe, stage, device, checkpoint_seconds),
    )

    def tell(moment: Moment) -> None:
        if moment.score is not None:
            progress.say(f"{stage} step {moment.step:,}: loss {moment.loss:.3f}, {moment.score.note}")

    with progress.stage(stage, plan.steps, "steps") as bar:
        return fit(
            model, optimizers.members, Lesson(teacher, stage), plan, folder, stage=bar, tell=tell, keep=keep,
            clipped=optimizers.dense,
        )  # fmt: skip


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
    windows, evidence = teacher.label(windows).to(model.device)
    assert evidence is not None, "there is a reference"
    total = model.total(windows.input_ids, evidence)
    kinds = total.unflatten(1, (-1, direct.out_features))  # (B, c, K)
    scale = float(kinds.std())  # sums grow with the window, and the solver wants numbers about 1
    copying = max(kinds.shape[1] - 1, 1)  # kinds: copying at each rate, then frequencies, which it contains
    first = total.new_tensor([scale / copying] * copying + [0.0] * (kinds.shape[1] - copying))
    weight = first.clone().requires_grad_()
    bias = total.new_zeros(direct.out_features).requires_grad_()
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
        direct.weight.copy_(
            torch.kron(weight[None] / scale, torch.eye(direct.out_features, device=weight.device))
        )
        direct.bias.copy_(bias)


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
