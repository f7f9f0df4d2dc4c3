"""Training of one classification model with one seed, resumable at every epoch."""
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false
# (transformers declares unions wider than what it returns)

import json
import shutil
import time
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
import psutil
import torch
from transformers import (
    AutoModelForSequenceClassification,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from crocuta.analysis.scores import scores
from crocuta.data.labelled import Splits
from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.models.base import ModelConfig, check_lengths
from crocuta.runs.device import has_fast_bfloat16
from crocuta.runs.recipe import Recipe
from crocuta.train.adapt import FULL, Adaptation, trained_parameters
from crocuta.train.labels import problem
from crocuta.train.trainer import ClassifierTrainer, Collator, EncodedDataset


@dataclass(frozen=True)
class Fit:
    """What one training gave: its costs and its validation history."""

    seed: int
    parameters: int
    seconds: float
    peak_memory_mb: float
    epochs: int
    best_epoch: int
    history: list[dict[str, float]]
    valid: dict[str, float]
    trained_parameters: int | None = None


def finetune(
    model: ModelConfig | str | PathLike,
    splits: Splits,
    output: str | PathLike,
    recipe: Recipe | None = None,
    *,
    adaptation: Adaptation = FULL,
    seed: int = 0,
    metric: str = "mcc",
    both_strands: bool = False,
    resume: bool = False,
    callbacks: tuple[TrainerCallback, ...] = (),
) -> Fit:
    """Trains a classifier on `splits.train`, keeps the epoch that is best on `splits.valid`, saves it in `output`.

    Args:
        model: a configuration (new weights), or the folder or hub name of a pretrained model.
        splits: encoded and labelled sequences; the test part is not looked at.
        output: folder of the model: `model.safetensors`, `config.json`, `fit.json`.
        recipe: see `Recipe`.
        adaptation: what of the model is trained; see `crocuta.train.adapt`.
        seed: draws weights, order of examples and augmentation; equal seeds give equal results on one machine.
        metric: validation score that chooses the epoch (see `crocuta.analysis.scores`).
        both_strands: turn each training sequence to its reverse complement with probability one half.
        resume: go on from the last whole checkpoint in `output`, or return at once if training had ended.

    Raises:
        InputError: `output` holds a training and `resume` is not given; a sequence is longer than the model; the loss
            became NaN.
    """
    output, recipe = Path(output), recipe or Recipe()
    done = output / "fit.json"
    if resume and done.exists():
        return Fit(**json.loads(done.read_text()))
    if not resume and output.exists() and any(output.iterdir()):
        raise InputError(
            f"{output}: holds a training already; continue it with --resume, or choose another folder"
        )
    set_seed(seed)
    classifier = build(model, splits.train.classes, problem(splits.train))
    classifier = adaptation.prepare(classifier, splits, seed)
    splits, trained = adaptation.queries(splits, seed), trained_parameters(classifier)
    for part in (splits.train, splits.valid):
        check_lengths(part.sequences, classifier.config, part.sequences.names)
    trainer, monitor = make_trainer(
        classifier, splits, output / "checkpoints", recipe, seed, metric, both_strands, callbacks
    )
    checkpoint = last_whole_checkpoint(output / "checkpoints") if resume else None
    trainer.train(resume_from_checkpoint=checkpoint)
    adaptation.finish(classifier)
    fit = replace(summary(trainer, splits, monitor, seed), trained_parameters=trained)
    trainer.save_model(str(output))
    write_json(done, asdict(fit))
    shutil.rmtree(output / "checkpoints")
    return fit


def build(model: ModelConfig | str | PathLike, classes: tuple[str, ...], problem: str) -> PreTrainedModel:
    """A classifier of `classes`: new from a configuration, or on top of pretrained weights."""
    labels = {
        "id2label": dict(enumerate(classes)),
        "label2id": {name: i for i, name in enumerate(classes)},
        "problem_type": f"{problem}_classification",
    }
    if isinstance(model, ModelConfig):
        config = type(model).from_dict({**model.to_dict(), **labels})
        return AutoModelForSequenceClassification.from_config(config)
    return AutoModelForSequenceClassification.from_pretrained(model, **labels)


def make_trainer(
    model: PreTrainedModel,
    splits: Splits,
    folder: Path,
    recipe: Recipe,
    seed: int,
    metric: str,
    both_strands: bool,
    callbacks: tuple[TrainerCallback, ...],
) -> tuple[ClassifierTrainer, "Monitor"]:
    def judge(prediction: EvalPrediction) -> dict[str, float]:
        return dict(
            scores(prediction.label_ids, to_probabilities(prediction.predictions, problem(splits.train)))
        )

    monitor = Monitor()
    arguments = TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        learning_rate=recipe.learning_rate,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=256,
        num_train_epochs=recipe.epochs,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.1},
        warmup_steps=recipe.warmup,
        max_grad_norm=recipe.clip,
        bf16=has_fast_bfloat16(),
        use_cpu=has_fast_bfloat16() and not torch.cuda.is_available(),  # without it, Trainer refuses bfloat16
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=metric,
        greater_is_better=True,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    trainer = ClassifierTrainer(
        model=model,
        args=arguments,
        recipe=recipe,
        both_strands=both_strands,
        data_collator=Collator(model.config),
        train_dataset=EncodedDataset(splits.train),
        eval_dataset=EncodedDataset(splits.valid),
        compute_metrics=judge,
        callbacks=[EarlyStoppingCallback(recipe.patience), monitor, *callbacks],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, monitor


def to_probabilities(logits: np.ndarray, problem: str) -> np.ndarray:
    """Softmax over classes, or a sigmoid for each class if multi-label."""
    tensor = torch.from_numpy(np.asarray(logits, np.float32))
    return (tensor.sigmoid() if problem == "multi_label" else tensor.softmax(-1)).numpy()


class Monitor(TrainerCallback):
    """Seconds of training and highest resident memory (of the accelerator, where there is one)."""

    def __init__(self):
        self.seconds, self.peak = 0.0, 0.0
        self._start = time.perf_counter()

    def on_train_begin(self, args, state, control, **kwargs):
        self._start = time.perf_counter()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % 10 == 1:
            self._sample()

    def on_train_end(self, args, state, control, **kwargs):
        self._sample()
        self.seconds = time.perf_counter() - self._start

    def _sample(self):
        on_device = torch.cuda.is_available()
        used = torch.cuda.max_memory_allocated() if on_device else psutil.Process().memory_info().rss
        self.peak = max(self.peak, used / 2**20)


def last_whole_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; torn ones (a kill while writing) are removed."""
    newest = None
    steps = lambda path: int(path.name.rsplit("-", 1)[1])  # noqa: E731
    for path in sorted(folder.glob("checkpoint-*"), key=steps):
        if (path / "trainer_state.json").exists():  # written last
            newest = str(path)
        else:
            shutil.rmtree(path)
    return newest


def summary(trainer: ClassifierTrainer, splits: Splits, monitor: Monitor, seed: int) -> Fit:
    """Costs and history of a finished training; the model in `trainer` is the best one by now."""
    epochs: dict[int, dict[str, float]] = {}
    for entry in trainer.state.log_history:
        row = epochs.setdefault(round(entry["epoch"]), {"epoch": round(entry["epoch"])})
        if "loss" in entry:
            row["train_loss"] = entry["loss"]
        row |= {key: entry[key] for key in entry if key.startswith("curvature.")}
        row |= {key.replace("eval_", "valid_"): entry[key] for key in entry if key.startswith("eval_")}
    history = [
        {key: row[key] for key in row if not key.endswith(("_runtime", "_per_second"))}
        for row in epochs.values()
    ]
    logits = trainer.predict(trainer.eval_dataset).predictions
    best = trainer.state.best_global_step or trainer.state.global_step
    return Fit(
        seed=seed,
        parameters=trainer.model.num_parameters(),
        seconds=monitor.seconds,
        peak_memory_mb=monitor.peak,
        epochs=len(history),
        best_epoch=round(best / trainer.state.global_step * trainer.state.epoch),
        history=history,
        valid=dict(scores(splits.valid.labels, to_probabilities(logits, problem(splits.train)))),
    )
