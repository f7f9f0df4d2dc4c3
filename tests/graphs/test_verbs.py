"""`crocuta lab graph train` from a file to its run folder."""

import json

from typer.testing import CliRunner

from crocuta.cli import app


def test_graph_train_end_to_end(tmp_path):
    edges = tmp_path / "edges.tsv"
    edges.write_text("".join(f"n{(i - 1) // 2}\tn{i}\n" for i in range(1, 127)))
    output = tmp_path / "run"
    command = [
        "lab",
        "graph",
        "train",
        str(edges),
        "--seeds",
        "2",
        "--epochs",
        "10",
        "--dim",
        "4",
        "-o",
        str(output),
    ]
    command += ["--per-layer", "--learnable"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "auroc" in result.output
    metrics = json.loads((output / "metrics.json").read_text())
    assert len(metrics["seeds"]) == 2
    assert (output / "models" / "seed-1" / "model.safetensors").exists()
    assert CliRunner().invoke(app, command).exit_code == 2
    assert CliRunner().invoke(app, [*command, "--resume"]).exit_code == 0


def test_graph_train_names_what_is_wrong(tmp_path):
    edges = tmp_path / "edges.tsv"
    edges.write_text("a b\nc\n")
    for arguments, message in (
        ([], "line 2: found 'c'"),
        (["--search", "one"], "--search is 'one', expected numbers such as 0.3,1,3"),
    ):
        result = CliRunner().invoke(
            app, ["lab", "graph", "train", str(edges), "-o", str(tmp_path / "run"), *arguments]
        )
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_help_has_examples():
    output = CliRunner().invoke(app, ["lab", "graph", "train", "--help"]).output
    assert "crocuta lab graph train edges.tsv --problem lp --encoder hybonet" in " ".join(output.split())
