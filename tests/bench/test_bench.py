"""`crocuta bench` from the command line to the pictures: it resumes, and one failure does not stop the others."""

import json
import operator
import shutil

import pytest
from typer.testing import CliRunner

from crocuta.bench import BASELINES, Cell, bench, find_source
from crocuta.bench.results import load_rows, read_rows
from crocuta.bench.run import Worker
from crocuta.cli import app
from crocuta.errors import InputError
from crocuta.runs.progress import Progress

pytestmark = pytest.mark.filterwarnings("default")  # the command line quietens libraries itself

QUICK = {"seeds": 2, "epochs": 1, "baselines": False, "jobs": 1}
AGAIN = QUICK | {"resume": True}


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A file, a folder with published parts, and a file that no model can be trained on."""
    folder = tmp_path_factory.mktemp("tables")
    rows = [
        f"{'ACGT' * 5}{'TATAAA' if i % 2 else 'GCGCGC'}{'ACGT'[i % 4] * (i % 9)},{i % 2}" for i in range(90)
    ]
    content = "\n".join(["sequence,label", *rows]) + "\n"
    (folder / "alone.csv").write_text(content)
    (folder / "parts").mkdir()
    for part in ("train", "dev", "test"):
        (folder / "parts" / f"{part}.csv").write_text(content)
    (folder / "broken.csv").write_text("sequence,label\nACGT,1\nAC!T,0\n")
    return folder


@pytest.fixture(scope="module")
def finished(tables, tmp_path_factory):
    """Two tasks, one of them broken, with two models and two seeds: what the command printed, and its folder."""
    output = tmp_path_factory.mktemp("bench") / "out"
    tasks = [option for name in ("alone.csv", "parts", "broken.csv") for option in ("-t", tables / name)]
    models = ["-m", "kmer-lr", "-m", "cnn", "--no-baselines"]
    code, printed = call("bench", *tasks, *models, "--seeds", 2, "--epochs", 1, "-o", output)
    return code, printed, output


def test_one_line_fills_a_folder(finished, tables):
    _, printed, output = finished
    rows = load_rows(output / "results.jsonl")
    found = [(row["model"], row["task"], row["seed"]) for row in rows]
    both = ("alone", "parts")
    assert found == [("kmer-lr", task, 0) for task in both] + [("cnn", t, s) for t in both for s in (0, 1)]
    for row in rows:
        assert set(row["test"]) == {"mcc", "accuracy", "f1", "auroc", "auprc"}
        assert row["parameters"] > 0
        assert "share at least one 50-mer" in row["leakage"]
        assert (row["recipe"] or {"epochs": 1})["epochs"] == 1
        assert (output / row["run"] / "predictions.tsv").exists()
    assert rows[1]["sizes"] == [90, 90, 90]
    table = (output / "results.md").read_text()
    score = next(row["test"]["mcc"] for row in rows if (row["model"], row["task"]) == ("kmer-lr", "parts"))
    assert f"{score:.3f}" in table
    assert "Of 90 test sequences, 90 (100.0%) are also in the training set" in table
    assert "k-mer logistic regression" in printed
    for name in ("scores", "tasks", "ranks"):
        assert (output / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (output / "figures" / f"{name}.svg").exists()


def test_a_failing_cell_is_named_with_its_log_and_does_not_stop_the_others(finished):
    code, printed, output = finished
    assert code == 1
    assert "Failed: broken: CNN: " in printed
    assert "broken.csv" in (output / "runs" / "broken--cnn.log").read_text()
    assert "Traceback" not in printed


def test_only_what_is_missing_is_done_again(finished, tables, tmp_path):
    output = shutil.copytree(finished[2], tmp_path / "out")
    before = (output / "results.jsonl").read_text()
    kept = output / "runs" / "parts--cnn" / "metrics.json"
    age = kept.stat().st_mtime_ns
    shutil.rmtree(output / "runs" / "alone--kmer-lr")
    heard = []

    class Ear(Progress):
        def say(self, line):
            heard.append(" ".join(line.split()[:6]))

    tasks = [str(tables / "alone.csv"), str(tables / "parts")]
    result = bench(tasks, ["kmer-lr", "cnn"], output, progress=Ear(), **AGAIN)
    assert heard == ["4 pairs of task and model,", "alone: k-mer logistic regression test mcc"]
    assert result.failures == []
    assert kept.stat().st_mtime_ns == age

    def timeless(text):
        return [
            {
                key: value
                for key, value in json.loads(line).items()
                if key not in ("seconds", "peak_memory_mb")
            }
            for line in text.splitlines()
        ]

    assert timeless((output / "results.jsonl").read_text()) == timeless(before)


def test_results_of_earlier_calls_stay_beside_new_ones(finished, tables, tmp_path):
    output = shutil.copytree(finished[2], tmp_path / "out")
    before = load_rows(output / "results.jsonl")
    result = bench([str(tables / "parts")], ["cnn"], output, **AGAIN)
    assert sorted(map(str, result.rows)) == sorted(map(str, before))
    shutil.rmtree(output / "runs" / "alone--cnn")
    rows = bench([str(tables / "parts")], ["cnn"], output, **AGAIN).rows
    assert [(row["model"], row["task"]) for row in rows] == [
        ("kmer-lr", "alone"), ("kmer-lr", "parts"), ("cnn", "parts"), ("cnn", "parts"),
    ]  # fmt: skip


def test_other_settings_or_data_are_refused(finished, tables, tmp_path):
    output = shutil.copytree(finished[2], tmp_path / "out")
    tasks = [str(tables / "alone.csv")]
    with pytest.raises(InputError, match="unfinished run already; go on with it by `resume`"):
        bench(tasks, ["cnn"], output, **QUICK)
    with pytest.raises(InputError, match="began with seeds = 2, now it is 3"):
        bench(tasks, ["cnn"], output, **AGAIN | {"seeds": 3})
    (tmp_path / "alone.csv").write_text("sequence,label\nACGT,1\nACCT,0\n")
    with pytest.raises(InputError, match=r"alone--cnn: cannot go on: it began with data = .*alone.csv"):
        bench([str(tmp_path / "alone.csv")], ["cnn"], output, **AGAIN)


@pytest.mark.parametrize(
    ("tasks", "models", "message"),
    [
        (["gue/prom_core_tat"], ["cnn"], "did you mean gue/prom_core_tata"),
        (["gue/prom_core_tata"], ["cnn"], "needs `data_root`"),
        (["none.csv"], ["cnn"], "none.csv: no such file"),
        (["{}/alone.csv"], ["bert"], "no model 'bert'"),
        (["{}/alone.csv", "{}/parts/../alone.csv"], ["cnn"], "two tasks are called 'alone'"),
        (["{}"], ["cnn"], "expected train.csv and test.csv"),
        (["{}/alone.csv", "gue/lost"], ["cnn"], "no task 'gue/lost'"),
        (["{}/alone.csv"], [], "at least one `task` and one `model`"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(tables, tmp_path, tasks, models, message):
    with pytest.raises(InputError, match=message):
        bench([task.format(tables) for task in tasks], models, tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()


def test_a_process_that_dies_is_a_failure_and_gets_a_successor(tables, tmp_path, monkeypatch):
    source = find_source(str(tables / "alone.csv"))
    cell = Cell(source, "kmer-lr", "k-mers", tmp_path / "runs" / "alone--kmer-lr")
    worker = Worker(1)
    common = {"seeds": 1, "metric": None, "both_strands": False, "device": "cpu"}
    with monkeypatch.context() as patch:
        patch.setattr("crocuta.bench.run.work", operator.is_)  # takes its two arguments, and ends
        failure = worker.train(cell, common)
    assert failure is not None
    assert failure.reason == "its process died; last word: no word"
    assert worker.train(cell, common) is None
    worker.stop()
    worker.close()
    assert [row["metric"] for row in read_rows(cell)] == ["mcc"]


def test_torn_lines_are_named(tmp_path):
    (tmp_path / "results.jsonl").write_text('{"task": "a"}\n{"task": \n')
    with pytest.raises(InputError, match="line 2: not JSON"):
        load_rows(tmp_path / "results.jsonl")


def test_baselines_are_presets(tables):
    from crocuta.presets import PRESETS

    assert set(BASELINES) <= set(PRESETS)
    source = find_source(str(tables / "parts"))
    assert (source.name, [path.name for path in source.inputs.values()]) == (
        "parts",
        ["train.csv", "dev.csv", "test.csv"],
    )


def test_help_has_examples():
    code, printed = call("bench", "--help")
    assert code == 0
    assert "crocuta bench --task gue/prom_core_tata" in printed
