"""`crocuta embed`, `map`, `probe` and `windows` as a user types them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from crocuta.cli import app


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global anndata, HCNNConfig, HCNNForSequenceClassification, HyenaConfig, HyenaForCausalLM
    import anndata

    from crocuta.models.hcnn import HCNNConfig, HCNNForSequenceClassification
    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM


pytestmark = pytest.mark.filterwarnings("default")


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A genome, its BED and genes, and two saved models."""
    folder = tmp_path_factory.mktemp("place")
    generator = np.random.default_rng(0)
    torch.manual_seed(0)
    contigs = {f"c{i}": generator.choice(list("ACGT"), 400) for i in range(6)}
    genes = []
    for name, nucleotides in contigs.items():
        for i in range(10):
            start, rna = 40 * i, i % 2
            nucleotides[start : start + 30] = generator.choice(list("GC" if rna else "AT"), 30)
            kind = "tRNA" if rna else "protein_coding"
            genes.append(
                f'{name}\ts\tgene\t{start + 1}\t{start + 30}\t.\t+\t.\tgene_id "{name}g{i}"; gene_biotype "{kind}";'
            )
    (folder / "g.fa").write_text("".join(f">{name}\n{''.join(s)}\n" for name, s in contigs.items()))
    (folder / "h.fa").write_text("".join(f">{name}\n{''.join(s[::-1])}\n" for name, s in contigs.items()))
    (folder / "g.gtf").write_text("\n".join(genes) + "\n")
    (folder / "g.bed").write_text("c0\t0\t50\tone\nc1\t100\t180\ttwo\nc2\t5\t60\tthree\n")
    HyenaForCausalLM(
        HyenaConfig(d_model=16, n_layer=2, filter_order=8, max_seq_len=130, initializer_range=0.1)
    ).save_pretrained(folder / "hyena")
    HCNNForSequenceClassification(
        HCNNConfig(max_length=100, channels=5, hidden_features=8, curvatures="multiple")
    ).save_pretrained(folder / "hcnn")
    return folder


def test_genes_are_embedded_probed_and_drawn(place, tmp_path):
    emb = tmp_path / "genes.h5ad"
    command = ["embed", place / "g.fa", "--genes", place / "g.gtf", "-m", place / "hyena", "-o", emb]
    code, output = call(*command, "--dry-run")
    assert code == 0, output
    assert "60 sequences, 1,800 nucleotides, longest 30" in output
    assert not emb.exists()
    code, output = call(*command)
    assert code == 0, output
    found = anndata.read_h5ad(emb)
    assert found.shape == (60, 16)
    assert found.obs["biotype"].value_counts().to_dict() == {"protein_coding": 30, "tRNA": 30}
    assert found.uns["model"] == str(place / "hyena")
    code, output = call(*command)
    assert (code, "exists already" in output) == (2, True)
    code, output = call(*command, "--resume")
    assert (code, "60 rows of 16 numbers" in output) == (0, True)
    figures = tmp_path / "probe.json"
    options = ["--label", "biotype", "--group", "contig", "--folds", "3", "-o", figures]
    code, output = call("probe", emb, *options)
    assert code == 0, output
    assert json.loads(figures.read_text())["scores"]["macro_f1"] > 0.9
    assert "Macro F1" in output
    code, output = call("map", emb, "--colour", "biotype", "--method", "pca", "-o", tmp_path / "m.svg")
    assert code == 0, output
    assert "60 points" in output
    assert "protein_coding" in (tmp_path / "m.svg").read_text()
    counts = tmp_path / "kmer.h5ad"
    code, output = call("embed", place / "g.fa", "--genes", place / "g.gtf", "-m", "kmer-2", "-o", counts)
    assert code == 0, output
    assert anndata.read_h5ad(counts).shape == (60, 20)


def test_points_of_a_hyperbolic_model_on_the_disk(place, tmp_path):
    emb = tmp_path / "e.h5ad"
    code, output = call(
        "embed", place / "g.fa", "--window", 80, "--step", 40, "-m", place / "hcnn", "-o", emb
    )
    assert code == 0, output
    found = anndata.read_h5ad(emb)
    assert found.uns["manifold"] == "lorentz"
    time = np.sqrt(1 / found.uns["curvature"] + (found.X[:, 1:] ** 2).sum(1))
    np.testing.assert_allclose(found.X[:, 0], time, rtol=1e-5)
    assert found.obs["start"].tolist()[:3] == [0, 40, 80]
    code, output = call("map", emb, "--colour", "start", "-o", tmp_path / "m.html")
    assert code == 0, output
    assert "Poincaré disk" in (tmp_path / "m.html").read_text()


@pytest.mark.distributed
def test_processes_of_a_launcher_share_the_work(place, tmp_path, run_together):
    alone, shared, program = tmp_path / "a.h5ad", tmp_path / "b.h5ad", tmp_path / "program.py"
    program.write_text("from crocuta.cli import app\napp(standalone_mode=False)\n")
    command = ["embed", place / "g.fa", "--genes", place / "g.gtf", "-m", place / "hyena", "-o"]
    assert call(*command, alone)[0] == 0
    assert run_together(program, 2, *command, shared) == [0, 0]
    np.testing.assert_array_equal(anndata.read_h5ad(alone).X, anndata.read_h5ad(shared).X)


