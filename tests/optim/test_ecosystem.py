"""The optimisers under accelerate, gradient scaling, torch.compile and transformers.Trainer."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from crocuta.manifolds import Lorentz
from crocuta.optim import RiemannianAdam, RiemannianSGD, parameter_groups, trainer_optimizer


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global Config, Classifier, Trainer, TrainingArguments
    from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainingArguments
    from transformers.modeling_outputs import SequenceClassifierOutput

    class Config(PretrainedConfig):
        model_type = "lorentz-embedding-for-tests"

    class Classifier(PreTrainedModel):
        """Labels of items from learned points."""

        config_class = Config
        on_manifold = {"points": "manifold"}  # noqa: RUF012

        def __init__(self, config):
            super().__init__(config)
            self.manifold = Lorentz(learnable=True)
            self.points = nn.Parameter(torch.zeros(8, 4))
            self.head = nn.Linear(3, 2)
            self.post_init()

        def _init_weights(self, module):
            if module is self:
                generator = torch.Generator().manual_seed(0)
                module.points.data = Lorentz().random((8, 3), generator=generator)

        def forward(self, input_ids, labels=None):
            logits = self.head(self.manifold.logmap0(self.points[input_ids]))
            loss = nn.functional.cross_entropy(logits, labels) if labels is not None else None
            return SequenceClassifierOutput(loss=loss, logits=logits)


BATCH = {"input_ids": torch.arange(8), "labels": torch.arange(8) % 2}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Classifier(Config())


def moved(model, start):
    model.manifold.check(model.points)
    return not torch.isclose(model.points, start).all(-1).any()


def test_accelerate(model):
    from accelerate import Accelerator

    accelerator, start = Accelerator(cpu=True), model.points.detach().clone()
    wrapped, optimizer = accelerator.prepare(model, RiemannianAdam(parameter_groups(model, lr=0.1)))
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        losses.append(wrapped(**BATCH).loss)
        accelerator.backward(losses[-1])
        accelerator.clip_grad_norm_(wrapped.parameters(), 1.0)
        optimizer.step()
    assert losses[-1].item() < losses[0].item()
    assert moved(model, start)


@pytest.mark.parametrize("optimizer", [RiemannianAdam, RiemannianSGD])
@pytest.mark.parametrize("fused", [None, True])
def test_gradient_scaling(model, optimizer, fused):
    scaler, start = torch.amp.GradScaler("cpu", init_scale=1024.0), model.points.detach().clone()
    opt = optimizer(parameter_groups(model, lr=0.1), fused=fused)
    scaler.scale(model(**BATCH).loss).backward()
    model.head.weight.grad[0, 0] = float("inf")
    scaler.step(opt)
    scaler.update()
    assert torch.equal(model.points, start)  # an overflow skips points as well
    opt.zero_grad()

    twin = Classifier(Config())
    twin.load_state_dict(model.state_dict())
    plain = optimizer(parameter_groups(twin, lr=0.1), fused=fused)
    twin(**BATCH).loss.backward()
    plain.step()
    scaler.scale(model(**BATCH).loss).backward()
    scaler.step(opt)
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's tracer does
def test_compiled_model(model):
    start, compiled = model.points.detach().clone(), torch.compile(model, backend="eager")
    opt = RiemannianAdam(compiled, lr=0.1)
    losses = []
    for _ in range(5):
        opt.zero_grad()
        losses.append(compiled(**BATCH).loss)
        losses[-1].backward()
        opt.step()
    assert losses[-1].item() < losses[0].item()
    assert moved(model, start)


def trainer(model, folder, steps):
    arguments = TrainingArguments(
        str(folder), max_steps=steps, save_steps=3, per_device_train_batch_size=8, learning_rate=9.0,
        report_to=[], use_cpu=True, disable_tqdm=True, logging_strategy="no", seed=0,
        dataloader_pin_memory=False,
    )  # fmt: skip
    data = [{name: value[i] for name, value in BATCH.items()} for i in range(8)]
    settings = trainer_optimizer(lr=0.1, curvature_lr=0.01, weight_decay=0.2, betas=(0.8, 0.9))
    return Trainer(model, arguments, train_dataset=data, optimizer_cls_and_kwargs=settings)


def test_trainer_trains_saves_and_resumes(model, tmp_path):
    start = model.points.detach().clone()
    straight = trainer(model, tmp_path / "a", steps=6)
    straight.train()
    optimizer = getattr(straight.optimizer, "optimizer", straight.optimizer)
    assert type(optimizer) is RiemannianAdam
    groups = {g["name"]: (g["initial_lr"], g["weight_decay"], g["betas"]) for g in optimizer.param_groups}
    assert groups == {
        "points": (0.1, 0.0, (0.8, 0.9)),
        "decay": (0.1, 0.2, (0.8, 0.9)),
        "no_decay": (0.1, 0.0, (0.8, 0.9)),
        "curvature": (0.01, 0.0, (0.8, 0.9)),
    }
    assert moved(model, start)

    resumed = trainer(Classifier(Config()), tmp_path / "a", steps=6)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    for ours, theirs in zip(resumed.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_points_survive_from_pretrained_and_train(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = Classifier.from_pretrained(tmp_path)
    assert RiemannianAdam(loaded).manifolds == {loaded.points: loaded.manifold}
    assert torch.equal(loaded.points, model.points)


def test_import_is_light():
    code = "import crocuta.optim, sys; assert not {'transformers', 'accelerate'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
