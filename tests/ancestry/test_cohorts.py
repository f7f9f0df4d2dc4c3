"""Cohorts as runs: several processes make the same, interrupted work goes on, and nothing else is touched."""

import os
import stat

import numpy as np
import pytest
from typer.testing import CliRunner

from crocuta.cli import app
from crocuta.errors import InputError
from crocuta.variants import Policy, build, read_panel
from crocuta.variants import admixture as admixture_module
from crocuta.variants.bgzf import BgzfWriter
from crocuta.variants.out_of_africa import Admixture, simulate_chromosome
from crocuta.variants.store import Cohort


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global cohorts, build_cohort, estimate_build, simulate_cohort
    from crocuta.ancestry import cohorts
    from crocuta.ancestry.cohorts import build_cohort, estimate_build, simulate_cohort


INDIVIDUALS = ["a", "b", "c", "d"]
SMALL = Admixture(length=300_000, chromosomes=("1", "2"), individuals=(4, 5, 3), admixed=2, seed=3)
FILES = ("cohort.vcf.gz", "samples.tsv", "map.tsv", "truth.tsv.gz")


def write_variants(path, chromosomes, seed=0, cells=("0|0", "0|1", "1|1", ".|.")):
    """A VCF of some sites on each of some chromosomes."""
    random = np.random.default_rng(seed)
    lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID={name}>" for name in chromosomes)]
    lines.append('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">')
    lines.append(
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *INDIVIDUALS])
    )
    for name, count in chromosomes.items():
        for i in range(count):
            calls = random.choice(cells, 4)
            lines.append("\t".join([name, str(10 * i + 7), ".", "A", "C", ".", ".", ".", "GT", *calls]))
    text = ("\n".join(lines) + "\n").encode()
    if path.suffix == ".gz":
        with open(path, "wb") as file:
            writer = BgzfWriter(file)
            writer.write(text)
            writer.finish()
    else:
        path.write_bytes(text)
    return path


@pytest.fixture
def files(tmp_path):
    (tmp_path / "in").mkdir()
    return [
        write_variants(tmp_path / "in" / "a.vcf.gz", {"2": 700, "1": 300}),
        write_variants(tmp_path / "in" / "b.vcf", {"chrX": 130}, seed=1),
    ]


def alleles(store):
    return {name: Cohort(store).panel(name).allele.tolist() for name in Cohort(store).chromosomes}


class Stop(Exception):
    """Ends a command as a power cut would."""


@pytest.fixture
def written(monkeypatch):
    """The chromosomes that are written; `written.stop` is the one before which all ends."""

    class Written(list):
        stop = None

    found, write = Written(), build._write_chromosome

    def watched(part, chromosome, *rest):
        if chromosome == found.stop:
            raise Stop
        found.append(chromosome)
        return write(part, chromosome, *rest)

    monkeypatch.setattr(build, "_write_chromosome", watched)
    return found


def test_processes_make_the_same_store(files, tmp_path):
    one, two = tmp_path / "one.h5", tmp_path / "two.h5"
    built = build_cohort(files, one, build="GRCh38")
    assert build_cohort(files, two, build="GRCh38", jobs=3).counts == built.counts
    assert {name: counts.kept for name, counts in built.counts.items()} == {"1": 300, "2": 700, "chrX": 130}
    assert alleles(one) == alleles(two)
    assert {path.name for path in tmp_path.iterdir()} == {
        "in", "one.h5", "one.h5.manifest.json", "two.h5", "two.h5.manifest.json",
    }  # fmt: skip
    for name in ("1", "2"):
        assert alleles(one)[name] == read_panel(files[0], region=name).allele.tolist()


def test_resume_reads_only_what_lacks(files, tmp_path, written):
    output = tmp_path / "c.h5"
    written.stop = "1"
    with pytest.raises(Stop):
        build_cohort(files, output)
    assert not output.exists()
    written.stop = None
    with pytest.raises(InputError, match="holds an unfinished run already; go on with it by `resume`"):
        build_cohort(files, output)
    with pytest.raises(InputError, match=r"began with policy.maf = 0.0, now it is 0.3"):
        build_cohort(files, output, policy=Policy(maf=0.3), resume=True)
    built = build_cohort(files, output, resume=True)
    assert written == ["2", "1", "chrX"]
    assert alleles(output)["2"] == read_panel(files[0], region="2").allele.tolist()
    assert not output.with_name("c.h5.parts").exists()
    assert build_cohort(files, output, resume=True).counts == built.counts  # finished: what is there
    assert len(written) == 3


