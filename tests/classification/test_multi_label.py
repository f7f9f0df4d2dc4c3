"""Sequences with several labels: training, baselines, evaluation and report, on 919 chromatin profiles too."""

import gzip
import json

import numpy as np
import pytest

from crocuta.analysis.scores import scores


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global pipelines, write_report, evaluate, group_scores, predict
    from crocuta.classification import pipelines
    from crocuta.classification.run import evaluate, group_scores, predict
    from crocuta.report import write_report


def write_table(path, n=240):
    """Two motifs, found independently, and a label that nothing has."""
    draw = np.random.default_rng(0)
    rows = ["sequence,TATA,GCGC,never"]
    for _ in range(n):
        nucleotides = draw.choice(list("ACGT"), 40)
        marks = draw.integers(0, 2, 2)
        for place, motif, mark in ((4, "TATATATA", marks[0]), (24, "GCGCGCGC", marks[1])):
            if mark:
                nucleotides[place : place + 8] = list(motif)
        rows.append(f"{''.join(nucleotides)},{marks[0]},{marks[1]},0")
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_run_with_several_labels(tmp_path):
    table = write_table(tmp_path / "marks.csv")
    run = pipelines.train(table, ["cnn"], tmp_path / "run", seeds=1, epochs=6, batch_size=16)
    assert run.metrics["metric"] == "auroc"
    assert run.metrics["problem"] == "multi_label"
    assert run.metrics["models"]["cnn"]["test"]["auroc"]["mean"] > 0.9
    assert run.metrics["models"]["kmer-lr"]["test"]["auroc"]["mean"] > 0.9
    assert "groups" not in run.metrics["models"]["cnn"]
    assert "TATA" in (tmp_path / "run" / "report.html").read_text()
    judged = evaluate(run.path, table, tmp_path / "judged")
    assert judged.metrics["data"]["test"]["n"] == 240
    predict(run.path, table, tmp_path / "predictions.tsv")
    header, *lines = (tmp_path / "predictions.tsv").read_text().splitlines()
    assert header.split("\t") == ["name", "predicted", "p(TATA)", "p(GCGC)", "p(never)"]
    assert {line.split("\t")[1] for line in lines} <= {"", "TATA", "GCGC", "TATA;GCGC"}


@pytest.fixture(scope="module")
def profiles(shared_data, tmp_path_factory):
    """DeepSEA's published layout, the middle 200 of 8,000 nucleotides."""
    path = tmp_path_factory.mktemp("deepsea") / "rows.csv"
    with gzip.open(shared_data("deepsea_sample") / "test.dataset.csv.gz", "rt") as lines:
        rows = [line.split(",", 1) for line in lines]
    path.write_text("".join(f"{sequence[3900:4100]},{targets}" for sequence, targets in rows))
    return path


def test_training_on_the_published_layout(profiles, tmp_path):
    run = pipelines.train(
        profiles, ["new:hyenadna-tiny"], tmp_path / "run", seeds=1, epochs=1, baselines=False, report=False
    )
    model = run.metrics["models"]["hyenadna-tiny"]
    assert {name: group["labels"] for name, group in model["groups"].items()} == {
        "DHS": 125,
        "TF": 690,
        "HM": 104,
    }
    assert all(
        0 <= group["mean"] <= 1 and 0 < group["defined"] <= group["labels"]
        for group in model["groups"].values()
    )
    page = write_report([run.path], tmp_path / "report.html").read_text()
    assert "AUROC by group of chromatin profiles" in page
    assert '<th scope="col">HM</th>' in page
    card = json.loads((tmp_path / "run" / "metrics.json").read_text())["data"]
    assert card["train"]["n"] + card["valid"]["n"] + card["test"]["n"] == 100


def test_groups_are_means_over_their_labels(profiles):
    from crocuta.data.labelled import read_labelled

    data = read_labelled(profiles)
    draw = np.random.default_rng(0)
    guesses = [draw.random(data.labels.shape) for _ in range(2)]
    found = group_scores(data, guesses)
    hm = slice(815, 919)
    expected = np.mean([scores(data.labels[:, hm], guess[:, hm])["auroc"] for guess in guesses])
    assert found["HM"]["mean"] == pytest.approx(expected)
