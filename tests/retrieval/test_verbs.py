"""`crocuta rag train` and `crocuta rag ask`, from two tables to an answer."""

import json
import tarfile
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crocuta.cli import app


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global report_rag, small_language_model, train_tokenizer, Answering, Course
    from crocuta.retrieval import small_language_model, train_tokenizer
    from crocuta.retrieval.page import report_rag
    from crocuta.retrieval.training import Answering
    from crocuta.runs.loop import Course


KINDS = ("SINE", "LINE", "LTR")


def write_tables(folder):
    """Elements of three kinds; those of the test are in no question of training."""
    names = [f"element{i}" for i in range(30)]
    triples = [f"{name}\tis a\t{KINDS[i % 3]}" for i, name in enumerate(names)]
    triples += [f"{kind}\tin\trepeats" for kind in KINDS]
    rows = [
        f"What is {name}?\t{KINDS[i % 3]}\t{'test' if i >= 24 else 'train'}" for i, name in enumerate(names)
    ]
    (folder / "triples.tsv").write_text("\n".join(triples) + "\n")
    (folder / "questions.tsv").write_text("\n".join(["question\tanswer\tsplit", *rows]) + "\n")
    return [str(folder / "triples.tsv"), str(folder / "questions.tsv")]


def test_train_and_ask(tmp_path):
    output = tmp_path / "run"
    command = ["rag", "train", *write_tables(tmp_path), "-o", str(output), "--dim", "16", "--epochs", "2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["test"]["questions"] == 6
    assert metrics["commonest_answer"]["test"] == 2 / 6
    assert "of 6 questions (the most common answer: 0.333)" in result.output
    rows = (output / "predictions-test.tsv").read_text().splitlines()
    assert rows[1].split("\t")[:2] == ["What is element24?", "SINE"]
    assert json.loads((output / "manifest.json").read_text())["data"][0]["path"].endswith("triples.tsv")
    answered = CliRunner().invoke(app, ["rag", "ask", str(output), "What is element28?", "--facts"])
    assert answered.output.splitlines()[-2:] == ["  element28 is a LINE", "  LINE in repeats"]
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "holds a finished run already; go on with it by --resume" in " ".join(again.output.split())
    assert (output / "predictions.tsv").read_bytes() == (output / "predictions-test.tsv").read_bytes()
    assert "What is element" in (output / "report.html").read_text()
    shown = CliRunner().invoke(app, [*command, "--resume"])
    assert f"exact match {metrics['test']['exact_match']:.3f}" in shown.output


def test_a_killed_training_goes_on(tmp_path, monkeypatch):
    """Killed in the language model's training: the tokenizer and the text encoder are those of the first command."""
    tables = write_tables(tmp_path)
    command = ["rag", "train", *tables, "--dim", "8", "--epochs", "3", "-o"]
    assert CliRunner().invoke(app, [*command, str(tmp_path / "whole")]).exit_code == 0
    monkeypatch.setattr("crocuta.retrieval.training.Course", partial(Course, checkpoint_seconds=0))

    steps, loss = [], Answering.loss

    def counted(self, model, batch):
        steps.append(True)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return loss(self, model, batch)

    monkeypatch.setattr(Answering, "loss", counted)
    again = tmp_path / "again"
    assert CliRunner().invoke(app, [*command, str(again)]).exit_code == 130
    assert (again / "models" / "texts.safetensors").exists()
    assert (again / "models" / "checkpoint").exists()
    monkeypatch.setattr("crocuta.retrieval.run.train_tokenizer", None)  # not made anew
    monkeypatch.setattr("crocuta.retrieval.retriever.fit_text_encoder", None)
    result = CliRunner().invoke(app, [*command, str(again), "--resume"])
    assert result.exit_code == 0, result.output
    whole = tmp_path / "whole"
    for file in whole.rglob("*"):
        if file.suffix in (".safetensors", ".tsv"):
            assert (again / file.relative_to(whole)).read_bytes() == file.read_bytes(), file
    assert {path.name for path in (again / "models").iterdir()} == {
        path.name for path in (whole / "models").iterdir()
    }


def test_a_language_model_counts_by_its_content(tmp_path):
    """A folder that is moved is the same; with other weights it is not."""
    tables, model = write_tables(tmp_path), tmp_path / "lm"
    tokenizer = train_tokenizer(["What is element SINE LINE LTR"], 300)
    tokenizer.save_pretrained(model)
    small_language_model(tokenizer, 8, heads=2).save_pretrained(model)
    command = [
        "rag",
        "train",
        *tables,
        "--dim",
        "8",
        "--epochs",
        "1",
        "-o",
        str(tmp_path / "run"),
        "--language-model",
    ]
    assert CliRunner().invoke(app, [*command, str(model)]).exit_code == 0
    model.rename(tmp_path / "moved")
    result = CliRunner().invoke(app, [*command, str(tmp_path / "moved"), "--resume"])
    assert result.exit_code == 0, result.output
    small_language_model(tokenizer, 8, heads=2).save_pretrained(tmp_path / "moved")
    result = CliRunner().invoke(app, [*command, str(tmp_path / "moved"), "--resume"])
    assert result.exit_code == 2
    assert "language_model = " in result.output


def test_the_cost_is_estimated_and_nothing_written(tmp_path):
    result = CliRunner().invoke(
        app, ["rag", "train", *write_tables(tmp_path), "-o", str(tmp_path / "run"), "--dry-run"]
    )
    assert "Training a model of" in result.output
    assert "MB available" in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"triples.tsv", "questions.tsv"}


def test_a_run_of_0_1_0_answers(tmp_path):
    with tarfile.open(Path(__file__).parents[1] / "fixtures" / "runs-0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, [m for m in archive if m.name.split("/")[0] == "rag"], filter="data")
    result = CliRunner().invoke(app, ["rag", "ask", str(tmp_path / "rag"), "What is element25?", "--facts"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] == "LINE"  # as its predictions-test.tsv says
    page = report_rag([tmp_path / "rag"]).read_text()
    assert "50.0% of the answers to test questions are exactly right" in page


def test_what_is_wrong_is_named(tmp_path):
    tables = write_tables(tmp_path)
    for arguments, message in (
        (["--context", "picture"], "--context is 'picture', expected graph, text, both, none"),
        (["--method", "walk"], "method is 'walk', expected k-hop or prizes"),
        (["--encoder", "mlp"], "encoder must be one of gcn"),
        (["--language-model", str(tmp_path / "nothing")], "cannot be loaded"),
        (["--learning-rate", "1e30", "--dim", "8"], "try a lower --learning-rate"),
    ):
        result = CliRunner().invoke(app, ["rag", "train", *tables, "-o", str(tmp_path / "run"), *arguments])
        assert result.exit_code == 2, (arguments, result.output)
        assert message in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()
    result = CliRunner().invoke(app, ["rag", "ask", str(tmp_path), "What?"])
    assert result.exit_code == 2
    assert "expected a folder of" in " ".join(result.output.split())