@pytest.mark.slow
@pytest.mark.distributed
def test_the_launcher_of_torch(place, tmp_path):
    command = [
        "embed",
        place / "g.fa",
        "--genes",
        place / "g.gtf",
        "-m",
        place / "hyena",
        "-o",
        tmp_path / "t.h5ad",
    ]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    found = subprocess.run(
        [*launch, "-m", "crocuta", *map(str, command)],
        capture_output=True, text=True, timeout=600, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "60 rows" in found.stdout + found.stderr


@pytest.mark.distributed
def test_jobs(place, tmp_path):
    emb = tmp_path / "e.h5ad"
    code, output = call(
        "embed", place / "g.fa", "--bed", place / "g.bed", "-m", place / "hyena", "--layer", 1, "--pool",
        "max", "--jobs", 2, "-o", emb,
    )  # fmt: skip
    assert code == 0, output
    found = anndata.read_h5ad(emb)
    assert found.obs_names.tolist() == ["one", "two", "three"]
    assert (found.uns["layer"], found.uns["pooling"]) == ("1", "max")


def test_windows_of_two_genomes(place, tmp_path):
    table = tmp_path / "w.csv"
    code, output = call(
        "windows", place / "g.fa", f"backwards={place / 'h.fa'}", "--length", 30, "--count", 20, "-o", table
    )
    assert code == 0, output
    assert "40 windows of 30 from 2 genomes" in output
    lines = table.read_text().splitlines()
    assert lines[0] == "name,sequence,label,split"
    assert sorted({line.split(",")[2] for line in lines[1:]}) == ["backwards", "g"]
    held = ["--test-contig", "c0", "--valid-contig", "c1"]
    command = ["windows", place / "g.fa", f"b={place / 'h.fa'}", *held, "--length", 300, "-o", table]
    code, output = call(*command)
    assert (code, "exists already" in output) == (2, True)
    code, output = call(*command, "--resume")
    assert (code, 'began with labels = ["g", "backwards"], now it is ["g", "b"]' in output) == (2, True)
    table = tmp_path / "contigs.csv"
    command[-1] = table
    code, output = call(*command)
    assert code == 0, output
    code, output = call(*command, "--resume")
    assert (code, "2,000 windows of 300 from 2 genomes" in output) == (0, True)
    tests = [line for line in table.read_text().splitlines() if line.endswith(",test")]
    assert {line.split(":")[1] for line in tests} == {"c0"}


def test_mistakes_cost_one_line_and_exit_code_2(place, tmp_path):
    model = ["-m", place / "hyena", "-o", tmp_path / "e.h5ad"]
    cases = [
        (
            ("embed", place / "g.fa", *model),
            "400 nucleotides, 271 more than the model reads (129): cut FASTA into windows (--window 129)",
        ),
        (("embed", place / "none.fa", *model), "none.fa: no such file"),
        (("embed", place / "g.fa", *model, "--layer", "last"), "--layer last: expected a whole number"),
        (("embed", place / "g.fa", *model, "--window", 50, "--layer", 7), "layer 7: the model has layers 0"),
        (("embed", place / "g.fa", "-m", "nothing"), "nothing: neither a folder nor a released model"),
        (("windows", place / "g.fa", place / "g.fa"), "two genomes are called 'g'"),
        (("windows", place / "g.fa"), "1 genome, expected at least two"),
        (("windows", f"a,b={place / 'g.fa'}", place / "h.fa"), "label 'a,b'"),
        (("map", tmp_path / "none.h5ad"), "no such file"),
        (("map", tmp_path / "none.h5ad", "-o", "x.pdf"), "suffix '.pdf'"),
        (("probe", tmp_path / "none.h5ad", "--label", "x"), "no such file"),
    ]
    for arguments, message in cases:
        code, output = call(*arguments)
        assert (code, "Traceback" in output) == (2, False), output
        assert message in output, output
    assert not list(tmp_path.glob("e.h5ad*"))


def test_intervals_that_do_not_fit_and_runs_of_n(place, tmp_path):
    genome, bed, out = tmp_path / "n.fa", tmp_path / "x.bed", tmp_path / "e.h5ad"
    genome.write_text(">chr1\n" + "ACGT" * 20 + "N" * 60 + "ACGTR" * 12 + "\n>chr2\n" + "AC" * 30 + "\n")
    command = ["embed", genome, "-m", place / "hyena", "-o", out]
    cases = [
        ("chr1\t0\t50\n1\t0\t9\n", "x.bed, line 2: n.fa has no contig '1'; this genome calls it 'chr1'"),
        ("chr2\t50\t90\n", "chr2:50-90 ends 30 past the end of chr2, which has 60 nucleotides in n.fa"),
        ("chr1\t0\t200\n", "chr1:0-200 has 200 nucleotides, 71 more than the model reads (129)"),
    ]
    for text, message in cases:
        bed.write_text(text)
        code, output = call(*command, "--bed", bed)
        assert (code, message in output) == (2, True), output
        assert not list(tmp_path.glob("e.h5ad*"))
    code, output = call(*command, "--window", 20)
    assert code == 0, output
    assert "Nucleotides that are N, or were read as N: 12, in 3 rows" in output
    assert "10 rows of 16 numbers" in output
    assert anndata.read_h5ad(out).obs["unknown_letters"].sum() == 12


def test_a_read_only_folder(place, tmp_path, monkeypatch):
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "g.fa").write_text((place / "g.fa").read_text())
    folder.chmod(0o555)
    command = ["embed", folder / "g.fa", "--window", 100, "-m", place / "hyena", "-o", tmp_path / "e.h5ad"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "g.fa"))
    code, output = call(*command)
    assert code == 2, output
    assert "cannot be written to" in output
    assert "set XDG_CACHE_HOME to a folder that can be written to" in output
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, output = call(*command)
    assert code == 0, output
    assert [path.name for path in folder.iterdir()] == ["g.fa"]
    folder.chmod(0o755)


def test_help_has_examples():
    for verb in ("embed", "map", "probe", "windows"):
        code, output = call(verb, "--help")
        assert code == 0
        assert f"crocuta {verb}" in output
