"""`crocuta train --adapt` and tables of coordinates as a user types them."""

import json
import random

import pytest
import torch
from typer.testing import CliRunner

from crocuta.cli import app

pytestmark = pytest.mark.filterwarnings("default")

QUICK = ["--epochs", "1", "--seeds", "1", "--batch-size", "32", "--no-baselines"]


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A genome, windows of it with two labels each, and a pretrained model that knows nothing."""
    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM

    folder = tmp_path_factory.mktemp("adapt")
    draw = random.Random(0)
    (folder / "genome.fa").write_text(">chr1\n" + "".join(draw.choices("ACGT", k=3000)) + "\n")
    rows = [f"chr1,{20 * i},{20 * i + 20},{i % 2},{i % 3 // 2}" for i in range(120)]
    (folder / "windows.csv").write_text("chrom,start,end,a,b\n" + "\n".join(rows) + "\n")
    torch.manual_seed(0)
    config = HyenaConfig(d_model=16, n_layer=1, filter_order=16, max_seq_len=80)
    HyenaForCausalLM(config).save_pretrained(folder / "base")
    return folder


def test_adapt_to_windows_of_a_genome(files):
    genome = ["--genome", files / "genome.fa", "--window", "40"]
    arguments = [
        files / "windows.csv",
        *genome,
        "-m",
        files / "base",
        "--adapt",
        "probe",
        "--adapt",
        "prompt:3",
    ]
    code, output = call("train", *arguments, "-o", files / "run", *QUICK)
    assert code == 0, output
    assert "test auroc" in output
    metrics = json.loads((files / "run" / "metrics.json").read_text())
    assert list(metrics["models"]) == ["base-probe", "base-prompt-3"]
    assert metrics["models"]["base-probe"]["trained_parameters"] == 16 * 2 + 2
    code, output = call(
        "predict", files / "run", files / "windows.csv", *genome, "-o", files / "predicted.tsv"
    )
    assert code == 0, output
    assert "120 sequences" in output
    code, output = call("evaluate", files / "run", files / "windows.csv", *genome, "-o", files / "judged")
    assert code == 0, output
    code, output = call("train", *arguments, "--dry-run", "-o", files / "no", *QUICK)
    assert code == 0, output
    assert "34 of them trained" in output
    assert not (files / "no").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["-m", "base", "--adapt", "prefix:3"],
            "expected full, probe, lora, hyplora, hyplora-full, prompt, label-prompt, in-context",
        ),
        (["-m", "cnn", "--adapt", "probe"], "needs pretrained weights, and cnn starts from new ones"),
        (["-m", "base", "--adapt", "label-prompt:3"], "names each sequence's one class by a token"),
    ],
)
def test_mistakes_are_one_line(files, arguments, reason):
    arguments = [str(files / word) if word == "base" else word for word in arguments]
    genome = ["--genome", files / "genome.fa"]
    code, output = call("train", files / "windows.csv", *genome, *arguments, "-o", files / "out", *QUICK)
    assert code == 2
    assert reason in output
    assert not (files / "out").exists()


def test_coordinates_need_a_genome(files):
    code, output = call("train", files / "windows.csv", "-m", "cnn", "-o", files / "out2", *QUICK)
    assert code == 2
    assert "give their genome as --genome" in output
    code, output = call(
        "train", files / "windows.csv", "--window", "9", "-m", "cnn", "-o", files / "out2", *QUICK
    )
    assert code == 2
    assert "--window cuts windows out of a genome" in output
