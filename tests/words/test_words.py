"""Words for DNA and DNA for words: a small library of three kinds of sequences, told apart by what they are made of."""

import json
import shutil
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from crocuta.cli import app
from crocuta.data.records import read_records
from crocuta.data.sequences import Sequences
from crocuta.errors import InputError


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global \
        SequenceEncoder, \
        report_words, \
        Course, \
        COUNTED, \
        WordEnsemble, \
        WordsRecipe, \
        evaluate, \
        split_described
    global read_counts, save_counts, estimate_run, find_sequences, load_words, name_sequences
    global read_described, train_words, _score, fit_words, SMALL
    from crocuta.models.clip.sequence_encoder import SequenceEncoder
    from crocuta.runs.loop import Course
    from crocuta.words.ensemble import COUNTED, WordEnsemble, WordsRecipe, evaluate, split_described
    from crocuta.words.folder import read_counts, save_counts
    from crocuta.words.page import report_words
    from crocuta.words.run import (
        estimate_run,
        find_sequences,
        load_words,
        name_sequences,
        read_described,
        train_words,
    )
    from crocuta.words.training import _score, fit_words

    SMALL = WordsRecipe(members=2, epochs=6, every=3, views=1, components=16, width=16, batch_size=16)


KINDS = {"LTR/Gypsy": "ACGT", "Satellite": "AAATTG", "DNA/TcMar-Tc1": "CCCGGA"}


def nucleotides(kind, generator):
    made = generator.choice(list(KINDS[kind]), int(generator.integers(60, 200)))
    return "".join(made)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("words") / "library.fa"
    records = [
        f">{kind[:3]}-{i}#{kind}\n{nucleotides(kind, generator)}\n" for i in range(30) for kind in KINDS
    ]
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
    with pytest.raises(InputError, match="has learned none of these words; it knows"):
        find_sequences(ensemble, "purple zebra", sequences)


def test_what_is_common_is_likelier(run, library):
    """A caption that was e^2 times as common is e^2 times as likely, to each member."""
    ensemble, sequences = load_words(run), read(library)
    common = ensemble.words.prior + np.array([2, 0, 0], np.float32)
    changed = WordEnsemble(ensemble.models, ensemble.words._replace(prior=common))
    (before, _), (after, _) = ensemble.likelihood(sequences), changed.likelihood(sequences)
    odds = [found[:, 0] - found[:, 1] for found in (before, after)]
    np.testing.assert_allclose(odds[1] - odds[0], 2 * len(ensemble.models), rtol=1e-4)


def test_a_saved_ensemble_is_the_same(library, run):
    described, _ = read_described([("fly", library)])
    parts = split_described(described, 0)
    ensemble, loaded = fit_words(described, parts, SMALL), load_words(run)
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
    parts = split_described(described, 1)
    groups = [set(described.groups[rows]) for rows in parts]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 30


def test_tables_hold_words_already(tmp_path):
    generator = np.random.default_rng(1)
    path = tmp_path / "described.csv"
    rows = [f"{nucleotides(kind, generator)},a {kind} of mine" for kind in KINDS for _ in range(20)]
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


