"""Pretraining of a causal model on a genome: next-nucleotide loss, length warm-up, any number of processes.

What happens in a step follows from the settings and the step's number alone; parameters and the optimiser's moments
are the only state. A training that is resumed therefore gives the same losses as one that ran through.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor
from transformers import PreTrainedModel

from crocuta.analysis.markov import fit_markov
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
from crocuta.files import follow_umask, replacing, write_json
from crocuta.pretraining.cost import check_pretraining_memory, estimate_pretraining
from crocuta.pretraining.lengths import LengthPlan
from crocuta.pretraining.recipe import Perplexity, Pretraining
from crocuta.runs.checkpoint import remove_checkpoint
from crocuta.runs.claim import Claim
from crocuta.runs.loop import Fitted, Learner, Moment, Score, fit
from crocuta.runs.manifest import Inputs
from crocuta.runs.optimisation import parameter_groups
from crocuta.runs.processes import claim_together, processes
from crocuta.runs.progress import SILENT, Progress, Stage
from crocuta.runs.recipe import Recipe
from crocuta.runs.saved import read_json


def pretrain(
    model: PreTrainedModel,
    genome: Genome,
    parts: Mapping[str, Intervals],
    recipe: Pretraining,
    output: str | PathLike,
    *,
    inputs: Inputs | None = None,
    markov_order: int = -1,
    resume: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Trains a causal language model on the part "train", and evaluates it on "valid" and "test".

    Under `accelerate launch` or `torchrun` all processes call it alike; the first writes.

    Args:
        model: called with `input_ids` and `labels` (-100: not to be predicted), answers with `loss`.
        genome: where the nucleotides are.
        parts: see `crocuta.data.language.partition`.
        recipe: see `Pretraining`.
        output: run folder: `config.json`, `history.jsonl`, `metrics.json`, `model/`, `manifest.json`, and
            `checkpoint/` until the training has ended.
        inputs: files that model and parts come from, by role, such as `{"bed": "splits.bed"}`; the genome is known.
        markov_order: highest order of the Markov models that are fitted on the same nucleotides; -1: none.
        resume: go on with an unfinished run in `output`; a finished one is shown.
        progress: see `crocuta.runs.progress`; of the first process.

    Returns:
        What `metrics.json` holds; in other processes than the first, without the Markov models.

    Raises:
        InputError: `output` may not be taken; fewer windows in a step than processes; no part for training is long
            enough; memory would not suffice; the loss became NaN.
    """
    team = processes(recipe.device)
    fewest = min(stage.windows for stage in recipe.plan.stages)
    if fewest < team.num_processes:
        raise InputError(
            f"a step has {fewest} windows, fewer than the {team.num_processes} processes; raise `tokens_per_step`"
        )
    settings = _settings(model, parts, recipe, markov_order)
    read = {"genome": genome.path, **(inputs or {})}
    with claim_together(recipe.device, output, "pretrain", settings, read, resume=resume) as run:
        if run.finished:
            return read_json(run.folder / "metrics.json")
        learner = NextNucleotide(genome, parts, recipe)
        check_pretraining_memory(estimate_pretraining(model, recipe, team.num_processes), recipe)
        fitted = _train(model, learner, recipe, run, progress)
        metrics = _metrics(model, learner, fitted, progress)
        if team.is_main_process:
            model.save_pretrained(run.folder / "model")
            follow_umask(run.folder / "model")
        team.wait_for_everyone()
        if team.is_main_process:
            with progress.stage("fitting Markov models"):
                metrics["markov"] = markov_perplexities(genome, parts, markov_order, recipe.both_strands)
            write_json(run.folder / "metrics.json", metrics)
            remove_checkpoint(run.folder)
            run.finish([recipe.seed])
        return metrics


