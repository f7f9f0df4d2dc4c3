"""Ancestry along chromosomes from runs on windows: laid side by side, smoothed, written; as a user types it."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from crocuta.cli import app
from crocuta.errors import InputError
from crocuta.variants import Panel
from crocuta.variants.build import build_store
from crocuta.variants.tracts import read_fb, read_msp, read_tracts


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AncestryConfig, AncestryForWindowClassification, ancestry_along, ancestry_infer, WindowCaller
    global _filled, infer_ancestry, read_window_run, MosaicRecipe, make_mosaics
    from crocuta.ancestry import along as ancestry_along
    from crocuta.ancestry import infer as ancestry_infer
    from crocuta.ancestry.along import WindowCaller, _filled
    from crocuta.ancestry.infer import infer_ancestry
    from crocuta.ancestry.local.mosaics import MosaicRecipe, make_mosaics
    from crocuta.ancestry.window_infer import read_window_run
    from crocuta.models.ancestry import AncestryConfig, AncestryForWindowClassification


LABELS = np.repeat([0, 1, 2], 12)
SMALL = [
    "--window", 32, "--dim", 8, "--layers", 1, "--steps", 6, "--tokens-per-step", 512, "--evidence", "frequency",
    "--no-pretrain", "--by", "population",
]  # fmt: skip


def call(*arguments: object) -> str:
    found = CliRunner().invoke(app, ["ancestry", *map(str, arguments)])
    assert found.exit_code == 0, found.output
    return " ".join(found.output.split())


@pytest.fixture(scope="module")
def folder(few_test_windows, random_panel, write_vcf, tmp_path_factory):
    """A store, and queries: five mosaics whose truth is known, four individuals of one population each."""
    folder = tmp_path_factory.mktemp("windows")
    panel = random_panel(36, 700, labels=LABELS, cm=60)
    write_vcf(folder / "cohort.vcf", panel)
    rows = [f"{n}\t{p}" for n, p in zip(panel.samples.name, panel.samples.population, strict=True)]
    (folder / "samples.tsv").write_text("\n".join(["sample\tpop", *rows]) + "\n")
    end = panel.sites.position[-1]
    (folder / "map.txt").write_text(f"pos chr cM\n1 1 0\n{end} 1 60\n")
    build_store([folder / "cohort.vcf"], folder / "cohort.h5", folder / "samples.tsv", folder / "map.txt")
    strangers = random_panel(36, 700, seed=9, labels=LABELS, cm=60)
    made = make_mosaics(strangers, LABELS, 5, np.random.default_rng(3), MosaicRecipe(generations=(4.0, 8.0)))
    names = replace(strangers.samples, name=np.array([f"q{i}" for i in range(36)]))
    query = replace(strangers, samples=names)
    write_vcf(
        folder / "query.vcf", replace(query.individuals(np.arange(5)), allele=made.allele.reshape(5, 2, -1))
    )
    write_vcf(folder / "pure.vcf", query.individuals(np.array([1, 13, 14, 25])), separator="/")
    np.save(folder / "truth.npy", made.truth)
    call("train", folder / "cohort.h5", "-o", folder / "run", *SMALL)
    return folder


def accuracy(out, folder):
    truth = np.load(folder / "truth.npy")
    position = np.loadtxt(folder / "query.vcf", usecols=1)
    (calls,) = read_msp(out / "local.msp.tsv")
    inside = (position >= calls.segments.start[0]) & (position < calls.segments.end[-1])
    place = np.searchsorted(calls.segments.start, position[inside], side="right") - 1
    return (calls.code[:, place] == truth[:, inside]).mean()


def test_from_a_run_on_windows_to_painted_chromosomes(folder, tmp_path):
    out, raw = tmp_path / "out", tmp_path / "raw"
    said = call("infer", folder / "query.vcf", "-m", folder / "run", "-o", out)
    assert "100.0%" in said
    call("infer", folder / "query.vcf", "-m", folder / "run", "-o", raw, "--no-smooth", "--step", 8)
    assert accuracy(out, folder) > 0.95
    assert accuracy(raw, folder) > 0.95
    for some, step in ((out, 16), (raw, 8)):
        posterior = np.stack([values for *_, values in read_fb(some / "local.fb.tsv")], 1)
        np.testing.assert_allclose(posterior.sum(2), 1, atol=1e-3)
        (calls,) = read_msp(some / "local.msp.tsv")
        assert posterior.shape[1] == -(-calls.segments.sites.sum() // step)
    told = json.loads((out / "summary.json").read_text())
    assert (told["task"], told["haplotypes_apart"], told["in_reference"]) == ("windows", True, [])
    assert told["chromosomes"]["1"]["generations"] > 0
    assert "generations" not in json.loads((raw / "summary.json").read_text())["chromosomes"]["1"]
    assert json.loads((folder / "run" / "metrics.json").read_text())["along_chromosomes"]["accuracy"] > 0.85
    call("paint", out, "--sample", "q1", "--formats", "svg")
    assert (out / "karyograms" / "q1.svg").exists()


@pytest.mark.parametrize(("view", "evidence"), [("carried", "frequency"), ("genotype", "none")])
def test_views_without_haplotypes_take_unphased_individuals(folder, tmp_path, view, evidence):
    options = ["--view", view, *SMALL, "--evidence", evidence]
    call("train", folder / "cohort.h5", "-o", tmp_path / "run", *options)
    said = call("infer", folder / "pure.vcf", "-m", tmp_path / "run", "-o", tmp_path / "out")
    assert "does not tell haplotypes apart" in said
    shares = np.loadtxt(tmp_path / "out" / "local.rfmix.Q", usecols=(1, 2, 3))
    assert evidence == "none" or (shares.argmax(1) == [0, 1, 1, 2]).all()
    first, second = (
        [
            replace(tract, haplotype=0)
            for tract in read_tracts(tmp_path / "out" / "bed" / "q1.bed")
            if tract.haplotype == h
        ]
        for h in (0, 1)
    )  # fmt: skip
    assert first == second


def test_figures_of_a_run(folder, tmp_path):
    said = call("figures", folder / "run", folder / "cohort.h5", "-o", tmp_path / "figures", "--windows", 30)
    assert "30 windows, 3 individuals" in said
    names = ["individuals.png", "individuals.svg", "states.png", "states.svg"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == names
    svg = (tmp_path / "figures" / "individuals.svg").read_text()
    first = json.loads((folder / "run" / "people.json").read_text())["test"][0]
    assert f"{first}: P0" in svg
    assert "before: untrained" in (tmp_path / "figures" / "states.svg").read_text()
    found = CliRunner().invoke(
        app, ["ancestry", "figures", str(folder / "run"), str(folder / "cohort.h5"), "-s", "nobody"]
    )
    assert found.exit_code == 2
    assert "nobody is not among its 36 individuals; expected others, such as" in " ".join(
        found.stderr.split()
    )


@pytest.mark.parametrize(
    "command",
    [
        ["train", "cohort.h5", *SMALL, "--position", "fpe"],
        ["train", "cohort.h5", *SMALL, "--view", "carried", "--evidence", "none", "--pretrain"],
        ["train", "cohort.h5", "--scope", "local", "--by", "population"],
        ["train", "cohort.h5", "--scope", "local", "--by", "population", "--smoother-steps", 9],
        ["infer", "query.vcf", "-m", "run"],
    ],
)
def test_a_dry_run_estimates_and_writes_nothing(folder, tmp_path, monkeypatch, command):
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    said = call(*command, "-o", tmp_path / "out", "--dry-run")
    assert re.search(r"about [\d,. mins]+ and [\d,]+ MB of [\d,]+ MB available", said), said
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert not list(tmp_path.iterdir())


def test_batches_of_people_change_little(folder, tmp_path, monkeypatch):
    """But for the rates, which the first batch gives."""
    told = [infer_ancestry(folder / "query.vcf", folder / "run", tmp_path / "one")]
    monkeypatch.setattr("crocuta.ancestry.infer.INDIVIDUALS", 2)
    told.append(infer_ancestry(folder / "query.vcf", folder / "run", tmp_path / "two"))
    assert told[0]["samples"] == told[1]["samples"]
    one, two = (
        np.stack([values for *_, values in read_fb(tmp_path / name / "local.fb.tsv")])
        for name in ("one", "two")
    )
    assert np.abs(one - two).mean() < 0.02
    assert (one.argmax(2) == two.argmax(2)).mean() > 0.97


def test_an_interrupted_inference_goes_on(folder, tmp_path, monkeypatch):
    """Chromosomes that are done are not judged again; what comes out is the same."""
    whole = infer_ancestry(folder / "query.vcf", folder / "run", tmp_path / "whole")
    write = ancestry_infer._write
    monkeypatch.setattr(ancestry_infer, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        infer_ancestry(folder / "query.vcf", folder / "run", tmp_path / "cut")
    assert not (tmp_path / "cut" / "manifest.json").exists()
    monkeypatch.setattr(ancestry_infer, "_write", write)
    monkeypatch.setattr(WindowCaller, "evidence", None)
    with pytest.raises(InputError, match="unfinished run already; go on with it by `resume`"):
        infer_ancestry(folder / "query.vcf", folder / "run", tmp_path / "cut")
    with pytest.raises(InputError, match=r"began with overlap = 0.8, now it is 0.5"):
        infer_ancestry(folder / "query.vcf", folder / "run", tmp_path / "cut", overlap=0.5, resume=True)
    assert infer_ancestry(folder / "query.vcf", folder / "run", tmp_path / "cut", resume=True) == whole
    for name in ("local.msp.tsv", "local.fb.tsv", "local.rfmix.Q", "bed/q1.bed"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {
        "bed", "config.json", "local.fb.tsv", "local.msp.tsv", "local.rfmix.Q", "manifest.json", "summary.json",
    }  # fmt: skip
    assert (
        infer_ancestry(folder / "query.vcf", folder / "run", tmp_path / "cut", resume=True) == whole
    )  # finished


def test_another_model_or_query_is_told(folder, tmp_path, monkeypatch):
    query, run = tmp_path / "query.vcf", tmp_path / "run"
    query.write_bytes((folder / "query.vcf").read_bytes())
    shutil.copytree(folder / "run", run)
    infer_ancestry(query, run, tmp_path / "out")
    smoothing = run / "smoothing.json"
    before = smoothing.read_text()
    smoothing.write_text(before.replace('"power": 1', '"power": 2').replace('"power": 0', '"power": 3'))
    with pytest.raises(InputError, match=r"run \(model\) has changed since"):
        infer_ancestry(query, run, tmp_path / "out", resume=True)
    smoothing.write_text(before)
    infer_ancestry(query, run, tmp_path / "out", resume=True)
    query.write_text(query.read_text().replace("0|1", "1|0", 1))
    with pytest.raises(InputError, match=r"query.vcf \(query\) has changed since"):
        infer_ancestry(query, run, tmp_path / "out", resume=True)


def test_names_of_people_are_no_paths(folder, tmp_path):
    text = (folder / "query.vcf").read_text().replace("\tq0\tq1\t", "\t../../../up\ta/b c\t")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "odd.vcf").write_text(text)
    out = tmp_path / "in" / "side" / "out"
    call("infer", tmp_path / "in" / "odd.vcf", "-m", folder / "run", "-o", out)
    assert sorted(path.name for path in (out / "bed").iterdir()) == [
        "%2E.%2F..%2F..%2Fup.bed", "a%2Fb%20c.bed", "q2.bed", "q3.bed", "q4.bed",
    ]  # fmt: skip
    call("paint", out, "--sample", "../../../up", "--sample", "a/b c", "--formats", "svg")
    assert len(list((out / "karyograms").iterdir())) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["odd.vcf", "side"]
    found = CliRunner().invoke(app, ["ancestry", "paint", str(out), "-s", "a/b c", "--formats", "svg"])
    assert found.exit_code == 2
    assert "exists already; choose another --output, or replace it with --overwrite" in " ".join(
        found.stderr.split()
    )


def test_people_of_the_training_are_named(folder, tmp_path):
    said = call("infer", folder / "cohort.vcf", "-m", folder / "run", "-o", tmp_path / "out")
    known = json.loads((folder / "run" / "people.json").read_text())["train"]
    assert f"{len(known)} of these individuals are in the model's own reference" in said


def test_runs_and_windows_that_cannot_be_used(folder, write_vcf, random_panel, tmp_path):
    run, out = folder / "run", tmp_path / "out"
    with pytest.raises(
        InputError, match=r"pure.vcf: \d+ of \d+ heterozygous genotypes are unphased .*; expected phased"
    ):
        infer_ancestry(folder / "pure.vcf", run, out)
    with pytest.raises(InputError, match="trained on 32; choose at most that"):
        infer_ancestry(folder / "query.vcf", run, out, window=33)
    with pytest.raises(InputError, match="`step` 40: expected at most the window of 32"):
        infer_ancestry(folder / "query.vcf", run, out, step=40)
    elsewhere = (folder / "query.vcf").read_text().replace("\n1\t", "\n7\t").replace("ID=1>", "ID=7>")
    (tmp_path / "seven.vcf").write_text(elsewhere)
    with pytest.raises(
        InputError, match=r"no variants on the run's chromosomes \(1\); its header names 7; give"
    ):
        infer_ancestry(tmp_path / "seven.vcf", run, out)
    with pytest.raises(InputError, match="not a run folder"):
        read_window_run(tmp_path)
    write_vcf(tmp_path / "few.vcf", random_panel(3, 700, cm=60).at(slice(0, 300)))
    with pytest.raises(InputError, match="expected at least 80%"):
        infer_ancestry(tmp_path / "few.vcf", run, out)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text('{"run": {}, "panel": ""}')
    with pytest.raises(InputError, match="has not ended"):
        infer_ancestry(folder / "query.vcf", tmp_path / "half", out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.vcf", "half", "seven.vcf"]


def caller(window, step, view="haplotype", density=1.0):
    class Told(WindowCaller):
        """Says what a table holds: log-odds by the window's first site."""

        def _probabilities(self, windows):
            return np.stack([np.exp(-0.01 * (1 + site)) for site in windows.site[:, :1].numpy()]) * [
                [1.0, 0.5]
            ]

    labels = {0: "A", 1: "B"}
    config = AncestryConfig(
        view=view, d_model=4, n_layer=1, max_sites=window, position="none", id2label=labels
    )
    return Told(AncestryForWindowClassification(config), None, window, step, density)


