"""What is typed after `crocuta train`, `demo`, `evaluate`, `predict`, `report` and `bench` arrives in the library."""

from pathlib import Path

import pytest

from crocuta.runs.saved import SavedRun

DATA = "data.csv"
SAME_IN_BENCH = [
    (["--seeds", "5"], lambda given: given.seeds == 5),
    (["--data-root", "tasks"], lambda given: given.data_root == Path("tasks")),
    (["--metric", "f1"], lambda given: given.metric == "f1"),
    (["--epochs", "7"], lambda given: given.options["epochs"] == 7),
    (["--batch-size", "9"], lambda given: given.options["batch_size"] == 9),
    (["--patience", "2"], lambda given: given.options["patience"] == 2),
    (["--max-length", "99"], lambda given: given.options["max_length"] == 99),
    (["--both-strands"], lambda given: given.both_strands is True),
    (["--resume"], lambda given: given.resume is True),
    (["--device", "cpu"], lambda given: given.device == "cpu"),
    (["--jobs", "3"], lambda given: given.jobs == 3),
]
TRAIN = [
    *SAME_IN_BENCH,
    (["--model", "cnn", "-m", "base"], lambda given: given.models == ["cnn", "base"]),
    (["--from-scratch", "-m", "hyenadna-tiny"], lambda given: given.models == ["new:hyenadna-tiny"]),
    (["--adapt", "lora:2"], lambda given: given.options["adapt"] == ["lora:2"]),
    (["--output", "there"], lambda given: given.output == Path("there")),
    (["--valid", "v.csv"], lambda given: given.valid == Path("v.csv")),
    (["--test", "t.csv"], lambda given: given.test == Path("t.csv")),
    (["--task", "gue/mouse/0"], lambda given: given.task == "gue/mouse/0"),
    (["--genome", "g.fa"], lambda given: given.genome == Path("g.fa")),
    (["--window", "11"], lambda given: given.window == 11),
    (["--learning-rate", "0.5"], lambda given: given.options["learning_rate"] == 0.5),
    (["--weight-decay", "0.25"], lambda given: given.options["weight_decay"] == 0.25),
    (["--no-baselines"], lambda given: given.options["baselines"] is False),
]
BENCH = [
    *SAME_IN_BENCH,
    (["--task", "b.csv"], lambda given: list(given.tasks) == [DATA, "b.csv"]),
    (["--model", "cnn"], lambda given: given.models == ["cnn"]),
    (["--from-scratch", "-m", "hyenadna-tiny"], lambda given: given.models == ["new:hyenadna-tiny"]),
    (["--output", "there"], lambda given: given.output == Path("there")),
    (["--no-baselines"], lambda given: given.baselines is False),
]
DEMO = [
    (["--output", "there"], lambda given: given.output == Path("there")),
    (["--resume"], lambda given: given.resume is True),
    (["--device", "cpu"], lambda given: given.device == "cpu"),
    (["--jobs", "3"], lambda given: given.jobs == 3),
]
PLACE = [
    (["--genome", "g.fa"], lambda given: given.genome == Path("g.fa")),
    (["--window", "11"], lambda given: given.window == 11),
    (["--device", "cpu"], lambda given: given.device == "cpu"),
]
EVALUATE = [
    *PLACE,
    (["--output", "there"], lambda given: given.output == Path("there")),
    (["--resume"], lambda given: given.resume is True),
]
PREDICT = [
    *PLACE,
    (["--output", "there.tsv"], lambda given: given.output == Path("there.tsv")),
    (["--model", "cnn"], lambda given: given.model == "cnn"),
    (["--batch-size", "9"], lambda given: given.batch_size == 9),
]
DRY_TRAIN = [
    (["--seeds", "5"], lambda given: given.seeds == 5),
    (["--device", "cpu"], lambda given: given.device == "cpu"),
    (["--epochs", "7"], lambda given: given.options["epochs"] == 7),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of a run that says it is one of `crocuta train`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SavedRun, "__init__", lambda self, path, *kinds: None)
    monkeypatch.setattr(SavedRun, "kind", "train")


@pytest.mark.parametrize(
    ("option", "check"), TRAIN, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_train(arrives, option, check):
    arrives(["train", DATA], "crocuta.classification.pipelines.train", option, check)


@pytest.mark.parametrize(("option", "check"), DRY_TRAIN)
def test_train_dry_run(arrives, option, check):
    arrives(["train", DATA, "--dry-run"], "crocuta.classification.pipelines.estimate", option, check)


@pytest.mark.parametrize(("option", "check"), DEMO)
def test_demo(arrives, option, check):
    arrives(["demo"], "crocuta.classification.pipelines.demo", option, check)


def test_demo_dry_run(arrives):
    option = ["--dry-run", "--device", "cpu"]
    arrives(
        ["demo"],
        "crocuta.classification.pipelines.estimate_demo",
        option,
        lambda given: given.device == "cpu",
    )


@pytest.mark.parametrize(("option", "check"), BENCH)
def test_bench(arrives, option, check):
    arrives(["bench", "-t", DATA], "crocuta.bench.bench", option, check)


@pytest.mark.parametrize(("option", "check"), DRY_TRAIN)
def test_bench_dry_run(arrives, option, check):
    arrives(["bench", "-t", DATA, "--dry-run"], "crocuta.bench.estimate", option, check)


@pytest.mark.parametrize(("option", "check"), EVALUATE)
def test_evaluate(arrives, here, option, check):
    arrives(["evaluate", "run", DATA], "crocuta.classification.evaluate", option, check)


@pytest.mark.parametrize(("option", "check"), PREDICT)
def test_predict(arrives, here, option, check):
    arrives(["predict", "run", DATA], "crocuta.classification.predict", option, check)


@pytest.mark.parametrize(("option", "check"), PLACE)
@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_dry_runs(arrives, here, verb, option, check):
    arrives(
        [verb, "run", DATA, "--dry-run"], "crocuta.classification.cost.estimate_prediction", option, check
    )


@pytest.mark.parametrize("option", [[], ["--overwrite"]])
def test_report(arrives, here, option):
    page = Path("page.html")
    if option:
        page.write_text("mine")
    words = ["report", "run", "-o", str(page)]
    arrives(words, "crocuta.report.write_report", option, lambda given: given.output == page)


@pytest.mark.parametrize(
    "words", [["train"], ["bench"], ["demo"], ["evaluate"], ["predict"], ["report"]], ids=" ".join
)
def test_no_option_is_forgotten(options_of, words):
    tables = {"train": TRAIN, "bench": BENCH, "demo": DEMO, "evaluate": EVALUATE, "predict": PREDICT}
    table = tables.get(words[0], [(["--output"], None)])
    known = {option[0] for option, _ in table} | {"--dry-run", "--overwrite"}
    assert {name.replace("--baselines", "--no-baselines") for name in options_of(*words)} <= known
