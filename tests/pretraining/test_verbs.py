"""`crocuta pretrain` as a user types it."""

import gzip

import numpy as np
import pytest
from typer.testing import CliRunner

from crocuta.cli import app

pytestmark = pytest.mark.filterwarnings("default")
SMALL = ["--length", 32, "--warm-up", "8,16", "--steps", 10, "--tokens-per-step", 256, "--markov-order", 1]


@pytest.fixture
def genome(tmp_path):
    nucleotides = np.random.default_rng(0).choice(list("ACGTR"), 3000)
    path = tmp_path / "genome.fa.gz"
    text = "".join(
        f">{name}\n{''.join(nucleotides[i : i + 1000])}\n" for i, name in enumerate(("chr1", "chr2", "chr3"))
    )
    path.write_bytes(gzip.compress(text.encode()))
    return path


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, " ".join((result.output + (result.stderr if result.exit_code else "")).split())


def test_pretrain_to_report(genome, tmp_path):
    output = tmp_path / "run"
    options = ["--test-contig", "chr1", "--valid-contig", "chr2", *SMALL, "-o", output]
    code, said = call("pretrain", genome, *options)
    assert code == 0, said
    assert "nucleotides other than ACGTN were read as N" in said
    assert "Markov, order 1" in said
    assert {"model", "metrics.json", "history.jsonl", "report.html", "manifest.json"} <= {
        path.name for path in output.iterdir()
    }
    assert {path.name for path in (output / "figures").iterdir()} == {"curve.png", "curve.svg"}
    page = (output / "report.html").read_text()
    assert "<svg" in page
    assert "HyenaDNA-tiny-1k" in page
    code, said = call("pretrain", genome, *options, "--resume")
    assert code == 0, said
    code, said = call("pretrain", genome, *options)
    assert code == 2
    assert "holds a finished run already; go on with it by --resume" in said


def test_dry_run_makes_nothing(genome, tmp_path):
    code, said = call(
        "pretrain", genome, "--valid-contig", "chr2", *SMALL, "-o", tmp_path / "run", "--dry-run"
    )
    assert code == 0, said
    assert "train 2,000 nucleotides in 2 intervals" in said
    assert "MB available" in said
    assert list(tmp_path.iterdir()) == [genome]


def test_memory_that_does_not_suffice(genome, tmp_path, monkeypatch):
    monkeypatch.setattr("crocuta.pretraining.cost.available_mb", lambda device: 10.0)
    for more in ([], ["--dry-run"]):
        code, said = call("pretrain", genome, "--valid-contig", "chr2", *SMALL, "-o", tmp_path / "run", *more)
        assert code == 2, said
        assert "and 10 MB are available; lower --tokens-at-once (now 32,768)" in said
    assert not (tmp_path / "run").exists()


def test_another_genome_under_the_same_name(genome, tmp_path):
    options = ["--valid-contig", "chr2", *SMALL, "-o", tmp_path / "run"]
    assert call("pretrain", genome, *options)[0] == 0
    genome.write_bytes(gzip.compress(gzip.decompress(genome.read_bytes()).replace(b"A", b"C", 1)))
    code, said = call("pretrain", genome, *options, "--resume")
    assert (code, "genome.fa.gz (genome) has changed since" in said) == (2, True), said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--valid-contig", "2"], "no contig '2'; this genome calls it 'chr2'"),
        ([], "nothing left for validation"),
        (["--valid-contig", "chr2", "--size", "huge"], "--size huge: expected tiny-1k"),
        (["--valid-contig", "chr2", "--warm-up", "8,x"], "expected lengths such as 64,128,256, found 'x'"),
        (
            ["--valid-contig", "chr2", "--precision", "half"],
            "--precision half: expected auto, float32, bfloat16",
        ),
        (["--valid-contig", "chr2", "--model", "nowhere"], "no model folder"),
        (
            ["--valid-contig", "chr2", "--length", "1001", "--steps", "2"],
            "the longest has 1,000: give a --length",
        ),
        (["--valid-contig", "chr2", "--device", "cuda"], "--device cuda: cannot be used here"),
        (["--bed", "past.bed"], "past.bed, line 2: chr2:900-1,300 ends 300 past the end of chr2"),
        (
            ["--bed", "other.bed"],
            "other.bed, line 1: genome.fa.gz has no contig '1'; this genome calls it 'chr1'",
        ),
    ],
)
def test_mistakes_are_one_line(genome, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "past.bed").write_text("chr1\t0\t500\ttrain\nchr2\t900\t1300\tvalid\n")
    (tmp_path / "other.bed").write_text("1\t0\t500\ttrain\nchr2\t0\t500\tvalid\n")
    code, said = call("pretrain", genome, "-o", tmp_path / "run", *options)
    assert code == 2, said
    assert message in said
