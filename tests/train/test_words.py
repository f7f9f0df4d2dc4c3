"""Words for DNA and DNA for words: a small library of three kinds of sequences, told apart by what they are made of."""

import json
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from crocuta.cli import app
from crocuta.data.records import read_records
from crocuta.data.sequences import Sequences
from crocuta.errors import InputError
from crocuta.train.words import Ensemble, WordsRecipe, evaluate, split
from crocuta.train.words_run import find_sequences, load_words, name_sequences, read_described, train_words
from crocuta.train.words_training import fit_words

KINDS = {"LTR/Gypsy": "ACGT", "Satellite": "AAATTG", "DNA/TcMar-Tc1": "CCCGGA"}
SMALL = WordsRecipe(members=2, epochs=6, every=3, views=1, components=16, width=16, batch_size=16)


def letters(kind, generator):
    made = generator.choice(list(KINDS[kind]), int(generator.integers(60, 200)))
    return "".join(made)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("words") / "library.fa"
    records = [f">{kind[:3]}-{i}#{kind}\n{letters(kind, generator)}\n" for i in range(30) for kind in KINDS]
    path.write_text("".join(records) + ">odd#RC/Helitron\nACGTTGCAACGTACCGTA\n>none#Unknown\nACGTGGTACCA\n")
    return path


@pytest.fixture(scope="module")
def run(library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "run"
    train_words([("fly", library)], folder, SMALL)
    return folder


def read(path):
    records = list(read_records(path))
    return Sequences.from_strings([r.sequence for r in records], [r.name for r in records])


def test_learns_what_words_mean(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["element to words @1"] > 0.9 > 2 * metrics["chance"]["element to words @1"]
    assert metrics["test"]["words to element @1"] == 1
    assert metrics["labels_left_out"] == ["RC/Helitron", "Unknown"]
    assert (run / "split.tsv").read_text().count("\ttest\n") == metrics["sequences"]["test"]
    assert json.loads((run / "manifest.json").read_text())["data"][0]["path"].endswith("library.fa")


def test_asked_both_ways(run, library):
    ensemble, sequences = load_words(run), read(library)
    best, probability = name_sequences(ensemble, sequences, 2)
    named = np.array(ensemble.words.labels)[best[:, 0]]
    truth = np.array([name.partition("#")[2] for name in sequences.names])
    assert np.mean(named[:90] == truth[:90]) > 0.9
    assert (probability[:, 0] >= probability[:, 1]).all()
    assert (probability.sum(1) <= 1 + 1e-5).all()
    for query in ("a satellite repeat in fly", "satellite"):  # a caption, and words that no caption is
        found, odds = find_sequences(ensemble, query, sequences, 5)
        assert set(truth[found]) == {"Satellite"}
        assert (np.diff(odds) <= 0).all()
    with pytest.raises(InputError, match="has learnt none of these words; it knows"):
        find_sequences(ensemble, "purple zebra", sequences)


def test_what_is_common_is_likelier(run, library):
    """A caption that was e^2 times as common is e^2 times as likely, to each member."""
    ensemble, sequences = load_words(run), read(library)
    common = ensemble.words.prior + np.array([2, 0, 0], np.float32)
    changed = Ensemble(ensemble.models, ensemble.words._replace(prior=common))
    (before, _), (after, _) = ensemble.likelihood(sequences), changed.likelihood(sequences)
    odds = [found[:, 0] - found[:, 1] for found in (before, after)]
    np.testing.assert_allclose(odds[1] - odds[0], 2 * len(ensemble.models), rtol=1e-4)


def test_a_saved_ensemble_is_the_same(library, tmp_path):
    described, _ = read_described([("", library)])
    parts = split(described, 0)
    ensemble = fit_words(described, parts, SMALL)
    train_words([("", library)], tmp_path / "run", SMALL)
    loaded = load_words(tmp_path / "run")
    chosen = described.sequences.select(parts.test)
    np.testing.assert_allclose(
        ensemble.likelihood(chosen)[0], loaded.likelihood(chosen)[0], rtol=1e-4, atol=1e-4
    )
    assert evaluate(loaded, described, parts.test) == evaluate(ensemble, described, parts.test)
    for model in loaded.models[1:]:
        torch.testing.assert_close(model.content_encoder.basis, loaded.encoder.basis)


def test_like_sequences_stay_together(library):
    described, _ = read_described([("", library)])
    described.groups[:] = np.arange(len(described.groups)) // 3
    parts = split(described, 1)
    groups = [set(described.groups[rows]) for rows in parts]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 30


def test_tables_hold_words_already(tmp_path):
    generator = np.random.default_rng(1)
    path = tmp_path / "described.csv"
    rows = [f"{letters(kind, generator)},a {kind} of mine" for kind in KINDS for _ in range(20)]
    path.write_text("sequence,label\n" + "\n".join(rows) + "\n")
    described, left_out = read_described([("yeast", path)])
    assert described.own_caption(0) == "a LTR/Gypsy of mine in yeast"
    assert described.own_caption(0, with_species=False) == "a LTR/Gypsy of mine"
    assert not left_out
    with pytest.raises(InputError, match="not both at once"):
        read_described([("", path), ("", tmp_path / "library.fa")])


def test_what_cannot_be_trained_on(library, run, tmp_path):
    with pytest.raises(InputError, match="holds a finished run already"):
        train_words([("", library)], run, SMALL)
    with pytest.raises(InputError, match="0 labels occur in 50 groups of like sequences"):
        read_described([("", library)], least_groups=50)
    with pytest.raises(InputError, match="fewer than a batch of 512"):
        train_words([("", library)], tmp_path / "x", WordsRecipe(batch_size=512))
    assert not (tmp_path / "x").exists()


def test_folders_that_are_no_run(run, tmp_path):
    with pytest.raises(InputError, match=r"not a run folder \(no config.json\)"):
        load_words(tmp_path / "nothing")
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    load_words(folder)
    (folder / "models" / "member-1.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="the run is damaged"):
        load_words(folder)
    (folder / "models" / "member-1.safetensors").unlink()
    with pytest.raises(InputError, match=r"the run is damaged .*member-1"):
        load_words(folder)
    (folder / "config.json").write_text('{"kind": "pretraining"}')
    with pytest.raises(InputError, match="a run of `crocuta pretrain`; expected one of words train"):
        load_words(folder)


def test_commands(library, run, tmp_path):
    call = lambda *words: CliRunner().invoke(app, ["words", *map(str, words)])  # noqa: E731
    options = ["--members", 1, "--epochs", 1, "--batch-size", 16]
    result = call("train", f"fly={library}", "-o", tmp_path / "run", *options)
    assert result.exit_code == 0, result.output
    assert "words to element @1" in result.output
    assert call("train", library, "-o", tmp_path / "run").exit_code == 2
    result = call("name", run, library, "-o", tmp_path / "names.tsv", "-k", 2)
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "names.tsv").read_text().splitlines()
    assert lines[0] == "name\trank\tcaption\tprobability"
    assert len(lines) == 1 + 2 * 92
    result = call("find", run, "a satellite zebra", library, "-k", 3)
    assert result.exit_code == 0, result.output
    assert "passed over: zebra" in result.output
    assert "Sat-" in result.output
    assert "crocuta words find run/" in " ".join(call("find", "--help").output.split())
