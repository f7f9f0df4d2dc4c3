"""`crocuta rag train` and `crocuta rag ask`, from two tables to an answer."""

import json

from typer.testing import CliRunner

from crocuta.cli import app

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
    assert "of 6 questions (the commonest answer: 0.333)" in result.output
    rows = (output / "predictions-test.tsv").read_text().splitlines()
    assert rows[1].split("\t")[:2] == ["What is element24?", "SINE"]
    assert json.loads((output / "manifest.json").read_text())["data"][0]["path"].endswith("triples.tsv")
    answered = CliRunner().invoke(app, ["rag", "ask", str(output), "What is element28?", "--facts"])
    assert answered.output.splitlines()[-2:] == ["  element28 is a LINE", "  LINE in repeats"]
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "holds a finished run" in " ".join(again.output.split())


def test_what_is_wrong_is_named(tmp_path):
    tables = write_tables(tmp_path)
    for arguments, message in (
        (["--prompt", "picture"], "prompt is 'picture', expected graph, text, both, none"),
        (["--method", "walk"], "method is 'walk', expected k-hop or prizes"),
        (["--encoder", "mlp"], "encoder must be one of gcn"),
        (["--language-model", str(tmp_path / "nothing")], "cannot be loaded"),
    ):
        result = CliRunner().invoke(app, ["rag", "train", *tables, "-o", str(tmp_path / "run"), *arguments])
        assert result.exit_code == 2, (arguments, result.output)
        assert message in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()
    result = CliRunner().invoke(app, ["rag", "ask", str(tmp_path), "What?"])
    assert result.exit_code == 2
    assert "expected a folder of" in " ".join(result.output.split())