class NextNucleotide(Learner):
    """The next nucleotide in windows of a genome, whose lengths follow the recipe's plan.

    Raises:
        InputError: no part of the genome is long enough to train on.
    """

    parallel = True

    def __init__(self, genome: Genome, parts: Mapping[str, Intervals], recipe: Pretraining):
        self.genome, self.recipe, self.plan = genome, recipe, recipe.plan
        shortest = min(stage.length for stage in self.plan.stages)
        run = max(2, shortest // 2)
        self.regions = {
            part: without_n_runs(genome, intervals, run, shortest if part == "train" else 2)
            for part, intervals in parts.items()
        }
        if not len(self.regions["train"]):
            longest = int(without_n_runs(genome, parts["train"], run, 2).lengths.max(initial=0))
            raise InputError(
                f"{genome.path}: no stretch of {shortest:,} nucleotides without N to train on; the longest has"
                f" {longest:,}: give a `length` up to that"
            )
        self.windows = {
            stage.length: TrainingWindows(
                genome, self.regions["train"], stage.length, recipe.seed, recipe.both_strands
            )
            for stage in self.plan.stages
        }

    def batches(self, step: int, process: int, processes: int) -> list[Batch]:
        stage, local = self.plan.at(step)
        indices = step_indices(local, stage.windows, process, processes)
        return [self.windows[stage.length].batch(part) for part in self._portions(indices, stage.length)]

    def weight(self, batch: Batch) -> float:
        return batch.predicted

    def loss(self, model: Any, batch: Batch) -> Tensor:
        """Mean negative log-likelihood of the predicted nucleotides of a batch."""
        device = next(model.parameters()).device
        ids, labels = (torch.from_numpy(part).to(device) for part in batch)
        return model(input_ids=ids, labels=labels).loss

    def score(self, model: Any) -> Score:
        found = self.perplexity(model, "valid", self.recipe.letters_per_validation)
        values = {"valid_perplexity": found.perplexity}
        return Score((-found.loss,), values, f"validation perplexity {found.perplexity:.4f}")

    @torch.no_grad()
    def perplexity(self, model: Any, part: str, nucleotides: int | None = None) -> Perplexity:
        """On a part of the genome (about `nucleotides` of it), in windows of the final length side by side."""
        windows = thinned(tiles(self.regions[part], self.recipe.length), nucleotides)
        team, device = PartialState(), next(model.parameters()).device
        total = torch.zeros(2, dtype=torch.float64)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            mine = np.arange(team.process_index, len(windows), team.num_processes)
            for some in self._portions(mine, self.recipe.length):
                batch = make_batch([self.genome.sequence(windows[i]) for i in some])
                if batch.predicted:
                    total += torch.tensor([self.loss(model, batch).item() * batch.predicted, batch.predicted])
        loss, count = reduce(total.to(device), "sum").tolist()  # pyright: ignore[reportAttributeAccessIssue]
        mean = loss / max(count, 1)
        return Perplexity(math.exp(mean), mean, int(count))

    def _portions(self, indices: np.ndarray, length: int) -> Iterator[np.ndarray]:
        """Parts of a step's windows that are computed together."""
        size = max(1, self.recipe.tokens_at_once // length)
        return (indices[i : i + size] for i in range(0, len(indices), size))


def _settings(
    model: PreTrainedModel, parts: Mapping[str, Intervals], recipe: Pretraining, markov_order: int
) -> dict[str, Any]:
    """All that decides what comes out."""
    fields = recipe.__dataclass_fields__
    config = model.config.to_diff_dict()
    config.pop("_name_or_path", None)  # weights are known by their content
    return {
        "recipe": {k: value for k, value in asdict(recipe).items() if not fields[k].metadata.get("free")},
        "model": config,
        "parts": {part: _described(intervals) for part, intervals in parts.items()},
        "markov_order": markov_order,
    }


def _described(intervals: Intervals) -> dict[str, Any]:
    places = "".join(f"{contig}\t{start}\t{end}\t{strand}\n" for contig, start, end, _, strand in intervals)
    return {
        "intervals": len(intervals),
        "letters": int(intervals.lengths.sum()),
        "sha256": hashlib.sha256(places.encode()).hexdigest(),
    }


def _train(
    model: PreTrainedModel, learner: NextNucleotide, recipe: Pretraining, run: Claim, progress: Progress
) -> Fitted:
    rates = Recipe(
        learning_rate=recipe.learning_rate,
        filter_learning_rate=recipe.filter_learning_rate,
        weight_decay=recipe.weight_decay,
    )
    optimizer = torch.optim.AdamW(parameter_groups(model, rates), fused=True)
    with progress.stage("pretraining", recipe.plan.steps, "steps") as stage:
        history = _History(run.folder / "history.jsonl", recipe.plan, stage)
        return fit(
            model, optimizer, learner, recipe.course, run.folder, stage=stage, tell=history.add, keep=run.keep
        )


class _History:
    """`history.jsonl`, a line for each moment, and the same in brief on the bar."""

    def __init__(self, path: Path, plan: LengthPlan, stage: Stage):
        self.path, self.plan, self.stage = path, plan, stage
        self.last: dict[str, Any] | None = None
        self.valid = ""

    def add(self, moment: Moment) -> None:
        if self.last is None:
            self.last = self._cut(moment.step)
        tokens, seconds = self.plan.tokens_of(moment.step), round(moment.seconds, 3)
        spent = max(seconds - self.last["seconds"], 1e-9)
        self.last = {
            "step": moment.step,
            "length": self.plan.at(moment.step - 1).stage.length,
            "loss": moment.loss,
            "learning_rate": moment.learning_rate,
            "tokens": tokens,
            "seconds": seconds,
            "tokens_per_second": round((tokens - self.last["tokens"]) / spent, 1),
            "valid_perplexity": moment.score.values["valid_perplexity"] if moment.score else None,
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(self.last) + "\n")
        self._show(self.last, moment.score)

    def _show(self, line: dict[str, Any], score: Score | None) -> None:
        self.valid = f", {score.note}" if score else self.valid
        self.stage.update(
            note=f"windows of {line['length']:,}, {line['tokens_per_second']:,.0f} nucleotides/s,"
            f" loss {line['loss']:.4f}{self.valid}"
        )

    def _cut(self, step: int) -> dict[str, Any]:
        """Drops what an interrupted command wrote from that step on, which comes again; returns the last that stays."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        whole = [line for line in lines if line.endswith("}") and json.loads(line)["step"] < step]
        with replacing(self.path) as file:
            file.writelines(f"{line}\n" for line in whole)
        return json.loads(whole[-1]) if whole else {"tokens": 0, "seconds": 0.0}


def _metrics(
    model: PreTrainedModel, learner: NextNucleotide, fitted: Fitted, progress: Progress
) -> dict[str, Any]:
    """Perplexities on all that is held out, and what the training took."""
    parts = [part for part in ("valid", "test") if len(learner.regions[part])]
    with progress.stage("evaluating", len(parts), "parts") as stage:
        scores = {}
        for part in parts:
            scores[part] = learner.perplexity(model, part)._asdict()
            stage.advance()
    tokens = learner.plan.tokens
    return {
        **scores,
        "parameters": model.num_parameters(),
        "steps": fitted.step,
        "tokens": tokens,
        "seconds": fitted.seconds,
        "tokens_per_second": tokens / max(fitted.seconds, 1e-9),
        "peak_memory_mb": fitted.peak_memory_mb,
        "processes": PartialState().num_processes,
    }


def markov_perplexities(
    genome: Genome, parts: Mapping[str, Intervals], order: int, both_strands: bool
) -> dict[str, dict[str, float]]:
    """Perplexity of Markov models of the training part, on the parts held out: part -> order -> perplexity."""
    if order < 0:
        return {}
    train = [genome.sequence(interval) for interval in parts["train"]]
    fitted = fit_markov(train, order, both_strands)
    found: dict[str, dict[str, float]] = {}
    for part in ("valid", "test"):
        sequences = [genome.sequence(interval) for interval in parts[part]]
        if sequences:
            found[part] = {str(j): fitted.perplexity(sequences, j) for j in range(order + 1)}
    return found