def test_a_killed_training_goes_on_to_the_same_members(library, run, tmp_path, monkeypatch):
    """Stopped in the second member: the first is kept, the second goes on at its last checkpoint."""
    monkeypatch.setattr("crocuta.words.clip.Course", partial(Course, checkpoint_seconds=0))
    again, evaluated = tmp_path / "again", []

    def stopped(*arguments):
        evaluated.append(True)
        if len(evaluated) == 4:
            raise KeyboardInterrupt
        return _score(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("crocuta.words.training._score", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_words([("fly", library)], again, SMALL)
    first = again / "models" / "member-0.safetensors"
    made = first.stat().st_mtime_ns
    assert (again / "models" / "member-1" / "checkpoint").exists()
    assert not (again / "metrics.json").exists()
    metrics = train_words([("fly", library)], again, SMALL, resume=True)
    assert first.stat().st_mtime_ns == made
    assert metrics == json.loads((run / "metrics.json").read_text())
    for file in ("models/member-0.safetensors", "models/member-1.safetensors", "predictions.tsv"):
        assert (again / file).read_bytes() == (run / file).read_bytes()
    assert not (again / "models" / "member-1").exists()
    assert train_words([("fly", library)], again, SMALL, resume=True) == metrics


def test_other_data_and_settings_are_refused(library, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    with pytest.raises(InputError, match=r"began with recipe\.epochs = 6, now it is 7"):
        train_words([("fly", library)], tmp_path / "run", replace(SMALL, epochs=7), resume=True)
    with pytest.raises(InputError, match="began with species"):
        train_words([("bee", library)], tmp_path / "run", SMALL, resume=True)
    other = tmp_path / "library.fa"
    other.write_text(library.read_text().replace("ACGGA", "ACGGT"))
    with pytest.raises(InputError, match=r"library = .*library.fa"):
        train_words([("fly", other)], tmp_path / "run", SMALL, resume=True)


def test_a_run_of_0_1_0_is_read(library, run, tmp_path):
    """Its files lay in the run folder, captions in config.json, and the whole basis in counts.safetensors."""
    ensemble, old = load_words(run), tmp_path / "old"
    old.mkdir()
    words, shared = ensemble.words, {f"content_encoder.{name}" for name in COUNTED}
    for i, model in enumerate(ensemble.models):
        state = model.state_dict()
        save_file(
            {name: x for name, x in state.items() if name not in shared}, old / f"member-{i}.safetensors"
        )
        save_file({name: state[name].contiguous() for name in shared}, old / "counts.safetensors")
    words.tokenizer.save_pretrained(old / "tokenizer")
    table = {"captions": words.captions, "labels": words.labels.tolist(), "prior": words.prior.tolist()}
    (old / "config.json").write_text(json.dumps({"kind": "words", "recipe": asdict(SMALL), **table}))
    for name in ("metrics.json", "manifest.json"):
        shutil.copy(run / name, old)
    chosen = read(library).select(np.arange(5))
    np.testing.assert_array_equal(load_words(old).likelihood(chosen)[0], ensemble.likelihood(chosen)[0])
    assert report_words([old]).exists()


def test_what_members_share_is_written_without_repetition(tmp_path):
    """The basis comes back bit by bit; a library of 12 sequences has 12 components, and not all k-mers."""
    generator = np.random.default_rng(0)
    encoder = SequenceEncoder(replace(SMALL, components=256).encoder())
    encoder.fit(Sequences.from_strings([nucleotides(kind, generator) for kind in KINDS for _ in range(4)]))
    shared = {name: getattr(encoder, name) for name in COUNTED}
    save_counts(shared, tmp_path)
    found = read_counts(tmp_path, 256)
    assert all(torch.equal(found[name], shared[name]) for name in COUNTED)
    size = (tmp_path / "counts.safetensors").stat().st_size
    assert size < 0.03 * shared["basis"].numel() * 4


def test_the_cost_is_estimated_and_nothing_written(library, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small, large = (estimate_run([("fly", library)], replace(SMALL, epochs=n)) for n in (6, 600))
    assert large.seconds > 10 * small.seconds > 0
    assert small.parameters > 1000
    assert not list(tmp_path.iterdir())


def test_commands(library, run, tmp_path):
    call = lambda *words: CliRunner().invoke(app, ["words", *map(str, words)])  # noqa: E731
    options = ["--members", 1, "--epochs", 1, "--batch-size", 16]
    result = call("train", f"fly={library}", "-o", tmp_path / "run", *options, "--dry-run")
    assert "Training 1 models of" in result.output
    assert "MB available" in result.output
    for wrong, said in (("--batch-size", "lower --batch-size"), ("--min-groups", "lower --min-groups")):
        result = call("train", f"fly={library}", "-o", tmp_path / "run", *options, wrong, 512)
        assert result.exit_code == 2
        assert said in result.output
    if not torch.cuda.is_available():
        result = call("train", f"fly={library}", "-o", tmp_path / "run", *options, "--device", "cuda")
        assert result.exit_code == 2
        assert "--device cuda: cannot be used here" in result.output
    assert not (tmp_path / "run").exists()
    result = call("train", f"fly={library}", "-o", tmp_path / "run", *options)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "report.html").exists()
    assert "words to element @1" in result.output
    assert call("train", library, "-o", tmp_path / "run").exit_code == 2
    result = call("name", run, library, "-o", tmp_path / "names.tsv", "-k", 2)
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "names.tsv").read_text().splitlines()
    assert lines[0] == "name\trank\tcaption\tprobability"
    assert len(lines) == 1 + 2 * 92
    assert call("name", run, library, "-o", tmp_path / "names.tsv").exit_code == 2
    result = call("find", run, "a satellite zebra", library, "-k", 3)
    assert result.exit_code == 0, result.output
    assert "passed over: zebra" in result.output
    assert "Sat-" in result.output
    assert "crocuta words find run/" in " ".join(call("find", "--help").output.split())
