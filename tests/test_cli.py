"""The command line as a user types it: from a table to a report, and one line for each mistake."""

import gzip
import json
import random

import pytest
from typer.testing import CliRunner

from crocuta.cli import app

pytestmark = pytest.mark.filterwarnings("default")  # the command line quietens libraries itself

QUICK = ["--epochs", "1", "--seeds", "1", "--batch-size", "32"]


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


def table(path, n=120, seed=0, length=30):
    draw = random.Random(seed)
    rows = ["sequence,label"]
    for i in range(n):
        nucleotides = draw.choices("ACGT", k=length)
        nucleotides[10:16] = "TATAAA" if i % 2 else nucleotides[10:16]
        rows.append(f"{''.join(nucleotides)},{i % 2}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    code, output = call("train", table(folder / "data.csv"), "-m", "cnn", "-o", folder / "run", *QUICK)
    assert code == 0
    assert "report.html" in output
    return folder / "run"


def test_train_leaves_a_report_and_its_parts(run):
    for name in ("report.html", "metrics.json", "predictions.tsv", "manifest.json", "config.json"):
        assert (run / name).stat().st_size > 0
    assert list(run.glob("figures/*.png"))
    assert list(run.glob("figures/*.svg"))
    assert list(json.loads((run / "metrics.json").read_text())["models"]) == ["cnn", "kmer-lr", "length"]
    page = (run / "report.html").read_text()
    assert "<script src" not in page
    assert "http" not in page.split("<body")[0].replace("http://www.w3.org", "")


def test_predict_evaluate_and_report(run, tmp_path):
    fasta = tmp_path / "seqs.fa.gz"
    fasta.write_bytes(gzip.compress(b">a\nACGTTATAAACGTR\n>b\nacgtacgtacgt\n"))
    code, output = call("predict", run, fasta, "-o", tmp_path / "predictions.tsv")
    assert code == 0
    assert "2 sequences" in output
    assert "1 nucleotides other than ACGTN were read as N" in output
    assert len((tmp_path / "predictions.tsv").read_text().splitlines()) == 3
    code, output = call("evaluate", run, table(tmp_path / "other.csv", seed=3), "-o", tmp_path / "other")
    assert code == 0
    assert "120 sequences" in output
    assert (tmp_path / "other" / "report.html").exists()
    code, output = call("report", run, tmp_path / "other", "-o", tmp_path / "comparison" / "report.html")
    assert code == 0
    assert (tmp_path / "comparison" / "report.html").exists()
    assert call("report", run)[0] == 0


def test_dry_run_trains_nothing(tmp_path):
    code, output = call("train", table(tmp_path / "data.csv"), "-o", tmp_path / "run", "--dry-run", *QUICK)
    assert code == 0
    assert "HyenaDNA-tiny (new weights): 436,354 parameters" in output
    assert not (tmp_path / "run").exists()


def test_other_dry_runs(run, tmp_path):
    data = table(tmp_path / "data.csv")
    before = sorted(run.rglob("*"))
    commands = [
        ("evaluate", run, data),
        ("predict", run, data, "-o", tmp_path / "p.tsv"),
        ("bench", "-t", data, "-m", "cnn-max", "--no-baselines", "--epochs", "1", "-o", tmp_path / "bench"),
    ]
    for command in commands:
        code, output = call(*command, "--dry-run")
        assert code == 0, output
        assert "MB available" in output
    assert sorted(run.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_memory_that_would_not_suffice_is_told_before(tmp_path, monkeypatch):
    monkeypatch.setattr("crocuta.runs.cost.available_mb", lambda device: 1.0)
    code, output = call("train", table(tmp_path / "data.csv"), "-m", "cnn", "--dry-run", *QUICK)
    assert code == 2
    assert "lower --batch-size or --max-length" in output


def test_runs_of_another_kind_are_refused(tmp_path):
    for name in ("config", "metrics"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"kind": "ancestry train"}))
    data = table(tmp_path / "data.csv")
    for verb in ("evaluate", "predict", "report"):
        code, output = call(verb, tmp_path, *([] if verb == "report" else [data]))
        assert code == 2
        assert f"made by `crocuta ancestry train`; `crocuta {verb}` takes runs of `crocuta train`" in output


def test_nothing_is_replaced_unasked(run, tmp_path):
    mine = write(tmp_path / "mine", "mine")
    fasta = write(tmp_path / "a.fa", ">x\nACGT\n")
    for command in (("predict", run, fasta, "-o", mine), ("report", run, "-o", mine)):
        code, output = call(*command)
        assert code == 2
        assert "exists already; choose another --output, or replace it with --overwrite" in output
        assert mine.read_text() == "mine"
    assert call("predict", run, fasta, "-o", mine, "--overwrite")[0] == 0
    assert mine.read_text().startswith("name\t")


