import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from crocuta.ancestry.methods.copying import CopyingModel
from crocuta.cli import app
from crocuta.errors import InputError
from crocuta.runs.progress import Progress, Stage
from crocuta.variants import MISSING
from crocuta.variants.bgzf import BgzfWriter
from crocuta.variants.build import build_store
from crocuta.variants.tracts import Tracts, read_fb, read_msp


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global infer_ancestry, segments, windowed, train_local, LocalRecipe, expected_calibration_error
    global out_of_fold, MosaicRecipe, make_mosaics, switched, LocalReference, load_reference, save_reference
    global RECIPE
    from crocuta.ancestry.infer import infer_ancestry, segments, windowed
    from crocuta.ancestry.local.examples import LocalRecipe, expected_calibration_error, out_of_fold
    from crocuta.ancestry.local.mosaics import MosaicRecipe, make_mosaics, switched
    from crocuta.ancestry.local.reference import LocalReference, load_reference, save_reference
    from crocuta.ancestry.local.training import train_local

    RECIPE = LocalRecipe(mosaics=8, made=MosaicRecipe(generations=(4.0, 12.0)))


LABELS = np.repeat([0, 1, 2], 8)


@pytest.fixture(scope="module")
def folder(random_panel, write_vcf, tmp_path_factory):
    """A store, a run, and a query of five mosaics whose truth is known."""
    folder = tmp_path_factory.mktemp("local")
    panel = random_panel(24, 600, labels=LABELS, cm=60)
    write_vcf(folder / "cohort.vcf", panel)
    table = ["sample\tpop"] + [
        f"{n}\t{p}" for n, p in zip(panel.samples.name, panel.samples.population, strict=True)
    ]
    (folder / "samples.tsv").write_text("\n".join(table) + "\n")
    scale = panel.sites.position[-1] / 60
    rows = ["pos chr cM", "1 1 0", f"{panel.sites.position[-1]} 1 {panel.sites.position[-1] / scale}"]
    (folder / "map.txt").write_text("\n".join(rows) + "\n")
    build_store([folder / "cohort.vcf"], folder / "cohort.h5", folder / "samples.tsv", folder / "map.txt")
    train_local(folder / "cohort.h5", folder / "run", by="population", recipe=RECIPE)
    strangers = random_panel(24, 600, seed=9, labels=LABELS, cm=60)
    made = make_mosaics(strangers, LABELS, 5, np.random.default_rng(3), RECIPE.made)
    query = strangers.individuals(np.arange(5))
    write_vcf(folder / "query.vcf", replace(query, allele=made.allele.reshape(5, 2, -1)))
    np.save(folder / "truth.npy", made.truth)
    return folder


def test_mosaics_are_made_of_members_of_their_populations(random_panel):
    panel = random_panel(24, 300, labels=LABELS)
    marked = replace(
        panel, allele=np.broadcast_to(LABELS[:, None, None], panel.allele.shape).astype(np.uint8)
    )
    made = make_mosaics(marked, LABELS, 10, np.random.default_rng(0), MosaicRecipe(), phased=False)
    np.testing.assert_array_equal(made.allele, made.truth)
    assert len(np.unique(made.truth)) == 3
    changes = (np.diff(made.truth.astype(int)) != 0).sum()
    assert changes > 20


def test_phase_is_switched_at_the_rate_asked_for(random_panel):
    sites = random_panel(2, 5000).sites
    turned = switched(sites, np.random.default_rng(0), 20.0)
    length = (sites.position[-1] - sites.position[0]) / 1e6
    assert np.diff(turned).sum() == pytest.approx(20 * length, rel=0.25)


def test_evidence_of_mosaics_comes_from_other_individuals(random_panel, monkeypatch):
    panel, seen = random_panel(24, 200, labels=LABELS), []
    fit = CopyingModel.fit.__func__
    monkeypatch.setattr(
        CopyingModel,
        "fit",
        classmethod(lambda cls, p, *rest: seen.append(set(p.samples.name)) or fit(cls, p, *rest)),
    )
    monkeypatch.setattr(
        "crocuta.ancestry.local.examples.make_mosaics",
        lambda p, *rest: seen.append(set(p.samples.name)) or make_mosaics(p, *rest),
    )
    examples = out_of_fold(LocalReference(panel, LABELS), RECIPE)
    everyone = set(panel.samples.name)
    assert len(examples) == 4
    for judges, *made in (seen[:3], seen[3:]):
        assert all(individuals == everyone - judges for individuals in made)