def test_a_block_takes_the_mean_of_the_windows_over_it(random_panel):
    panel = random_panel(1, 40)
    evidence = caller(16, 8).evidence(panel, 0)
    assert evidence.shape == (2, 5, 2)
    windows = np.array([0, 8, 16, 24])
    said = -0.01 * (1 + windows) / 2  # two blocks share it
    expected = [said[0], said[:2].mean(), said[1:3].mean(), said[2:].mean(), said[3]]
    np.testing.assert_allclose(evidence[0, :, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(evidence[:, :, 1] - evidence[:, :, 0], np.log(0.5) / 2, rtol=1e-5)


def test_carried_windows_cover_every_block_and_both_rows_are_one(random_panel):
    panel = random_panel(2, 300, seed=4)
    panel.allele[0, :, :60] = 0  # carries nothing there
    panel.allele[1] = 0  # nor anywhere
    evidence = caller(8, 4, "carried", (panel.allele[0] == 1).any(0).mean()).evidence(panel, 0)
    np.testing.assert_array_equal(evidence[0], evidence[1])
    assert (evidence[0] < 0).all()
    np.testing.assert_array_equal(evidence[0, 0], evidence[0, 1])  # from the nearest window
    assert (evidence[2:] == 0).all()


def test_blocks_without_a_window_ask_their_neighbours():
    evidence = np.arange(8.0).reshape(1, 4, 2)
    known = np.array([[False, True, False, True]])
    np.testing.assert_array_equal(_filled(evidence, known)[0], [[2, 3], [2, 3], [2, 3], [6, 7]])


def test_strangers_are_not_left_out_of_the_reference(random_panel, monkeypatch):
    seen = []
    monkeypatch.setattr(
        ancestry_along,
        "window_probabilities",
        lambda model, data, batch: seen.append(data) or torch.ones(len(data), 2) / 2,
    )  # fmt: skip
    labels = {0: "A", 1: "B"}
    config = AncestryConfig(d_model=4, n_layer=1, max_sites=8, position="none", id2label=labels)
    panel: Panel = random_panel(2, 20)
    WindowCaller(AncestryForWindowClassification(config), None, 8, 8).evidence(panel, 5)
    assert {int(k) for data in seen for k in data.windows.person} == {-2}
    assert {int(k) for data in seen for k in data.windows.chromosome} == {5}
