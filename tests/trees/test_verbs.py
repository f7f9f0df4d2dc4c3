"""`crocuta tree simulate` and `crocuta tree delta` as a user types them."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from crocuta.cli import app

pytestmark = pytest.mark.filterwarnings("default")


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


def test_simulate_then_measure(tmp_path):
    folder = tmp_path / "sim"
    options = ["--sequences", "120", "--length", "80", "--noise", "0.1", "--indel-rate", "0.05"]
    code, output = call("tree", "simulate", "--scenario", "A", *options, "-o", folder)
    assert code == 0, output
    assert "train" in output
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "train.csv",
        "dev.csv",
        "test.csv",
        "tree.nwk",
        "sequences.fasta",
        "scenario.json",
        "config.json",
        "manifest.json",
    }
    assert json.loads((folder / "scenario.json").read_text())["noise"] == 0.1
    quick = ["--nulls", "9", "--subset", "20"]
    code, output = call("tree", "delta", folder / "tree.nwk", *quick, "-o", tmp_path / "out" / "tree")
    assert code == 0, output
    assert "null: gaussian" in output
    assert "p = 0.100" in output
    found = json.loads((tmp_path / "out" / "tree.json").read_text())
    assert found["points"] == 120
    assert found["exact"]["relative"] < 1e-9
    assert (tmp_path / "out" / "tree.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "tree.svg").exists()
    for name in ("train.csv", "sequences.fasta"):
        code, output = call("tree", "delta", folder / name, "--kmer", 2, *quick, "--exact-up-to", 0)
        assert code == 0, output
        assert "30 random subsets of 20" in output


def test_simulated_tables_train(tmp_path):
    call("tree", "simulate", "--scenario", "B", "--sequences", "80", "--length", "40", "-o", tmp_path)
    code, output = call(
        "train", tmp_path / "train.csv", "--valid", tmp_path / "dev.csv", "--test", tmp_path / "test.csv",
        "-m", "cnn", "--epochs", 1, "--seeds", 1, "-o", tmp_path / "run",
    )  # fmt: skip
    assert code == 0, output
    assert (tmp_path / "run" / "report.html").exists()


def test_mistakes_cost_one_line_and_exit_code_2(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    cases = [
        (("tree", "simulate", "--scenario", "D", "-o", tmp_path / "s"), "kind = 'D', expected A, B or C"),
        (("tree", "simulate", "--death", "2", "-o", tmp_path / "s"), "death = 2.0, expected 0 or more"),
        (("tree", "delta", tmp_path / "none.nwk"), "none.nwk: no such file"),
        (("tree", "delta", tmp_path / "x.npy"), "3 points, expected at least 4"),
        (("tree", "delta", tmp_path / "x.npy", "--space", "flat"), "space 'flat', expected euclidean"),
    ]
    for arguments, message in cases:
        code, output = call(*arguments)
        assert (code, "Traceback" in output) == (2, False), output
        assert message in output, output
    assert not (tmp_path / "s").exists()


def test_help_has_examples():
    for verb in (("tree", "simulate"), ("tree", "delta")):
        code, output = call(*verb, "--help")
        assert code == 0
        assert f"crocuta {' '.join(verb)}" in output
