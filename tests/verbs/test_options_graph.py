"""Each option of `graph`, `image`, `simulate tree` and `hyperbolicity` reaches what does the work."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from crocuta.cli import app
from crocuta.files import write_json


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global Cost
    from crocuta.runs.cost import Cost


pytestmark = pytest.mark.filterwarnings("default")


def of_config(name, value):
    return lambda got: got.run.config[name] == value


def has(scenario, name, value):
    return getattr(scenario, name.replace("-", "_")) == value


GRAPH, GRAPH_COST = "crocuta.graphs.training.train_graph", "crocuta.graphs.training.estimate_graph"
GRAPH_TRAIN = {
    "--problem": ("nc", GRAPH, lambda got: got.run.task == "nc"),
    "--encoder": ("gat", GRAPH, of_config("encoder", "gat")),
    "--output": ("out", GRAPH, lambda got: got.output == Path("out")),
    "--dim": ("7", GRAPH, of_config("hidden_size", 7)),
    "--layers": ("5", GRAPH, of_config("num_layers", 5)),
    "--seeds": ("9", GRAPH, lambda got: got.run.seeds == 9),
    "--per-layer": ("", GRAPH, of_config("per_layer", True)),
    "--curvature": ("0.3", GRAPH, of_config("c", 0.3)),
    "--learnable": ("", GRAPH, of_config("learnable", True)),
    "--search": ("0.3,3", GRAPH, lambda got: tuple(got.search) == (0.3, 3.0)),
    "--space": ("poincare", GRAPH, of_config("space", "poincare")),
    "--activation": ("elu", GRAPH, of_config("activation", "elu")),
    "--attention": ("", GRAPH, of_config("attention", True)),
    "--normalisation": ("row", GRAPH, of_config("normalisation", "row")),
    "--heads": ("4", GRAPH, of_config("heads", 4)),
    "--dropout": ("0.4", GRAPH, of_config("dropout", 0.4)),
    "--split": ("public", GRAPH, lambda got: got.run.split == "public"),
    "--degrees": ("", GRAPH, lambda got: got.run.degrees),
    "--epochs": ("11", GRAPH, lambda got: got.run.recipe.epochs == 11),
    "--patience": ("12", GRAPH, lambda got: got.run.recipe.patience == 12),
    "--learning-rate": ("0.5", GRAPH, lambda got: got.run.recipe.learning_rate == 0.5),
    "--weight-decay": ("0.6", GRAPH, lambda got: got.run.recipe.weight_decay == 0.6),
    "--device": ("cuda:3", GRAPH, lambda got: got.device == "cuda:3"),
    "--resume": ("", GRAPH, lambda got: got.resume),
    "--dry-run": ("--device cuda:3", GRAPH_COST, lambda got: got.device == "cuda:3"),
}
PREDICT = "crocuta.graphs.predict.predict_graph"
GRAPH_PREDICT = {
    "--output": ("out", PREDICT, lambda got: got.output == Path("out")),
    "--data": ("moved.tsv", PREDICT, lambda got: got.data == Path("moved.tsv")),
    "--device": ("cuda:3", PREDICT, lambda got: got.device == "cuda:3"),
    "--overwrite": ("-o there", PREDICT, lambda got: got.output == Path("there")),
}
IMAGE, IMAGE_COST = "crocuta.vision.training.train_images", "crocuta.vision.training.estimate_images"
IMAGE_TRAIN = {
    "--model": ("vit", IMAGE, lambda got: got.run.model == "vit"),
    "--output": ("out", IMAGE, lambda got: got.output == Path("out")),
    "--epochs": ("11", IMAGE, lambda got: got.run.recipe.epochs == 11),
    "--seeds": ("9", IMAGE, lambda got: got.run.seeds == 9),
    "--patch-size": ("7", IMAGE, lambda got: got.run.sizes["patch_size"] == 7),
    "--dim": ("12", IMAGE, lambda got: got.run.sizes["intermediate_size"] == 48),
    "--layers": ("6", IMAGE, lambda got: got.run.sizes["num_hidden_layers"] == 6),
    "--heads": ("2", IMAGE, lambda got: got.run.sizes["num_attention_heads"] == 2),
    "--curvature": ("0.3", IMAGE, lambda got: got.run.sizes["c"] == 0.3),
    "--learnable": ("", IMAGE, lambda got: got.run.sizes["learnable"]),
    "--image-size": ("24", IMAGE, lambda got: got.image_size == 24),
    "--learning-rate": ("0.5", IMAGE, lambda got: got.run.recipe.learning_rate == 0.5),
    "--weight-decay": ("0.6", IMAGE, lambda got: got.run.recipe.weight_decay == 0.6),
    "--batch-size": ("17", IMAGE, lambda got: got.run.recipe.batch_size == 17),
    "--shift": ("0.2", IMAGE, lambda got: got.run.jitter.shift == 0.2),
    "--rotation": ("30", IMAGE, lambda got: got.run.jitter.degrees == 30),
    "--zoom": ("0.3", IMAGE, lambda got: got.run.jitter.zoom == 0.3),
    "--flip": ("", IMAGE, lambda got: got.run.jitter.flip),
    "--device": ("cuda:3", IMAGE, lambda got: got.device == "cuda:3"),
    "--resume": ("", IMAGE, lambda got: got.resume),
    "--dry-run": ("--device cuda:3", IMAGE_COST, lambda got: got.device == "cuda:3"),
}
CLASSES, SCORES = (f"crocuta.vision.predict.{name}_images" for name in ("predict", "evaluate"))
IMAGE_PREDICT = {
    "--output": ("out", CLASSES, lambda got: got.output == Path("out")),
    "--device": ("cuda:3", CLASSES, lambda got: got.device == "cuda:3"),
    "--overwrite": ("-o there", CLASSES, lambda got: got.output == Path("there")),
}
IMAGE_EVALUATE = {
    "--output": ("out", "crocuta.files.write_json", lambda got: got.path == Path("out")),
    "--device": ("cuda:3", SCORES, lambda got: got.device == "cuda:3"),
    "--overwrite": ("-o there", SCORES, lambda got: True),
}
SIMULATE = "crocuta.data.phylogeny.write_scenario"
TREE = {
    "--output": ("out", SIMULATE, lambda got: Path(got.folder) == Path("out")),
    "--scenario": ("A", SIMULATE, lambda got: got.scenario.kind == "A"),
    **{
        f"--{name}": (f"{value}", SIMULATE, lambda got, n=name, v=value: has(got.scenario, n, v))
        for name, value in {
            "sequences": 77, "length": 33, "height": 0.3, "noise": 0.2, "classes": 3, "separation": 0.4,
            "split": "leaf", "kappa": 5.0, "gamma": 0.7, "death": 0.1, "indel-rate": 0.2, "seed": 8,
        }.items()
    },
    "--substitution": ("gtr", SIMULATE, lambda got: got.scenario.model == "gtr"),
    "--rates": ("1 2 3 4 5 6", SIMULATE, lambda got: got.scenario.rates == (1, 2, 3, 4, 5, 6)),
    "--frequencies": ("0.1 0.2 0.3 0.4", SIMULATE, lambda got: got.scenario.frequencies == (0.1, 0.2, 0.3, 0.4)),
    "--resume": ("", "crocuta.runs.claim.claim", lambda got: got.resume),
}  # fmt: skip
OPEN, MEASURE = "crocuta.trees.sources.open_distances", "crocuta.trees.delta.measure"
HYPERBOLICITY = {
    "--output": ("out", "crocuta.trees.page.write_hyperbolicity", lambda got: got.stem == Path("out")),
    "--distance": ("jc69", OPEN, lambda got: got.distance == "jc69"),
    "--kmer": ("3", OPEN, lambda got: got.k == 3),
    "--space": ("lorentz", OPEN, lambda got: got.space == "lorentz"),
    "--curvature": ("0.3", OPEN, lambda got: got.c == 0.3),
    "--key": ("X_pca", OPEN, lambda got: got.key == "X_pca"),
    "--subset": ("7", MEASURE, lambda got: got.subset == 7),
    "--exact-up-to": ("8", MEASURE, lambda got: got.exact_up_to == 8),
    "--nulls": ("9", MEASURE, lambda got: got.nulls == 9),
    "--seed": ("4", MEASURE, lambda got: got.seed == 4),
    "--overwrite": ("-o there --nulls 1", OPEN, lambda got: True),
    "--dry-run": (
        "--subset 7", "crocuta.trees.cost.estimate_hyperbolicity", lambda got: got.subset == 7
    ),
}  # fmt: skip
EXAMINE = "crocuta.trees.check.examine"
CHECK = {
    "--output": ("out", "crocuta.files.write_json", lambda got: got.path == Path("out")),
    "--overwrite": ("-o there", EXAMINE, lambda got: True),
}
VERBS = {
    "tree check": ("tree.nwk", CHECK),
    "lab graph train": ("edges.tsv", GRAPH_TRAIN),
    "lab graph predict": ("graph-run pairs.tsv", GRAPH_PREDICT),
    "lab image train": ("images", IMAGE_TRAIN),
    "lab image predict": ("image-run images", IMAGE_PREDICT),
    "lab image evaluate": ("image-run images", IMAGE_EVALUATE),
    "tree simulate": ("", TREE),
    "tree delta": ("tree.nwk", HYPERBOLICITY),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Runs that have ended, a tree, and files that are there already."""
    monkeypatch.chdir(tmp_path)
    for kind in ("graph", "image"):
        record = {"path": "data", "sha256": "", "bytes": 0}
        write_json(
            tmp_path / f"{kind}-run" / "config.json",
            {"kind": f"lab {kind} train", "inputs": {"data": [record]}},
        )
        write_json(tmp_path / f"{kind}-run" / "metrics.json", {})
    (tmp_path / "images").write_text("")
    (tmp_path / "tree.nwk").write_text("(((a:1,b:1):1,(c:1,d:1):1):1,(e:1,f:1):1,(g:1,h:2):1);\n")
    for name in ("there", "there.json"):
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("verb", "option"), [(verb, option) for verb, (_, table) in VERBS.items() for option in table]
)
def test_its_value_arrives(arrives, folder, monkeypatch, verb, option):
    arguments, table = VERBS[verb]
    value, patched, check = table[option]
    if patched == "crocuta.files.write_json":
        found = {"images": 3, "test": {}, "seeds": [{}]}
        monkeypatch.setattr(SCORES, lambda *given, **options: found)
    arrives([*verb.split(), *arguments.split()], patched, [option, *value.split()], check)


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_is_forgotten(options_of, verb):
    assert options_of(*verb.split()) == set(VERBS[verb][1])


