"""A comparison leaves a whole run folder, goes on where it was cut, and is used again."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crocuta.bench.results import load_rows
from crocuta.errors import InputError
from crocuta.runs.progress import Progress, Stage

from .conftest import write_promoters


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global KmerConfig, LengthConfig, HyenaConfig, HyenaForCausalLM, write_report, Entry, Recipe, RunFolder
    global evaluate, predict, run_experiment
    from crocuta.classification import Entry, Recipe, RunFolder, evaluate, predict, run_experiment
    from crocuta.models.baselines import KmerConfig, LengthConfig
    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
    from crocuta.report import write_report


SMALL = {"d_model": 16, "n_layer": 1, "filter_order": 16, "max_seq_len": 44}


@pytest.fixture(scope="module")
def entries(config, recipe):
    return [
        Entry("hyena", "HyenaDNA", config, recipe),
        Entry("kmer-lr", "k-mer regression", KmerConfig(longest_kmer=3)),
        Entry("length", "length only", LengthConfig(features=4)),
    ]


@pytest.fixture(scope="module")
def run(entries, splits, table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment") / "run"
    return run_experiment(entries, splits, folder, seeds=(0, 1), inputs={"data": table})


def test_everything_is_in_the_folder(run, splits):
    metrics, n = run.metrics, len(splits.test)
    assert [len(metrics["models"][name]["seeds"]) for name in ("hyena", "kmer-lr", "length")] == [2, 1, 1]
    assert {row["baseline"] for row in metrics["paired"]} == {"kmer-lr", "length"}
    assert metrics["data"]["test"]["n"] == n
    assert metrics["data"]["leakage"]["duplicates"] == 0
    assert sum(map(sum, metrics["data"]["lengths"]["by_class"].values())) == 240
    rows = (run.path / "predictions.tsv").read_text().splitlines()
    assert rows[0].split("\t") == ["name", "label", "model", "seed", "predicted", "p(other)", "p(promoter)"]
    assert len(rows) == 1 + n * 4
    manifest = json.loads((run.path / "manifest.json").read_text())
    assert len(manifest["data"][0]["sha256"]) == 64


def test_scores_are_those_of_the_predictions(run):
    rows = [line.split("\t") for line in (run.path / "predictions.tsv").read_text().splitlines()[1:]]
    mine = [row for row in rows if row[2] == "hyena" and row[3] == "1"]
    accuracy = np.mean([row[1] == row[4] for row in mine])
    assert run.metrics["models"]["hyena"]["seeds"][1]["test"]["accuracy"] == pytest.approx(accuracy)


class Cut(Progress):
    def say(self, line):
        raise KeyboardInterrupt  # after the first training


def test_an_interrupted_comparison_goes_on(entries, splits, run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_experiment(entries, splits, tmp_path / "cut", seeds=(0, 1), progress=Cut())
    with pytest.raises(InputError, match="has not ended"):
        predict(tmp_path / "cut", "unused.fa", tmp_path / "out.tsv")
    resumed = run_experiment(entries, splits, tmp_path / "cut", seeds=(0, 1), resume=True)
    for seed in (0, 1):
        ours, whole = (r.metrics["models"]["hyena"]["seeds"][seed]["test"] for r in (resumed, run))
        assert ours == whole


def test_trainings_side_by_side_are_the_same(entries, splits, run, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))  # another number rounds another way
    heard = []

    class Ear(Progress):
        def stage(self, name, total=None, unit=""):
            heard.append(Stage(name, total, unit))
            return heard[-1]

    both = run_experiment(entries, splits, tmp_path / "run", seeds=(0, 1), jobs=2, progress=Ear())
    timeless = [
        [fit["test"] | fit["valid"] for model in r.metrics["models"].values() for fit in model["seeds"]]
        for r in (both, run)
    ]
    assert timeless[0] == timeless[1]
    assert heard[0].total == 4
    assert heard[0].done == pytest.approx(4)
    assert not list(both.path.rglob(".*"))


def test_a_run_is_not_overwritten_nor_mixed(entries, splits, run, tmp_path, table):
    inputs = {"data": table}
    with pytest.raises(InputError, match="holds a finished run already; go on with it by `resume`"):
        run_experiment(entries, splits, run.path, seeds=(0, 1), inputs=inputs)
    with pytest.raises(InputError, match=r"it began with seeds = \[0, 1\], now it is \[0\]"):
        run_experiment(entries, splits, run.path, seeds=(0,), inputs=inputs, resume=True)
    wider = [replace(entries[0], model=HyenaConfig(**SMALL | {"filter_order": 24})), *entries[1:]]
    with pytest.raises(
        InputError, match=r"it began with configurations\.hyena\.filter_order = 16, now it is 24"
    ):
        run_experiment(wider, splits, run.path, seeds=(0, 1), inputs=inputs, resume=True)
    other = write_promoters(tmp_path / "other.csv", seed=8)
    with pytest.raises(InputError, match=r"it began with data = .*data.csv \(sha256 .*other.csv"):
        run_experiment(entries, splits, run.path, seeds=(0, 1), inputs={"data": other}, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").write_text("years of work")
    with pytest.raises(InputError, match="not empty, and crocuta did not make it"):
        run_experiment(entries, splits, tmp_path / "other")


def test_evaluate_on_other_data(run, tmp_path):
    other = write_promoters(tmp_path / "other.csv", n=60, seed=7)
    result = evaluate(run.path, other)
    assert result.path == run.path / "evaluations" / "other"
    assert result.metrics["data"]["test"]["n"] == 60
    assert result.metrics["models"]["kmer-lr"]["test"]["auroc"]["mean"] > 0.8
    strange = tmp_path / "strange.csv"
    strange.write_text("sequence,label\nACGTACGTACGTACGTACGTACGT,enhancer\nACGT,other\n")
    with pytest.raises(InputError, match=r"strange\.csv.*'enhancer'"):
        evaluate(run.path, strange)


class Seen(Progress):
    """Writes down what is done, and of how many."""

    def __init__(self, seen):
        self.seen = seen

    def stage(self, name, total=None, unit=""):
        stage = Stage(name, total, unit)
        stage.show = lambda: self.seen.append((stage.done, stage.total))
        return stage


def test_predict_streams_and_leaves_nothing_half_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr("crocuta.classification.run.STREAMED", 3)
    fasta = tmp_path / "seqs.fa"
    fasta.write_text("".join(f">s{i}\nACGTTATAAAAGCCRGT\n" for i in range(10)))
    seen = []
    assert predict(run.path, fasta, tmp_path / "out.tsv", progress=Seen(seen)) == (10, 10)
    assert seen == [(3, 10), (6, 10), (9, 10), (10, 10)]
    rows = (tmp_path / "out.tsv").read_text().splitlines()
    assert rows[0].split("\t") == ["name", "predicted", "p(other)", "p(promoter)"]
    assert [row.split("\t")[0] for row in rows[1:]] == [f"s{i}" for i in range(10)]
    fasta.write_text(fasta.read_text() + ">long\n" + "ACGT" * 20 + "\n")
    with pytest.raises(
        InputError, match=r"seqs\.fa: long has 80 nucleotides, 37 more than the model reads \(43\)"
    ):
        predict(run.path, fasta, tmp_path / "second.tsv")
    assert sorted(path.name for path in tmp_path.glob("*second*")) == []


def test_two_models_of_one_name_are_refused(entries, splits, tmp_path):
    with pytest.raises(InputError, match="two models are called 'hyena'; rename the folder of one"):
        run_experiment([entries[0], entries[0]], splits, tmp_path / "run")


def test_other_pretrained_weights_are_refused(config, splits, recipe, tmp_path):
    folder = tmp_path / "base"
    HyenaForCausalLM(config).save_pretrained(folder)
    entry = Entry("base", "base", folder, replace(recipe, epochs=1))
    run_experiment([entry], splits, tmp_path / "run", seeds=(0,))
    HyenaForCausalLM(config).save_pretrained(folder)
    with pytest.raises(InputError, match=r"base \(model\) has changed since"):
        run_experiment([entry], splits, tmp_path / "run", seeds=(0,), resume=True)


def test_runs_of_the_first_version_are_read(entries, splits, tmp_path):
    with tarfile.open(Path(__file__).parents[1] / "fixtures" / "runs-0.1.0.tar.xz") as archive:
        archive.extractall(
            tmp_path,
            [m for m in archive if m.name.split("/")[0] in ("train", "data", "bench")],
            filter="data",
        )
    old = RunFolder(tmp_path / "train")
    assert old.kind == "train"
    assert write_report([old.path], tmp_path / "report.html").exists()
    fasta = tmp_path / "a.fa"
    fasta.write_text(">x\nACGTACGTACGTACGT\n")
    assert predict(old.path, fasta, tmp_path / "out.tsv") == (1, 0)
    again = evaluate(old.path, tmp_path / "data" / "data.csv", tmp_path / "again")
    assert again.metrics["models"].keys() == old.metrics["models"].keys()
    assert load_rows(tmp_path / "bench" / "results.jsonl")[0]["model"] == "length"
    with pytest.raises(InputError, match=r"holds a run that crocuta 0\.1\.0 or another program made"):
        run_experiment(entries, splits, old.path, resume=True)


def test_predict_knows_the_models_of_a_run(run, tmp_path):
    with pytest.raises(InputError, match="no model 'bert'; it holds hyena, kmer-lr, length"):
        predict(run.path, tmp_path / "seqs.fa", tmp_path / "out.tsv", model="bert")


def test_both_strands_are_averaged(config, splits, tmp_path):
    recipe = Recipe(learning_rate=5e-3, batch_size=16, epochs=1)
    models = [
        Entry("hyena", "HyenaDNA", config, recipe),
        Entry("kmer-lr", "k-mers", KmerConfig(longest_kmer=3)),
    ]
    run = run_experiment(models, splits, tmp_path / "run", seeds=(0,), both_strands=True)
    for name in ("hyena", "kmer-lr"):
        forward, backward = run.ensemble(name).predict(["ACGTTATAAAAGCC", "GGCTTTTATAACGT"]).probabilities
        np.testing.assert_allclose(forward, backward, atol=1e-6)
