"""The loop: it learns, resumes to the same weights, keeps the best, clips, stops, and tells what is not finite."""

import numpy as np
import pytest
import torch
from torch import nn

from crocuta.errors import InputError
from crocuta.runs.checkpoint import read_checkpoint


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global Course, Score, fit
    from crocuta.runs.loop import Course, Score, fit


class Line:
    """A `Learner`, by its methods alone: learns y = 2x + 1 from noisy points."""

    parallel = False

    def __init__(self, portions=1, stop_at=None, scores=None):
        self.portions, self.stop_at, self.scores, self.asked = portions, stop_at, scores, []

    def batches(self, step, process, processes):
        if step == self.stop_at:
            raise KeyboardInterrupt
        x = torch.from_numpy(np.random.default_rng(step).normal(size=(12, 1)).astype(np.float32))
        return list(x.split([2, 10] if self.portions == 2 else [12]))

    def weight(self, batch):
        return float(len(batch))

    def loss(self, model, batch):
        return (model(batch) - (2 * batch + 1)).square().mean()

    def score(self, model):
        x = torch.linspace(-1, 1, 9)[:, None]
        loss = float((model(x) - (2 * x + 1)).square().mean())
        self.asked.append(loss)
        rank = self.scores[len(self.asked) - 1] if self.scores else -loss
        return Score((rank,), {"valid_loss": loss})


def line():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.1), nn.Linear(4, 1))


def train(course, learner=None, folder=None, rate=0.02, model=None, **options):
    model = model or line()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    return model, fit(model, optimizer, learner or Line(), course, folder, **options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_learns_and_keeps_the_best():
    model, found = train(Course(300, evaluate=range(50, 301, 50)))
    assert min(entry["valid_loss"] for entry in found.history) < 0.05
    assert not model.training
    scores = [0, 5, 5, 1]
    model, found = train(Course(8, evaluate=(2, 4, 6, 8)), Line(scores=scores))
    assert found.best_step == 4
    shorter, _ = train(Course(8, evaluate=(2, 4, 6, 8), patience=0), Line(scores=scores))
    assert not torch.equal(weights(shorter), weights(model))


def test_learning_rates_rise_and_fall():
    rates = []
    train(
        Course(100, warm_up=0.1, floor=0.1, log_every=1),
        tell=lambda moment: rates.append(moment.learning_rate),
    )
    assert rates[0] == pytest.approx(0.002)
    assert max(rates) == pytest.approx(0.02, rel=1e-3)
    assert rates[-1] == pytest.approx(0.002, rel=0.02)  # a tenth of the peak


def test_portions_are_one_batch():
    course = Course(20, clip=None)
    model = nn.Linear(1, 1)
    torch.nn.init.zeros_(model.weight)
    other = nn.Linear(1, 1)
    other.load_state_dict(model.state_dict())
    train(course, Line(1), model=model)
    train(course, Line(2), model=other)
    assert torch.allclose(weights(model), weights(other), atol=1e-6)


def test_gradients_are_clipped():
    model = nn.Linear(1, 1)
    before = weights(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    fit(model, optimizer, Line(), Course(1, warm_up=0, floor=1, clip=1e-3))
    assert (weights(model) - before).norm() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("stop_at", [1, 7, 19])
def test_resumes_to_the_same_weights(tmp_path, stop_at):
    course = Course(20, evaluate=(5, 10, 20), checkpoint_seconds=0, log_every=1)
    whole, told = train(course)
    with pytest.raises(KeyboardInterrupt):
        train(course, Line(stop_at=stop_at), tmp_path)
    kept = []
    again, found = train(course, folder=tmp_path, keep=lambda: kept.append(1))
    assert torch.equal(weights(again), weights(whole))
    assert found.history == told.history
    assert bool(kept) == (stop_at < 19)
    assert not [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and path.suffix not in (".json", ".safetensors")
    ]


def test_the_best_weights_outlive_a_kill(tmp_path):
    """Those of step 5, which a training that stopped at 12 must have kept."""
    course = Course(20, evaluate=(5, 10, 20), checkpoint_seconds=0)
    whole, told = train(course, Line(scores=[5, 1, 0]))
    with pytest.raises(KeyboardInterrupt):
        train(course, Line(stop_at=12, scores=[5, 1]), tmp_path)
    again, found = train(course, Line(scores=[0]), tmp_path)
    assert told.best_step == found.best_step == 5
    assert torch.equal(weights(again), weights(whole))


def test_stops_without_a_better_score():
    _, found = train(Course(100, evaluate=range(1, 101), patience=7), Line(scores=[1, 2, *[0] * 98]))
    assert (found.step, found.best_step) == (9, 2)


def test_what_is_not_finite_is_named(tmp_path):
    class Breaks(Line):
        def loss(self, model, batch):
            loss = super().loss(model, batch)
            return loss * float("nan") if self.step == 6 else loss

        def batches(self, step, process, processes):
            self.step = step
            return super().batches(step, process, processes)

    course = Course(9, evaluate=(5,), checkpoint_seconds=0)
    with pytest.raises(
        InputError, match=r"stopped at step 7: .*first in the gradient; .* step 5; .*`learning_rate`"
    ):
        train(course, Breaks(), tmp_path)
    assert read_checkpoint(tmp_path)[1]["at"]["step"] == 5
    model = line()
    with torch.no_grad():
        model[2].weight[0, 0] = float("inf")
    with pytest.raises(InputError, match=r"first in parameter 2\.weight"):
        train(course, model=model)


def test_several_optimisers_share_a_step():
    model = line()
    halves = [torch.optim.AdamW(model[i].parameters(), lr=0.02) for i in (0, 2)]
    before = weights(model)
    fit(model, halves, Line(), Course(3))
    assert (weights(model) != before).all()


def test_the_last_weights_may_be_kept_instead_of_the_best():
    scores = [5, 1]
    last, _ = train(Course(4, evaluate=(2, 4), keep_best=False), Line(scores=scores))
    unscored, _ = train(Course(4))
    assert torch.equal(weights(last), weights(unscored))


def test_a_training_is_where_its_course_says(monkeypatch):
    """A process's state outlives a training; the next one may ask for another device."""
    from accelerate import PartialState

    monkeypatch.setattr(PartialState(), "device", torch.device("meta"))
    model, _ = train(Course(2, device="cpu"))
    assert next(model.parameters()).device.type == "cpu"
