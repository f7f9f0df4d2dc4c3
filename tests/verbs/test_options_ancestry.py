"""Each option of `ancestry ...` and `simulate admixture` reaches what does the work."""

import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crocuta.cli import app

pytestmark = pytest.mark.filterwarnings("default")

BUILD = "crocuta.ancestry.cohorts.build_cohort"
WINDOWS, LOCAL = "crocuta.ancestry.window_run.train_windows", "crocuta.ancestry.local.training.train_local"
INFER = "crocuta.ancestry.infer.infer_ancestry"
SIMULATE = "crocuta.ancestry.cohorts.simulate_cohort"
INDIVIDUALS, PICTURE = (
    "crocuta.ancestry.karyogram.read_individuals",
    "crocuta.ancestry.karyogram.write_karyogram",
)
READ = "crocuta.ancestry.window_infer.read_window_run"
STATES = "crocuta.ancestry.states.window_states"
THERE = ("P0.png", "P0.svg", "P0.html", "states.png")  # pictures that `there` holds already

TABLES = {
    "ancestry build": ("ancestry build a.vcf b.vcf", {
        "--samples": ("s.tsv", BUILD, lambda r: r.samples == Path("s.tsv")),
        "--map": ("m.tsv", BUILD, lambda r: r.genetic_map == Path("m.tsv")),
        "--output": ("x.h5", BUILD, lambda r: r.output == Path("x.h5") and len(r.variants) == 2),
        "--maf": ("0.2", BUILD, lambda r: r.policy.maf == 0.2),
        "--snps-only": ("--all", BUILD, lambda r: not r.policy.snps_only),
        "--multiallelic": ("split", BUILD, lambda r: r.policy.multiallelic == "split"),
        "--phase": ("ignore", BUILD, lambda r: r.policy.phase == "ignore"),
        "--shared": ("", BUILD, lambda r: r.shared),
        "--reference": ("GRCh38", BUILD, lambda r: r.build == "GRCh38"),
        "--jobs": ("3", BUILD, lambda r: r.jobs == 3),
        "--resume": ("", BUILD, lambda r: r.resume),
        "--dry-run": ("--jobs 3 --maf 0.2", "crocuta.ancestry.cohorts.estimate_build",
                      lambda r: r.jobs == 3 and r.policy.maf == 0.2),
    }),
    "ancestry train": ("ancestry train c.h5", {
        "--output": ("x", WINDOWS, lambda r: r.output == Path("x") and r.cohort == Path("c.h5")),
        "--scope": ("local", LOCAL, lambda r: r.recipe.maf == 0.05),
        "--view": ("carried", WINDOWS, lambda r: r.run.view == "carried" and r.choice.maf == 0),
        "--window": ("77", WINDOWS, lambda r: r.recipe.window == 77),
        "--by": ("population", WINDOWS, lambda r: r.choice.by == "population"),
        "--leave-out": ("A,B", WINDOWS, lambda r: r.choice.leave_out == ("A", "B")),
        "--maf": ("0.2", WINDOWS, lambda r: r.choice.maf == 0.2),
        "--evidence": ("frequency", WINDOWS, lambda r: r.run.evidence == "frequency"),
        "--pretrain": ("--no-pretrain", WINDOWS, lambda r: not r.run.pretrain),
        "--position": ("fpe", WINDOWS, lambda r: r.run.position == "fpe"),
        "--alpha": ("7", WINDOWS, lambda r: r.run.alpha == 7),
        "--backbone": ("transformer", WINDOWS, lambda r: r.run.backbone == "transformer"),
        "--head": ("lorentz", WINDOWS, lambda r: r.run.head == "lorentz"),
        "--dim": ("12", WINDOWS, lambda r: r.run.width == 12),
        "--layers": ("3", WINDOWS, lambda r: r.run.layers == 3),
        "--pretrain-steps": ("11", WINDOWS, lambda r: r.recipe.pretrain_steps == 11),
        "--steps": ("13", WINDOWS, lambda r: r.recipe.steps == 13),
        "--tokens-per-step": ("999", WINDOWS, lambda r: r.recipe.tokens_per_step == 999),
        "--learning-rate": ("0.5", WINDOWS, lambda r: r.recipe.learning_rate == 0.5),
        "--test-share": ("0.5", WINDOWS, lambda r: r.choice.shares[2] == 0.5 and math.isclose(sum(r.choice.shares), 1)),
        "--checkpoint-minutes": ("2", WINDOWS, lambda r: r.checkpoint_seconds == 120),
        "--spacing": ("500 --scope local", LOCAL, lambda r: r.recipe.spacing == 500),
        "--smoother-steps": ("9 --scope local", LOCAL, lambda r: r.recipe.steps == 9),
        "--seed": ("7", WINDOWS, lambda r: r.recipe.seed == 7),
        "--device": ("cuda", WINDOWS, lambda r: r.device == "cuda"),
        "--resume": ("", WINDOWS, lambda r: r.resume),
        "--dry-run": ("--window 77 --device cuda --maf 0.2", "crocuta.ancestry.cost.estimate_windows",
                      lambda r: r.recipe.window == 77 and r.device == "cuda" and r.choice.maf == 0.2),
    }),
    "ancestry train --scope local": ("ancestry train c.h5 --scope local", {
        "--output": ("x", LOCAL, lambda r: r.output == Path("x") and r.cohort == Path("c.h5")),
        "--by": ("population", LOCAL, lambda r: r.by == "population"),
        "--leave-out": ("A,B", LOCAL, lambda r: r.leave_out == ("A", "B")),
        "--maf": ("0.2", LOCAL, lambda r: r.recipe.maf == 0.2),
        "--checkpoint-minutes": ("2", LOCAL, lambda r: r.checkpoint_seconds == 120),
        "--seed": ("7", LOCAL, lambda r: r.recipe.seed == 7),
        "--device": ("cuda", LOCAL, lambda r: r.device == "cuda"),
        "--resume": ("", LOCAL, lambda r: r.resume),
        "--dry-run": ("--maf 0.2 --by population --leave-out A --device cuda",
                      "crocuta.ancestry.cost.estimate_local",
                      lambda r: r.choice.maf == r.recipe.maf == 0.2 and r.choice.by == "population"
                      and r.choice.leave_out == ("A",) and r.device == "cuda"),
    }),
    "ancestry infer": ("ancestry infer q.vcf -m run", {
        "--model": ("other", INFER, lambda r: r.model == Path("other") and r.query == Path("q.vcf")),
        "--output": ("x", INFER, lambda r: r.output == Path("x")),
        "--window": ("77", INFER, lambda r: r.window == 77),
        "--step": ("33", INFER, lambda r: r.step == 33),
        "--overlap": ("0.3", INFER, lambda r: r.overlap == 0.3),
        "--smooth": ("--no-smooth", INFER, lambda r: not r.smooth),
        "--jobs": ("5", INFER, lambda r: r.jobs == 5),
        "--device": ("cuda", INFER, lambda r: r.device == "cuda"),
        "--resume": ("", INFER, lambda r: r.resume),
        "--dry-run": ("--window 77 --step 33 --no-smooth --jobs 5 --device cuda",
                      "crocuta.ancestry.cost.estimate_inference",
                      lambda r: (r.window, r.step, r.smooth, r.jobs, r.device) == (77, 33, False, 5, "cuda")),
    }),
    "ancestry paint": ("ancestry paint FOLDER", {
        "--sample": ("a -s b", INDIVIDUALS, lambda r: r.names == ["a", "b"]),
        "--output": ("x", PICTURE, lambda r: r.output == Path("x/P0.png")),
        "--formats": ("html,svg", PICTURE, lambda r: r.output.name == "P0.html"),
        "--overwrite": ("-o there", PICTURE, lambda r: r.output == Path("there/P0.png")),
    }),
    "ancestry figures": ("ancestry figures RUN STORE", {
        "--output": ("x --windows 20", "crocuta.report.style.save", lambda r: r.stem == Path("x/states")),
        "--windows": ("17", STATES, lambda r: r.count == 17),
        "--sample": ("FIRST", "crocuta.ancestry.states.window_tracts", lambda r: len(r.individuals) == 1),
        "--step": ("3", READ, lambda r: r.step == 3),
        "--seed": ("7", STATES, lambda r: r.seed == 7),
        "--device": ("cuda", READ, lambda r: r.device == "cuda"),
        "--overwrite": ("-o there", READ, lambda r: True),
    }),
    "ancestry simulate": ("ancestry simulate", {
        "--output": ("x", SIMULATE, lambda r: r.output == Path("x")),
        "--length": ("2e6", SIMULATE, lambda r: r.settings.length == 2_000_000),
        "--chromosomes": ("3", SIMULATE, lambda r: r.settings.chromosomes == ("1", "2", "3")),
        "--name": ("22 --name X", SIMULATE, lambda r: r.settings.chromosomes == ("22", "X")),
        "--individuals": ("3 4 5", SIMULATE, lambda r: r.settings.individuals == (3, 4, 5)),
        "--admixed": ("2", SIMULATE, lambda r: r.settings.admixed == 2),
        "--seed": ("7", SIMULATE, lambda r: r.settings.seed == 7),
        "--jobs": ("5", SIMULATE, lambda r: r.jobs == 5),
        "--resume": ("", SIMULATE, lambda r: r.resume),
    }),
}  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "option"), [(verb, option) for verb, (_, table) in TABLES.items() for option in table]
)
def test_its_value_arrives(arrives, old_runs, tmp_path, monkeypatch, verb, option):
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    for name in THERE:
        Path("there", name).touch()
    command, table = TABLES[verb]
    value, patched, check = table[option]
    places = {"FOLDER": "ancestry-infer", "RUN": "ancestry-windows", "STORE": "cohort.h5"}
    words = [str(old_runs / places[word]) if word in places else word for word in command.split()]
    names = (old_runs / "ancestry-windows" / "people.json").read_text()
    first = names[names.index('"test"') :].split('"')[3]
    values = [first if word == "FIRST" else word for word in value.split()]
    flag = [] if values and values[0] in ("--all", "--no-pretrain", "--no-smooth") else [option]
    arrives(words, patched, [*flag, *values], check)


@pytest.mark.parametrize("verb", [verb for verb in TABLES if " --" not in verb])
def test_no_option_is_forgotten(options_of, verb):
    assert options_of(*verb.split()) == set(TABLES[verb][1])


@pytest.mark.parametrize(("verb", "name"), [("paint", "P0.png"), ("figures", "states.png")])
def test_pictures_are_not_replaced_unasked(old_runs, tmp_path, verb, name):
    (tmp_path / name).write_text("mine")
    places = {"paint": ["ancestry-infer"], "figures": ["ancestry-windows", "cohort.h5"]}[verb]
    words = ["ancestry", verb, *(str(old_runs / place) for place in places), "-o", str(tmp_path)]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 2
    assert "exists already; choose another --output, or replace it with --overwrite" in found.stderr
    assert (tmp_path / name).read_text() == "mine"


def test_no_two_commands_write_to_one_place_by_default():
    import inspect

    from crocuta.ancestry.verbs import build, infer, train

    found = [inspect.signature(verb).parameters["output"].default for verb in (build, train, infer)]
    assert len(set(found)) == 3