@pytest.mark.parametrize(
    ("command", "patched"),
    [("lab graph train edges.tsv", GRAPH_COST), ("lab image train images", IMAGE_COST),
     ("tree delta tree.nwk", "crocuta.trees.cost.estimate_hyperbolicity")],
)  # fmt: skip
def test_a_dry_run_says_what_it_would_take_and_writes_nothing(folder, monkeypatch, command, patched):
    before = {path.name for path in folder.iterdir()}
    for memory, code, said in (
        (100, 0, "about 2 min 5 s and 100 MB of 1,000 MB"),
        (2000, 2, "2,000 MB of memory"),
    ):
        monkeypatch.setattr(patched, lambda *given, memory=memory: Cost(125, memory, 1000, 7))
        found = CliRunner().invoke(app, [*command.split(), "--dry-run"])
        assert found.exit_code == code
        assert said in " ".join((found.output + found.stderr).split())
    assert {path.name for path in folder.iterdir()} == before


def test_a_device_that_is_not_there_is_one_line(folder):
    (folder / "edges.tsv").write_text("".join(f"{(i - 1) // 2} {i}\n" for i in range(1, 63)))
    found = CliRunner().invoke(
        app, ["lab", "graph", "train", "edges.tsv", "--device", "nowhere", "-o", "out"]
    )
    assert (found.exit_code, len(found.stderr.strip().splitlines())) == (2, 1)
    assert "--device nowhere" in found.stderr
    assert not (folder / "out").exists()


def test_arguments_are_named_as_options(folder):
    (folder / "edges.tsv").write_text("".join(f"{(i - 1) // 2} {i}\n" for i in range(1, 63)))
    command = "lab graph train edges.tsv --encoder gcn --learning-rate 1e30 --epochs 20 -o out"
    found = CliRunner().invoke(app, command.split())
    assert found.exit_code == 2
    assert "lower --learning-rate" in " ".join(found.stderr.split())
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("command", "patched"),
    [("predict graph-run pairs.tsv -o o.tsv", PREDICT), ("predict image-run images -o o.tsv", CLASSES),
     ("evaluate image-run images", SCORES)],
)  # fmt: skip
def test_the_common_verbs_know_runs_of_graphs_and_images(folder, arrives, command, patched):
    arrives(command.split(), patched, ["--device", "cuda:3"], lambda got: got.device == "cuda:3")


@pytest.mark.parametrize("run", ["graph-run", "image-run"])
def test_report_knows_runs_of_graphs_and_images(folder, arrives, run):
    arrives(["report", run], "crocuta.report.seeds.report_seeds", [], lambda got: got.runs == [Path(run)])