def test_a_reference_reads_back_equal(random_panel, tmp_path):
    panel = random_panel(5, 77)
    panel.allele[0, 1, 5] = MISSING
    save_reference(tmp_path, LocalReference(panel, np.array([0, 1, 1, 0, 1])))
    found = load_reference(tmp_path / "1.safetensors")
    np.testing.assert_array_equal(found.panel.allele, panel.allele)
    np.testing.assert_array_equal(found.labels, [0, 1, 1, 0, 1])
    for name in ("position", "ref", "alt", "cm"):
        np.testing.assert_array_equal(getattr(found.panel.sites, name), getattr(panel.sites, name))
    assert found.panel.samples.name.tolist() == panel.samples.name.tolist()


def test_from_vcf_to_tracts(folder):
    told = infer_ancestry(folder / "query.vcf", folder / "run", folder / "out")
    truth = np.load(folder / "truth.npy")
    (calls,) = read_msp(folder / "out" / "local.msp.tsv")
    position = load_reference(folder / "run" / "reference" / "1.safetensors").panel.sites.position
    place = np.searchsorted(calls.segments.start, position, side="right") - 1
    kept = np.isin(np.loadtxt(folder / "query.vcf", usecols=1), position)
    assert (calls.code[:, place] == truth[:, kept]).mean() > 0.93
    assert calls.populations == ("P0", "P1", "P2")
    assert told["chromosomes"]["1"]["overlap"] == 1.0
    posterior = np.stack([values for *_, values in read_fb(folder / "out" / "local.fb.tsv")], 1)
    np.testing.assert_allclose(posterior.sum(2), 1, atol=1e-3)
    assert len(list((folder / "out" / "bed").iterdir())) == 5
    assert json.loads((folder / "run" / "metrics.json").read_text())["chain"]["accuracy"] > 0.9


def test_jobs_and_batches_change_nothing(folder, monkeypatch):
    once = (folder / "out" / "local.fb.tsv").read_text() if (folder / "out").exists() else None
    monkeypatch.setattr("crocuta.ancestry.local.infer.BATCH", 4)
    infer_ancestry(folder / "query.vcf", folder / "run", folder / "again", jobs=2)
    infer_ancestry(folder / "query.vcf", folder / "run", folder / "third", jobs=1)
    assert (folder / "again" / "local.fb.tsv").read_text() == (folder / "third" / "local.fb.tsv").read_text()
    if once:
        assert (folder / "again" / "local.msp.tsv").read_text() == (
            folder / "out" / "local.msp.tsv"
        ).read_text()


def test_windows_are_means_of_blocks(folder):
    reference = load_reference(folder / "run" / "reference" / "1.safetensors")
    blocks = CopyingModel.fit(reference.panel, reference.labels, block_sites=2).blocks
    posterior = np.random.default_rng(0).dirichlet(np.ones(3), (2, len(blocks))).astype(np.float32)
    fine = Tracts(("s",), ("A", "B", "C"), segments(reference.panel.sites, blocks), posterior)
    coarse = windowed(fine, 2, 6, None)
    np.testing.assert_allclose(coarse.posterior[:, 1], posterior[:, 3:6].mean(1), rtol=1e-5)
    np.testing.assert_array_equal(coarse.segments.start[1:], coarse.segments.end[:-1])
    assert coarse.segments.sites.sum() == len(reference.panel.sites)
    wide = windowed(fine, 2, 6, 2)
    np.testing.assert_allclose(wide.posterior[:, 10], posterior[:, 9:12].mean(1), rtol=1e-5)


