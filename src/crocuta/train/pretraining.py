"""Pretraining of a causal model on a genome: next-nucleotide loss, length warm-up, any number of processes.

What happens in a step follows from the settings and the step's number alone; parameters and the optimiser's moments
are the only state. A training that is resumed therefore gives the same losses as one that ran through.
"""

import contextlib
import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import PreTrainedModel

from crocuta.data.genome import Genome
from crocuta.data.intervals import Intervals
from crocuta.data.language import (
    Batch,
    TrainingWindows,
    make_batch,
    step_indices,
    thinned,
    tiles,
    without_n_runs,
)
from crocuta.errors import InputError
from crocuta.files import replacing, write_json
from crocuta.runs.manifest import manifest
from crocuta.runs.optimisation import first_non_finite, learning_rate_factor, parameter_groups
from crocuta.runs.recipe import Recipe
from crocuta.train.checkpoint import load_checkpoint, read_state, save_checkpoint
from crocuta.train.pretraining_recipe import PRECISIONS, Moment, Pretraining, Score, Watcher


def pretrain(
    model: PreTrainedModel,
    genome: Genome,
    parts: Mapping[str, Intervals],
    recipe: Pretraining,
    output: str | PathLike,
    *,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Trains a causal language model on the part "train", and judges it on "valid" and "test".

    Under `accelerate launch` or `torchrun` all processes call it alike; the first writes.

    Args:
        model: called with `input_ids` and `labels` (-100: not to be predicted), answers with `loss`.
        genome: where the letters are.
        parts: see `crocuta.data.language.partition`.
        recipe: see `Pretraining`.
        output: run folder: `config.json`, `manifest.json`, `history.jsonl`, `metrics.json`, `model/`, and
            `checkpoint/` until the training has ended.
        resume: go on from the checkpoint in `output`.
        watcher: hears of progress, in the first process.

    Returns:
        What `metrics.json` holds.

    Raises:
        InputError: `output` holds another training; fewer windows in a step than processes; the loss became NaN.
    """
    output = Path(output)
    if resume and (output / "metrics.json").exists():
        return json.loads((output / "metrics.json").read_text())
    run = _Run(model, genome, parts, recipe, output, watcher or Watcher())
    run.begin(resume)
    run.train()
    return run.finish()


class _Run:
    """One training while it goes on."""

    def __init__(
        self,
        model: PreTrainedModel,
        genome: Genome,
        parts: Mapping[str, Intervals],
        recipe: Pretraining,
        output: Path,
        watcher: Watcher,
    ):
        self.recipe, self.plan, self.output, self.watcher = recipe, recipe.plan, output, watcher
        self.genome, self.parts = genome, parts
        AcceleratorState._reset_state()  # an earlier training in this process may have had another precision
        self.accelerator = Accelerator(mixed_precision=PRECISIONS[recipe.precision])
        self.model: Any = model
        shortest = min(stage.length for stage in self.plan.stages)
        self.regions = {
            part: without_n_runs(genome, intervals, max(2, shortest // 2), shortest if part == "train" else 2)
            for part, intervals in parts.items()
        }
        if not len(self.regions["train"]):
            longest = int(
                without_n_runs(genome, parts["train"], max(2, shortest // 2), 2).lengths.max(initial=0)
            )
            raise InputError(
                f"{genome.path}: no stretch of {shortest:,} letters without N to train on; the longest has"
                f" {longest:,}: give a --length up to that"
            )
        self.windows = {
            stage.length: TrainingWindows(
                genome, self.regions["train"], stage.length, recipe.seed, recipe.both_strands
            )
            for stage in self.plan.stages
        }
        self.step, self.tokens, self.seconds = 0, 0, 0.0

    def begin(self, resume: bool) -> None:
        """Writes the run's description, or checks that it is the same and takes up its checkpoint."""
        fewest = min(stage.windows for stage in self.plan.stages)
        if fewest < self.accelerator.num_processes:
            raise InputError(
                f"a step has {fewest} windows, fewer than the {self.accelerator.num_processes} processes;"
                " raise --tokens-per-step"
            )
        config = self.config()
        path = self.output / "config.json"
        if not resume:
            check_new(self.output)
        self.accelerator.wait_for_everyone()
        if path.exists():
            _check_same(self.output, json.loads(path.read_text()), config)
        elif self.accelerator.is_main_process:
            write_json(path, config)
            write_json(self.output / "manifest.json", manifest([self.genome.path], [self.recipe.seed]))
        self.prepare(read_state(self.output) if resume else None)

    def prepare(self, state: dict[str, Any] | None) -> None:
        """Model and optimiser, new or from a checkpoint; the history is cut where the checkpoint was made."""
        if state:
            self.model = type(self.model).from_pretrained(state["folder"] / "model")
        rates = Recipe(
            learning_rate=self.recipe.learning_rate,
            filter_learning_rate=self.recipe.filter_learning_rate,
            weight_decay=self.recipe.weight_decay,
        )
        groups = parameter_groups(self.model, rates)
        for group in groups:
            group["peak"] = group["lr"]
        self.optimizer: Any = torch.optim.AdamW(groups, fused=True)
        if state:
            load_checkpoint(self.optimizer, state["folder"])
            self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        self.model, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
        if self.accelerator.is_main_process:
            _cut_history(self.output / "history.jsonl", self.step)

    def config(self) -> dict[str, Any]:
        """What was asked, without what may change when a run is resumed."""
        fixed = {
            key: value
            for key, value in asdict(self.recipe).items()
            if not self.recipe.__dataclass_fields__[key].metadata.get("free")
        }
        return json.loads(
            json.dumps(
                {
                    "kind": "pretraining",
                    "recipe": fixed,
                    "model": self.model.config.to_diff_dict(),
                    "genome": {"file": self.genome.path.name, "letters": len(self.genome)},
                    "parts": {
                        part: {"intervals": len(found), "letters": int(found.lengths.sum())}
                        for part, found in self.parts.items()
                    },
                }
            )
        )

    def train(self) -> None:
        recipe, steps = self.recipe, self.plan.steps
        evaluations = {round(steps * (i + 1) / recipe.evaluations) for i in range(recipe.evaluations)} - {
            steps
        }
        saved, losses = time.monotonic(), []
        since = (self.tokens, self.seconds)
        while self.step < steps:
            start = time.perf_counter()
            losses.append(self.train_step())
            self.seconds += time.perf_counter() - start
            self.step += 1
            evaluate = self.step in evaluations
            if evaluate or self.step % recipe.log_every == 0 or self.step == steps:
                self.log(
                    losses, since, self.score("valid", recipe.letters_per_validation) if evaluate else None
                )
                losses, since = [], (self.tokens, self.seconds)
            if time.monotonic() - saved >= recipe.checkpoint_seconds and self.step < steps:
                self.save()
                saved = time.monotonic()

    def train_step(self) -> torch.Tensor:
        """One step of the optimiser; returns this process's share of the mean loss."""
        stage, local = self.plan.at(self.step)
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        torch.manual_seed(_mixed(self.recipe.seed, self.step, process))
        indices = step_indices(local, stage.windows, process, processes)
        batches = [self.windows[stage.length].batch(part) for part in self.portions(indices, stage.length)]
        predicted = torch.tensor(sum(batch.predicted for batch in batches), device=self.accelerator.device)
        total = int(self.accelerator.reduce(predicted, "sum"))  # pyright: ignore[reportArgumentType]
        factor = learning_rate_factor(self.step, self.plan.steps, self.recipe.learning_rate_warm_up)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.model.train()
        share = torch.zeros((), device=self.accelerator.device)
        for i, batch in enumerate(batches):
            last = i == len(batches) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                loss = self.loss(batch) * (batch.predicted / total)
                self.accelerator.backward(loss * processes)  # gradients are averaged over processes
            share += loss.detach()
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        if not torch.isfinite(torch.as_tensor(norm)):
            self.stop(batches[0])
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.tokens += stage.tokens
        return share

    def portions(self, indices: np.ndarray, length: int) -> Iterator[np.ndarray]:
        """Parts of a step's windows that are computed together."""
        size = max(1, self.recipe.tokens_at_once // length)
        return (indices[i : i + size] for i in range(0, len(indices), size))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Mean negative log likelihood of the predicted letters of a batch."""
        device = self.accelerator.device
        ids, labels = (torch.from_numpy(part).to(device) for part in batch)
        return self.model(input_ids=ids, labels=labels).loss

    def stop(self, batch: Batch) -> None:
        state = read_state(self.output)
        model = self.accelerator.unwrap_model(self.model)
        ids = torch.from_numpy(batch.input_ids).to(self.accelerator.device)
        raise InputError(
            f"training stopped at step {self.step + 1:,}: the loss or its gradient is not finite, first in"
            f" {first_non_finite(model, lambda: model(input_ids=ids))}; last good checkpoint:"
            f" {state['folder'] if state else 'none yet'}; try a lower --learning-rate or a longer"
            " --learning-rate-warm-up in a new folder"
        )

    def log(self, losses: list[torch.Tensor], since: tuple[int, float], score: Score | None) -> None:
        loss = self.accelerator.reduce(torch.stack(losses).mean(), "sum")
        seconds = max(self.seconds - since[1], 1e-9)
        moment = Moment(
            self.step,
            self.plan.at(self.step - 1).stage.length,
            float(loss),  # pyright: ignore[reportArgumentType]
            self.optimizer.param_groups[0]["lr"],
            self.tokens,
            round(self.seconds, 3),
            round((self.tokens - since[0]) / seconds, 1),
            score.perplexity if score else None,
        )
        if self.accelerator.is_main_process:
            with open(self.output / "history.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(moment._asdict()) + "\n")
            self.watcher.moment(moment)

    def score(self, part: str, letters: int | None = None) -> Score:
        """Perplexity on a part of the genome, in windows of the final length side by side."""
        windows = thinned(tiles(self.regions[part], self.recipe.length), letters)
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        total = torch.zeros(2, dtype=torch.float64, device=self.accelerator.device)
        self.model.eval()
        with torch.no_grad():
            for some in self.portions(np.arange(process, len(windows), processes), self.recipe.length):
                batch = make_batch([self.genome.sequence(windows[i]) for i in some])
                if batch.predicted:
                    total += torch.tensor([self.loss(batch).item() * batch.predicted, batch.predicted])
        loss, count = self.accelerator.reduce(total, "sum").tolist()  # pyright: ignore[reportAttributeAccessIssue]
        mean = loss / max(count, 1)
        return Score(math.exp(mean), mean, int(count))

    def save(self) -> None:
        if self.accelerator.is_main_process:
            state = {"step": self.step, "tokens": self.tokens, "seconds": self.seconds}
            save_checkpoint(
                self.output, self.accelerator.unwrap_model(self.model), self.optimizer.optimizer, state
            )

    def finish(self) -> dict[str, Any]:
        """Judges the model on everything held out, saves it, and writes the metrics."""
        scores = {part: self.score(part)._asdict() for part in ("valid", "test") if len(self.regions[part])}
        model = self.accelerator.unwrap_model(self.model)
        metrics = {
            **scores,
            "parameters": model.num_parameters(),
            "steps": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens / max(self.seconds, 1e-9),
            "processes": self.accelerator.num_processes,
        }
        if self.accelerator.is_main_process:
            model.save_pretrained(self.output / "model")
            write_json(self.output / "metrics.json", metrics)
            shutil.rmtree(self.output / "checkpoint", ignore_errors=True)
        self.accelerator.wait_for_everyone()
        return metrics


def check_new(output: Path) -> None:
    """Raises InputError where a run lies already."""
    if (output / "config.json").exists():
        raise InputError(f"{output}: holds a run; continue it with --resume, or choose another folder")


def _mixed(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _check_same(folder: Path, before: Any, now: Any, name: str = "") -> None:
    """Raises InputError at the first setting that differs from those that a run began with."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before.keys() | now.keys():
            _check_same(folder, before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        raise InputError(
            f"{folder}: began with {name} = {before!r}, now it is {now!r}; resume with the same settings,"
            " or choose another folder"
        )


def _cut_history(path: Path, step: int) -> None:
    """Drops what was logged after a step."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    with replacing(path) as file:
        file.writelines(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step)
