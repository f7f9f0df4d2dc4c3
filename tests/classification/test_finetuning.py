"""Training of one model: it learns, repeats, resumes, and fails loudly."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from crocuta.errors import InputError
from crocuta.runs.optimisation import first_non_finite, parameter_groups
from crocuta.runs.progress import Stage

from .conftest import Kill


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoModelForSequenceClassification, CNNConfig, HCNNConfig, HyenaForCausalLM, Recipe, finetune
    global Watch, build, last_checkpoint, make_trainer, Collator
    from transformers import AutoModelForSequenceClassification

    from crocuta.classification import Recipe, finetune
    from crocuta.classification._trainer import Collator
    from crocuta.classification.finetuning import Watch, build, last_checkpoint, make_trainer
    from crocuta.models.cnn import CNNConfig
    from crocuta.models.hcnn import HCNNConfig
    from crocuta.models.hyena import HyenaForCausalLM


def weights(folder):
    return load_file(folder / "model.safetensors")


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_model_learns_and_is_saved(splits, tmp_path):
    fit = finetune(
        CNNConfig(max_length=40, hidden_features=16),
        splits,
        tmp_path / "fit",
        Recipe(learning_rate=3e-3, batch_size=16, epochs=8),
    )
    assert fit.valid["auroc"] > 0.9
    assert fit.valid["mcc"] == max(row["valid_mcc"] for row in fit.history)
    assert fit.history[fit.best_epoch - 1]["valid_mcc"] == fit.valid["mcc"]
    assert json.loads((tmp_path / "fit" / "fit.json").read_text())["parameters"] == fit.parameters
    assert not (tmp_path / "fit" / "checkpoints").exists()
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "fit")
    assert model.config.id2label == {0: "other", 1: "promoter"}


def test_training_never_sees_the_test_set(splits, config, recipe, tmp_path):
    """HGE's code swaps validation and test sets where it calls the training: it selects on the test set."""
    finetune(config, splits, tmp_path / "whole", recipe)
    finetune(config, dataclasses.replace(splits, test=None), tmp_path / "blind", recipe)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "blind"))


def test_equal_seeds_give_equal_weights(splits, config, recipe, tmp_path):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        finetune(config, splits, tmp_path / folder, recipe, seed=seed)
    a, b, c = (weights(tmp_path / folder) for folder in "abc")
    assert equal(a, b)
    assert not equal(a, c)


@pytest.mark.parametrize("turn", [False, True])
def test_a_killed_training_resumes_to_the_same_weights(splits, config, tmp_path, turn):
    recipe = Recipe(learning_rate=5e-3, batch_size=16, epochs=3)
    whole = finetune(config, splits, tmp_path / "whole", recipe, both_strands=turn)
    with pytest.raises(KeyboardInterrupt):
        finetune(config, splits, tmp_path / "cut", recipe, both_strands=turn, progress=Kill())
    resumed = finetune(config, splits, tmp_path / "cut", recipe, both_strands=turn, resume=True)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert resumed.history == whole.history
    again = finetune(config, splits, tmp_path / "cut", recipe, both_strands=turn, resume=True)
    assert again == resumed


def test_a_run_that_has_moved_goes_on_with_its_best_weights(splits, config, tmp_path):
    """The state of transformers' Trainer names the best checkpoint by the path that it had."""
    recipe = Recipe(learning_rate=5e-3, batch_size=16, epochs=3)
    finetune(config, splits, tmp_path / "whole", recipe)
    with pytest.raises(KeyboardInterrupt):
        finetune(config, splits, tmp_path / "cut", recipe, progress=Kill())
    (tmp_path / "cut").rename(tmp_path / "moved")
    finetune(config, splits, tmp_path / "moved", recipe, resume=True)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "moved"))


