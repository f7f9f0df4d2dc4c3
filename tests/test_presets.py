"""Models by name, from folders and from the hub, and the data they are given."""

import pytest

from crocuta.errors import InputError


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global \
        load, \
        pipelines, \
        presets, \
        read_data, \
        Ensemble, \
        CNNConfig, \
        CNNForSequenceClassification, \
        RELEASED, \
        HyenaConfig
    global HyenaForCausalLM, Recipe
    from crocuta import load, presets
    from crocuta.classification import Recipe, pipelines
    from crocuta.data.reading import read_data
    from crocuta.models.cnn import CNNConfig, CNNForSequenceClassification
    from crocuta.models.ensemble import Ensemble
    from crocuta.models.hyena import RELEASED, HyenaConfig, HyenaForCausalLM


def test_every_preset_fits_the_longest_sequence():
    for preset in presets.PRESETS.values():
        limit = preset.build(300).longest_sequence
        assert limit is None or limit >= 300
    assert {f"hyenadna-{size}" for size in RELEASED} <= set(presets.PRESETS)


def test_long_sequences_train_in_smaller_batches():
    assert pipelines.entry("new:hyenadna-tiny", 300, {}).recipe.batch_size == 32
    assert pipelines.entry("new:hyenadna-tiny", 32_768, {}).recipe.batch_size == 2
    assert pipelines.entry("new:hyenadna-tiny", 32_768, {"batch_size": 8}).recipe.batch_size == 8


def test_changes_reach_the_recipe_and_unknown_ones_do_not():
    assert pipelines.entry("cnn", 70, {"learning_rate": 1e-5}).recipe.learning_rate == 1e-5
    with pytest.raises(TypeError, match="learning_rat"):
        pipelines.entry("cnn", 70, {"learning_rat": 1e-5})


def test_load_tells_what_a_folder_holds(tmp_path):
    CNNForSequenceClassification(CNNConfig(max_length=20)).save_pretrained(tmp_path / "cnn")
    assert type(load(tmp_path / "cnn")) is CNNForSequenceClassification
    HyenaForCausalLM(HyenaConfig(d_model=16, n_layer=1, max_seq_len=40)).save_pretrained(tmp_path / "hyena")
    assert type(load(str(tmp_path / "hyena"))) is HyenaForCausalLM


def test_load_opens_a_run(tmp_path):
    from crocuta.classification import Entry, run_experiment
    from crocuta.data.demo import load_demo

    splits = load_demo()
    small = type(splits)(
        *(part.select(range(60)) for part in (splits.train, splits.valid, splits.test)), "first rows"
    )
    config = CNNConfig(max_length=70, channels=4, hidden_features=8)
    run_experiment([Entry("cnn", "CNN", config, Recipe(epochs=1))], small, tmp_path / "run", seeds=(0, 1))
    ensemble = load(tmp_path / "run")
    assert isinstance(ensemble, Ensemble)
    assert len(ensemble.members) == 2
    assert set(ensemble.predict(["ACGT" * 10]).labels) <= {"0", "1"}


def test_load_says_what_it_knows():
    with pytest.raises(InputError, match=r"neither a folder nor a released model .*hyenadna-tiny-1k"):
        load("hyenadna-huge")


@pytest.mark.parametrize("name", ["hyenadna-tiny", "hyenadna-tiny-1k-d256", "hyenadna-large-1m"])
def test_a_hub_out_of_reach_is_explained(name, monkeypatch):
    asked = []

    def unreachable(hub):
        asked.append(hub)
        raise OSError("no network")

    monkeypatch.setattr(HyenaForCausalLM, "from_pretrained", unreachable)
    with pytest.raises(InputError, match="download it elsewhere and give its folder"):
        load(name)
    expected = {"hyenadna-tiny": "tiny-1k-seqlen", "hyenadna-tiny-1k-d256": "tiny-1k-seqlen-d256"}
    assert asked == [f"LongSafari/hyenadna-{expected.get(name, 'large-1m-seqlen')}-hf"]


def test_a_released_name_means_released_weights_and_new_ones_are_asked_for(monkeypatch, tmp_path):
    HyenaForCausalLM(HyenaConfig(d_model=16, n_layer=1, max_seq_len=1026)).save_pretrained(tmp_path / "hub")
    monkeypatch.setattr(pipelines, "released_folder", lambda name: tmp_path / "hub")
    released, new = (
        pipelines.entry(name, 300, {}) for name in ("hyenadna-small-32k", "new:hyenadna-small-32k")
    )
    assert (released.model, released.title) == (
        str(tmp_path / "hub"),
        "HyenaDNA-small-32k (released weights)",
    )
    assert (new.model.max_seq_len, new.title) == (302, "HyenaDNA-small-32k (new weights)")
    assert released.name != new.name
    assert pipelines.from_scratch(["cnn", "hyenadna-tiny", str(tmp_path)]) == [
        "cnn",
        "new:hyenadna-tiny",
        str(tmp_path),
    ]
    with pytest.raises(InputError, match=r"no model 'new:hyenadna': .* one of new:hyenadna-tiny"):
        pipelines.entry("new:hyenadna", 300, {})


def test_data_come_from_one_place(tmp_path):
    for arguments in ({}, {"data": "a.csv", "task": "gue/mouse/0"}):
        with pytest.raises(InputError, match="either a file of labelled sequences or `task`"):
            read_data(**arguments)
