"""The training loop of all that `transformers.Trainer` does not train: on any device, in any number of processes.

What happens in a step follows from the settings and the step's number alone; weights and the optimisers' moments are
the only state. A training that is resumed therefore gives the same weights as one that ran through.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from crocuta.errors import InputError
from crocuta.runs.checkpoint import join_state, read_checkpoint, save_checkpoint, split_state
from crocuta.runs.device import AUTO, choose_device, memory_mb
from crocuta.runs.optimisation import curvatures, first_non_finite, learning_rate_factor
from crocuta.runs.processes import processes
from crocuta.runs.progress import Stage

PRECISIONS = {"float32": "no", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Course:
    """How long and by which steps a model is trained.

    Args:
        steps: of the optimisers.
        warm_up: share of the steps over which the learning rates rise.
        floor: share of the learning rates where their cosine ends; 1: they do not fall.
        clip: largest norm of the gradient; None: any.
        evaluate: steps after which the learner scores the model (0: before the first).
        keep_best: the training ends with the weights that scored best, of equals the first; False: with the last ones.
        patience: steps without a better score after which training stops; None: never.
        log_every: steps between two moments that are reported in addition to those of `evaluate`.
        checkpoint_seconds: between two checkpoints; 0: one after every evaluation, and after every reported step.
        precision: "float32" or "bfloat16" (autocast).
        device: see `crocuta.runs.device.choose_device`.
        seed: draws what is random in a step.
    """

    steps: int
    warm_up: float = 0.05
    floor: float = 0.1
    clip: float | None = 1.0
    evaluate: Collection[int] = ()
    keep_best: bool = True
    patience: int | None = None
    log_every: int | None = None
    checkpoint_seconds: float = 60.0
    precision: str = "float32"
    device: str = AUTO
    seed: int = 0


class Score(NamedTuple):
    """How good a model is: `rank` decides (the greater, the better), `values` are written down, `note` is shown."""

    rank: tuple[float, ...]
    values: dict[str, float]
    note: str = ""


class Learner:
    """What a training is of: its batches, its loss, its score. Batches follow from the step's number alone."""

    #: Whether several processes may share a step: `loss` calls the model itself, and `batches` shares them out.
    parallel = False

    def batches(self, step: int, process: int, processes: int) -> Sequence[Any]:
        """What this process learns from in a step, in portions that are computed one after the other."""
        raise NotImplementedError

    def weight(self, batch: Any) -> float:
        """Over how many things the loss of a portion is a mean."""
        return 1.0

    def loss(self, model: Any, batch: Any) -> Tensor:
        """The mean loss of a portion; what is random in it is drawn from torch's global generator."""
        raise NotImplementedError

    def score(self, model: Any) -> Score:
        """Called in evaluation mode, without gradients, in every process, where the course asks for evaluations."""
        raise NotImplementedError


class Moment(NamedTuple):
    """What is reported after some steps: the mean loss since the last time; a score where the model was evaluated."""

    step: int
    loss: float
    learning_rate: float
    seconds: float
    score: Score | None


@dataclass
class Fitted:
    """Where a training stands, and what it took; `history` has an entry for each evaluation."""

    step: int = 0
    best_step: int = 0
    best: list[float] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0


def accelerator(course: Course) -> Accelerator:
    """The accelerate of a course; processes are those of the launcher."""
    processes(course.device)
    AcceleratorState._reset_state(
        reset_partial_state=False
    )  # an earlier training may have had another precision
    cpu = choose_device(course.device).type == "cpu"
    return Accelerator(mixed_precision=PRECISIONS[course.precision], cpu=cpu)


