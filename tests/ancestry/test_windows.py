"""Training of ancestry models: windows, evidence against oracles, two stages, a run and its resumption, bad input."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from crocuta.errors import InputError
from crocuta.runs.progress import Progress
from crocuta.variants.panel import Panel, Samples, Sites
from crocuta.variants.store import Haplotypes


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global \
        AncestryForSNPPrediction, \
        AncestryForWindowClassification, \
        AncestryRecipe, \
        LabelledWindows, \
        Optimizers
    global \
        Teacher, \
        classifier, \
        fit_evidence, \
        evaluate, \
        train_stage, \
        MISMATCH, \
        PSEUDOCOUNT, \
        EvidenceReference, \
        Choice
    global panel_fingerprint, load_training_data, AncestryRun, learn_windows, model_config, name_sites
    global load_sites, save_sites, WindowBatch, WindowSource, RECIPE, RUN
    from crocuta.ancestry.evidence import MISMATCH, PSEUDOCOUNT, EvidenceReference
    from crocuta.ancestry.panels import Choice, load_training_data, panel_fingerprint
    from crocuta.ancestry.sites import load_sites, save_sites
    from crocuta.ancestry.window_run import AncestryRun, learn_windows, model_config, name_sites
    from crocuta.ancestry.window_training import (
        AncestryRecipe,
        LabelledWindows,
        Optimizers,
        Teacher,
        classifier,
        evaluate,
        fit_evidence,
        train_stage,
    )
    from crocuta.ancestry.windows import WindowBatch, WindowSource
    from crocuta.models.ancestry import AncestryForSNPPrediction, AncestryForWindowClassification

    RECIPE = AncestryRecipe(
        window=24,
        pretrain_steps=4,
        steps=12,
        tokens_per_step=24 * 16,
        learning_rate=5e-3,
        evaluations=2,
        valid_windows=20,
        evidence_windows=64,
    )
    RUN = AncestryRun(width=16, layers=1)


pytestmark = pytest.mark.usefixtures("few_test_windows")
POPULATIONS = ("AFR", "EAS", "EUR")
NUCLEOTIDES = np.array([b"A", b"C", b"G", b"T"])


class TinyCohort(Haplotypes):
    """Panels in memory, with the interface of a store; populations differ at every site."""

    build = "test"

    def __init__(self, individuals=45, sites=(160, 120), missing=0.02, phased=True):
        generator = np.random.default_rng(0)
        population = np.array(POPULATIONS)[np.arange(individuals) % 3]
        names = np.array([f"P{i}" for i in range(individuals)])
        self.samples = Samples(names, population, population, names)
        self.chromosomes = ("1", "2")
        self.panels = {}
        for chromosome, count in zip(self.chromosomes, sites, strict=True):
            frequency = generator.beta(2, 2, (3, count))
            allele = (
                generator.random((individuals, 2, count)) < frequency[np.arange(individuals) % 3][:, None]
            )
            allele = np.where(generator.random(allele.shape) < missing, 2, allele).astype(np.uint8)
            position = np.sort(generator.choice(np.arange(1, 50_000), count, replace=False)).astype(np.int32)
            ref = generator.integers(0, 4, count)
            table = Sites(chromosome, position, NUCLEOTIDES[ref], NUCLEOTIDES[(ref + 1) % 4], position / 1e4)
            self.panels[chromosome] = Panel(self.samples, table, allele, phased)

    def read(self, person, chromosome, start, stop):
        return self.panels[chromosome].allele[person, :, start:stop]

    def sites(self, chromosome):
        return self.panels[chromosome].sites

    def is_phased(self, chromosome):
        return self.panels[chromosome].phased


@pytest.fixture(scope="module")
def data():
    return load_training_data(TinyCohort(), Choice(maf=0.01))


def source(data, view="haplotype"):
    return WindowSource(data.panels, data.labels, view)


def draw(data, view="haplotype", individuals=None, count=6, length=20, seed=0):
    individuals = data.split.train if individuals is None else individuals
    return source(data, view).draw(individuals, count, length, np.random.default_rng(seed))


def test_windows_are_those_of_the_panel(data):
    for i in range(len(windows := draw(data, count=20))):
        panel, site = data.panels[int(windows.chromosome[i])], windows.site[i].numpy()
        assert (np.diff(site) == 1).all()
        rows = panel.allele[int(windows.person[i])][:, site]
        assert any((windows.input_ids[i].numpy() == row).all() for row in rows)
        assert (windows.position[i].numpy() == panel.sites.position[site]).all()
        assert windows.label[i] == data.labels[int(windows.person[i])]


def test_carried_windows_hold_the_letters_of_alternatives(data):
    windows = draw(data, "carried", count=10)
    for i in range(len(windows)):
        panel, site = data.panels[int(windows.chromosome[i])], windows.site[i].numpy()
        carried = np.flatnonzero((panel.allele[int(windows.person[i])] == 1).any(0))
        first = int(np.searchsorted(carried, site[0]))
        assert (carried[first : first + 20] == site).all()
        assert [b"ACGT"[k : k + 1] for k in windows.input_ids[i]] == panel.sites.alt[site].tolist()


def test_dosages_are_missing_where_one_allele_is(data):
    windows = draw(data, "genotype", count=30)
    panel = data.panels[int(windows.chromosome[0])]
    alleles = panel.allele[int(windows.person[0])][:, windows.site[0].numpy()].astype(int)
    expected = np.where((alleles == 2).any(0), 3, alleles.sum(0))
    assert (windows.input_ids[0].numpy() == expected).all()
    assert (windows.input_ids == 3).any()


def test_draws_follow_the_seed_and_the_individuals(data):
    one, same, other = (draw(data, seed=seed, count=40) for seed in (1, 1, 2))
    assert torch.equal(one.input_ids, same.input_ids)
    assert not torch.equal(one.input_ids, other.input_ids)
    assert set(one.person.tolist()) <= set(data.split.train.tolist())
    assert set(one.label.tolist()) == {0, 1, 2}
    assert set(one.chromosome.tolist()) == {0, 1}


def mosaic_likelihood(query, haplotypes, step, rate):
    """P(query) summed over every path of copied haplotypes."""
    total = 0.0
    for path in product(range(len(haplotypes)), repeat=len(query)):
        p = 1 / len(haplotypes)
        for i, h in enumerate(path):
            if i:
                stay = np.exp(-rate * step[i])
                p *= stay * (path[i - 1] == h) + (1 - stay) / len(haplotypes)
            if query[i] != 2:
                p *= 1 - MISMATCH if haplotypes[h][i] == query[i] else MISMATCH
        total += p
    return total


def test_copying_is_the_sum_over_all_mosaics():
    data = load_training_data(
        TinyCohort(individuals=12, sites=(40, 40), missing=0.0), Choice(shares=(0.5, 0.25, 0.25))
    )
    test, train = data.split.test, data.split.train
    windows = draw(data, individuals=test, count=4, length=5)
    windows.input_ids[0, 2] = 2
    rate = 30.0
    reference = EvidenceReference.fit(data.panels, data.labels, train, "haplotype", (rate,))
    found = reference.evidence(windows)[..., :3].sum(1)
    for i in range(len(windows)):
        panel, site = data.panels[int(windows.chromosome[i])], windows.site[i].numpy()
        step = np.diff(windows.cm[i].numpy(), prepend=0)
        expected = [
            np.log(mosaic_likelihood(
                windows.input_ids[i].numpy(),
                panel.allele[train[data.labels[train] == k]].reshape(-1, len(panel.sites))[:, site], step, rate,
            ))
            for k in range(3)
        ]  # fmt: skip
        np.testing.assert_allclose(found[i].numpy(), np.array(expected) - np.mean(expected), atol=1e-4)


def test_carried_evidence_without_copying_is_naive_bayes(data):
    reference = EvidenceReference.fit(data.panels, data.labels, data.split.train, "carried", ())
    windows = draw(data, "carried", individuals=data.split.test)
    found = reference.evidence(windows)
    for i in range(len(windows)):
        panel, site = data.panels[int(windows.chromosome[i])], windows.site[i].numpy()
        alleles = [
            panel.allele[data.split.train[data.labels[data.split.train] == k]][:, :, site] for k in range(3)
        ]
        f = np.array([
            ((a == 1).sum((0, 1)) + PSEUDOCOUNT) / ((a != 2).sum((0, 1)) + 2 * PSEUDOCOUNT) for a in alleles
        ])  # fmt: skip
        e = MISMATCH
        p = np.log((1 - f) * (f + e * (1 - f)) + f * (1 - e * (1 - f)))
        np.testing.assert_allclose(found[i].numpy().T, p - p.mean(0), atol=1e-5)


@pytest.mark.parametrize("view", ["haplotype", "genotype", "carried"])
def test_a_training_person_is_left_out_of_their_own_evidence(view):
    data = load_training_data(TinyCohort(missing=0.0), Choice(maf=0.01))
    train = data.split.train
    whole = EvidenceReference.fit(data.panels, data.labels, train, view)
    person = int(train[3])
    windows = draw(data, view, individuals=np.array([person]))
    without = EvidenceReference.fit(data.panels, data.labels, np.setdiff1d(train, [person]), view)
    torch.testing.assert_close(whole.evidence(windows), without.evidence(windows), atol=1e-4, rtol=1e-3)
    naive = replace(whole, person=torch.full_like(whole.person, -1))  # nobody is recognised
    assert (naive.evidence(windows) - without.evidence(windows)).abs().max() > 0.05


def test_missing_alleles_are_no_evidence(data):
    reference = EvidenceReference.fit(data.panels, data.labels, data.split.train, "haplotype")
    windows = draw(data, individuals=data.split.test)
    windows.input_ids[:, 7] = 2
    evidence = reference.evidence(windows)
    assert evidence[:, 7].abs().max() < 1e-6
    assert evidence.shape == (6, 20, reference.channels)


def test_a_saved_reference_gives_the_same_evidence(data, tmp_path):
    reference = EvidenceReference.fit(data.panels, data.labels, data.split.train, "haplotype")
    reference.save(tmp_path / "reference.safetensors")
    again = EvidenceReference.load(tmp_path / "reference.safetensors")
    windows = draw(data, individuals=data.split.test)
    assert torch.equal(reference.evidence(windows), again.evidence(windows))


def test_saved_sites_read_back_equal(data, tmp_path):
    save_sites(tmp_path / "sites.safetensors", [panel.sites for panel in data.panels], "GRCh38")
    found, build = load_sites(tmp_path / "sites.safetensors")
    assert build == "GRCh38"
    for one, panel in zip(found, data.panels, strict=True):
        assert one.chromosome == panel.sites.chromosome
        for name in ("position", "ref", "alt", "cm"):
            assert (getattr(one, name) == getattr(panel.sites, name)).all()


def teacher(data, reference=None, recipe=None):
    return Teacher(source(data), data.split.train, data.split.valid, recipe or RECIPE, reference)


def test_the_classifier_begins_at_its_evidence_and_takes_pretrained_weights(data):
    config = model_config(RUN, RECIPE, data, 3)
    pretrained = AncestryForSNPPrediction(config.pretraining())
    model = classifier(config, pretrained)
    ours, theirs = model.ancestry.state_dict(), pretrained.ancestry.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_tables_get_sparse_steps_and_everything_is_trained(data):
    config = model_config(replace(RUN, position="fpe", pretrain=False), RECIPE, data, 0)
    model = AncestryForWindowClassification(config)
    torch.nn.init.normal_(model.head.score.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizers = Optimizers.of(model, RECIPE)
    lesson = teacher(data)
    for step in range(2):
        batch = lesson.batch("classify", step)
        model(**batch.windows.inputs(), labels=batch.windows.label).loss.backward()
        for member in optimizers.members:
            member.step()
            member.zero_grad()
    names = {group["params"][0].shape for group in optimizers.members[1].param_groups}
    assert names == {model.ancestry.embeddings.position.table.weight.shape}
    unmoved = [name for name, value in model.state_dict().items() if torch.equal(value, before[name])]
    assert not unmoved, unmoved


def test_pretraining_learns_an_order_among_sites():
    """Every second allele repeats the one before it."""
    cohort = TinyCohort(missing=0.0)
    for panel in cohort.panels.values():
        panel.allele[:, :, 1::2] = panel.allele[:, :, ::2]
    data = load_training_data(cohort)
    recipe = replace(RECIPE, pretrain_steps=60, learning_rate=1e-2, tokens_per_step=24 * 32)
    config = model_config(replace(RUN, position="fpe", alpha=10), recipe, data, 0)
    torch.manual_seed(0)
    model = AncestryForSNPPrediction(config)
    lesson = teacher(data, recipe=recipe)
    _, before = evaluate(model, lesson.valid["pretrain"])
    train_stage(model, lesson, "pretrain", device="cpu")
    _, after = evaluate(model, lesson.valid["pretrain"])
    assert after < 0.9 * before


class Heard(Progress):
    """Hears what is said; `stop` is the beginning of a line after which all ends."""

    def __init__(self, stop=None):
        self.lines, self.stop = [], stop

    def say(self, line):
        self.lines.append(line)
        if self.stop is not None and line.startswith(self.stop):
            raise KeyboardInterrupt


def test_a_run_tells_populations_apart_and_leaves_a_whole_folder(data, tmp_path):
    heard, run, folder = Heard(), replace(RUN, position="site"), tmp_path / "run"
    metrics = learn_windows(data, run, RECIPE, folder, device="cpu", progress=heard)
    assert metrics["test"]["accuracy"] > 0.7  # chance: 1/3
    assert metrics["next_snp"]["valid_perplexity"] < 2.2
    assert np.sum(metrics["test"]["confusion"]) == metrics["test"]["windows"]
    assert [line.split(":")[0] for line in heard.lines] == [
        "pretrain step 2", "pretrain step 4", "classify step 6", "classify step 12",
    ]  # fmt: skip
    assert {path.name for path in folder.iterdir()} == {
        "history.jsonl", "metrics.json", "model", "people.json", "predictions.tsv", "pretrained",
        "reference.safetensors", "sites.safetensors", "smoothing.json",
    }  # fmt: skip
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in history] == [2, 4, 6, 12]
    model = AncestryForWindowClassification.from_pretrained(folder / "model")
    assert tuple(model.config.id2label.values()) == POPULATIONS
    assert model.config.panel == panel_fingerprint(data.panels)
    reference = EvidenceReference.load(folder / "reference.safetensors")
    windows = draw(data, individuals=data.split.test, length=24)
    lines = (folder / "predictions.tsv").read_text().splitlines()
    assert len(lines) == metrics["test"]["windows"] + 1
    assert np.isfinite(evaluate(model, LabelledWindows(windows, reference.evidence(windows)))).all()
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o644}


def test_an_interrupted_run_ends_as_an_uninterrupted_one(data, tmp_path):
    run, recipe = replace(RUN, evidence="frequency", position="fpe"), replace(RECIPE, evaluations=4)
    options = {"device": "cpu", "checkpoint_seconds": 0.0}
    whole = learn_windows(data, run, recipe, tmp_path / "whole", **options)
    kept = []
    for stop in ("pretrain step 3", "classify step 9"):
        with pytest.raises(KeyboardInterrupt):
            learn_windows(
                data,
                run,
                recipe,
                tmp_path / "cut",
                **options,
                progress=Heard(stop),
                keep=lambda: kept.append(1),
            )
    assert kept
    assert not (tmp_path / "cut" / "metrics.json").exists()
    assert (tmp_path / "cut" / "classify" / "checkpoint").exists()
    assert learn_windows(data, run, recipe, tmp_path / "cut", **options) == whole
    for name in ("model/model.safetensors", "pretrained/model.safetensors", "history.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "cut" / "classify").exists()


def test_the_best_weights_may_be_the_untrained_ones(data):
    """Steps that lead away from the evidence are not kept."""
    recipe = replace(RECIPE, learning_rate=30.0, evidence_rate=30.0, steps=4)
    reference = EvidenceReference.fit(data.panels, data.labels, data.split.train, "haplotype")
    lesson = teacher(data, reference, recipe)
    model = classifier(model_config(RUN, recipe, data, reference.channels), None)
    fit_evidence(model, lesson)
    before = evaluate(model, lesson.valid["classify"])
    fitted = train_stage(model, lesson, "classify", device="cpu")
    assert fitted.best_step == 0
    assert evaluate(model, lesson.valid["classify"]) == before


def test_windows_learn_who_a_window_is_of():
    """Without evidence the network has to learn the alleles of each population: a pattern with one error in five."""
    cohort, rng = TinyCohort(individuals=60, sites=(40, 40), missing=0.0), np.random.default_rng(5)
    for panel in cohort.panels.values():
        pattern = rng.random((3, 40)) < 0.5
        errors = rng.random(panel.allele.shape) < 0.2
        panel.allele[:] = pattern[np.arange(60) % 3][:, None] ^ errors
    data = load_training_data(cohort)
    recipe = replace(RECIPE, steps=60, learning_rate=1e-2, table_rate=3e-2, valid_windows=200)
    config = model_config(replace(RUN, position="site", pretrain=False), recipe, data, 0)
    torch.manual_seed(0)
    model, lesson = classifier(config, None), teacher(data, recipe=recipe)
    name_sites(model, data)
    assert evaluate(model, lesson.valid["classify"])[1] < 0.6
    train_stage(model, lesson, "classify", device="cpu")
    assert evaluate(model, lesson.valid["classify"])[1] > 0.9


def test_a_device_that_is_not_there_is_told(data, tmp_path):
    with pytest.raises(InputError, match="`device` cuda:77"):
        learn_windows(data, RUN, RECIPE, tmp_path / "run", device="cuda:77")


def test_frequent_sites_are_those_of_training_individuals(data):
    for panel, chromosome in zip(data.panels, TinyCohort().chromosomes, strict=True):
        whole = TinyCohort().panels[chromosome]
        frequency = whole.individuals(data.split.train).frequency()
        assert len(panel.sites) == (np.minimum(frequency, 1 - frequency) >= 0.01).sum()
    with pytest.raises(InputError, match="lower `maf`"):
        load_training_data(TinyCohort(), Choice(maf=0.501))


def test_bad_input_is_named(data):
    with pytest.raises(InputError, match="choose a shorter `window`"):
        draw(data, length=500)
    unphased = load_training_data(TinyCohort(phased=False))
    with pytest.raises(InputError, match="not phased"):
        source(unphased)
    with pytest.raises(InputError, match="nobody in the cohort"):
        load_training_data(TinyCohort(), Choice(leave_out=("XYZ",)))
    with pytest.raises(InputError, match="one group only"):
        load_training_data(TinyCohort(), Choice(leave_out=("AFR", "EUR")))
    with pytest.raises(InputError, match="evidence must be one of"):
        AncestryRun(evidence="hearsay")
    with pytest.raises(InputError, match="position must be one of"):
        model_config(replace(RUN, position="alibi"), RECIPE, data, 0)


def test_windows_join_and_part(data):
    windows = draw(data)
    parts = [windows.at(slice(0, 2)), windows.at(slice(2, None))]
    assert torch.equal(WindowBatch.join(parts).input_ids, windows.input_ids)
    tiles = list(source(data).tiles(0, 1, 0, 50, 40))
    last = len(data.panels[0].sites) - 1
    assert [int(tile.site[0, 0]) for tile in tiles[:2]] == [0, 40]
    assert int(tiles[-1].site[0, -1]) == last
