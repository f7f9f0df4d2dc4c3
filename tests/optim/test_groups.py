"""Which parameters are points, which decay, which bend space."""

import copy

import pytest
import torch
from torch import nn

from crocuta.manifolds import Lorentz, Manifold
from crocuta.optim import parameter_groups, placement

WRAPPERS = [copy.deepcopy, lambda model: torch.compile(model, backend="eager"), nn.Sequential]


class Points(nn.Module):
    on_manifold = {"weight": "manifold"}  # noqa: RUF012

    def __init__(self, manifold, count=5, n=3):
        super().__init__()
        self.manifold = manifold
        self.weight = nn.Parameter(torch.zeros(count, manifold.ambient(n)))


class Model(nn.Module):
    def __init__(self, c=1.0, learnable=True):
        super().__init__()
        self.manifold = Lorentz(c, learnable)
        self.points = Points(self.manifold)
        self.linear = nn.Linear(3, 2)
        self.norm = nn.LayerNorm((4, 2))

    def forward(self, index):
        return self.linear(self.manifold.logmap0(self.points.weight[index]))


@pytest.fixture
def pretrained_points():
    from transformers import PretrainedConfig, PreTrainedModel

    class PointsConfig(PretrainedConfig):
        model_type = "points-for-tests"

    class PretrainedPoints(PreTrainedModel):
        config_class = PointsConfig

        def __init__(self, config):
            super().__init__(config)
            self.points = Points(Lorentz(learnable=True))
            self.post_init()

        def _init_weights(self, module):
            pass

    return PretrainedPoints(PointsConfig())


def test_placement_reads_declarations():
    model = Model()
    assert placement(model) == {model.points.weight: model.manifold}


@pytest.mark.parametrize("wrap", WRAPPERS, ids=["copy", "compile", "sequential"])
def test_placement_survives_wrapping(wrap):
    wrapped = wrap(Model())
    (weight,), (manifold,) = zip(*placement(wrapped).items(), strict=True)
    assert any(weight is p for p in wrapped.parameters())
    assert any(manifold is module for module in wrapped.modules())


def test_placement_survives_from_pretrained(pretrained_points, tmp_path):
    saved = pretrained_points
    saved.points.weight.data = Lorentz().random((5, 3))
    saved.save_pretrained(tmp_path)
    model = type(saved).from_pretrained(tmp_path)
    assert placement(model) == {model.points.weight: model.points.manifold}
    assert torch.equal(model.points.weight, saved.points.weight)


def test_absent_weight_or_flat_space_places_nothing():
    points = Points(Lorentz())
    points.manifold = None
    assert placement(points) == {}
    points = Points(Lorentz())
    points.weight = None
    assert placement(points) == {}


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ({"wieght": "manifold"}, "'wieght', which must be a Parameter of that module or None, got nothing"),
        (
            {"weight": "curvature"},
            "'curvature', which must be a Manifold of that module or None, got nothing",
        ),
        ({"weight": "weight"}, "must be a Manifold of that module or None, got Parameter"),
    ],
)
def test_declaration_that_names_nothing_is_an_error(declaration, message):
    model = Model()
    model.points.on_manifold = declaration
    with pytest.raises(ValueError, match=rf"on_manifold of points \(Points\) names .*{message}"):
        placement(model)


def test_one_parameter_on_two_manifolds_is_an_error():
    a, b = Points(Lorentz()), Points(Lorentz(c=2.0))
    b.weight = a.weight
    with pytest.raises(
        ValueError, match=r"1\.weight is shared, and placed on Lorentz\(c=1\) and on Lorentz\(c=2\)"
    ):
        placement(nn.Sequential(a, b))


def test_groups_split_the_trainable_parameters():
    model = Model()
    model.linear.bias.requires_grad_(False)
    groups = {g["name"]: g for g in parameter_groups(model, lr=1e-2, curvature_lr=1e-4, weight_decay=0.1)}
    members = {name: set(group["params"]) for name, group in groups.items()}
    assert members == {
        "points": {model.points.weight},
        "decay": {model.linear.weight},
        "no_decay": {model.norm.weight, model.norm.bias},
        "curvature": {model.manifold.log_c},
    }
    assert {name: (g["lr"], g["weight_decay"]) for name, g in groups.items()} == {
        "points": (1e-2, 0.0),
        "decay": (1e-2, 0.1),
        "no_decay": (1e-2, 0.0),
        "curvature": (1e-4, 0.0),
    }
    assert groups["points"]["manifold"] is model.manifold


def test_curvature_is_found_by_type_not_by_name():
    class Warped(Manifold):
        def __init__(self):
            super().__init__()
            self.steepness = nn.Parameter(torch.ones(2, 2))

    groups = {g["name"]: g for g in parameter_groups(nn.Sequential(Warped(), nn.Linear(1, 1)), lr=1.0)}
    assert [p.shape for p in groups["curvature"]["params"]] == [(2, 2)]
    assert groups["curvature"]["lr"] == 1.0


def test_each_manifold_has_its_own_group_and_shared_parameters_appear_once():
    shared = Lorentz()
    model = nn.Sequential(Points(shared), Points(shared), Points(Lorentz(c=2.0)))
    groups = parameter_groups(model)
    assert [(g["name"], len(g["params"])) for g in groups] == [("points", 2), ("points", 1)]