def test_a_finished_run_is_shown(run, monkeypatch):
    monkeypatch.setattr("crocuta.classification.experiment.train_one", None)
    data = run.parent / "data.csv"
    code, output = call("train", data, "-m", "cnn", "-o", run, *QUICK, "--resume")
    assert code == 0, output
    assert "Test set" in output
    assert str(run / "report.html") in output


def test_runs_hold_no_pickle(run):
    assert not {".bin", ".pt", ".pth", ".pkl"} & {path.suffix for path in run.rglob("*")}


def test_doctor_and_tasks():
    code, output = call("doctor")
    assert code == 0
    assert "torch" in output
    code, output = call("tasks")
    assert code == 0
    assert "gue/prom_core_tata" in output
    assert "62 tasks" in output


def test_help_has_examples():
    for verb in ("train", "evaluate", "predict", "report", "tasks"):
        code, output = call(verb, "--help")
        assert code == 0
        assert f"crocuta {verb}" in output


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


GOOD = "sequence,label\n" + "".join(
    f"{'ACGT' * 5}{'ACGT'[i % 4]}{'GATC'[i // 4 % 4]}A{'C' * (i % 7)},{i % 2}\n" for i in range(60)
)

MISTAKES = {
    "no such file": (None, "data.csv: no such file"),
    "empty file": ("", "data.csv: .*empty"),
    "no label column": ("sequence,klass\nACGT,1\n", "data.csv.*label"),
    "no sequence column": ("dna,label\nACGT,1\n", "data.csv.*sequence"),
    "a digit in a sequence": ("sequence,label\nACGT,0\nAC3T,1\n", "data.csv.*line 3.*'3'"),
    "a gap in a sequence": ("sequence,label\nACGT,0\nAC-T,1\n", "data.csv.*line 3.*'-'"),
    "one class": ("sequence,label\nACGT,1\nAACC,1\n", "data.csv: 1 class"),
    "truncated gzip": (gzip.compress(GOOD.encode())[:-20], "data.csv.*(truncated|ends)"),
    "a workbook": (b"PK\x03\x04" + bytes(50), "data.csv.*Excel"),
    "FASTA without labels": (">a\nACGT\n>b\nAACC\n", "data.csv.*no label"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_costs_one_line_and_exit_code_2(mistake, tmp_path):
    import re

    content, message = MISTAKES[mistake]
    path = tmp_path / "data.csv"
    if content is not None:
        write(path, content)
    code, output = call("train", path, "-o", tmp_path / "run", *QUICK)
    assert code == 2
    assert re.search(message, output), output
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists()


def test_labels_that_training_never_saw(tmp_path):
    test = write(tmp_path / "test.csv", "sequence,label\nACGTAC,0\nACGTAA,7\n")
    code, output = call(
        "train", write(tmp_path / "data.csv", GOOD), "--test", test, "-o", tmp_path / "run", *QUICK
    )
    assert code == 2
    assert "'7'" in output


def test_other_mistakes(run, tmp_path):
    data = write(tmp_path / "data.csv", GOOD)
    cases = [
        (
            ("train", data, "-m", "bert", "-o", tmp_path / "x"),
            "no model 'bert': expected the folder of a pretrained model, or one of",
        ),
        (("train", data, "-m", tmp_path, "-o", tmp_path / "x"), "neither the folder of a model"),
        (("train", "-o", tmp_path / "x"), "give either a file of labelled sequences or --task"),
        (("train", "--task", "gue/none", "--data-root", tmp_path), "gue/none"),
        (("train", "--task", "gue/prom_core_tata"), "needs --data-root"),
        (("train", "--task", "gue/prom_core_tata", "--data-root", tmp_path), "train.csv"),
        (("train", data, "-m", "cnn", "-o", run), "holds a finished run already"),
        (("predict", tmp_path, data), "not a run folder"),
        (
            ("predict", run, write(tmp_path / "long.fa", ">x\n" + "A" * 31 + "\n"), "-o", tmp_path / "p.tsv"),
            "1 more than",
        ),
        (("report", tmp_path), "not a run folder"),
    ]
    for arguments, message in cases:
        code, output = call(*arguments)
        assert (code, "Traceback" in output) == (2, False), output
        assert message in output, output


def test_a_broken_model_is_named(run, tmp_path):
    import shutil

    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    next(broken.glob("models/cnn/seed-0/model.safetensors")).write_bytes(b"torn")
    code, output = call("predict", broken, write(tmp_path / "a.fa", ">x\nACGT\n"), "-o", tmp_path / "p.tsv")
    assert code == 2
    assert "model.safetensors" in output


def test_the_command_line_starts_quickly():
    """By what its help imports, not by the clock, which a busy machine slows down (see also test_architecture)."""
    import subprocess
    import sys

    command = [sys.executable, "-X", "importtime", "-m", "crocuta", "--help"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    imported = {line.split("|")[-1].strip().split(".")[0] for line in said.splitlines()}
    assert {"crocuta", "typer"} <= imported
    slow = {"accelerate", "h5py", "matplotlib", "pandas", "scipy", "sklearn", "torch", "transformers"}
    assert not imported & slow
