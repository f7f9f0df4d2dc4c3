"""Pretraining: it learns, resumes exactly, gives the same with any portions and processes, and stops loudly."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from crocuta.data.genome import Genome
from crocuta.data.language import partition
from crocuta.errors import InputError
from crocuta.runs.progress import Progress, Stage


def import_late():
    global AutoModelForSequenceClassification, HyenaConfig, HyenaForCausalLM, read_pretraining
    global \
        write_pretraining, \
        pretraining_cost, \
        pretrain, \
        check_pretraining_memory, \
        estimate_pretraining, \
        Pretraining
    global run_pretraining, step_size, CONFIG, RECIPE
    from transformers import AutoModelForSequenceClassification

    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
    from crocuta.pretraining import cost as pretraining_cost
    from crocuta.pretraining.cost import check_pretraining_memory, estimate_pretraining
    from crocuta.pretraining.page import read_pretraining, write_pretraining
    from crocuta.pretraining.recipe import Pretraining
    from crocuta.pretraining.run import run_pretraining, step_size
    from crocuta.pretraining.training import pretrain

    CONFIG = HyenaConfig(
        d_model=16, n_layer=1, filter_order=16, max_seq_len=66, embed_dropout=0.0, initializer_range=0.1
    )
    RECIPE = Pretraining(
        length=64, warm_up=(16, 32), steps=18, tokens_per_step=512, learning_rate=1e-2, evaluations=3, log_every=1,
        checkpoint_seconds=1e9,
    )  # fmt: skip


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    import_late()


def write_genome(path, seed=0):
    """Codons of a skewed alphabet: what a model of the last nucleotides can learn, on one strand."""
    generator = np.random.default_rng(seed)
    codons = np.array(["ATG", "GCA", "TTC", "NNN"])
    lines = []
    for name, count in (("one", 1500), ("two", 400), ("three", 400)):
        lines += [f">{name}", "".join(generator.choice(codons, count, p=[0.5, 0.29, 0.2, 0.01]))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return Genome(write_genome(tmp_path_factory.mktemp("genome") / "genome.fa"))


@pytest.fixture(scope="module")
def parts(genome):
    return partition(genome, valid=["two"], test=["three"])


def new_model(config=None):
    torch.manual_seed(0)
    return HyenaForCausalLM(config or CONFIG)


def changed(**fields):
    return Pretraining(**{**RECIPE.__dict__, **fields})


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(genome, parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    metrics = run_pretraining(
        genome, parts, CONFIG, changed(steps=120, both_strands=False), folder, markov_order=2
    )
    return folder, metrics


def test_it_learns(finished):
    folder, metrics = finished
    assert metrics["test"]["perplexity"] < 2.2
    assert metrics["test"]["letters"] > 1100
    assert metrics["markov"]["test"]["0"] > 3.5
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    curve = [moment["valid_perplexity"] for moment in history(folder) if moment["valid_perplexity"]]
    assert len(curve) == 2
    assert curve[0] > curve[-1] > metrics["valid"]["perplexity"]
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "manifest.json", "history.jsonl", "metrics.json", "model",
    }  # fmt: skip


def test_its_model_is_fine_tuned_by_its_folder(finished):
    folder, _ = finished
    classifier = AutoModelForSequenceClassification.from_pretrained(folder / "model", num_labels=3)
    language = HyenaForCausalLM.from_pretrained(folder / "model")
    torch.testing.assert_close(
        classifier.hyena.backbone.layers[0].mlp.fc1.weight, language.hyena.backbone.layers[0].mlp.fc1.weight
    )


class Interrupts(Progress):
    """Interrupts a training where its bar reaches a step."""

    def __init__(self, step):
        self.step = step

    def stage(self, name, total=None, unit=""):
        stage, at = Stage(name, total, unit), self.step

        def show():
            if name == "pretraining" and stage.done == at:
                raise KeyboardInterrupt

        stage.show = show
        return stage


@pytest.mark.parametrize("stop", [4, 7])
def test_resumed_is_as_if_never_interrupted(genome, parts, tmp_path, stop):
    config = HyenaConfig(**{**CONFIG.to_diff_dict(), "embed_dropout": 0.1})
    through, halted, often = tmp_path / "through", tmp_path / "halted", changed(checkpoint_seconds=0)
    expected = pretrain(new_model(config), genome, parts, RECIPE, through)
    with pytest.raises(KeyboardInterrupt):
        pretrain(new_model(config), genome, parts, often, halted, progress=Interrupts(stop))
    found = pretrain(new_model(config), genome, parts, RECIPE, halted, resume=True)
    for part in ("valid", "test"):
        assert found[part] == expected[part]
    for key in ("step", "length", "loss", "valid_perplexity"):
        assert [m[key] for m in history(halted)] == [m[key] for m in history(through)]
    before, after = (load_file(folder / "model" / "model.safetensors") for folder in (through, halted))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert pretrain(new_model(config), genome, parts, RECIPE, halted, resume=True) == found


def test_portions_change_nothing(genome, parts, tmp_path):
    losses = []
    for tokens in (512, 96):
        folder = tmp_path / str(tokens)
        pretrain(new_model(), genome, parts, changed(tokens_at_once=tokens, learning_rate=1e-3), folder)
        losses.append([moment["loss"] for moment in history(folder)])
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.distributed
def test_two_processes_give_what_one_gives(tmp_path, run_together):
    genome = write_genome(tmp_path / "genome.fa")
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, torch\n"
        f"sys.path.insert(0, {str(__file__.rsplit('/', 1)[0])!r})\n"
        "import test_training as here\n"
        "here.import_late()\n"
        "genome = here.Genome(sys.argv[1])\n"
        "parts = here.partition(genome, valid=['two'], test=['three'])\n"
        "here.pretrain(here.new_model(), genome, parts, here.changed(learning_rate=1e-3), sys.argv[2])\n"
    )
    assert run_together(program, 2, genome, tmp_path / "two") == [0, 0]
    opened = Genome(genome)
    parts = partition(opened, valid=["two"], test=["three"])
    one = pretrain(new_model(), opened, parts, changed(learning_rate=1e-3), tmp_path / "one")
    two = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert two["processes"] == 2
    assert two["test"]["letters"] == one["test"]["letters"]
    assert two["test"]["loss"] == pytest.approx(one["test"]["loss"], rel=1e-5)
    losses = [[moment["loss"] for moment in history(tmp_path / name)] for name in ("one", "two")]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_a_loss_that_is_no_number_stops(genome, parts, tmp_path):
    model = new_model()
    torch.nn.init.constant_(model.hyena.backbone.layers[0].mlp.fc1.bias, float("inf"))
    with pytest.raises(
        InputError, match=r"stopped at step 1: .* first in parameter .*fc1.bias.*no checkpoint yet.*lower"
    ):
        pretrain(model, genome, parts, RECIPE, tmp_path / "run")


def test_another_run_is_not_touched(genome, parts, tmp_path):
    often = changed(checkpoint_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        pretrain(new_model(), genome, parts, often, tmp_path / "run", progress=Interrupts(2))
    with pytest.raises(InputError, match="holds an unfinished run already; go on with it by `resume`"):
        pretrain(new_model(), genome, parts, RECIPE, tmp_path / "run")
    with pytest.raises(InputError, match=r"began with recipe.learning_rate = 0.01, now it is 0.1"):
        pretrain(new_model(), genome, parts, changed(learning_rate=0.1), tmp_path / "run", resume=True)
    other = partition(genome, valid=["three"], test=["two"])  # as many nucleotides
    with pytest.raises(InputError, match=r"began with parts.valid.sha256"):
        pretrain(new_model(), genome, other, RECIPE, tmp_path / "run", resume=True)
    changed_genome = Genome(write_genome(tmp_path / "genome.fa", seed=1))
    with pytest.raises(InputError, match=r"began with genome = .*genome.fa.*, now it is"):
        pretrain(new_model(), changed_genome, parts, RECIPE, tmp_path / "run", resume=True)


def test_what_failed_leaves_nothing_that_was_not_worth_keeping(genome, parts, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        pretrain(new_model(), genome, parts, RECIPE, tmp_path / "run", progress=Interrupts(2))
    assert list(tmp_path.iterdir()) == []


def test_weights_follow_the_umask(finished):
    folder, _ = finished
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert modes == {(folder / "config.json").stat().st_mode & 0o777}


def test_a_run_of_the_first_version_is_read(tmp_path):
    with tarfile.open(Path(__file__).parents[1] / "fixtures" / "runs-0.1.0.tar.xz") as archive:
        archive.extractall(
            tmp_path, [m for m in archive if m.name.split("/")[0] == "pretrain"], filter="data"
        )
    found = read_pretraining(tmp_path / "pretrain")
    assert found.metrics["valid"]["perplexity"] > 1
    assert found.history[-1]["step"] == found.metrics["steps"]
    page = write_pretraining(tmp_path / "pretrain", "tiny")
    assert found.config["genome"]["file"] in page.read_text()


def test_memory_is_foreseen(genome, parts, tmp_path, monkeypatch):
    recipes = [changed(tokens_at_once=tokens, tokens_per_step=1 << 26) for tokens in (1 << 14, 1 << 26)]
    small, large = (estimate_pretraining(new_model(), recipe) for recipe in recipes)
    assert set(small.stages) == {16, 32, 64}
    assert small.total.seconds > 0
    assert large.total.memory_mb > 5 * small.total.memory_mb
    check_pretraining_memory(small, RECIPE)
    monkeypatch.setattr(pretraining_cost, "available_mb", lambda device: 10.0)
    with pytest.raises(InputError, match=r"10 MB are available; lower `tokens_at_once` \(now 32,768\)"):
        run_pretraining(genome, parts, CONFIG, RECIPE, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_trained_is_refused(genome, parts, tmp_path):
    with pytest.raises(InputError, match="`length` 80 is 14 longer than the 66 tokens"):
        run_pretraining(genome, parts, CONFIG, changed(length=80), tmp_path / "run")
    with pytest.raises(InputError, match="no model folder"):
        run_pretraining(genome, parts, tmp_path / "none", RECIPE, tmp_path / "run")


@pytest.mark.parametrize(
    ("count", "epochs", "length", "expected"),
    [
        (10_000, 1, 64, 1 << 13),
        (12_000_000, 10, 1024, 1 << 14),
        (3_000_000_000, 4, 1024, 1 << 18),
        (9, 1, 500_000, 500_000),
    ],
)
def test_steps_grow_with_the_genome(count, epochs, length, expected):
    assert step_size(count, epochs, length) == expected
