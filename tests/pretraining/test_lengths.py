"""Stages of lengths, and the learning rate over all of them."""

import pytest

from crocuta.errors import InputError
from crocuta.runs.optimisation import learning_rate_factor


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global make_plan
    from crocuta.pretraining.lengths import make_plan


def test_tokens_kept():
    plan = make_plan(1024, 100, 8192, (64, 256), 0.4)
    assert [(stage.length, stage.windows, stage.first, stage.steps) for stage in plan.stages] == [
        (64, 128, 0, 20), (256, 32, 20, 20), (1024, 8, 40, 60),
    ]  # fmt: skip
    assert plan.steps == 100
    assert plan.tokens == 100 * 8192


def test_batch_kept():
    plan = make_plan(1024, 100, 8192, (64, 256), 0.4, keep="batch")
    assert [stage.windows for stage in plan.stages] == [8, 8, 8]


def test_places():
    plan = make_plan(1024, 100, 8192, (64, 256), 0.4)
    assert [(plan.at(step).stage.length, plan.at(step).step) for step in (0, 19, 20, 39, 40, 99)] == [
        (64, 0), (64, 19), (256, 0), (256, 19), (1024, 0), (1024, 59),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"warm_up": (256, 64)}, "must grow up to 1,024, found 256, 64, 1024"),
        ({"warm_up": (1024,)}, "must grow"),
        ({"warm_up": (64, 128), "steps": 2}, "2 steps are too few for 3 lengths"),
        ({"warm_up": (64,), "warm_up_share": 1.0}, "too few"),
        ({"keep": "letters"}, "tokens or batch, got 'letters'"),
    ],
)
def test_impossible_plans(arguments, message):
    with pytest.raises(InputError, match=message):
        make_plan(**{"length": 1024, "steps": 50, "tokens_per_step": 8192} | arguments)


def test_learning_rate():
    factors = [learning_rate_factor(step, 1000, 0.1) for step in range(1000)]
    assert factors[0] == 0.01
    assert factors[99] == factors[100] == 1
    assert factors[550] == pytest.approx(0.55)
    assert factors[-1] == pytest.approx(0.1, abs=1e-4)
    assert learning_rate_factor(0, 1, 0) == 1
