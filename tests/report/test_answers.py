"""Pages of runs that are asked: words for DNA, answers from a graph."""

import json

import pytest

from crocuta.errors import InputError
from crocuta.files import write_json


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global report_rag, report_words
    from crocuta.retrieval.page import report_rag
    from crocuta.words.page import report_words


CHANCE = {"element to words @1": 0.25, "words to element @1": 0.25}


def begin(folder, kind, metrics, **config):
    folder.mkdir()
    write_json(
        folder / "config.json", {"kind": kind, **config, "inputs": {"data": [{"path": "a", "sha256": "0"}]}}
    )
    write_json(folder / "metrics.json", metrics)
    record = {"path": "here/a.csv", "sha256": "abc123", "bytes": 1}
    write_json(
        folder / "manifest.json", {"crocuta": "1", "python": "3", "command": "crocuta <x>", "data": [record]}
    )
    return folder


@pytest.fixture
def words(tmp_path):
    metrics = {
        "sequences": {"train": 1000, "valid": 10, "test": 4}, "captions": 3, "leakage": "None leaks.",
        "test": {"element to words @1": 0.5, "words to element @1": 1.0}, "chance": CHANCE,
    }  # fmt: skip
    run = begin(
        tmp_path / "w", "words train", metrics, recipe={"members": 2, "hyena_kmers": 0}, species=["fly", ""]
    )
    rows = ["x\tLINE\tLINE\ta LINE\t0.9", "y\tLINE\tSINE\ta SINE\t0.3", "<z>\tLINE\tSINE\ta SINE\t0.7"]
    rows.append("u\tSINE\tSINE\ta SINE\t0.8")
    (run / "predictions.tsv").write_text(
        "\n".join(["name\tlabel\tpredicted\tcaption\tprobability", *rows]) + "\n"
    )
    return run


def test_words(words):
    page = report_words([words]).read_text()
    assert (
        "right label for 50.0% of the test sequences; a random caption has it for 25.0%. None leaks." in page
    )
    assert page.index("&lt;z&gt;") < page.index(">y<")  # the surest mistake first
    assert "SINE (2)" in page
    assert "33%" in page
    for text in ("recipe: hyena kmers", "crocuta &lt;x&gt;", "sha256 abc123", "1,000"):
        assert text in page
    assert (words / "figures" / "scores.png").exists()
    (words / "predictions.tsv").unlink()  # as in runs of 0.1.0
    assert "Label by label" not in report_words([words], words.parent / "page" / "w.html").read_text()
    assert (words.parent / "page" / "figures" / "scores.svg").exists()


def test_answers(tmp_path):
    metrics = {"commonest_answer": {"valid": 0.1, "test": 0.5}, "valid": {"exact_match": 0.75, "questions": 8},
               "test": {"exact_match": 0.5, "questions": 2}}  # fmt: skip
    run = begin(tmp_path / "r", "rag train", metrics, language_model=None, prompt="graph")
    (run / "predictions.tsv").write_text("question\tanswer\tpredicted\nWhat?\ta\ta\nWhy?\ta\tb\n")
    page = report_rag([run]).read_text()
    assert "50.0% of the answers to test questions are exactly right" in page
    assert "exact match, validation" in page
    assert "a new GPT-2" in page
    assert "b (1)" in page
    assert page.count("Why?") == 1


def test_no_question_held_out(tmp_path):
    run = begin(tmp_path / "r", "rag train", {"commonest_answer": {}}, language_model=None)
    page = report_rag([run]).read_text()
    assert "No question was held out" in page
    assert "<svg" not in page


def test_other_runs_are_refused(words, tmp_path):
    with pytest.raises(InputError, match="a run of `crocuta words train`; expected one of rag train"):
        report_rag([words])
    with pytest.raises(InputError, match="are not compared; report them one by one"):
        report_words([words, words])
    assert json.loads((words / "config.json").read_text())["kind"] == "words train"
