"""Continuations of prompts as FASTA, and the verb `generate`."""

import pytest
import torch
from typer.testing import CliRunner

from crocuta.cli import app
from crocuta.data.encoding import decode
from crocuta.data.records import read_records


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global HyenaConfig, HyenaForCausalLM, HyenaForSequenceClassification, generate, generation_cost
    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM, HyenaForSequenceClassification
    from crocuta.models.hyena.generation import generate
    from crocuta.pretraining import generation_cost


pytestmark = pytest.mark.filterwarnings("default")
SMALL = {"d_model": 16, "n_layer": 2, "max_seq_len": 260, "initializer_range": 0.3}


def small():
    torch.manual_seed(0)
    return HyenaForCausalLM(HyenaConfig(**SMALL)).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "causal"
    small().save_pretrained(path)
    return path


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


def test_verb_writes_fasta(folder, tmp_path):
    prompts = tmp_path / "prompts.fa"
    prompts.write_text(">x\nACGTACGT\n>y\nGGTTN\n")
    out = tmp_path / "out.fa"
    command = ["generate", folder, "--prompt-file", prompts, "--length", 90, "--continuations", 2, "-o", out]
    code, output = call(*command, "--with-prompt")
    assert code == 0, output
    assert "4 sequences of 90 new nucleotides" in output
    records = list(read_records(out))
    assert [(record.name, len(record.sequence)) for record in records] == [
        ("x_1", 98), ("x_2", 98), ("y_1", 95), ("y_2", 95),
    ]  # fmt: skip
    assert records[0].sequence.startswith("ACGTACGT")
    assert records[0].sequence != records[1].sequence
    assert max(map(len, out.read_text().splitlines())) <= 80
    again = ["generate", folder, "--prompt", "acgtacgt", "--length", 90, "-o", out]
    code, output = call(*again)
    assert (code, "exists already; choose another --output, or replace it with --overwrite" in output) == (
        2,
        True,
    )
    code, output = call(*again, "--overwrite")
    assert code == 0, output
    assert next(read_records(out)).sequence == decode(generate(small(), "ACGTACGT", 90, seed=0)[0].numpy())


def test_memory_is_foreseen(folder, tmp_path, monkeypatch):
    out = tmp_path / "out.fa"
    command = ["generate", folder, "-p", "ACGT", "--length", 90, "--continuations", 3, "-o", out]
    code, output = call(*command, "--dry-run")
    assert code == 0, output
    assert "3 sequences of 90 new nucleotides: about" in output
    assert not out.exists()
    monkeypatch.setattr(generation_cost, "SCRATCH", 1 << 50)
    for more in ([], ["--dry-run"]):
        code, output = call(*command, *more)
        assert code == 2
        assert "this would need about 1,073," in output
        assert "lower --continuations or --length" in output
    assert not out.exists()


def test_verb_names_mistakes(folder, tmp_path):
    classifier = tmp_path / "classifier"
    HyenaForSequenceClassification(HyenaConfig(**SMALL)).save_pretrained(classifier)
    out = tmp_path / "out.fa"
    cases = [
        ((folder, "-p", "ACGT", "--length", 300), "prompt: a prompt of 4 and 300 new tokens are 44 more"),
        ((folder,), "give either --prompt with nucleotides or --prompt-file"),
        ((folder, "-p", "AC-GT"), "--prompt, line 1: character '-' at position 3"),
        ((folder, "-p", "ACGT", "--nucleotides", "ACGU"), "--nucleotides ACGU: expected some of ACGTN"),
        ((folder, "-p", "ACGT", "--temperature", -1), "--temperature -1: expected 0"),
        ((folder, "-p", "ACGT", "--device", "cuda"), "--device cuda: cannot be used here"),
        ((classifier, "-p", "ACGT"), "holds no causal language model"),
    ]
    for arguments, message in cases:
        code, output = call("generate", *arguments, "-o", out)
        assert (code, message in output) == (2, True), output
        assert not out.exists()