def test_other_variants_under_the_same_name_are_told(files, tmp_path, written):
    written.stop = "1"
    with pytest.raises(Stop):
        build_cohort(files, tmp_path / "c.h5")
    written.stop, about = None, files[1].stat()
    files[1].write_text(files[1].read_text().replace("0|1", "1|0"))
    os.utime(files[1], ns=(about.st_atime_ns, about.st_mtime_ns))
    assert files[1].stat().st_size == about.st_size
    with pytest.raises(InputError, match=r"b\.vcf \(variants\) has changed since"):
        build_cohort(files, tmp_path / "c.h5", resume=True)


def test_bad_input_leaves_nothing_that_refuses_the_next(files, tmp_path):
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[:-28])
    for jobs in (1, 2):
        with pytest.raises(InputError, match="truncated"):
            build_cohort(files[::-1], tmp_path / "c.h5", jobs=jobs)  # the first is read whole
        assert [path.name for path in tmp_path.iterdir()] == ["in"]
    files[0].write_bytes(whole)
    build_cohort(files[::-1], tmp_path / "c.h5")


def test_a_failure_while_going_on_keeps_what_there_is(files, tmp_path, written, monkeypatch):
    written.stop = "1"
    with pytest.raises(Stop):
        build_cohort(files, tmp_path / "c.h5")

    def fail(*_):
        raise InputError("a library is missing")

    monkeypatch.setattr(cohorts, "finish_store", fail)
    with pytest.raises(InputError, match="missing"):
        build_cohort(files, tmp_path / "c.h5", resume=True)
    monkeypatch.undo()
    build_cohort(files, tmp_path / "c.h5", resume=True)


def test_what_crocuta_did_not_build_stays(files, tmp_path):
    (tmp_path / "c.h5").write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match="no record of making it"):
            build_cohort(files, tmp_path / "c.h5", resume=resume)
    (tmp_path / "d.h5.parts").mkdir()
    (tmp_path / "d.h5.parts" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="crocuta did not make it"):
        build_cohort(files, tmp_path / "d.h5", resume=True)
    assert (tmp_path / "c.h5").read_text() == "mine"
    assert (tmp_path / "d.h5.parts" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("jobs", [1, 2])
def test_genotypes_follow_the_umask(files, tmp_path, jobs):
    before = os.umask(0o077)
    try:
        build_cohort(files, tmp_path / "c.h5", jobs=jobs)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "c.h5").stat().st_mode) == 0o600


def test_dry_run_estimates_and_writes_nothing(files, tmp_path):
    ahead = estimate_build(files)
    assert ahead.sites == pytest.approx(1130, rel=0.05)
    assert ahead.bytes == sum(path.stat().st_size for path in files)
    found = CliRunner().invoke(
        app, ["ancestry", "build", *map(str, files), "-o", str(tmp_path / "c.h5"), "--dry-run"]
    )
    assert found.exit_code == 0, found.output
    assert "sites: about" in found.output
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "cohort"
    sites = simulate_cohort(folder, SMALL)
    return folder, sites


def test_same_cohort_whatever_the_jobs(simulated, tmp_path):
    folder, sites = simulated
    assert simulate_cohort(tmp_path / "two", SMALL, jobs=2) == sites
    for name in FILES:
        assert (tmp_path / "two" / name).read_bytes() == (folder / name).read_bytes()
    assert {path.name for path in folder.iterdir()} == {
        *FILES,
        "config.json",
        "manifest.json",
        "metrics.json",
    }
    assert simulate_cohort(folder, SMALL, resume=True) == sites
    with pytest.raises(InputError, match="finished run"):
        simulate_cohort(folder, SMALL)


def test_an_interrupted_simulation_goes_on(simulated, tmp_path, monkeypatch):
    made = []

    def stop_at_the_second(settings, index):
        made.append(index)
        if len(made) == 2:
            raise Stop
        return simulate_chromosome(settings, index)

    monkeypatch.setattr(admixture_module, "simulate_chromosome", stop_at_the_second)
    with pytest.raises(Stop):
        simulate_cohort(tmp_path / "run", SMALL)
    assert not (tmp_path / "run" / "manifest.json").exists()
    simulate_cohort(tmp_path / "run", SMALL, resume=True)
    assert made == [0, 1, 1]
    for name in FILES:
        assert (tmp_path / "run" / name).read_bytes() == (simulated[0] / name).read_bytes()


def test_without_msprime_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "msprime", None)
    with pytest.raises(InputError, match=r'pip install "crocuta\[simulate\]"'):
        simulate_cohort(tmp_path / "run", SMALL)
    assert not (tmp_path / "run").exists()
