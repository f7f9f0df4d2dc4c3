"""Training of L-CLIP, and recall by hand."""

import numpy as np
import pytest
import torch

from crocuta.errors import InputError
from crocuta.models.lclip import LClipConfig, LClipModel
from crocuta.models.lorentz_language import LorentzTransformerConfig
from crocuta.runs.recipe import Recipe
from crocuta.train.clip import chance_recall, recall, train_clip

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


def test_the_weights_that_the_judge_liked_best_stay():
    model, seen = build(), []

    def judge(model):
        seen.append({name: p.detach().clone() for name, p in model.state_dict().items()})
        return [1.0, 3.0, 2.0][len(seen) - 1]

    train_clip(model, batches, epochs=6, steps=1, recipe=RECIPE, judge=judge, every=2)
    assert len(seen) == 3
    for name, value in model.state_dict().items():
        assert torch.equal(value, seen[1][name])
    assert not model.training


def test_a_loss_that_is_not_finite_stops():
    model = build()
    with torch.no_grad():
        model.text_projection.linear.weight.fill_(torch.nan)
    with pytest.raises(InputError, match="epoch 1: the loss is nan"):
        train_clip(model, batches, epochs=2, steps=1, recipe=RECIPE)