def mixed(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_all(seed: int, device: torch.device) -> None:
    """`torch.manual_seed`, which without a GPU writes down the call stack for one: 0.5 ms, as long as small steps."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def fit(
    model: nn.Module,
    optimizers: torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
    learner: Learner,
    course: Course,
    folder: Path | None = None,
    *,
    stage: Stage | None = None,
    tell: Callable[[Moment], object] = lambda moment: None,
    keep: Callable[[], object] = lambda: None,
    clipped: Sequence[nn.Parameter] | None = None,
) -> Fitted:
    """Trains a model in place; it ends with the best evaluated weights, or the last ones (see `Course`), in eval mode.

    Args:
        model: moved to the course's device.
        optimizers: one, or several whose parameters are disjoint; their groups' `lr` are the peaks.
        learner: see `Learner`.
        course: see `Course`.
        folder: where checkpoints lie while the training goes on; one that is there is gone on from.
        stage: is shown steps and the last score.
        tell: hears moments, in the first process.
        keep: called when a checkpoint has been written.
        clipped: whose gradients count for, and are scaled by, `clip`; default all.

    Raises:
        InputError: the loss or its gradient is not finite; the message names the step and the first such layer.
    """
    several = [optimizers] if isinstance(optimizers, torch.optim.Optimizer) else list(optimizers)
    training = _Training(model, several, learner, course, folder, stage or Stage(""), tell, keep, clipped)
    training.resume()
    training.run()
    return training.finish()


class _Training:
    """One training while it goes on."""

    def __init__(self, model, optimizers, learner, course, folder, stage, tell, keep, clipped):
        self.learner, self.course, self.folder = learner, course, folder
        self.stage, self.tell, self.keep = stage, tell, keep
        self.accelerator = accelerator(course)
        model.to(self.accelerator.device)
        self.bare: nn.Module = model
        self.clipped = list(model.parameters()) if clipped is None else list(clipped)
        self.optimizers = optimizers
        self.peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        processes = self.accelerator.num_processes
        if processes > 1 and not learner.parallel:
            raise InputError(f"this training runs in one process, and {processes} were started")
        self.model: Any = self.accelerator.prepare(model) if processes > 1 else model
        self.at = Fitted()
        self.best_weights: dict[str, Tensor] | None = None

    @property
    def process(self) -> tuple[int, int]:
        return self.accelerator.process_index, self.accelerator.num_processes

    def resume(self) -> None:
        found = read_checkpoint(self.folder) if self.folder else None
        if found is None:
            return
        tensors, state = found
        self.bare.load_state_dict(tensors["model"])
        join_state(self.optimizers, tensors["optimizer"], state["optimizer"])
        self.best_weights = tensors.get("best")
        self.at = Fitted(**state["at"])

    def run(self) -> None:
        course, at = self.course, self.at
        evaluate, losses = set(course.evaluate), []
        saved = time.monotonic()
        self.stage.update(at.step, course.steps)
        if at.step == 0 and 0 in evaluate:
            self.evaluate()
        while at.step < course.steps and not self.patience_lost():
            wall, cpu = time.perf_counter(), time.process_time()
            losses.append(self.step())
            at.seconds += time.perf_counter() - wall
            at.cpu_seconds += time.process_time() - cpu
            at.step += 1
            due_report = at.step in evaluate or at.step == course.steps
            due_report |= bool(course.log_every) and at.step % (course.log_every or 1) == 0
            if due_report:
                self.say(torch.stack(losses).mean(), self.evaluate() if at.step in evaluate else None)
                losses = []
            self.stage.update(at.step)
            due = time.monotonic() - saved >= course.checkpoint_seconds
            if due and (due_report or course.checkpoint_seconds) and at.step < course.steps:
                self.save()
                saved = time.monotonic()

    def patience_lost(self) -> bool:
        patience, at = self.course.patience, self.at
        return patience is not None and bool(at.best) and at.step - at.best_step >= patience

    def step(self) -> Tensor:
        """One step of the optimisers; returns this process's share of the mean loss."""
        process, processes = self.process
        seed_all(mixed(self.course.seed, self.at.step, process), self.accelerator.device)
        batches = self.learner.batches(self.at.step, process, processes)
        self.set_rates()
        self.model.train()
        share, total = torch.zeros((), device=self.accelerator.device), self.total(batches)
        for i, batch in enumerate(batches):
            last = i == len(batches) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                with self.accelerator.autocast():
                    part = self.learner.loss(self.model, batch) * (self.learner.weight(batch) / total)
                self.accelerator.backward(part * processes)  # gradients are averaged over processes
            share += part.detach()
        self.descend(share, batches[0])
        return share

    def total(self, batches: Sequence[Any]) -> float:
        """The weight of all portions of all processes."""
        own = sum(map(self.learner.weight, batches))
        if self.accelerator.num_processes == 1:
            return own
        return self.sum(torch.tensor(own, device=self.accelerator.device))

    def sum(self, value: Tensor) -> float:
        """Of all processes."""
        total: Any = self.accelerator.reduce(value, "sum")
        return float(total)

    def set_rates(self) -> None:
        course = self.course
        factor = learning_rate_factor(self.at.step, course.steps, course.warm_up, course.floor)
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor

    def descend(self, loss: Tensor, batch: Any) -> None:
        limit = self.course.clip
        norm = self.accelerator.clip_grad_norm_(self.clipped, float("inf") if limit is None else limit)
        if not (torch.isfinite(loss) and torch.isfinite(torch.as_tensor(norm))):
            self.stop(loss, batch)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def stop(self, loss: Tensor, batch: Any) -> None:
        where = first_non_finite(self.bare, lambda: self.learner.loss(self.bare, batch))
        kept = self.folder and read_checkpoint(self.folder)
        last = (
            f"the last good checkpoint is that of step {kept[1]['at']['step']:,}"
            if kept
            else "no checkpoint yet"
        )
        raise InputError(
            f"training stopped at step {self.at.step + 1:,}: the loss or its gradient is not finite (loss"
            f" {float(loss):g}), first in {where}; {last}; try a lower `learning_rate`, or check the data"
        )

    def evaluate(self) -> Score:
        self.model.eval()
        with torch.no_grad():
            # the model itself: what processes share wants as many calls from each
            score = self.learner.score(self.bare)
        if not self.at.best or list(score.rank) > self.at.best:
            self.at.best, self.at.best_step = list(score.rank), self.at.step
            if self.course.keep_best:
                self.best_weights = {
                    name: value.detach().clone() for name, value in self.bare.state_dict().items()
                }
        return score

    def say(self, loss: Tensor, score: Score | None) -> None:
        mean = self.sum(loss)
        at = self.at
        at.peak_memory_mb = max(at.peak_memory_mb, memory_mb(self.accelerator.device))
        if score is not None:
            values = {"step": at.step, "loss": mean, **score.values, **curvatures(self.bare)}
            at.history.append(values)
            self.stage.update(note=score.note)
        if self.accelerator.is_main_process:
            rate = self.optimizers[0].param_groups[0]["lr"]
            self.tell(Moment(at.step, mean, rate, at.seconds, score))

    def save(self) -> None:
        if self.folder is None or not self.accelerator.is_main_process:
            return
        moments, rest = split_state(self.optimizers)
        tensors = {"model": self.bare.state_dict(), "optimizer": moments}
        if self.best_weights is not None:
            tensors["best"] = self.best_weights
        save_checkpoint(self.folder, tensors, {"at": asdict(self.at), "optimizer": rest})
        self.keep()

    def finish(self) -> Fitted:
        if self.best_weights is not None:
            self.bare.load_state_dict(self.best_weights)
        self.bare.eval()
        self.at.peak_memory_mb = max(self.at.peak_memory_mb, memory_mb(self.accelerator.device))
        return self.at


def epochs(epochs: int, steps: int, every: int = 1) -> range:
    """The steps at which every `every`th epoch of this many steps ends, for `Course.evaluate`."""
    return range(every * steps, epochs * steps + 1, every * steps)
