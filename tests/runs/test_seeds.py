"""What trainings over seeds share: scores of all, tables, and a folder that is used afterwards."""

import json
import os
import stat
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crocuta.analysis.embeddings import read_embeddings
from crocuta.data.graphs import read_graph
from crocuta.data.images import read_images
from crocuta.errors import InputError
from crocuta.nn.graph import Graph
from crocuta.runs.recipe import Recipe
from crocuta.runs.saved import SavedRun
from crocuta.trees.sources import open_distances


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global report_seeds, graphs, GraphRecipe, GraphRun, estimate_graph, train_graph, predict_graph
    global evaluate_images, predict_images, ImageRun, estimate_images, train_images, mean_over_seeds
    global ImageLearner, split_images
    global write_table, RECIPE, IMAGES
    from crocuta.graphs import training as graphs
    from crocuta.graphs.predict import predict_graph
    from crocuta.graphs.training import GraphRecipe, GraphRun, estimate_graph, train_graph
    from crocuta.report.seeds import report_seeds
    from crocuta.runs.seeds import mean_over_seeds, write_table
    from crocuta.vision.predict import evaluate_images, predict_images
    from crocuta.vision.training import ImageLearner, ImageRun, estimate_images, split_images, train_images

    RECIPE = GraphRecipe(epochs=60, every=10, learning_rate=0.03)
    IMAGES = ImageRun(
        "vit",
        {
            "patch_size": 4,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        Recipe(learning_rate=1e-2, epochs=6, batch_size=16),
        seeds=2,
    )


OLD = Path(__file__).parents[1] / "fixtures" / "runs-0.1.0.tar.xz"


def table(path):
    header, *rows = (line.split("\t") for line in path.read_text().splitlines())
    return header, rows


@pytest.fixture(scope="module")
def old_runs(tmp_path_factory):
    """Run folders of 0.1.0, with the data that they were made of."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(OLD) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """An edge list of a binary tree of named nodes; the same as .npz with the sides of the root as labels."""
    folder = tmp_path_factory.mktemp("tree")
    nodes = np.arange(1, 127)
    edges = np.stack([(nodes - 1) // 2, nodes], axis=1)
    (folder / "tree.tsv").write_text("".join(f"taxon{a}\ttaxon{b}\n" for a, b in edges))
    side = np.array([int(f"{i + 1:b}0"[1]) for i in range(127)])
    np.savez(folder / "tree.npz", edges=edges, labels=side, features=np.eye(127, dtype=np.float32))
    return folder


@pytest.fixture(scope="module")
def runs(tree, tmp_path_factory):
    """A small run of each task."""
    folder = tmp_path_factory.mktemp("runs")
    for task, encoder, file in (
        ("lp", "hgcn", "tree.tsv"),
        ("nc", "hybonet", "tree.npz"),
        ("md", "embedding", "tree.tsv"),
    ):
        run = GraphRun(task, {"encoder": encoder, "hidden_size": 6, "c": 0.7}, RECIPE, seeds=2)
        train_graph(tree / file, run, folder / task)
    return folder


def test_mean_and_spread():
    fits = [{"test": {"auroc": value}, "valid": {"auroc": value}} for value in (0.5, 0.7)]
    found = mean_over_seeds(fits)["test"]["auroc"]
    assert found["mean"] == pytest.approx(0.6)
    assert found["sd"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert mean_over_seeds(fits[:1])["test"]["auroc"]["sd"] is None


def test_names_cannot_break_a_table(tmp_path):
    write_table(tmp_path / "a.tsv", ["name", "p"], [["a\tb\nc", 1 / 3]])
    assert (tmp_path / "a.tsv").read_text() == "name\tp\na b c\t0.333333\n"


@pytest.mark.parametrize("task", ["lp", "nc", "md"])
def test_a_graph_run_has_all_that_others_have(runs, task):
    names = {path.name for path in (runs / task).iterdir()}
    assert names == {"config.json", "manifest.json", "metrics.json", "predictions.tsv", "models"}
    assert {path.name for path in (runs / task / "models" / "seed-1").iterdir()} == {
        "config.json", "model.safetensors", "fit.json", "predictions.tsv", "embeddings.h5ad"
    }  # fmt: skip
    _, rows = table(runs / task / "predictions.tsv")
    assert {row[3] for row in rows} == {"0", "1"}


def test_predictions_are_those_that_were_scored(runs):
    header, rows = table(runs / "lp" / "predictions.tsv")
    assert header == ["source", "target", "label", "seed", "p(link)"]
    fit = json.loads((runs / "lp" / "models" / "seed-0" / "fit.json").read_text())
    p = {label: [float(row[4]) for row in rows if row[2] == label and row[3] == "0"] for label in "01"}
    higher = np.subtract.outer(np.array(p["1"]), np.array(p["0"]))
    assert fit["test"]["auroc"] == pytest.approx(((higher > 0) + 0.5 * (higher == 0)).mean(), abs=1e-6)
    header, rows = table(runs / "nc" / "predictions.tsv")
    assert header == ["name", "label", "model", "seed", "predicted", "p(0)", "p(1)"]
    right = [row[1] == row[4] for row in rows if row[3] == "1"]
    metrics = json.loads((runs / "nc" / "metrics.json").read_text())
    assert np.mean(right) == pytest.approx(metrics["seeds"][1]["test"]["accuracy"])


def test_new_pairs_are_predicted_by_name(runs, tree, tmp_path):
    """The mean over seeds of what each seed says; the distances of a tree are nearly right."""
    _, rows = table(runs / "lp" / "predictions.tsv")
    first = [row for seed in "01" for row in rows if row[3] == seed][:: len(rows) // 6]
    (tmp_path / "pairs.tsv").write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b, *_ in first))
    run = SavedRun(runs / "lp", "lab graph train")
    assert predict_graph(run, tmp_path / "links.tsv", tmp_path / "pairs.tsv", device="cpu") == len(first)
    header, found = table(tmp_path / "links.tsv")
    assert {row[3] for row in first} == {"0", "1"}
    assert header == ["source", "target", "p(link)", "sd"]
    for row, (a, b, _, _, p) in zip(found, first, strict=True):
        assert row[:2] == [a, b]
        spread = abs(float(row[2]) - float(p))  # of two seeds: sd = sqrt(2) times the distance from the mean
        assert float(row[3]) == pytest.approx(spread * 2**0.5, abs=1e-5)
    (tmp_path / "far.tsv").write_text("taxon0 taxon1\ntaxon63 taxon126\n")
    predict_graph(SavedRun(runs / "md"), tmp_path / "far-found.tsv", tmp_path / "far.tsv")
    distances = [float(row[2]) for row in table(tmp_path / "far-found.tsv")[1]]
    assert distances == [pytest.approx(1, rel=0.3), pytest.approx(12, rel=0.3)]
    (tmp_path / "wrong.tsv").write_text("taxon0 taxon900\n")
    with pytest.raises(
        InputError, match="line 1: 'taxon900' is no node of tree; expected names such as 'taxon0'"
    ):
        predict_graph(run, tmp_path / "x.tsv", tmp_path / "wrong.tsv")
    with pytest.raises(InputError, match="give a file of `pairs`"):
        predict_graph(run, tmp_path / "x.tsv")
    assert not (tmp_path / "x.tsv").exists()


def test_classes_of_all_nodes(runs, tmp_path):
    assert predict_graph(SavedRun(runs / "nc"), tmp_path / "classes.tsv") == 127
    header, rows = table(tmp_path / "classes.tsv")
    assert header == ["name", "predicted", "p(0)", "p(1)"]
    assert all(float(row[2]) + float(row[3]) == pytest.approx(1, abs=1e-4) for row in rows)
    with pytest.raises(InputError, match="leave out `pairs`"):
        predict_graph(SavedRun(runs / "nc"), tmp_path / "x.tsv", tmp_path / "classes.tsv")


def test_another_graph_is_never_taken_silently(runs, tree, tmp_path):
    other = tmp_path / "tree.tsv"
    other.write_text((tree / "tree.tsv").read_text() + "taxon1\ttaxon2\n")
    with pytest.raises(InputError, match=r"tree\.tsv: not what the run .* was made of"):
        predict_graph(SavedRun(runs / "lp"), tmp_path / "x.tsv", other, data=other)


def test_points_are_read_by_other_commands(runs):
    found = read_embeddings(runs / "lp" / "models" / "seed-0" / "embeddings.h5ad")
    assert (found.manifold, found.c) == ("lorentz", 0.7)
    assert list(found.obs.index[:2]) == ["taxon0", "taxon1"]
    assert list(found.column("degree")[:2]) == [2, 3]
    found.tangents()  # checks that they lie on the manifold
    path = runs / "nc" / "models" / "seed-0" / "embeddings.h5ad"
    assert set(read_embeddings(path).column("label")) == {"0", "1"}
    deep = runs / "md" / "models" / "seed-0" / "embeddings.h5ad"
    hops = open_distances(deep).matrix(np.array([0, 1, 3]))  # the file says on which manifold they lie
    assert hops[0, 2] == pytest.approx(2 * hops[0, 1], rel=0.3)


def test_gradients_of_graphs_are_clipped(tree, monkeypatch):
    """An unclipped step of plain descent moves as far as its gradient is long."""
    monkeypatch.setattr(
        GraphRecipe, "optimizer", lambda self, model: torch.optim.SGD(model.parameters(), 1.0)
    )
    data = read_graph(tree / "tree.tsv")
    run = GraphRun("lp", {"encoder": "gcn"}, GraphRecipe(epochs=1, clip=1e-3))
    before = graphs.build_encoder(run, data, run.problem(data, 0), 0).state_dict()
    after = graphs.train_seed(run, data, 0, "cpu")[0].state_dict()
    moved = sum((after[name] - before[name]).square().sum().item() for name in before) ** 0.5
    assert moved == pytest.approx(1e-3, rel=1e-2)


def test_the_floor_of_the_learning_rate_is_passed_on():
    course = GraphRecipe(epochs=7, every=5, patience=3, clip=0.5, floor=0.25).course(4, "cpu")
    assert (course.steps, course.floor, course.warm_up, course.clip) == (7, 0.25, 0.0, 0.5)
    assert (course.evaluate, course.patience, course.seed) == ({5, 7}, 3, 4)


def test_a_graph_trains_where_it_is_told(tree, monkeypatch):
    """Every tensor that a model is given lies on its device: the meta device, which has no values, tells."""
    moved = []
    monkeypatch.setattr(Graph, "to", lambda self, device: moved.append(device.type) or self)
    data = read_graph(tree / "tree.npz")
    for task in ("lp", "nc", "md"):
        problem = GraphRun(task, {}).problem(data, 0)
        problem.to(torch.device("meta"))
        tensors = [value for value in vars(problem).values() if isinstance(value, torch.Tensor)]
        assert tensors
        assert all(tensor.device.type == "meta" for tensor in tensors)
    assert moved == ["meta"] * 3


def test_a_mac_computes_graphs_on_its_processor(monkeypatch):
    monkeypatch.setattr(graphs, "choose_device", lambda name="auto": torch.device("mps"))
    assert GraphRecipe().course(0).device == "cpu"


def test_a_report_shows_every_seed_and_what_was_asked(runs):
    for task in ("lp", "nc", "md"):
        page = report_seeds([runs / task]).read_text()
        assert "seed 1" in page
        assert "learning rate</dt><dd>0.03" in page
        assert (runs / task / "figures" / "training.svg").exists()


def test_costs_are_estimated_and_nothing_is_written(tree, shades, tmp_path):
    run = GraphRun("lp", {"encoder": "gcn"}, RECIPE, seeds=4)
    once, often = (estimate_graph(tree / "tree.tsv", replace(run, seeds=n), (), "cpu") for n in (1, 50))
    assert once.parameters == often.parameters > 100
    assert often.seconds > 10 * once.seconds
    assert estimate_images(shades, IMAGES, None, "cpu").memory_mb > 10


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    """Pictures, dark or bright, in a folder for each class."""
    folder, rng = tmp_path_factory.mktemp("shades"), np.random.default_rng(0)
    for name, base in (("bright", 120), ("dark", 0)):
        (folder / name).mkdir()
        for i in range(60):
            pixels = rng.integers(0, 100, (8, 8), dtype=np.uint8) + np.uint8(base)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def image_run(shades, tmp_path_factory):
    output = tmp_path_factory.mktemp("images") / "run"
    before = os.umask(0o022)
    try:
        train_images(shades, IMAGES, output, device="cpu")
    finally:
        os.umask(before)
    return output


def test_the_recipe_of_images_is_followed(shades):
    recipe = Recipe(epochs=3, batch_size=10, warmup=0.2, clip=0.5)
    learner = ImageLearner(
        split_images(read_images(shades), 0.1, 0.2), replace(IMAGES, recipe=recipe), seed=4
    )
    course = learner.course("cpu")
    assert learner.steps == 9  # of 86 images
    assert (course.steps, list(course.evaluate), course.seed) == (27, [9, 18, 27], 4)
    assert (course.warm_up, course.floor, course.clip) == (0.2, 0.01, 0.5)
    first, second = (
        np.concatenate([learner.batches(9 * epoch + i, 0, 1)[0] for i in range(9)]) for epoch in (0, 1)
    )
    assert sorted(first) == sorted(second) == list(range(86))
    assert list(first) != list(second)


def test_an_image_run_has_all_that_others_have(image_run):
    names = {path.name for path in image_run.iterdir()}
    assert {"config.json", "manifest.json", "metrics.json", "predictions.tsv", "models"} <= names
    header, rows = table(image_run / "predictions.tsv")
    assert header == ["name", "label", "model", "seed", "predicted", "p(bright)", "p(dark)"]
    metrics = json.loads((image_run / "metrics.json").read_text())
    right = [row[1] == row[4] for row in rows if row[3] == "0"]
    assert np.mean(right) == pytest.approx(metrics["seeds"][0]["test"]["accuracy"])
    assert metrics["test"]["accuracy"]["mean"] > 0.9
    modes = {stat.S_IMODE(path.stat().st_mode) for path in image_run.rglob("*") if path.is_file()}
    assert modes == {0o644}
    page = report_seeds([image_run]).read_text()
    assert "vit: classes of" in page


def test_other_images_are_predicted_and_evaluated(image_run, shades, tmp_path):
    new = tmp_path / "new"
    (new / "dark").mkdir(parents=True)
    Image.fromarray(np.full((20, 30, 3), 20, np.uint8)).save(new / "dark" / "in colour.png")
    Image.fromarray(np.full((8, 8), 220, np.uint8)).save(new / "loose.png")
    run = SavedRun(image_run, "lab image train")
    assert predict_images(run, new, tmp_path / "classes.tsv", device="cpu") == 2
    header, rows = table(tmp_path / "classes.tsv")
    assert header == ["name", "predicted", "p(bright)", "p(dark)"]
    assert [row[:2] for row in rows] == [["dark/in colour.png", "dark"], ["loose.png", "bright"]]
    found = evaluate_images(run, shades, device="cpu")
    assert found["images"] == 120
    assert found["test"]["accuracy"]["mean"] > 0.9
    (new / "loose.png").rename(new / "dark" / "loose.png")
    Image.fromarray(np.full((8, 8), 220, np.uint8)).save(new / "dark" / "in colour.png")
    half = evaluate_images(run, new)  # one class of two, and all of it is wrong
    assert half["test"]["accuracy"]["mean"] == 0
    (new / "dark").rename(new / "grey")
    with pytest.raises(InputError, match="class 'grey' is none of those"):
        evaluate_images(run, new)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        predict_images(run, tmp_path / "empty", tmp_path / "x.tsv")


def test_labels_beside_an_idx_file_belong_to_the_run(old_runs, tmp_path):
    """Changed labels under the same name are other data."""
    images, labels = (tmp_path / f"a-{name}-ubyte" for name in ("images-idx3", "labels-idx1"))
    rng = np.random.default_rng(0)
    images.write_bytes(np.array([0x803, 40, 8, 8], ">u4").tobytes() + rng.bytes(40 * 64))
    labels.write_bytes(np.array([0x801, 40], ">u4").tobytes() + bytes([0, 1] * 20))
    run = replace(IMAGES, recipe=replace(IMAGES.recipe, epochs=1), seeds=1)
    train_images(images, run, tmp_path / "run", device="cpu")
    labels.write_bytes(labels.read_bytes()[:-1] + b"\0")
    with pytest.raises(InputError, match="labels-idx1"):
        train_images(images, run, tmp_path / "run", device="cpu", resume=True)
    assert len(read_images(images).train) == 40


def test_runs_of_the_first_version_are_read(old_runs, tmp_path):
    """Recipes had other names, digests lay in manifest.json; nothing held curves or predictions."""
    graph, image = SavedRun(old_runs / "graph"), SavedRun(old_runs / "image")
    assert (graph.kind, image.kind) == ("lab graph train", "lab image train")
    assert GraphRun.read(graph.config).recipe.learning_rate == 0.01
    for run in (graph, image):
        assert "Test, seed 0" in report_seeds([run.path]).read_text()
    (tmp_path / "pairs").write_text("0 1\n2 3\n")
    links = tmp_path / "links.tsv"
    assert predict_graph(graph, links, tmp_path / "pairs", data=old_runs / "data" / "edges.tsv") == 2
    data = read_graph(old_runs / "data" / "edges.tsv")
    problem = GraphRun.read(graph.config).problem(data, 1)
    model = problem.model.from_pretrained(old_runs / "graph" / "models" / "seed-1").eval()
    assert problem.evaluate(model, "test") == pytest.approx(graph.metrics["seeds"][1]["test"])
    images = tmp_path / "b-images-idx3-ubyte"
    images.write_bytes(np.array([0x803, 3, 8, 8], ">u4").tobytes() + bytes(3 * 64))
    assert predict_images(image, images, tmp_path / "classes.tsv") == 3