def test_checkpoints_hold_no_pickle(splits, config, recipe, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        finetune(config, splits, tmp_path / "cut", recipe, progress=Kill())
    files = [path for path in (tmp_path / "cut").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert "optimizer.safetensors" in {path.name for path in files}


def test_the_learning_rate_ends_at_a_tenth(splits, config, tmp_path):
    recipe = Recipe(learning_rate=2e-3, warmup=0.1)
    model = build(config, splits.train.classes, "single_label")
    watch = Watch(Stage(""), lambda: None, "mcc")
    trainer = make_trainer(model, splits, tmp_path, recipe, 0, "mcc", False, "cpu", watch)
    trainer.create_optimizer_and_scheduler(100)
    rates = []
    for _ in range(100):
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        rates.append(trainer.lr_scheduler.get_last_lr()[0])
    assert max(rates) == rates[9] == pytest.approx(2e-3)
    assert rates[-1] == pytest.approx(2e-4)


def test_a_device_that_is_not_here_costs_one_line_and_leaves_nothing(splits, config, recipe, tmp_path):
    with pytest.raises(InputError, match=r"`device` nonsense: cannot be used here"):
        finetune(config, splits, tmp_path / "fit", recipe, device="nonsense")
    assert not (tmp_path / "fit").exists()


def test_a_second_training_does_not_overwrite_the_first(splits, config, recipe, tmp_path):
    finetune(config, splits, tmp_path / "fit", recipe)
    with pytest.raises(InputError, match="holds a finished run already"):
        finetune(config, splits, tmp_path / "fit", recipe)
    assert finetune(config, splits, tmp_path / "fit", recipe, resume=True).seed == 0
    with pytest.raises(InputError, match="cannot go on: it began with seed = 0, now it is 1"):
        finetune(config, splits, tmp_path / "fit", recipe, seed=1, resume=True)
    other = dataclasses.replace(splits, train=splits.train.select(range(100)))
    with pytest.raises(InputError, match="cannot go on: it began with data = "):
        finetune(config, other, tmp_path / "fit", recipe, resume=True)


def test_torn_checkpoints_are_passed_over(tmp_path):
    for step in (5, 10, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-200").mkdir()
    (tmp_path / "checkpoint-200" / "trainer_state.json").write_text('{"epoch": 1')
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert not (tmp_path / "checkpoint-100").exists()
    assert not (tmp_path / "checkpoint-200").exists()


def test_a_loss_that_is_not_finite_stops_training_and_names_the_layer(splits, config, tmp_path):
    recipe = Recipe(learning_rate=1e30, batch_size=16, epochs=3, warmup=0.0, clip=1e30)
    message = (
        r"training stopped at step \d+: the loss is (nan|inf).*(parameter|layer) .*; last good checkpoint"
    )
    with pytest.raises(InputError, match=message):
        finetune(config, splits, tmp_path / "fit", recipe)


def test_the_first_non_finite_layer_is_named(splits, config):
    model = build(config, splits.train.classes, "single_label")
    inputs = Collator(model.config)([(splits.train.sequences[0], splits.train.labels[0])])
    with torch.no_grad():
        model.hyena.backbone.layers[0].mlp.fc1.weight.fill_(1e38)
    assert (
        first_non_finite(model, lambda: model(**inputs))
        == "the output of layer hyena.backbone.layers.0.mlp.fc1"
    )
    with torch.no_grad():
        model.score.bias.fill_(torch.nan)
    assert first_non_finite(model, lambda: model(**inputs)) == "parameter score.bias"


def test_parameter_groups_follow_hyenadna(splits, config):
    model = build(config, splits.train.classes, "single_label")
    groups = parameter_groups(model, Recipe(learning_rate=1e-3, filter_learning_rate=1e-4, weight_decay=0.1))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {group["name"]: {names[id(p)] for p in group["params"]} for group in groups}
    assert sum(map(len, found.values())) == len(names)
    assert all("filter_fn" in name for name in found["filters"])
    assert found["embeddings"] == {"hyena.backbone.embeddings.word_embeddings.weight"}
    assert "hyena.backbone.layers.0.norm1.weight" in found["no_decay"]
    assert "hyena.backbone.layers.0.mixer.in_proj.weight" in found["decay"]
    assert {group["name"]: group["lr"] for group in groups}["filters"] == 1e-4
    assert {group["name"] for group in groups if group["weight_decay"]} == {"decay"}


def test_curvatures_learn_at_their_own_rate_and_are_logged(splits, tmp_path):
    """The original's group of curvatures is empty: they keep the weights' learning rate, and decay."""
    config = HCNNConfig(max_length=40, channels=7, hidden_features=15)
    recipe = Recipe(learning_rate=1e-6, curvature_learning_rate=1e-2, batch_size=16, epochs=2)
    groups = {
        group["name"]: group for group in parameter_groups(build(config, ("a", "b"), "single_label"), recipe)
    }
    assert groups["curvature"]["lr"] == 1e-2
    assert groups["curvature"]["weight_decay"] == 0.0
    fit = finetune(config, splits, tmp_path / "fit", recipe)
    curvatures = [row["curvature.manifolds.0"] for row in fit.history]
    assert abs(curvatures[0] - 1) > 1e-3
    assert curvatures[0] != curvatures[1]


def test_collator_turns_about_half_of_the_sequences(splits, config):
    torch.manual_seed(0)
    batch = [(splits.train.sequences[i], splits.train.labels[i]) for i in range(100)]
    plain, turned = (Collator(config, turn)(batch)["input_ids"] for turn in (False, True))
    changed = (plain != turned).any(dim=1)
    assert 30 < changed.sum() < 70
    tokens = (plain[changed] >= 7).sum(dim=1)
    assert torch.equal(tokens, (turned[changed] >= 7).sum(dim=1))


def test_a_pretrained_backbone_gets_a_new_head(splits, config, recipe, tmp_path):
    torch.manual_seed(0)
    HyenaForCausalLM(config).save_pretrained(tmp_path / "pretrained")
    model = build(tmp_path / "pretrained", splits.train.classes, "single_label")
    saved = load_file(tmp_path / "pretrained" / "model.safetensors")
    key = "hyena.backbone.layers.0.mixer.in_proj.weight"
    assert torch.equal(model.state_dict()[key], saved[key])
    fit = finetune(tmp_path / "pretrained", splits, tmp_path / "fit", recipe)
    assert fit.epochs == 3


def test_a_sequence_longer_than_the_model_is_named(splits, recipe, tmp_path):
    with pytest.raises(
        InputError, match=r"row_\d+ has \d\d nucleotides, \d+ more than the model reads \(30\)"
    ):
        finetune(CNNConfig(max_length=30), splits, tmp_path / "fit", recipe)
    assert not (tmp_path / "fit").exists()