def test_queries_that_cannot_be_judged(folder, random_panel, write_vcf, tmp_path):
    panel = random_panel(3, 600, labels=np.zeros(3, int), cm=60)
    write_vcf(tmp_path / "unphased.vcf", panel, separator="/")
    with pytest.raises(
        InputError, match=r"unphased.vcf: \d+ of \d+ .* expected phased genotypes, phase them"
    ):
        infer_ancestry(tmp_path / "unphased.vcf", folder / "run", tmp_path / "out")
    moved = replace(panel, sites=replace(panel.sites, position=panel.sites.position + 12345))
    write_vcf(tmp_path / "moved.vcf", moved)
    with pytest.raises(InputError, match=r"agree if moved by -12,345: is it on another build\?"):
        infer_ancestry(tmp_path / "moved.vcf", folder / "run", tmp_path / "out")
    cut = gzip_blocks(folder / "query.vcf", tmp_path / "cut.vcf.gz")
    with pytest.raises(InputError, match=r"cut.vcf.gz: truncated bgzip"):
        infer_ancestry(cut, folder / "run", tmp_path / "out")
    write_vcf(tmp_path / "few.vcf", panel.at(slice(0, 200)))
    with pytest.raises(InputError, match="%"):
        infer_ancestry(tmp_path / "few.vcf", folder / "run", tmp_path / "out")
    with pytest.raises(InputError, match="no such file"):
        infer_ancestry(tmp_path / "none.vcf", folder / "run", tmp_path / "out")
    with pytest.raises(InputError, match="not a run folder"):
        infer_ancestry(tmp_path / "few.vcf", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def gzip_blocks(path, output):
    """The file as bgzip, without the empty block at its end."""
    with open(output, "wb") as file:
        packed = BgzfWriter(file)
        packed.write(path.read_bytes())
        packed.close()
    return output


def test_chromosomes_go_by_either_name(folder, tmp_path):
    text = (folder / "query.vcf").read_text().replace("\n1\t", "\nchr1\t").replace("ID=1>", "ID=chr1>")
    (tmp_path / "chr.vcf").write_text(text)
    for name in ("query.vcf", "chr.vcf"):
        source = folder if name == "query.vcf" else tmp_path
        infer_ancestry(source / name, folder / "run", tmp_path / name.removesuffix(".vcf"))
    one, two = ((tmp_path / name / "local.msp.tsv").read_text() for name in ("query", "chr"))
    assert one == two


def test_cohorts_that_cannot_be_learnt_from(folder, tmp_path):
    with pytest.raises(InputError, match="holds a finished run already"):
        train_local(folder / "cohort.h5", folder / "run")
    with pytest.raises(InputError, match=r"cohort.h5: one population only"):
        train_local(folder / "cohort.h5", tmp_path / "run", by="population", leave_out=("P0", "P1"))


class Interrupted(Progress):
    """Ends all at the `when`-th time that more of a stage is done; counts what is done."""

    def __init__(self, name="", when=0):
        self.stop, self.moves = (name, when), []

    def stage(self, name, total=None, unit=""):
        outer = self

        class Counted(Stage):
            def show(self):
                outer.moves.append(self.name)
                if outer.stop == (self.name, outer.moves.count(self.name)):
                    raise KeyboardInterrupt

        return Counted(name, total, unit)


@pytest.mark.parametrize(("what", "when"), [("mosaics", 3), ("smoother", 4)])
def test_a_killed_training_ends_as_an_uninterrupted_one(folder, tmp_path, what, when, monkeypatch):
    monkeypatch.setattr("crocuta.ancestry.local.network.LOG_EVERY", 1)
    options = {
        "by": "population",
        "recipe": replace(RECIPE, steps=4),
        "device": "cpu",
        "checkpoint_seconds": 0.0,
    }
    whole = train_local(folder / "cohort.h5", tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        train_local(folder / "cohort.h5", tmp_path / "cut", **options, progress=Interrupted(what, when))
    with pytest.raises(InputError, match="has not ended"):
        infer_ancestry(folder / "query.vcf", tmp_path / "cut", tmp_path / "out")
    again, judged = Interrupted(), []
    evidence = CopyingModel.evidence
    monkeypatch.setattr(CopyingModel, "evidence", lambda *rest: judged.append(1) or evidence(*rest))
    told = train_local(folder / "cohort.h5", tmp_path / "cut", **options, resume=True, progress=again)
    assert told == whole
    assert len(judged) == (2 if what == "mosaics" else 0)  # the other cohorts were kept
    assert again.moves.count("smoother") == (5 if what == "mosaics" else 3)  # one is where it begins
    for name in ("chain.json", "network/model.safetensors", "network/calibration.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {
        "config.json", "chain.json", "metrics.json", "manifest.json", "reference", "network",
    }  # fmt: skip
    assert train_local(folder / "cohort.h5", tmp_path / "cut", **options, resume=True) == whole
    other = options | {"recipe": replace(options["recipe"], seed=1)}
    with pytest.raises(InputError, match=r"began with recipe.seed = 0, now it is 1"):
        train_local(folder / "cohort.h5", tmp_path / "cut", **other, resume=True)


def test_other_labels_of_the_cohort_are_told(folder, tmp_path):
    """The same sites and individuals, and other populations: not the same run."""
    store = tmp_path / "cohort.h5"
    shutil.copy(folder / "cohort.h5", store)
    train_local(store, tmp_path / "run", by="population", recipe=RECIPE)
    store.unlink()
    table = (folder / "samples.tsv").read_text().replace("s0\tP0", "s0\tP1")
    (tmp_path / "samples.tsv").write_text(table)
    build_store([folder / "cohort.vcf"], store, tmp_path / "samples.tsv", folder / "map.txt")
    with pytest.raises(InputError, match=r"cohort.h5 \(cohort\) has changed since"):
        train_local(store, tmp_path / "run", by="population", recipe=RECIPE, resume=True)


def test_local_ancestry_learns_more_from_a_likelier_reference(folder, random_panel, write_vcf, tmp_path):
    """With names of populations that mean nothing, mosaics are told no better than by chance."""
    table = (folder / "samples.tsv").read_text().splitlines()
    names = [line.split("\t")[0] for line in table[1:]]
    shuffled = [f"{name}\tP{i % 3}" for i, name in enumerate(names)]
    (tmp_path / "samples.tsv").write_text("\n".join([table[0], *shuffled]) + "\n")
    build_store([folder / "cohort.vcf"], tmp_path / "c.h5", tmp_path / "samples.tsv", folder / "map.txt")
    scores = train_local(tmp_path / "c.h5", tmp_path / "run", by="population", recipe=RECIPE)["chain"]
    assert scores["accuracy"] < 0.55
    assert json.loads((folder / "run" / "metrics.json").read_text())["chain"]["accuracy"] > 0.9


def test_all_chromosomes_choose_the_chain(folder, random_panel, monkeypatch, tmp_path):
    panels = [random_panel(24, count, labels=LABELS) for count in (200, 300)]
    panels[1] = replace(panels[1], sites=replace(panels[1].sites, chromosome="2"))
    references = [LocalReference(panel, LABELS) for panel in panels]
    seen = []

    def choose(examples):
        seen.extend(examples)
        raise ZeroDivisionError

    names = ("A", "B", "C")
    monkeypatch.setattr("crocuta.ancestry.local.training.read_references", lambda *rest: (references, names))
    monkeypatch.setattr(
        "crocuta.ancestry.local.training.Cohort", lambda path: nullcontext(SimpleNamespace(build=""))
    )
    monkeypatch.setattr("crocuta.ancestry.local.training.choose_chain", choose)
    with pytest.raises(ZeroDivisionError):
        train_local(folder / "cohort.h5", tmp_path / "run", recipe=replace(RECIPE, mosaics=24))
    assert [len(made.blocks) for made in seen] == [50] * 4 + [75] * 4
    assert all(made.truth.shape == (6, len(made.blocks)) for made in seen)  # 24 individuals over 8 cohorts


def test_calibration_error_of_two_populations_is_of_the_likelier():
    posterior = np.array([[0.8, 0.2]] * 10 + [[0.2, 0.8]] * 10)
    truth = np.array([0] * 8 + [1] * 2 + [1] * 8 + [0] * 2)
    assert expected_calibration_error(posterior, truth) == pytest.approx(0, abs=1e-9)


def test_four_commands_as_a_user_types_them(folder, tmp_path):
    def call(*arguments: object) -> str:
        found = CliRunner().invoke(app, ["ancestry", *map(str, arguments)])
        assert found.exit_code == 0, found.output
        return found.output

    run, out = tmp_path / "run", tmp_path / "out"
    said = call(
        "train",
        folder / "cohort.h5",
        "--scope",
        "local",
        "--by",
        "population",
        "--leave-out",
        "P2",
        "-o",
        run,
    )
    assert "on mosaics of individuals held out" in said
    call("infer", folder / "query.vcf", "-m", run, "-o", out, "--window", 40, "--step", 20, "--jobs", 1)
    assert len((out / "local.rfmix.Q").read_text().splitlines()) == 7
    call("paint", out, "--sample", "s1", "--formats", "png,html")
    assert sorted(path.name for path in (out / "karyograms").iterdir()) == ["s1.html", "s1.png"]
