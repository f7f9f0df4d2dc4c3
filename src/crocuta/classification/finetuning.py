"""Training of one classification model with one seed, resumable at every epoch."""
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false
# (transformers declares unions wider than what it returns)

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path

import numpy as np
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

from crocuta.analysis.scores import METRICS, scores
from crocuta.classification._fit import Fit, stand_alone, write_fit
from crocuta.classification._labels import problem
from crocuta.classification._trainer import ClassifierTrainer, Collator, EncodedDataset
from crocuta.classification.adapt import FULL, Adaptation, trained_parameters
from crocuta.data.labelled import Splits
from crocuta.errors import InputError
from crocuta.files import follow_umask
from crocuta.models.base import ModelConfig
from crocuta.models.ensemble import check_lengths
from crocuta.runs.device import AUTO, choose_device, has_fast_bfloat16, memory_mb
from crocuta.runs.progress import SILENT, Progress, Stage
from crocuta.runs.recipe import Recipe
from crocuta.runs.saved import read_json

CHECKPOINTS = "checkpoints"


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
    device: str = AUTO,
    progress: Progress = SILENT,
) -> Fit:
    """Trains a classifier on `splits.train`, keeps the epoch that is best on `splits.valid`, saves it in `output`.

    Args:
        model: a configuration (new weights), or the folder or hub name of a pretrained model.
        splits: encoded and labelled sequences; the test part is not looked at.
        output: folder of the model: `model.safetensors`, `config.json`, `fit.json`, `training.json` (what was asked).
        recipe: see `Recipe`.
        adaptation: what of the model is trained; see `crocuta.classification.adapt`.
        seed: draws weights, order of examples and augmentation; equal seeds give equal results on one machine.
        metric: validation score that chooses the epoch (see `crocuta.analysis.scores`).
        both_strands: turn each training sequence to its reverse complement with probability one half.
        resume: go on from the last whole checkpoint in `output`, or return at once if training had ended.
        device: see `crocuta.runs.device.choose_device`.
        progress: is shown the steps.

    Raises:
        InputError: `output` may not be taken (see `crocuta.runs.claim`); a sequence is longer than the model; the loss
            became NaN.
    """
    recipe = recipe or Recipe()
    options = {"seed": seed, "metric": metric, "both_strands": both_strands}

    def train(folder: Path, keep: Callable[[], None]) -> Fit:
        with progress.stage("training", unit="steps") as stage:
            return train_network(
                model, splits, folder, recipe, adaptation=adaptation, device=device, stage=stage, keep=keep, **options
            )  # fmt: skip

    settings = {"recipe": asdict(recipe), "adaptation": [adaptation.name, asdict(adaptation)], **options}
    return stand_alone(output, "finetune", model, splits, resume, train, **settings)


