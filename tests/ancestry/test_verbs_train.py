"""`crocuta ancestry train` as a user types it."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from crocuta.cli import app

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("few_test_windows")]
SMALL = [
    "--window",
    16,
    "--dim",
    16,
    "--layers",
    1,
    "--steps",
    4,
    "--pretrain-steps",
    2,
    "--tokens-per-step",
    256,
]


@pytest.fixture
def store(tmp_path):
    generator = np.random.default_rng(0)
    population = np.arange(24) % 2
    names = [f"P{i}" for i in range(24)]
    frequency = generator.beta(0.5, 0.5, (2, 80))
    allele = (generator.random((24, 2, 80)) < frequency[population][:, None]).astype(int)
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=22,length=100000>"]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    lines += ["\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *names])]
    for site in range(80):
        calls = [f"{a}|{b}" for a, b in allele[:, :, site]]
        lines.append(
            "\t".join(["22", str(1000 * site + 1), ".", "A", "CGT"[site % 3], ".", "PASS", ".", "GT", *calls])
        )
    (tmp_path / "cohort.vcf").write_text("\n".join(lines) + "\n")
    rows = [f"{name}\t{'XY'[k]}" for name, k in zip(names, population, strict=True)]
    (tmp_path / "samples.tsv").write_text("\n".join(["sample\tpop", *rows]) + "\n")
    output = tmp_path / "cohort.h5"
    code, said = call(
        "ancestry", "build", tmp_path / "cohort.vcf", "--samples", tmp_path / "samples.tsv", "-o", output
    )
    assert code == 0, said
    return output


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, " ".join((result.output + (result.stderr if result.exit_code else "")).split())


@pytest.mark.parametrize("view", ["haplotype", "carried"])
def test_from_a_store_to_a_model(store, tmp_path, view):
    run = tmp_path / "run"
    options = ["--by", "population", "--view", view, *SMALL, "-o", run]
    code, said = call("ancestry", "train", store, *options)
    assert code == 0, said
    assert "test accuracy" in said
    assert "pretrain step 2: loss" in said
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["populations"] == ["X", "Y"]
    assert metrics["test"]["accuracy"] > 0.6
    code, said = call("ancestry", "train", store, *options)
    assert code == 2
    assert "go on with it by --resume" in said
    code, said = call("ancestry", "train", store, *options, "--resume")
    assert code == 0, said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "group"], "has no group"),
        (["--by", "population", "--window", 500], "choose a shorter --window"),
        (["--by", "population", "--leave-out", "Z"], "nobody in the cohort"),
        (["--by", "population", "--view", "sideways"], "view must be one of"),
        (["--by", "population", "--device", "cuda:77"], "--device cuda:77: cannot be used here"),
        (["--scope", "sideways"], "--scope sideways: expected windows or local"),
    ],
)
def test_bad_options_are_named(store, tmp_path, options, message):
    code, said = call("ancestry", "train", store, *SMALL, *options, "-o", tmp_path / "run")
    assert code == 2
    assert message in said
    assert not (tmp_path / "run").exists()
