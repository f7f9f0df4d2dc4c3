"""Training of L-CLIP, and recall by hand."""

from functools import partial

import numpy as np
import pytest
import torch

from crocuta.errors import InputError
from crocuta.runs.recipe import Recipe


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global LClipConfig, LClipModel, LorentzTransformerConfig, Course, Pairs, chance_recall, recall
    global train_clip, TOWER
    from crocuta.models.clip.lclip import LClipConfig, LClipModel
    from crocuta.models.lorentz_language import LorentzTransformerConfig
    from crocuta.runs.loop import Course
    from crocuta.words.clip import Pairs, chance_recall, recall, train_clip

    TOWER = LorentzTransformerConfig(d_model=16, n_layer=1, n_head=2, initializer_range=0.2)


RECIPE = Recipe(learning_rate=5e-3, weight_decay=0.0)


def build():
    torch.manual_seed(0)
    return LClipModel(LClipConfig(content_config=TOWER, text_config=TOWER, projection_dim=8))


def batches(epoch):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(7, 11, (6, 12), generator=generator)
    words = torch.randint(0, 7, (6, 4), generator=generator)
    return [{"input_ids": ids, "text_ids": words}]


def test_recall_by_hand():
    similarity = np.array([[3.0, 2, 1], [1, 2, 3], [1, 3, 2]])
    relevant = np.array([[True, False, False], [True, False, False], [False, False, False]])
    assert [recall(similarity, relevant, k) for k in (1, 2, 3)] == [0.5, 0.5, 1.0]
    assert chance_recall(relevant, 1) == pytest.approx(1 / 3)
    assert chance_recall(np.array([[True, True, False, False]]), 2) == pytest.approx(1 - 2 / 4 * 1 / 3)
    assert chance_recall(np.array([[True, True, False]]), 9) == 1


def test_the_loss_falls():
    losses = train_clip(build(), batches, epochs=30, steps=1, recipe=RECIPE)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(("shuffled", "low", "high"), [(False, 0.95, 1.0), (True, 0.0, 0.6)])
def test_learns_pairs_and_nothing_from_shuffled_ones(shuffled, low, high):
    """Four kinds of sequences, each rich in one nucleotide, and a word for each; chance is 0.25."""
    model = build()

    def made(epoch, size=16):
        generator = torch.Generator().manual_seed(epoch)
        kind = torch.randint(0, 4, (size,), generator=generator)
        ids = torch.randint(7, 11, (size, 12), generator=generator)
        rich = torch.rand(ids.shape, generator=generator) < 0.8
        word = kind[torch.randperm(size, generator=generator)] if shuffled else kind
        return kind, {
            "input_ids": torch.where(rich, 7 + kind[:, None], ids),
            "text_ids": word[:, None],
            "group": word,
        }

    train_clip(model, lambda epoch: [made(epoch)[1]], epochs=40, steps=1, recipe=RECIPE)
    kind, test = made(1000, 200)
    with torch.no_grad():
        points = model.encode_sequence(test["input_ids"]), model.encode_text(torch.arange(4)[:, None])
        similarity = model.similarity(*points).numpy()
    assert low <= recall(similarity, kind.numpy()[:, None] == np.arange(4), 1) <= high


def test_resumes_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("crocuta.words.clip.Course", partial(Course, checkpoint_seconds=0))

    def several(epoch):
        generator = torch.Generator().manual_seed(epoch)
        return (
            {name: torch.randint(7, 11, (6, 5), generator=generator) for name in ("input_ids", "text_ids")}
            for _ in range(3)
        )

    whole, again, kept = build(), build(), []
    arguments = {"epochs": 3, "steps": 3, "recipe": RECIPE, "score": lambda model: float(model.training)}
    history = train_clip(whole, several, **arguments)

    def stop():
        kept.append(True)
        if len(kept) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_clip(build(), several, **arguments, folder=tmp_path, keep=stop)
    assert train_clip(again, several, **arguments, folder=tmp_path) == history[2:]
    for name, value in again.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name


def test_an_epoch_is_gone_on_with_where_a_checkpoint_lies():
    pairs = Pairs(lambda epoch: iter([{"x": 10 * epoch + i} for i in range(3)]), 3)
    at = lambda step: pairs.batches(step, 0, 1)[0]["x"]  # noqa: E731
    assert [at(step) for step in range(5)] == [0, 1, 2, 10, 11]
    assert [at(4), at(5), at(1), at(1)] == [11, 12, 1, 1]


def test_the_weights_with_the_best_score_stay():
    model, seen = build(), []

    def score(model):
        seen.append({name: p.detach().clone() for name, p in model.state_dict().items()})
        return [1.0, 3.0, 2.0][len(seen) - 1]

    train_clip(model, batches, epochs=6, steps=1, recipe=RECIPE, score=score, every=2)
    assert len(seen) == 3
    for name, value in model.state_dict().items():
        assert torch.equal(value, seen[1][name])
    assert not model.training


def test_a_loss_that_is_not_finite_stops():
    model = build()
    with torch.no_grad():
        model.text_projection.linear.weight.fill_(torch.nan)
    with pytest.raises(InputError, match=r"step 1: .* first in parameter text_projection.linear.weight"):
        train_clip(model, batches, epochs=2, steps=1, recipe=RECIPE)