def train_network(
    model: ModelConfig | str | PathLike,
    splits: Splits,
    folder: Path,
    recipe: Recipe,
    *,
    adaptation: Adaptation = FULL,
    seed: int = 0,
    metric: str = "mcc",
    both_strands: bool = False,
    device: str = AUTO,
    stage: Stage | None = None,
    keep: Callable[[], object] = lambda: None,
) -> Fit:
    """`finetune` in a folder that is the caller's: goes on from the checkpoint in it; `keep` is called after each."""
    set_seed(seed)
    classifier = build(model, splits.train.classes, problem(splits.train))
    classifier = adaptation.prepare(classifier, splits, seed)
    splits, trained = adaptation.queries(splits, seed), trained_parameters(classifier)
    for part in (splits.train, splits.valid):
        check_lengths(part.sequences, classifier.config, part.sequences.names)
    checkpoints = folder / CHECKPOINTS
    watch = Watch(stage or Stage(""), keep, metric)
    trainer = make_trainer(classifier, splits, checkpoints, recipe, seed, metric, both_strands, device, watch)
    trainer.train(resume_from_checkpoint=last_checkpoint(checkpoints))
    adaptation.finish(classifier)
    fit = replace(summary(trainer, watch, seed), trained_parameters=trained)
    trainer.save_model(str(folder))
    shutil.rmtree(checkpoints)
    follow_umask(folder)
    write_fit(folder, fit)
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
    device: str,
    watch: "Watch",
) -> ClassifierTrainer:
    def score(prediction: EvalPrediction) -> dict[str, float]:
        return dict(
            scores(prediction.label_ids, to_probabilities(prediction.predictions, problem(splits.train)))
        )

    chosen = choose_device(device)
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
        bf16=has_fast_bfloat16(chosen),
        use_cpu=chosen.type == "cpu",
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
        dataloader_pin_memory=chosen.type == "cuda",
    )
    compute_on(arguments, chosen)
    trainer = ClassifierTrainer(
        model=model,
        args=arguments,
        recipe=recipe,
        both_strands=both_strands,
        data_collator=Collator(model.config),
        train_dataset=EncodedDataset(splits.train),
        eval_dataset=EncodedDataset(splits.valid),
        compute_metrics=score,
        callbacks=[EarlyStoppingCallback(recipe.patience), watch],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def compute_on(arguments: TrainingArguments, device: torch.device) -> None:
    """One device; of several accelerators transformers would take the first, or spread each batch over all."""
    if device.type == "cuda" and arguments.distributed_state.num_processes == 1:
        torch.cuda.set_device(device)
        arguments.distributed_state.device = device
        arguments.__dict__["_setup_devices"] = device
        arguments._n_gpu = 1


def to_probabilities(logits: np.ndarray, problem: str) -> np.ndarray:
    """Softmax over classes, or a sigmoid for each class if multi-label."""
    tensor = torch.from_numpy(np.asarray(logits, np.float32))
    return (tensor.sigmoid() if problem == "multi_label" else tensor.softmax(-1)).numpy()


class Watch(TrainerCallback):
    """Follows a training: its seconds, its memory, its progress, and its checkpoints, which `keep` hears of."""

    def __init__(self, stage: Stage, keep: Callable[[], object], metric: str):
        self.stage, self.keep, self.metric = stage, keep, metric
        self.seconds, self.peak, self.score = 0.0, 0.0, ""
        self._start = time.perf_counter()

    def on_train_begin(self, args, state, control, **kwargs):
        self._start = time.perf_counter()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        if state.best_global_step:  # the run folder may have moved since its path was written down
            state.best_model_checkpoint = str(Path(args.output_dir) / f"checkpoint-{state.best_global_step}")

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % 10 == 1:
            self._sample(args)
        epoch = f"epoch {min(int(state.epoch) + 1, state.num_train_epochs)} of {state.num_train_epochs}"
        self.stage.update(state.global_step, state.max_steps, ", ".join(filter(None, (epoch, self.score))))

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        self.score = f"validation {self.metric} {(metrics or {})[f'eval_{self.metric}']:.3f}"

    def on_save(self, args, state, control, **kwargs):
        self.keep()

    def on_train_end(self, args, state, control, **kwargs):
        self._sample(args)
        self.seconds = time.perf_counter() - self._start

    def _sample(self, args):
        self.peak = max(self.peak, memory_mb(args.device))


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; torn ones (a kill while writing) are removed."""
    steps = lambda path: int(path.name.rsplit("-", 1)[1])  # noqa: E731
    for path in sorted(folder.glob("checkpoint-*"), key=steps, reverse=True):
        try:
            read_json(path / "trainer_state.json")  # written last
        except InputError:
            shutil.rmtree(path)
        else:
            return str(path)
    return None


def summary(trainer: ClassifierTrainer, watch: Watch, seed: int) -> Fit:
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
    best = trainer.state.best_global_step or trainer.state.global_step
    best_epoch = round(best / trainer.state.global_step * trainer.state.epoch)
    chosen = {key.removeprefix("valid_"): value for key, value in history[best_epoch - 1].items()}
    return Fit(
        seed=seed,
        parameters=trainer.model.num_parameters(),
        seconds=watch.seconds,
        peak_memory_mb=watch.peak,
        epochs=len(history),
        best_epoch=best_epoch,
        history=history,
        valid={metric: chosen[metric] for metric in METRICS},
    )
