"""`crocuta ancestry simulate` and `crocuta ancestry build` as a user types them."""

import gzip
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from crocuta.cli import app
from crocuta.variants import Cohort, read_panel

pytestmark = pytest.mark.filterwarnings("default")


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "cohort"
    options = ["--length", "2e5", "--chromosomes", 2, "--individuals", 6, 7, 5, "--admixed", 3, "--seed", 4]
    code, output = call("ancestry", "simulate", *options, "-o", folder)
    assert code == 0, output
    assert "24 individuals" in output
    return folder


def test_simulate_then_build(folder):
    store = folder / "cohort.h5"
    inputs = [folder / "cohort.vcf.gz", "--samples", folder / "samples.tsv", "--map", folder / "map.tsv"]
    code, output = call("ancestry", "build", *inputs, "--maf", 0.05, "--reference", "simulated", "-o", store)
    assert code == 0, output
    assert "24 individuals: ADMIX20 3, ADMIX8 3, CEU 7, CHB 5, YRI 6" in output
    assert "rare" in output
    cohort = Cohort(store)
    assert cohort.chromosomes == ("1", "2")
    assert cohort.build == "simulated"
    panel = cohort.panel("2")
    everything = read_panel(folder / "cohort.vcf.gz", region="2")
    kept = np.isin(everything.sites.position, panel.sites.position)
    assert (panel.allele == everything.at(kept).allele).all()
    frequency = everything.frequency()
    assert (np.minimum(frequency, 1 - frequency)[~kept] < 0.05).all()
    assert not list(folder.glob("*.parts"))


def test_python_of_the_page_runs(folder, tmp_path, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "ancestry_data.md"
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, "sim")
    files = ["sim/cohort.vcf.gz", "--samples", "sim/samples.tsv"]
    assert call("ancestry", "build", *files, "-o", "cohort.h5")[0] == 0
    found = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)), found)
    assert found["panel"].allele.shape == (2, 2, 512)
    assert len(found["window"].token) == 512
    assert (found["aligned"].allele == found["query"].allele).all()


def test_resume_is_offered_and_works_on_a_finished_store(folder, tmp_path):
    arguments = ["ancestry", "build", folder / "cohort.vcf.gz", "-o", tmp_path / "c.h5"]
    assert call(*arguments)[0] == 0
    assert call(*arguments, "--resume")[0] == 0


def test_truncated_file(folder, tmp_path):
    path = tmp_path / "cut.vcf.gz"
    path.write_bytes((folder / "cohort.vcf.gz").read_bytes()[:-3000])
    code, output = call("ancestry", "build", path, "-o", tmp_path / "c.h5")
    assert code == 2
    assert "cut.vcf.gz: truncated bgzip" in output
    assert not (tmp_path / "c.h5").exists()


def test_partly_phased(folder, tmp_path):
    path = tmp_path / "mixed.vcf"
    with gzip.open(folder / "cohort.vcf.gz", "rt") as file:
        lines = file.read().splitlines()
    place = next(i for i, line in enumerate(lines) if "0|1" in line)
    lines[place] = lines[place].replace("0|1", "0/1")
    path.write_text("\n".join(lines) + "\n")
    code, output = call("ancestry", "build", path, "-o", tmp_path / "c.h5")
    assert code == 2
    assert "heterozygous genotypes are unphased (0/1, not 0|1)" in output
    code, output = call("ancestry", "build", path, "--phase", "ignore", "-o", tmp_path / "c.h5")
    assert code == 0, output
    assert not Cohort(tmp_path / "c.h5").is_phased("1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--maf", "0.7"], "--maf 0.7: expected a frequency"),
        (["--phase", "so-so"], "phase 'so-so'"),
        (["--samples", "nowhere.tsv"], "nowhere.tsv: no such file"),
        (["--map", "samples.tsv"], "expected HapMap"),
    ],
)
def test_wrong_options(folder, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(folder)
    code, output = call("ancestry", "build", "cohort.vcf.gz", *options, "-o", tmp_path / "c.h5")
    assert code == 2
    assert message in output
    assert not list(tmp_path.iterdir())


def test_help_states_the_policies():
    code, output = call("ancestry", "build", "--help")
    assert code == 0
    for words in ("never becomes the reference", "haploid X", "--phase", "Examples"):
        assert words in output
