"""Triples and questions from files, and what is said of bad ones."""

import pytest

from crocuta.data.knowledge import KnowledgeGraph, Question, part, read_questions, read_triples
from crocuta.errors import InputError


def test_triples_are_read(tmp_path):
    path, texts = tmp_path / "triples.tsv", tmp_path / "texts.tsv"
    path.write_text("# remark\nAluY\tis a\tSINE\nSINE\tis a\tretrotransposon\n\nAluY\tis a\tSINE\n")
    texts.write_text("SINE\tshort interspersed element\n")
    graph = read_triples(path, texts)
    assert graph.entities == ("AluY", "SINE", "retrotransposon")
    assert graph.relations == ("is a",)
    assert graph.triples.tolist() == [[0, 0, 1], [1, 0, 2]]
    assert graph.texts == ("AluY", "short interspersed element", "retrotransposon")
    assert graph.sentence(1) == "SINE is a retrotransposon"
    assert graph.incident == ([[0], [1], []], [[], [0], [1]])
    assert KnowledgeGraph.of([]).triples.shape == (0, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\n", r"triples.tsv, line 1: found 'a\\tb'; expected head, relation and tail"),
        ("a\tr\tb\na\t\tb\n", "triples.tsv, line 2"),
        ("# nothing\n", "no triple; expected lines of head"),
    ],
)
def test_bad_triples_are_named(tmp_path, content, message):
    path = tmp_path / "triples.tsv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_triples(path)


def test_a_text_of_nothing_is_named(tmp_path):
    (tmp_path / "triples.tsv").write_text("a\tr\tb\n")
    (tmp_path / "texts.tsv").write_text("b\twords\nc\twords\n")
    with pytest.raises(InputError, match=r"texts.tsv, line 2: 'c' is in no triple of .*triples.tsv"):
        read_triples(tmp_path / "triples.tsv", tmp_path / "texts.tsv")


def test_questions_are_read(tmp_path):
    path = tmp_path / "questions.tsv"
    path.write_text("split\tquestion\tanswer\ntest\tWhat is AluY?\tSINE\ntrain\tWhat is L1?\tLINE\n")
    questions = read_questions(path)
    assert questions == [Question("What is AluY?", "SINE", "test"), Question("What is L1?", "LINE", "train")]
    assert part(questions, "train") == questions[1:]
    path.write_text("question\tanswer\nWhat?\tThat\n")
    assert read_questions(path)[0].split == "train"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "columns are none; expected question, answer"),
        ("question\tlabel\na\tb\n", "columns are question, label"),
        ("question\tanswer\na\n", "line 2: found 1 cells or an empty one; expected question, answer"),
        ("question\tanswer\tsplit\na\tb\tdev\n", "line 2: split is 'dev', expected train, valid, test"),
        ("question\tanswer\n", "no question below the header"),
    ],
)
def test_bad_questions_are_named(tmp_path, content, message):
    path = tmp_path / "questions.tsv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_questions(path)
